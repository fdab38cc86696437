/**
 * Messages of the audit log: who did what in an organization.
 */
import * as Schema from "effect/Schema"
import { AuditLogEntry } from "./AuditLogEntry.js"
import { fieldDefaulted } from "./WireField.js"

/**
 * What the entries are about.
 *
 * @since 0.1.0
 * @category schemas
 */
export const EventType = Schema.Literal("all", "checkpoints", "projects", "teams", "organizations")

/**
 * @since 0.1.0
 * @category models
 */
export type EventType = typeof EventType.Type

/**
 * The oldest entry first.
 *
 * @since 0.1.0
 * @category schemas
 */
export const AuditLogResponse = Schema.Struct({ entries: Schema.Array(AuditLogEntry) })

/**
 * @since 0.1.0
 * @category models
 */
export type AuditLogResponse = typeof AuditLogResponse.Type

/**
 * The entries that are wanted: of a kind, by default all, and of a day in UTC, `YYYY-MM-DD`, by default today.
 *
 * @since 0.1.0
 * @category schemas
 */
export const AuditQuery = Schema.Struct({
  eventType: fieldDefaulted(EventType, "event_type", () => "all" as const),
  day: Schema.optional(Schema.String.pipe(Schema.pattern(/^\d{4}-\d\d-\d\d$/)))
})
