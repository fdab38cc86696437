/** What values may be: checks of one, and those made of others. Nothing here throws, whatever it is given. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import {
  inherited,
  isObject,
  isOwn,
  kindOf,
  lostFields,
  named,
  nearest,
  notOne,
  notOptions,
  unnamedFields
} from "./CallOptions.js"
import { isId } from "./CheckpointRef.js"
import type { Issue } from "./TinkerError.js"

/** What is wrong with a value, which the caller knows by the name `field`; nothing when it fits. */
export type Check = (value: unknown, field: string) => ReadonlyArray<Issue>

/** The checks of an object, or of the parameters of a call in their order, by name. */
export type Fields = Readonly<Record<string, Check>>

export const none: ReadonlyArray<Issue> = []

/** A check that tells of a value which does not fit what it is, and `next`: what to do, as a sentence without its end. */
export const fitting = (fits: (value: unknown) => boolean, next: string): Check => (value, field) =>
  fits(value) ? none : [{ field, description: `is ${kindOf(value)}; ${next}.` }]

/** The same, where it is enough to say what the value must be. */
export const must = (fits: (value: unknown) => boolean, be: string): Check => fitting(fits, `it must be ${be}`)

export const optional = (check: Check): Check => (value, field) => value === undefined ? none : check(value, field)

export const orNull = (check: Check): Check => (value, field) => value === null ? none : check(value, field)

/**
 * Every field of a value that has no check, which is most often a misspelt one, and then everything that its checks refuse. A field
 * that is inherited is refused too, as it would be lost wherever the value is copied.
 */
export const checkFields = (
  value: object,
  fields: Fields,
  what: string = "parameter",
  place: string = ""
): ReadonlyArray<Issue> => {
  let issues: Array<Issue> | undefined
  for (const issue of unnamedFields(value, place)) (issues ??= []).push(issue)
  for (const field in value) {
    if (Object.hasOwn(fields, field)) continue
    ;(issues ??= []).push({ field: place + field, description: notOne(what, field, Object.keys(fields)) })
  }
  for (const field in fields) {
    const found = fieldIssues(value, field, fields[field]!, place)
    if (found.length > 0) (issues ??= []).push(...found)
  }
  return issues ?? none
}

const fieldIssues = (value: object, field: string, check: Check, place: string): ReadonlyArray<Issue> => {
  try {
    return isOwn(value, field)
      ? check((value as Readonly<Record<string, unknown>>)[field], place + field)
      : [{ field: place + field, description: inherited }]
  } catch {
    return [{ field: place + field, description: unreadable }]
  }
}

/** The options of a call: its caller knows their fields by their own names. */
export const optionsOf = (fields: Fields): Check => {
  const names = Object.keys(fields)
  const check: Check = (value) => notOptions(value, names) ?? checkFields(value as object, fields, "option")
  return (value) => looked(check, value, "options")
}

/** An object with these fields and no others. */
export const object = (fields: Fields, what: string = "setting"): Check => (value, field) =>
  isObject(value)
    ? checkFields(value, fields, what, `${field}.`)
    : [{ field, description: `is ${kindOf(value)}; it must be an object of ${Object.keys(fields).join(", ")}.` }]

/** An object with any names. */
export const record = (each: Check): Check => (value, field) =>
  isObject(value)
    ? [
      ...lostFields(value, `${field}.`),
      ...Object.entries(value).flatMap(([name, item]) => each(item, `${field}.${name}`))
    ]
    : [{ field, description: `is ${kindOf(value)}; it must be an object.` }]

/** Everything wrong with the arguments of a call. Those beyond its parameters are not looked at: `Effect.forEach` passes an index. */
export const argumentIssues = (given: ReadonlyArray<unknown>, parameters: Fields): ReadonlyArray<Issue> => {
  let issues: Array<Issue> | undefined
  let i = 0
  for (const name in parameters) {
    const found = looked(parameters[name]!, given[i++], name)
    if (found.length > 0) (issues ??= []).push(...found)
  }
  return issues ?? none
}

/** What a check finds, or that a getter or a proxy of the caller's throws as soon as somebody looks. */
export const looked = (check: Check, value: unknown, field: string): ReadonlyArray<Issue> => {
  try {
    return check(value, field)
  } catch {
    return [{ field, description: unreadable }]
  }
}

const unreadable = "cannot be read: it throws when it is looked at. Pass plain values."

const isNumber = (value: unknown): value is number => typeof value === "number"

export const notNegative = must(
  (value) => isNumber(value) && value >= 0 && value < Infinity,
  "a finite number, 0 or more"
)

export const positive = must(
  (value) => isNumber(value) && value > 0 && value < Infinity,
  "a finite number, more than 0"
)

/** The decay of a moving average. */
export const decay = must((value) => isNumber(value) && value >= 0 && value < 1, "0 or more and less than 1")

export const share = must((value) => isNumber(value) && value > 0 && value <= 1, "more than 0 and at most 1")

/** Infinity is no bound. */
export const bound = must((value) => isNumber(value) && value >= 0, "a number, 0 or more")

export const wholeFrom = (least: number): Check =>
  must((value) => Number.isSafeInteger(value) && (value as number) >= least, `a whole number, ${least} or more`)

export const whole = must(
  Number.isSafeInteger,
  `a whole number from ${Number.MIN_SAFE_INTEGER} to ${Number.MAX_SAFE_INTEGER}, as larger ones are not exact`
)

export const wholeWithin = (least: number, most: number): Check =>
  must(
    (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most,
    `a whole number from ${least} to ${most}`
  )

export const flag = must((value) => typeof value === "boolean", "true or false")

/** Stands in an address as it is. */
export const id = must(
  (value) => typeof value === "string" && isId(value),
  "an id, which has no space, %, ?, # or slash"
)

export const isText = (value: unknown): value is string => typeof value === "string" && value !== ""

export const anyText = fitting((value) => typeof value === "string", "it must be a text")

export const text = must(isText, "a text, not empty")

export const oneOf = (...values: ReadonlyArray<string>): Check => (value, field) => {
  if (values.some((one) => one === value)) return none
  const near = typeof value === "string" ? nearest(value, values) : undefined
  const meant = near === undefined ? "" : `; was ${JSON.stringify(near)} meant?`
  return [{
    field,
    description: meant === ""
      ? `is ${named(value)}; it must be one of ${values.join(", ")}.`
      : `is ${named(value)}${meant} It must be one of ${values.join(", ")}.`
  }]
}

/** A credential, which no log may show. */
export const secret: Check = (value, field) => {
  if (!Redacted.isRedacted(value)) {
    return [{
      field,
      description: `is ${kindOf(value)}; pass Redacted.make(text), of the package effect, which keeps it out of logs.`
    }]
  }
  const found = Option.liftThrowable(Redacted.value)(value)
  return Option.isSome(found) && isText(found.value)
    ? none
    : [{ field, description: "is Redacted, and holds no text." }]
}

/** Whether a duration is negative or NaN, of which `Duration` would make zero. */
const isBelowZero = (value: unknown): boolean =>
  Array.isArray(value)
    ? value.some(isBelowZero)
    : isNumber(value)
    ? !(value >= 0)
    : typeof value === "bigint"
    ? value < 0n
    : typeof value === "string" && /^\s*-/.test(value)

export const duration: Check = fitting(
  (value) => !isBelowZero(value) && Option.isSome(Duration.decodeUnknown(value)),
  "pass a duration such as \"5 minutes\""
)

/** Deeper than anything that people write, and far from where a stack ends. */
const deepest = 100

/** What JSON can hold as it is; a field that is `undefined` is left out. */
export const json: Check = (value, field) => {
  const fault = jsonFault(value, field, [])
  return fault === undefined ? none : [fault]
}

const jsonFault = (value: unknown, field: string, within: ReadonlyArray<unknown>): Issue | undefined => {
  switch (typeof value) {
    case "string":
    case "boolean":
    case "undefined":
      return undefined
    case "number":
      if (Number.isFinite(value)) return undefined
      break
    case "object": {
      if (value === null) return undefined
      if (within.includes(value)) return { field, description: "holds itself, which JSON cannot." }
      if (within.length === deepest) return { field, description: `is nested more than ${deepest} levels deep.` }
      if ("toJSON" in value) return undefined
      const inside = [...within, value]
      for (const [name, item] of Object.entries(value)) {
        const fault = jsonFault(item, `${field}.${name}`, inside)
        if (fault !== undefined) return fault
      }
      return undefined
    }
  }
  return { field, description: `is ${kindOf(value)}, which JSON cannot hold.` }
}
