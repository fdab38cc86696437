/**
 * Something that somebody in the organization did.
 */
import * as Schema from "effect/Schema"
import { fieldNullable, nullable, optionalDefaulted } from "./WireField.js"
import { Time } from "./WireTime.js"

/**
 * @since 0.1.0
 * @category schemas
 */
export const AuditLogEntry = Schema.Struct({
  timestamp: Time,
  /** `<resource>_<action>`. */
  event: Schema.String,
  eventDetails: optionalDefaulted(
    Schema.Record({ key: Schema.String, value: Schema.Unknown }),
    "event_details",
    () => ({})
  ),
  /** The model, in older entries; newer ones tell it in `eventDetails`. */
  modelId: fieldNullable(Schema.String, "model_id"),
  /** The path of the checkpoint, in older entries. */
  tinkerPath: fieldNullable(Schema.String, "tinker_path"),
  /** What it was done for, in older entries. */
  purpose: nullable(Schema.String)
})

/**
 * @since 0.1.0
 * @category models
 */
export type AuditLogEntry = typeof AuditLogEntry.Type
