/**
 * What is wrong with a file of conversations, or with one of them. Raised before any training.
 */
import * as Schema from "effect/Schema"

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
  /** The key that is in the way, of a line or a message, where leaving it out (`ignoredKeys`) would do. */
  key: Schema.optional(Schema.String)
}

/**
 * What is wrong with one line.
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
    /** The other issues in their order; with the first they are 100 at most. Empty where only the first was looked for. */
    others: Schema.optionalWith(Schema.Array(Issue), { default: () => [] }),
    /** How many lines were looked at, blank ones aside; absent where that was not all of them. */
    totalLines: Schema.optional(Schema.Number),
    cause: Schema.optional(Schema.Defect)
  })
{
  override get message() {
    const issues: ReadonlyArray<Issue> = [this, ...this.others]
    const [first, ...more] = told(issues)
    const sum = sumOf(issues.length, this.totalLines)
    const last = more.length === 0 ? " " : "\n"
    return [first, ...more.map((text) => `\n  ${text}`), ...sum === "" ? [] : [last, sum], adviceOf(issues)].join("")
  }
}

/** So many mistakes are told, so many lines of each, and so many keys. */
const mostTold = 5

/** Each mistake once, at the first line that has it, with the others that have it. */
const told = (issues: ReadonlyArray<Issue>): ReadonlyArray<string> => {
  const mistakes = new Map<string, Array<Issue>>()
  for (const issue of issues) {
    const mistake = `${issue.file ?? ""}:${issue.description}`
    const same = mistakes.get(mistake)
    if (same === undefined) mistakes.set(mistake, [issue])
    else same.push(issue)
  }
  const all = Array.from(mistakes.values())
  const untold = all.slice(mostTold).flat().length
  return [
    ...all.slice(0, mostTold).map(([first, ...same]) => `${placeOf(first!)}: ${first!.description}${sameIn(same)}`),
    ...untold === 0 ? [] : [`and ${untold} more ${untold === 1 ? "line" : "lines"} with other mistakes`]
  ]
}

const placeOf = ({ file, line }: Issue): string => `${file ?? "a conversation"}${line === undefined ? "" : `:${line}`}`

const sameIn = (issues: ReadonlyArray<Issue>): string => {
  if (issues.length === 0) return ""
  const lines = issues.slice(0, mostTold - 1).map(({ line }) => line).join(", ")
  const more = issues.length - (mostTold - 1)
  return ` The same in ${issues.length === 1 ? "line" : "lines"} ${lines}${more > 0 ? ` and ${more} more` : ""}.`
}

const sumOf = (wrong: number, total: number | undefined): string => {
  if (total === undefined) {
    return wrong === 1
      ? ""
      : `These ${wrong} lines are wrong. Those behind them were not looked at.`
  }
  if (total === 1) return ""
  return `${wrong} of ${total} lines ${wrong === 1 ? "is" : "are"} wrong.`
}

const adviceOf = (issues: ReadonlyArray<Issue>): string => {
  const keys = Array.from(new Set(issues.flatMap(({ key }) => key === undefined ? [] : [key])))
  if (keys.length === 0) return ""
  const [are, them] = keys.length === 1 ? ["is", "it"] : ["are", "them"]
  const more = keys.length > mostTold ? ` and ${keys.length - mostTold} more` : ""
  return ` If ${keys.slice(0, mostTold).join(", ")}${more} ${are} of no account, name ${them} in ignoredKeys.`
}
