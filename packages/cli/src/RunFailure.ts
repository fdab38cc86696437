/**
 * A run has ended before its last step: why, what is kept, and how to go on.
 */
import * as Schema from "effect/Schema"

/**
 * @since 0.1.0
 * @category errors
 */
export class RunFailure extends Schema.TaggedError<RunFailure>("@effect-tinker/cli/RunFailure")("RunFailure", {
  description: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {
  override get message() {
    return this.description
  }
}
