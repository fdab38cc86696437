/** What is wrong with the options of a call as such: those that are none would be passed over without a word. */
import type { Issue } from "../TinkerError.js"

/** Everything that keeps `given` from being options with these names; nothing of their values. */
export const optionIssues = (given: unknown, names: ReadonlyArray<string>): ReadonlyArray<Issue> => {
  if (given === undefined) return []
  const none = notOptions(given, names)
  if (none !== undefined) return none
  const issues: Array<Issue> = []
  for (const field in given as object) {
    if (!names.includes(field)) issues.push({ field, description: notOne("option", field, names) })
  }
  return issues
}

/** The same of options that must be there; `undefined` when they are an object, whatever is in it. */
export const notOptions = (given: unknown, names: ReadonlyArray<string>): ReadonlyArray<Issue> | undefined =>
  typeof given === "object" && given !== null && !Array.isArray(given)
    ? undefined
    : [{ field: "options", description: `are ${kindOf(given)}; pass an object of ${names.join(", ")}.` }]

/** Says that a field is none of these names, and which is meant where that can be told. */
export const notOne = (what: string, field: string, names: ReadonlyArray<string>): string => {
  const meant = names.find((name) => plain(name) === plain(field))
  return meant === undefined
    ? `is no ${what}; those are ${names.join(", ")}.`
    : `is no ${what}; it is called ${meant} here.`
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
      return "a bigint"
    case "function":
      return "a function"
    default:
      return ArrayBuffer.isView(value) ? `a ${value.constructor.name}` : "an object"
  }
}

const plain = (name: string): string => name.replace(/[_-]/g, "").toLowerCase()
