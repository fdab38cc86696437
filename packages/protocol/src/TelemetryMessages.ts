/**
 * The endpoint to which clients report what went wrong.
 */
import * as Schema from "effect/Schema"
import { field, fieldDefaulted, optional } from "./WireField.js"

/**
 * @since 0.1.0
 * @category schemas
 */
export const Severity = Schema.Literal("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

/**
 * @since 0.1.0
 * @category models
 */
export type Severity = typeof Severity.Type

const common = {
  /** A UUID. */
  eventId: field(Schema.String, "event_id"),
  /** 0, 1, 2 … in a session. */
  eventSessionIndex: field(Schema.Int, "event_session_index"),
  severity: Severity,
  /** RFC 3339, in UTC. */
  timestamp: Schema.String
}

/**
 * @since 0.1.0
 * @category schemas
 */
export const SessionStartEvent = Schema.Struct({ event: Schema.Literal("SESSION_START"), ...common })

/**
 * @since 0.1.0
 * @category schemas
 */
export const SessionEndEvent = Schema.Struct({
  event: Schema.Literal("SESSION_END"),
  ...common,
  /** The length of the session, as Python writes it, e.g. `0:01:02.345678`. */
  duration: Schema.String
})

/**
 * @since 0.1.0
 * @category schemas
 */
export const UnhandledExceptionEvent = Schema.Struct({
  event: Schema.Literal("UNHANDLED_EXCEPTION"),
  ...common,
  errorType: field(Schema.String, "error_type"),
  errorMessage: field(Schema.String, "error_message"),
  traceback: optional(Schema.String, "traceback")
})

/**
 * @since 0.1.0
 * @category schemas
 */
export const GenericEvent = Schema.Struct({
  event: Schema.Literal("GENERIC_EVENT"),
  ...common,
  /** One of a few. */
  eventName: field(Schema.String, "event_name"),
  eventData: fieldDefaulted(Schema.Record({ key: Schema.String, value: Schema.Unknown }), "event_data", () => ({}))
})

/**
 * @since 0.1.0
 * @category schemas
 */
export const TelemetryEvent = Schema.Union(SessionStartEvent, SessionEndEvent, UnhandledExceptionEvent, GenericEvent)

/**
 * @since 0.1.0
 * @category models
 */
export type TelemetryEvent = typeof TelemetryEvent.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const Platform = Schema.Literal("Linux", "Darwin", "Windows")

/**
 * @since 0.1.0
 * @category schemas
 */
export const TelemetrySendRequest = Schema.Struct({
  events: Schema.Array(TelemetryEvent),
  platform: Schema.String,
  sdkVersion: field(Schema.String, "sdk_version"),
  /** Or `sessionless-` and a UUID. */
  sessionId: field(Schema.String, "session_id"),
  /** A UUID. */
  processUuid: field(Schema.String, "process_uuid")
})

/**
 * @since 0.1.0
 * @category models
 */
export type TelemetrySendRequest = typeof TelemetrySendRequest.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const TelemetryResponse = Schema.Struct({ status: Schema.Literal("accepted") })
