/** What is wrong with the options of a call as such: those that are none would be passed over without a word. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { Issue } from "./TinkerError.js"

/** Everything that keeps `given` from being options with these names; nothing of their values. */
export const optionIssues = (given: unknown, names: ReadonlyArray<string>): ReadonlyArray<Issue> =>
  given === undefined ? [] : notOptions(given, names) ?? unknownFields(given as object, names)

/** The same of options that must be there; `undefined` when they are an object, whatever is in it. */
export const notOptions = (given: unknown, names: ReadonlyArray<string>): ReadonlyArray<Issue> | undefined =>
  isObject(given)
    ? undefined
    : [{ field: "options", description: `are ${kindOf(given)}; pass an object of ${names.join(", ")}.` }]

/** Whether a value can be told by its fields: no list, date or promise, and no effect that somebody forgot to run. */
export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && tagOf(value) === "Object" && !Effect.isEffect(value)
  && !Redacted.isRedacted(value)

const tagOf = (value: object): string => Object.prototype.toString.call(value).slice(8, -1)

const unknownFields = (given: object, names: ReadonlyArray<string>): ReadonlyArray<Issue> => {
  const issues = [...unnamedFields(given)]
  for (const field in given) {
    if (!names.includes(field)) issues.push({ field, description: notOne("option", field, names) })
  }
  for (const field of names) {
    if (!isOwn(given, field)) issues.push({ field, description: inherited })
  }
  return issues
}

/** Whether a field is the object's own, or not there: one that is inherited is lost wherever the object is copied. */
export const isOwn = (value: object, field: string): boolean =>
  Object.hasOwn(value, field) || (value as Readonly<Record<string, unknown>>)[field] === undefined

/** Said of a field that is not {@link isOwn}. */
export const inherited = "is inherited, from a class or a prototype; pass an object that has it itself."

/** Fields whose names are symbols: nothing is called so, and whatever lists the names of fields passes over them. */
export const unnamedFields = (value: object, place: string = ""): ReadonlyArray<Issue> => {
  const symbols = Object.getOwnPropertySymbols(value)
  return symbols
    .filter((symbol) => Object.prototype.propertyIsEnumerable.call(value, symbol))
    .map((symbol) => ({
      field: `${place}${String(symbol)}`,
      description: "is a symbol; the name of a field is a text."
    }))
}

/** Fields that are seen when each is asked for, and lost where the names of an object's own are listed. */
export const lostFields = (value: object, place: string = ""): ReadonlyArray<Issue> => {
  const issues = [...unnamedFields(value, place)]
  for (const field in value) if (!isOwn(value, field)) issues.push({ field: place + field, description: inherited })
  return issues
}

/** Says that a field is none of these names, and which is meant where that can be told. */
export const notOne = (what: string, field: string, names: ReadonlyArray<string>): string => {
  const meant = names.find((name) => plain(name) === plain(field))
  if (meant !== undefined) return `is no ${what}; it is called ${meant} here.`
  const near = nearest(field, names)
  const all = `those are ${names.join(", ")}.`
  return near === undefined ? `is no ${what}; ${all}` : `is no ${what}; was ${near} meant? All of ${all}`
}

/** The name that a misspelt one stands for, if it is like any. */
export const nearest = (given: string, names: ReadonlyArray<string>): string | undefined => {
  // What is longer is no name that somebody misspelt, and costs time.
  if (given.length > 40) return undefined
  let found: string | undefined
  let least = Math.max(1, Math.floor(given.length / 3)) + 1
  for (const name of names) {
    const away = distance(plain(given), plain(name))
    if (away < least) {
      least = away
      found = name
    }
  }
  if (found !== undefined) return found
  // As `timeout` for `requestTimeout`, or `ttl_seconds` for `ttl`.
  const parts = names.filter((name) => name.length > 2 && given.length > 2 && isPart(plain(name), plain(given)))
  return parts.length === 1 ? parts[0] : undefined
}

const isPart = (a: string, b: string): boolean => a.includes(b) || b.includes(a)

/** How many letters must be put in, left out, changed, or swapped with the next (optimal string alignment). */
const distance = (a: string, b: string): number => {
  let before: ReadonlyArray<number> = []
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? before[j - 2]! + 1 : Infinity
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1), swapped))
    }
    before = row
    row = next
  }
  return row[b.length]!
}

/** What a value is, as one would say it, and nothing of what is in it. */
export const kindOf = (value: unknown): string => {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return "a list"
  switch (typeof value) {
    case "string":
      return value === "" ? "an empty text" : "a text"
    case "number":
    case "boolean":
      return String(value)
    case "bigint":
    case "symbol":
      return `a ${typeof value}`
    case "function":
      return "a function"
    default: {
      if (Effect.isEffect(value)) return "an Effect"
      if (Redacted.isRedacted(value)) return "a Redacted value"
      const tag = tagOf(value)
      return `${/^[AEIO]/.test(tag) ? "an" : "a"} ${tag === "Object" ? "object" : tag}`
    }
  }
}

/** A short text itself, and of anything else what {@link kindOf} says: for names, which are no secrets. */
export const named = (value: unknown): string =>
  typeof value === "string" && value !== "" && value.length <= 40 ? JSON.stringify(value) : kindOf(value)

const plain = (name: string): string => name.replace(/[_-]/g, "").toLowerCase()
