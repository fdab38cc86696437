/**
 * A checkpoint as listings tell of it.
 */
import * as Schema from "effect/Schema"
import { field, fieldNullable, nullishDefaulted, optional } from "./WireField.js"
import { Time } from "./WireTime.js"

/**
 * @since 0.1.0
 * @category schemas
 */
export const Checkpoint = Schema.Struct({
  /** Kind and name, e.g. `weights/0001`. Some servers leave out the kind. */
  checkpointId: field(Schema.String, "checkpoint_id"),
  /** `training`, `sampler` or `external`, or another kind that the server knows. */
  checkpointType: field(Schema.String, "checkpoint_type"),
  /** When it was made. */
  time: Time,
  tinkerPath: field(Schema.String, "tinker_path"),
  sizeBytes: optional(Schema.Number, "size_bytes"),
  /** Whether everybody may use it. */
  public: nullishDefaulted(Schema.Boolean, () => false),
  userMetadata: optional(Schema.Record({ key: Schema.String, value: Schema.String }), "user_metadata"),
  /** When the server removes it; absent: never. */
  expiresAt: fieldNullable(Time, "expires_at")
})

/**
 * @since 0.1.0
 * @category models
 */
export type Checkpoint = typeof Checkpoint.Type
