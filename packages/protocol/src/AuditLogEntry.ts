/**
 * Something that somebody in the organization did.
 */
import * as Schema from "effect/Schema"
import { optional } from "./WireField.js"
import { Time } from "./WireTime.js"

/**
 * @since 0.1.0
 * @category schemas
 */
export const AuditLogEntry = Schema.Struct({
  timestamp: Time,
  /** `<resource>_<action>`. */
  event: Schema.String,
  eventDetails: Schema.optionalWith(Schema.Record({ key: Schema.String, value: Schema.Unknown }), {
    default: () => ({}),
    nullable: true
  }).pipe(Schema.fromKey("event_details")),
  /** The model, in older entries; newer ones tell it in `eventDetails`. */
  modelId: optional(Schema.String, "model_id"),
  /** The path of the checkpoint, in older entries. */
  tinkerPath: optional(Schema.String, "tinker_path"),
  /** What it was done for, in older entries. */
  purpose: Schema.optionalWith(Schema.String, { nullable: true })
})

/**
 * @since 0.1.0
 * @category models
 */
export type AuditLogEntry = typeof AuditLogEntry.Type
