/** Reading the parts of a `tokenizer.json`. */
import * as Predicate from "effect/Predicate"

/** Why a file is not used. Thrown while its parts are read, and caught once, where the tokenizer is made. */
export class Refusal extends Error {
  constructor(readonly reason: "Malformed" | "Unsupported", readonly description: string) {
    super(description)
  }
}

export const unsupported = (what: string): Refusal =>
  new Refusal("Unsupported", `has ${what}, which is not implemented here.`)

export const malformed = (what: string): Refusal => new Refusal("Malformed", `${what}. Save it again.`)

export type Part = Readonly<Record<string, unknown>>

/** A part that may be missing. `where` is the name of its field. */
export const partOf = (value: unknown, where: string): Part | undefined => {
  if (value === undefined || value === null) return undefined
  if (Predicate.isReadonlyRecord(value) && typeof value["type"] === "string") return value
  throw malformed(`has a ${where} that is no part with a type`)
}

export const partsOf = (part: Part, field: string): ReadonlyArray<Part> => {
  const parts = part[field]
  if (!Array.isArray(parts)) throw malformed(`has a ${String(part["type"])} without ${field}`)
  return parts.map((one) => {
    const inner = partOf(one, field)
    if (inner === undefined) throw malformed(`has nothing where one of its ${field} should be`)
    return inner
  })
}

const wrong = (part: Part, field: string, wanted: string) =>
  malformed(`has a ${String(part["type"])} whose ${field} is ${JSON.stringify(part[field])}, which is no ${wanted}`)

export const booleanOf = (part: Part, field: string, otherwise: boolean): boolean => {
  const value = part[field] ?? otherwise
  if (typeof value !== "boolean") throw wrong(part, field, "true or false")
  return value
}

export const textOf = (part: Part, field: string, otherwise?: string): string => {
  const value = part[field] ?? otherwise
  if (typeof value !== "string") throw wrong(part, field, "text")
  return value
}

export const countOf = (part: Part, field: string, otherwise?: number): number => {
  const value = part[field] ?? otherwise
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0) throw wrong(part, field, "whole number")
  return value
}

export const characterOf = (part: Part, field: string, otherwise?: string): string => {
  const value = textOf(part, field, otherwise)
  if (Array.from(value).length !== 1) throw wrong(part, field, "single character")
  return value
}
