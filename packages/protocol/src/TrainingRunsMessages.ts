/**
 * Messages of training runs.
 */
import * as Schema from "effect/Schema"
import { Cursor } from "./Cursor.js"
import { TrainingRun } from "./TrainingRun.js"
import { field } from "./WireField.js"

/**
 * @since 0.1.0
 * @category schemas
 */
export const TrainingRunsResponse = Schema.Struct({
  trainingRuns: field(Schema.Array(TrainingRun), "training_runs"),
  cursor: Cursor
})

/**
 * @since 0.1.0
 * @category models
 */
export type TrainingRunsResponse = typeof TrainingRunsResponse.Type
