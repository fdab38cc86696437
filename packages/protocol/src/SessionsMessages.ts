/**
 * Messages of sessions that exist, of whichever client.
 */
import * as Schema from "effect/Schema"
import { FinishReason } from "./ServiceMessages.js"
import { SessionSummary } from "./SessionSummary.js"
import { defaulted, field, fieldDefaulted, fieldNullable, nullable, nullish, optional } from "./WireField.js"

const StringMap = Schema.Record({ key: Schema.String, value: Schema.String })

/**
 * @since 0.1.0
 * @category schemas
 */
export const GetSessionResponse = Schema.Struct({
  trainingRunIds: field(Schema.Array(Schema.String), "training_run_ids"),
  samplerIds: field(Schema.Array(Schema.String), "sampler_ids"),
  userMetadata: optional(StringMap, "user_metadata"),
  displayName: fieldNullable(Schema.String, "display_name")
})

/**
 * @since 0.1.0
 * @category models
 */
export type GetSessionResponse = typeof GetSessionResponse.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const ListSessionsResponse = Schema.Struct({ sessions: Schema.Array(Schema.String) })

/**
 * @since 0.1.0
 * @category models
 */
export type ListSessionsResponse = typeof ListSessionsResponse.Type

/**
 * Whose sessions are searched.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SearchOwner = Schema.Union(
  Schema.Struct({ type: Schema.Literal("own", "accessible") }),
  /** The sessions of these users, ten at most. */
  Schema.Struct({ type: Schema.Literal("user"), ownerUrns: field(Schema.Array(Schema.String), "owner_urns") })
)

/**
 * @since 0.1.0
 * @category models
 */
export type SearchOwner = typeof SearchOwner.Type

/**
 * What became of the sessions that are searched.
 *
 * @since 0.1.0
 * @category schemas
 */
export const StatusQuery = Schema.Union(
  Schema.Struct({ type: Schema.Literal("active", "cancelled", "failed") }),
  Schema.Struct({
    type: Schema.Literal("client_finished"),
    reasons: Schema.optional(Schema.Array(FinishReason))
  })
)

/**
 * @since 0.1.0
 * @category models
 */
export type StatusQuery = typeof StatusQuery.Type

/**
 * Where the next page of a search begins: to be passed back as it came.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SearchCursor = Schema.Record({ key: Schema.String, value: Schema.Unknown })

/**
 * @since 0.1.0
 * @category models
 */
export type SearchCursor = typeof SearchCursor.Type

/**
 * Every condition narrows the search, but a session that either the id or the name fits is found.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SessionSearchRequest = Schema.Struct({
  sessionId: optional(Schema.String, "session_id"),
  projectIds: optional(Schema.Array(Schema.String), "project_ids"),
  /** Part of the name, in capitals or not. */
  displayName: optional(Schema.String, "display_name"),
  userMetadata: fieldDefaulted(StringMap, "user_metadata", () => ({})),
  owner: defaulted(SearchOwner, () => ({ type: "own" as const })),
  statuses: nullish(Schema.Array(StatusQuery)),
  /** Most sessions of the page. */
  limit: defaulted(Schema.Int, () => 50),
  cursor: nullish(SearchCursor)
})

/**
 * @since 0.1.0
 * @category models
 */
export type SessionSearchRequest = typeof SessionSearchRequest.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const SessionSearchResponse = Schema.Struct({
  sessions: Schema.Array(SessionSummary),
  /** Absent on the last page. */
  nextCursor: fieldNullable(SearchCursor, "next_cursor")
})

/**
 * @since 0.1.0
 * @category models
 */
export type SessionSearchResponse = typeof SessionSearchResponse.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const AssignProjectRequest = Schema.Struct({ projectId: field(Schema.String, "project_id") })

/**
 * @since 0.1.0
 * @category schemas
 */
export const SessionTraceExportPollResponse = Schema.Struct({
  status: Schema.Literal("pending", "ready", "failed"),
  /** Whoever has it has the file, so it is kept out of logs. */
  url: nullable(Schema.Redacted(Schema.String)),
  error: nullish(Schema.String)
})

/**
 * @since 0.1.0
 * @category models
 */
export type SessionTraceExportPollResponse = typeof SessionTraceExportPollResponse.Type
