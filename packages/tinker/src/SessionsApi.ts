/**
 * Endpoints of sessions that exist, of whichever client.
 */
import type { AccessScope } from "@effect-tinker/protocol/AccessScope"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import type {
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
import { call, ofCollection, post, send } from "./internal/transport/endpoint.js"
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
    const getOne = call(http, Endpoints.getSession)
    const list = call(http, Endpoints.listSessions)
    const search = post(http, Endpoints.searchSessions)
    const assignProject = send(http, Endpoints.assignSessionProject)
    const exportTrace = call(http, Endpoints.exportSessionTrace)
    return SessionsApi.of({
      getSession: (id, accessScope) =>
        getOne({ parameters: { id }, query: { accessScope } }, { subject: `session ${id}` }),
      listSessions: (query) => ofCollection(list({ query })),
      searchSessions: (request) => ofCollection(search(request)),
      assignSessionProject: (id, projectId) =>
        assignProject(
          { parameters: { id }, body: { projectId } },
          { subject: `session ${id}, or project ${projectId}` }
        ),
      traceExport: (id) => exportTrace({ parameters: { id } }, { subject: `session ${id}` })
    })
  }
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<SessionsApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(SessionsApi, make)
