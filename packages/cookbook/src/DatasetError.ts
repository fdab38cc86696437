/**
 * What is wrong with a file of conversations. Raised before any training.
 */
import * as Schema from "effect/Schema"

/**
 * - `FileMissing`: no such file
 * - `Unreadable`: the file system refused to read it
 * - `Empty`: a file without a conversation
 * - `MalformedLine`: a line that is no JSON object with a list of messages
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
      "MalformedLine",
      "NoAssistantMessage",
      "SequenceTooLong"
    ),
    file: Schema.String,
    /** Counted from 1. */
    line: Schema.optional(Schema.Number),
    description: Schema.String,
    cause: Schema.optional(Schema.Defect)
  })
{
  override get message() {
    return `${this.file}${this.line === undefined ? "" : `:${this.line}`}: ${this.description}`
  }
}
