/**
 * Why a run cannot be begun, gone on with, or written down.
 */
import * as Schema from "effect/Schema"

/**
 * - `InUse`: another process writes this journal
 * - `Lost`: another process has taken this journal over, as this one was not heard of for too long; nothing was written
 * - `DifferentRun`: the journal is of a run with other settings, on other data, or with other batches of them
 * - `CheckpointsGone`: the server has none of the run's checkpoints any more
 * - `Unreadable`: what is stored is no journal, damaged, or gone in part
 * - `StoreFailed`: the store refused to read or write
 *
 * @since 0.1.0
 * @category errors
 */
export class RunJournalError
  extends Schema.TaggedError<RunJournalError>("@effect-tinker/cookbook/RunJournalError")("RunJournalError", {
    reason: Schema.Literal("InUse", "Lost", "DifferentRun", "CheckpointsGone", "Unreadable", "StoreFailed"),
    journal: Schema.String,
    /** What happened. */
    description: Schema.String,
    /** What to do, in words of a program that opens journals. */
    advice: Schema.optional(Schema.String),
    /** The settings that are not as they were, for `DifferentRun` by its settings. */
    differences: Schema.optional(Schema.Array(Schema.Struct({
      name: Schema.String,
      before: Schema.UndefinedOr(Schema.Union(Schema.String, Schema.Number, Schema.Boolean)),
      now: Schema.UndefinedOr(Schema.Union(Schema.String, Schema.Number, Schema.Boolean))
    }))),
    cause: Schema.optional(Schema.Defect)
  })
{
  override get message() {
    return `journal ${this.journal}: ${this.description}${this.advice === undefined ? "" : ` ${this.advice}`}`
  }
}
