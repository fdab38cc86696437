/**
 * Endpoints of sessions that exist, of whichever client.
 */
import type { AccessScope } from "@effect-tinker/protocol/AccessScope"
import {
  AssignProjectRequest,
  GetSessionResponse,
  ListSessionsResponse,
  SessionSearchRequest,
  SessionSearchResponse,
  SessionTraceExportPollResponse
} from "@effect-tinker/protocol/SessionsMessages"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { ofCollection, post } from "./internal/endpoint.js"
import { withQuery } from "./internal/query.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class SessionsApi extends Context.Tag("effect-tinker/SessionsApi")<SessionsApi, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly getSession: (sessionId: string, accessScope: AccessScope) => Effect.Effect<GetSessionResponse, TinkerError>
  /** Ids of sessions. There is no telling how many there are in all. */
  readonly listSessions: (page: {
    readonly limit: number
    readonly offset: number
    readonly accessScope: AccessScope
  }) => Effect.Effect<ListSessionsResponse, TinkerError>
  /** The newest first. */
  readonly searchSessions: (request: SessionSearchRequest) => Effect.Effect<SessionSearchResponse, TinkerError>
  readonly assignSessionProject: (sessionId: string, projectId: string) => Effect.Effect<void, TinkerError>
  /** Begins to export what happened in a session, or tells how far that is. */
  readonly traceExport: (sessionId: string) => Effect.Effect<SessionTraceExportPollResponse, TinkerError>
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, TinkerHttpClient.TinkerHttpClient> = Effect.map(
  TinkerHttpClient.TinkerHttpClient,
  (http) => {
    const search = post(http, "search_sessions", SessionSearchRequest, SessionSearchResponse, {
      path: "/api/v1/sessions/search"
    })
    const encodeProject = Schema.encodeSync(AssignProjectRequest)
    return SessionsApi.of({
      getSession: (sessionId, accessScope) =>
        http.json({
          operation: "get_session",
          method: "GET",
          path: withQuery(`/api/v1/sessions/${sessionId}`, { access_scope: accessScope }),
          subject: `session ${sessionId}`
        }, GetSessionResponse),
      listSessions: ({ accessScope, limit, offset }) =>
        ofCollection(http.json({
          operation: "list_sessions",
          method: "GET",
          path: withQuery("/api/v1/sessions", { limit, offset, access_scope: accessScope })
        }, ListSessionsResponse)),
      searchSessions: (request) => ofCollection(search(request)),
      assignSessionProject: (sessionId, projectId) =>
        Effect.asVoid(Effect.suspend(() =>
          http.request({
            operation: "assign_session_project",
            method: "PUT",
            path: `/api/v1/sessions/${sessionId}/project`,
            subject: `session ${sessionId}, or project ${projectId}`,
            body: TinkerHttpClient.jsonBody(encodeProject({ projectId }))
          })
        )),
      traceExport: (sessionId) =>
        http.json({
          operation: "export_session_trace",
          method: "GET",
          path: `/api/v1/sessions/${sessionId}/trace_export`,
          subject: `session ${sessionId}`
        }, SessionTraceExportPollResponse)
    })
  }
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<SessionsApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(SessionsApi, make)
