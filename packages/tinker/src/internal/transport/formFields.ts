/** Nested values as the flat fields of a form: `{ a: { b: [1, 2] } }` is `a[b][]=1` and `a[b][]=2`. */
import type { FormFields, FormValue } from "../../RawClient.js"

/** Names and texts, in order. `null` is an empty text; `undefined` is left out, as are empty lists and objects. */
export const flatten = (fields: FormFields): ReadonlyArray<readonly [string, string]> =>
  Object.entries(fields).flatMap(([name, value]) => flattenValue(name, value))

/** The fields as `application/x-www-form-urlencoded`. */
export const urlEncoded = (fields: FormFields): string =>
  new URLSearchParams(flatten(fields).map(([name, text]) => [name, text])).toString()

const flattenValue = (name: string, value: FormValue): ReadonlyArray<readonly [string, string]> => {
  if (value === undefined) return []
  if (value === null) return [[name, ""]]
  if (isList(value)) return value.flatMap((item) => flattenValue(`${name}[]`, item))
  if (typeof value === "object") {
    return Object.entries(value).flatMap(([inner, item]) => flattenValue(`${name}[${inner}]`, item))
  }
  return [[name, String(value)]]
}

const isList = (value: FormValue): value is ReadonlyArray<FormValue> => Array.isArray(value)
