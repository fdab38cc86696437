/** A query, nested as deep as it is. */
export interface Query {
  readonly [name: string]: QueryValue
}

export type QueryValue =
  | string
  | number
  | boolean
  | null
  | undefined
  | ReadonlyArray<string | number | boolean>
  | Query

/** An address whose query has these values over its own: an empty one takes away what was there. */
export const over = (address: string, query: Query): string => change(address, query, true)

/** An address whose query has these values where it has none of its own. */
export const under = (address: string, query: Query): string => change(address, query, false)

const change = (address: string, query: Query, replaces: boolean): string => {
  const names = Object.keys(query)
  if (names.length === 0) return address
  const at = address.indexOf("?")
  const all = new URLSearchParams(at < 0 ? "" : address.slice(at + 1))
  for (const name of names) {
    const old = Array.from(all.keys()).filter((key) => key === name || key.startsWith(`${name}[`))
    if (old.length > 0 && !replaces) continue
    for (const key of old) all.delete(key)
    for (const [full, text] of flatten(name, query[name])) all.append(full, text)
  }
  const before = at < 0 ? address : address.slice(0, at)
  return all.size === 0 ? before : `${before}?${all.toString()}`
}

const flatten = (name: string, value: QueryValue): ReadonlyArray<readonly [string, string]> => {
  if (value === null || value === undefined || value === "") return []
  if (isList(value)) return value.length === 0 ? [] : [[name, value.join(",")]]
  if (typeof value === "object") {
    return Object.entries(value).flatMap(([inner, item]) => flatten(`${name}[${inner}]`, item))
  }
  return [[name, String(value)]]
}

const isList = (value: QueryValue): value is ReadonlyArray<string | number | boolean> => Array.isArray(value)
