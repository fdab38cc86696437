/**
 * What is wrong with a file of conversations, or with one of them. Raised before any training.
 */
import * as Schema from "effect/Schema"

/**
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
    key: Schema.optional(Schema.String),
    cause: Schema.optional(Schema.Defect)
  })
{
  override get message() {
    const place = this.file ?? "a conversation"
    const advice = this.key === undefined ? "" : " If it is of no account, name it in ignoredKeys."
    return `${place}${this.line === undefined ? "" : `:${this.line}`}: ${this.description}${advice}`
  }
}
