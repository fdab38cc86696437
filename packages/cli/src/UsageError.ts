/**
 * What was asked of the command line cannot be done as it stands.
 */
import * as Schema from "effect/Schema"

/**
 * @since 0.1.0
 * @category errors
 */
export class UsageError extends Schema.TaggedError<UsageError>("@effect-tinker/cli/UsageError")("UsageError", {
  description: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {
  override get message() {
    return this.description
  }
}
