import * as Predicate from "effect/Predicate"

/** An object of a file. */
export type Json = Readonly<Record<string, unknown>>

/** A key as it is whatever its capitals, blanks, dashes, dots and underlines. By this keys are found, and left out. */
export const plain = (key: string): string => {
  const known = plainKeys.get(key)
  if (known !== undefined) return known
  // One of nothing else is itself.
  const made = key.normalize("NFKC").replace(/[^\p{L}\p{N}]/gu, "").toLowerCase() || key
  if (plainKeys.size < mostPlainKeys) plainKeys.set(key, made)
  return made
}

/** A file has the same few keys in all its lines. */
const plainKeys = new Map<string, string>()

const mostPlainKeys = 1000

/** Whether two keys are the same, however they are written. */
export const isSame = (a: string, b: string): boolean => plain(a) === plain(b)

/** The keys that are left out, as {@link plain} writes them. */
export type IgnoredKeys = ReadonlySet<string>

export const ignoredKeys = (keys: ReadonlyArray<string>, others: IgnoredKeys = new Set()): IgnoredKeys =>
  keys.length === 0 ? others : new Set([...others, ...keys.map(plain)])

/** An object without the keys that are left out. */
export const withoutKeys = (value: Json, ignored: IgnoredKeys): Json =>
  ignored.size === 0 ? value : Object.fromEntries(Object.entries(value).filter(([key]) => !ignored.has(plain(key))))

/** The same of the objects in it, too, where marks are looked for; not of those in lists. */
export const withoutKeysWithin = (value: Json, ignored: IgnoredKeys): Json =>
  ignored.size === 0 ? value : Object.fromEntries(
    Object.entries(withoutKeys(value, ignored)).map(([key, inner]) => [
      key,
      Predicate.isReadonlyRecord(inner) ? withoutKeysWithin(inner, ignored) : inner
    ])
  )

/** Whether a value holds nothing. */
export const isEmpty = (value: unknown): boolean =>
  value === undefined || value === null || value === "" || (Array.isArray(value) && value.length === 0)

/** Whether a value says nothing, be it in a word or by an object without keys. */
export const isNothing = (value: unknown): boolean =>
  isEmpty(value) || isOneOf(nothings, value) || (Predicate.isReadonlyRecord(value) && Object.keys(value).length === 0)

const isOneOf = (words: ReadonlySet<string>, value: unknown): boolean =>
  typeof value === "string" && words.has(value.trim().toLowerCase())

const nothings: ReadonlySet<string> = new Set(["", "[]", "{}", "null", "none"])

/** Whether a value says no, and not nothing. */
export const isNo = (value: unknown): boolean => value === false || value === 0 || isOneOf(nos, value)

const nos: ReadonlySet<string> = new Set(["false", "no", "n", "f", "off", "0", "0.0"])

/** Whether a value says yes. */
export const isYes = (value: unknown): boolean => value === true || value === 1 || isOneOf(yeses, value)

const yeses: ReadonlySet<string> = new Set(["true", "yes", "y", "t", "on", "1", "1.0"])

/** The texts of all that says nothing, or no, in small letters. */
export const nothingOrNo: ReadonlyArray<string> = [...nothings, ...nos]
