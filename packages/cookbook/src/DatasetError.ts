/**
 * What is wrong with a file of conversations, or with one of them. Raised before any training.
 */
import { defaulted } from "@effect-tinker/protocol/WireField"
import * as Schema from "effect/Schema"
import { kindOf, mostKinds } from "./internal/kindOf.js"

const fields = {
  reason: Schema.Literal(
    "FileMissing",
    "Unreadable",
    "Empty",
    "WrongFormat",
    "MalformedLine",
    "UnknownShape",
    "UnknownRole",
    "Unsupported",
    "NotExact",
    "NoAssistantMessage",
    "SequenceTooLong"
  ),
  /** Absent for a conversation that is from no file. */
  file: Schema.optional(Schema.String),
  /** Counted from 1. */
  line: Schema.optional(Schema.Number),
  description: Schema.String,
  /** The keys that are in the way, of a line or its messages, where leaving them out (`ignoredKeys`) would do. */
  keys: Schema.optional(Schema.Array(Schema.String)),
  /** How many lines have this mistake, where this is the first of them and more than those are told of here. */
  lines: Schema.optional(Schema.Number)
}

/**
 * What is wrong with one line. It never holds what the line says, which may be private.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Issue = Schema.Struct(fields)

/**
 * @since 0.1.0
 * @category models
 */
export type Issue = typeof Issue.Type

/**
 * The fields of an {@link Issue} are those of the first line that is wrong, and `others` are the next ones.
 *
 * - `FileMissing`: no such file
 * - `Unreadable`: the file system refused to read it
 * - `Empty`: a file without a conversation
 * - `WrongFormat`: a file that is something else than JSON lines in UTF-8, e.g. compressed
 * - `MalformedLine`: a line that is no JSON object, or has a missing or wrong value
 * - `UnknownShape`: a line of a shape that is known and cannot be learned from, e.g. a preferred pair
 * - `UnknownRole`: a message of somebody who is none of `Message.roles`
 * - `Unsupported`: something that changes what is learned and cannot be honoured, e.g. `tool_calls` in plain text
 * - `NotExact`: a text that would not be learned letter for letter
 * - `NoAssistantMessage`: a conversation with nothing to learn
 * - `SequenceTooLong`: a conversation of more tokens than allowed
 *
 * @since 0.1.0
 * @category errors
 */
export class DatasetError
  extends Schema.TaggedError<DatasetError>("@effect-tinker/cookbook/DatasetError")("DatasetError", {
    ...fields,
    /**
     * The issues of other lines in their order: of the first hundred that are wrong, and of the first that has a mistake that
     * none before has. Empty where only the first was looked for.
     */
    others: defaulted(Schema.Array(Issue), () => []),
    /** How many lines are wrong; absent where only the first was looked for. */
    wrongLines: Schema.optional(Schema.Number),
    /** How many lines were looked at, blank ones aside; absent where that was not all of them. */
    totalLines: Schema.optional(Schema.Number),
    /**
     * How to keep the lines that do not say that they are none to train on, where others do: by a command, if one can. Of values it has
     * those that name a split or say yes or no, and no others.
     */
    advice: Schema.optional(Schema.String),
    cause: Schema.optional(Schema.Defect)
  })
{
  override get message() {
    const issues: ReadonlyArray<Issue> = [this, ...this.others]
    const [first, ...more] = told(issues, this.wrongLines ?? issues.length)
    const sum = sumOf(this.wrongLines, this.totalLines)
    const last = more.length === 0 ? " " : "\n"
    return [
      first,
      ...more.map((text) => `\n  ${text}`),
      ...sum === "" ? [] : [last, sum],
      ...this.advice === undefined ? [] : [" ", this.advice],
      adviceOf(issues)
    ].join("")
  }
}

/** So many mistakes are told, so many lines of each, and so many keys. */
const most = { mistakes: 20, lines: 4, keys: 20 }

/** Each mistake once, at the first line that has it, with others that have it. */
const told = (issues: ReadonlyArray<Issue>, wrongLines: number): ReadonlyArray<string> => {
  const mistakes = new Map<string, Array<Issue>>()
  for (const issue of issues) {
    const kind = kindOf(issue)
    const same = mistakes.get(kind)
    if (same === undefined) mistakes.set(kind, [issue])
    else same.push(issue)
  }
  const all = Array.from(mistakes.values())
  const toldLines = all.slice(0, most.mistakes).reduce((sum, same) => sum + linesOf(same), 0)
  const untold = all.length - most.mistakes
  return [
    ...all.slice(0, most.mistakes).map((same) => `${placeOf(same[0]!)}: ${same[0]!.description}${sameIn(same)}`),
    ...untold <= 0 ? [] : [
      `and ${untold}${all.length < mostKinds ? "" : " or more"} other mistakes, in ${wrongLines - toldLines} lines`
    ]
  ]
}

const placeOf = ({ file, line }: Issue): string => `${file ?? "a conversation"}${line === undefined ? "" : `:${line}`}`

const linesOf = (same: ReadonlyArray<Issue>): number => same[0]?.lines ?? same.length

const sameIn = (same: ReadonlyArray<Issue>): string => {
  const others = linesOf(same) - 1
  if (others === 0) return ""
  const lines = same.slice(1, 1 + most.lines).map(({ line }) => line)
  const more = others - lines.length
  if (lines.length === 0) return ` The same in ${more} more ${more === 1 ? "line" : "lines"}.`
  return ` The same in ${others === 1 ? "line" : "lines"} ${lines.join(", ")}${more > 0 ? ` and ${more} more` : ""}.`
}

const sumOf = (wrong: number | undefined, total: number | undefined): string =>
  wrong === undefined || total === undefined || total === 1
    ? ""
    : `${wrong} of ${total} lines ${wrong === 1 ? "is" : "are"} wrong.`

const adviceOf = (issues: ReadonlyArray<Issue>): string => {
  const keys = Array.from(new Set(issues.flatMap(({ keys }) => keys ?? [])))
  if (keys.length === 0) return ""
  const [are, them] = keys.length === 1 ? ["is", "it"] : ["are", "them"]
  const more = keys.length > most.keys ? ` and ${keys.length - most.keys} more` : ""
  return ` If ${keys.slice(0, most.keys).join(", ")}${more} ${are} of no account, name ${them} in ignoredKeys.`
}
