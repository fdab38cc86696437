/**
 * A session as a search tells of it.
 */
import * as Schema from "effect/Schema"
import { otherVariant, variant } from "./internal/variant.js"
import { field, fieldNullable, nullable, nullish, optional } from "./WireField.js"
import { Time } from "./WireTime.js"

const detail = nullable(Schema.String)

/** An object told apart by `type`, with whatever else belongs to that. */
const Typed = Schema.Struct({ type: Schema.String }, { key: Schema.String, value: Schema.Unknown })

/**
 * What became of a session. `Unknown`: something that newer servers know, as it came.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SessionStatus = Schema.Union(
  variant("active", "Active", {}),
  variant("cancelled", "Cancelled", { detail }),
  /** `reason`: `request`, `training_run` or `sampling_session`, with the ids of what failed. */
  variant("failed", "Failed", { category: Schema.String, message: Schema.String, reason: Typed }),
  /** `reason`: `success`, `errored` or `interrupted`. */
  variant("client_finished", "ClientFinished", { reason: Typed, detail }),
  otherVariant(["active", "cancelled", "failed", "client_finished"])
)

/**
 * @since 0.1.0
 * @category models
 */
export type SessionStatus = typeof SessionStatus.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const SessionSummary = Schema.Struct({
  sessionId: field(Schema.String, "session_id"),
  createdAt: field(Time, "created_at"),
  owner: Schema.String,
  projectId: field(Schema.String, "project_id"),
  status: nullish(SessionStatus),
  checkpointsCount: field(Schema.Int, "checkpoints_count"),
  displayName: fieldNullable(Schema.String, "display_name"),
  userMetadata: optional(Schema.Record({ key: Schema.String, value: Schema.String }), "user_metadata"),
  checkpointStorageBytes: optional(Schema.Number, "checkpoint_storage_bytes")
})

/**
 * @since 0.1.0
 * @category models
 */
export type SessionSummary = typeof SessionSummary.Type
