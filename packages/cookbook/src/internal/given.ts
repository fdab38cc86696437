/** What the arguments of public functions may be. Nothing here throws, whatever it is given, or tells what is in a text. */
import { isObject, kindOf } from "@effect-tinker/protocol/CallOptions"
import { type Check, type Fields, flag, must, none, optional } from "@effect-tinker/protocol/Checks"
import type { Datum } from "@effect-tinker/protocol/Datum"
import { type Issue, optionIssues } from "@effect-tinker/protocol/TinkerError"
import * as Stream from "effect/Stream"

export { type Check, type Fields, flag, isObject, must, optional }

/** What a function that was passed in gave back, checked likewise. */
export const resultCheck =
  (fits: (value: unknown) => boolean, give: string, when: string = ""): Check => (value, field) =>
    fits(value) ? none : [{ field, description: `gave ${kindOf(value)}${when}; it must give ${give}.` }]

/** An object without further fields. */
export const object = (fields: Fields): Check => (value, field) =>
  isObject(value)
    ? [
      ...optionIssues(value, Object.keys(fields)).map((issue) => ({ ...issue, field: `${field}.${issue.field}` })),
      ...fieldIssues(value, fields, `${field}.`)
    ]
    : [{ field, description: `is ${kindOf(value)}; it must be an object of ${Object.keys(fields).join(", ")}.` }]

/** An object that has these fields, and others for all it matters. */
export const having = (fields: Fields, be: string): Check => (value, field) =>
  isObject(value) ? fieldIssues(value, fields, `${field}.`) : must(() => false, be)(value, field)

/** The options of a call, whose caller knows their fields by their own names. */
export const options = (fields: Fields): Check => (value) =>
  isObject(value)
    ? [...optionIssues(value, Object.keys(fields)), ...fieldIssues(value, fields, "")]
    : [{ field: "options", description: `are ${kindOf(value)}; pass an object of ${Object.keys(fields).join(", ")}.` }]

const fieldIssues = (value: Readonly<Record<string, unknown>>, fields: Fields, place: string): ReadonlyArray<Issue> =>
  Object.entries(fields).flatMap(([name, check]) => check(value[name], place + name))

/** A list, and all that is in it. One without holes: those are as if they held nothing. */
export const list = (each: Check, of: string): Check => (value, field) => {
  if (!Array.isArray(value)) return [{ field, description: `is ${kindOf(value)}; it must be a list of ${of}.` }]
  const issues: Array<Issue> = []
  for (let i = 0; i < value.length && issues.length < mostIssues; i++) issues.push(...each(value[i], `${field}.${i}`))
  return issues
}

/** The most issues that are told: of a list of millions that are all wrong, these say enough. */
const mostIssues = 100

/** An object with any names. */
export const record = (each: Check = () => none): Check => (value, field) =>
  isObject(value)
    ? Object.entries(value).flatMap(([name, inner]) => each(inner, `${field}.${name}`))
    : [{ field, description: `is ${kindOf(value)}; it must be an object.` }]

export const count: Check = must(
  (value) => Number.isSafeInteger(value) && Number(value) >= 1,
  "a whole number, 1 or more"
)

export const place: Check = must(
  (value) => Number.isSafeInteger(value) && Number(value) >= 0,
  "a whole number, 0 or more"
)

export const integer: Check = must(Number.isSafeInteger, "a whole number")

export const anyText: Check = must((value) => typeof value === "string", "a text")

export const text: Check = must((value) => typeof value === "string" && value !== "", "a text, and not an empty one")

export const texts: Check = list(anyText, "texts")

export const func: Check = must((value) => typeof value === "function", "a function")

export const path: Check = must(
  (value) => typeof value === "string" && value !== "",
  "a path as a text; fileURLToPath of node:url makes one of a URL"
)

export const stream: Check = must(
  (value) => typeof value === "object" && value !== null && Stream.StreamTypeId in value,
  "a Stream"
)

/** A service, by the functions of it that are used. */
export const client = (...functions: ReadonlyArray<string>): Check =>
  must(
    (value) =>
      typeof value === "object" && value !== null
      && functions.every((name) => typeof (value as Readonly<Record<string, unknown>>)[name] === "function"),
    "a client, as a ServiceClient makes it; yield* the Effect that makes it"
  )

/** The check of a list of examples. What is in their tensors is looked at where they are sent. */
export const data: Check = (value, field) =>
  Array.isArray(value) && value.length === 0
    ? [{ field, description: "there is no datum; pass at least one." }]
    : list(datum, "data")(value, field)

const datum: Check = must(
  (value) =>
    isObject(value) && isObject(value["modelInput"]) && Array.isArray(value["modelInput"]["chunks"])
    && isObject(value["lossFnInputs"]),
  "a datum, of modelInput and lossFnInputs"
)

/** The check of a datum, which is one, by its weights. */
export const learnsSomething: Check = (datum, field) => {
  const { data } = (datum as Datum).lossFnInputs["weights"] ?? {}
  return ArrayBuffer.isView(data) && data.every((weight) => Number(weight) === 0)
    ? [{ field, description: "has weights that are all 0, so there is nothing to learn. Leave it out." }]
    : none
}

const message: Check = (value, field) =>
  isObject(value) && "weight" in value
    ? [{ field: `${field}.weight`, description: "is of files; in a message it is trainable, true or false." }]
    : object({ role: text, content: anyText, trainable: optional(flag), rest: optional(record()) })(value, field)

export const messages: Check = list(message, "messages")

/** Conversations, read or made by hand. */
export const chats: Check = list(
  object({ messages, metadata: record(), file: anyText, line: integer }),
  "conversations"
)
