/**
 * A training run as listings tell of it: a model, and the checkpoints made of it.
 */
import * as Schema from "effect/Schema"
import { Checkpoint } from "./Checkpoint.js"
import { field, fieldNullable, nullishDefaulted, optional } from "./WireField.js"
import { Time } from "./WireTime.js"

/**
 * @since 0.1.0
 * @category schemas
 */
export const TrainingRun = Schema.Struct({
  /** The id of the run, which is that of its model. */
  trainingRunId: field(Schema.String, "training_run_id"),
  baseModel: field(Schema.String, "base_model"),
  modelOwner: field(Schema.String, "model_owner"),
  isLora: field(Schema.Boolean, "is_lora"),
  /** Its state on the server is damaged; go on from a checkpoint. */
  corrupted: nullishDefaulted(Schema.Boolean, () => false),
  loraRank: optional(Schema.Int, "lora_rank"),
  lastRequestTime: field(Time, "last_request_time"),
  /** The newest that training can go on from. */
  lastCheckpoint: fieldNullable(Checkpoint, "last_checkpoint"),
  /** The newest to sample from. */
  lastSamplerCheckpoint: fieldNullable(Checkpoint, "last_sampler_checkpoint"),
  userMetadata: fieldNullable(Schema.Record({ key: Schema.String, value: Schema.String }), "user_metadata")
})

/**
 * @since 0.1.0
 * @category models
 */
export type TrainingRun = typeof TrainingRun.Type
