/** Handlers of what concerns the service and sessions. */
import type { Answer } from "@effect-tinker/protocol/Endpoint"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import type { SessionId } from "@effect-tinker/protocol/Identifiers"
import * as ReceivedRequests from "@effect-tinker/protocol/ReceivedRequests"
import * as ServiceMessages from "@effect-tinker/protocol/ServiceMessages"
import * as Effect from "effect/Effect"
import type { Session } from "../../Sessions.js"
import * as Http from "../http/http.js"
import type { ServerState } from "../models/serverState.js"
import * as JournalWrites from "../records/journalWrites.js"
import * as Repeats from "./idempotency.js"
import * as Lookups from "./lookups.js"
import * as Users from "./users.js"

export const make = (
  state: ServerState,
  settings: {
    readonly clientConfig: Readonly<Record<string, unknown>>
    readonly dynamicConfig: Effect.Effect<Readonly<Record<string, unknown>>>
  }
) => {
  const once = Repeats.make<Session>(({ status }) => status._tag === "Active")

  const healthz: Http.Handler<Answer<typeof Endpoints.healthz>> = () =>
    Effect.succeed(Http.answer(Endpoints.healthz, { status: "ok" }))

  const config: Http.Handler<Answer<typeof Endpoints.clientConfig>> = (request) =>
    Effect.as(
      Http.decodeBody(ServiceMessages.ClientConfigRequest, request),
      Http.answer(Endpoints.clientConfig, settings.clientConfig)
    )

  const dynamicConfig: Http.Handler<Answer<typeof Endpoints.dynamicConfig>> = () =>
    Effect.map(settings.dynamicConfig, (config) => Http.answer(Endpoints.dynamicConfig, config))

  const getServerCapabilities: Http.Handler<Answer<typeof Endpoints.getServerCapabilities>> = () =>
    Effect.succeed(Http.answer(Endpoints.getServerCapabilities, {
      supportedModels: state.engine.baseModels.map((model) => ({
        modelName: model.name,
        maxContextLength: model.maxContextLength,
        vocabularySize: model.vocabularySize,
        trainable: true,
        sampleable: true
      }))
    }))

  const createSession: Http.Handler<Answer<typeof Endpoints.createSession>> = (request) =>
    Effect.gen(function*() {
      const { displayName, projectId, tags, userMetadata } = yield* Http.decodeBody(
        ServiceMessages.CreateSessionRequest,
        request
      )
      const session = yield* once(
        request,
        Effect.gen(function*() {
          const owner = yield* Users.current
          if (!(yield* state.sessions.makeRoom)) {
            return yield* Http.refuse(
              429,
              "there are as many sessions as this server has room for, and all are in use: try again when one has ended",
              { "retry-after": "30" }
            )
          }
          const session = yield* JournalWrites.orUnavailable(state.sessions.create({
            tags,
            userMetadata: userMetadata ?? {},
            displayName,
            projectId,
            owner
          }))
          yield* state.audit.note("session_create", { session_id: session.id, project_id: projectId ?? null })
          return session
        })
      )
      return Http.answer(Endpoints.createSession, { sessionId: session.id as SessionId })
    })

  const heartbeat: Http.Handler<Answer<typeof Endpoints.sessionHeartbeat>> = (request) =>
    Effect.gen(function*() {
      const { sessionId } = yield* Http.decodeBody(ServiceMessages.SessionHeartbeatRequest, request)
      yield* state.sessions.heartbeat(yield* Lookups.requireSession(state, sessionId))
      return Http.answer(Endpoints.sessionHeartbeat, {})
    })

  const finish: Http.Handler<Answer<typeof Endpoints.finishSession>> = (request) =>
    Effect.gen(function*() {
      const { detail, reason } = yield* Http.decodeBody(ServiceMessages.FinishSessionRequest, request)
      const session = yield* Lookups.requireKnownSession(state, request.params.id ?? "")
      if (session.status._tag === "Active") {
        yield* state.audit.note("session_finish", { session_id: session.id, reason: reason.type, detail })
      }
      // Again where it has ended and that could not be kept.
      yield* JournalWrites.orUnavailable(state.sessions.finish(session, reason.type, detail))
      return Http.answer(Endpoints.finishSession, {})
    })

  /** Events are looked at and thrown away: nobody is there to read them. */
  const telemetry: Http.Handler<Answer<typeof Endpoints.telemetry>> = (request) =>
    Effect.as(
      Http.decodeBody(ReceivedRequests.TelemetrySendRequest, request),
      Http.answer(Endpoints.telemetry, { status: "accepted" })
    )

  return { healthz, config, dynamicConfig, getServerCapabilities, createSession, heartbeat, finish, telemetry }
}

/** What a server tells its clients unless told otherwise. Meanings and defaults: the Python SDK 0.38.0. */
export const defaultClientConfig = {
  credential_default_source: "api_key",
  parallel_fwdbwd_chunks: true,
  proto_compress_fwdbwd: false,
  fwdbwd_max_chunk_len: 1024,
  fwdbwd_max_chunk_bytes_count: 5_000_000
}

/** The same for settings that may change. */
export const defaultDynamicConfig = {
  refresh_interval_sec: 300,
  sample_cancel_enabled: true,
  sample_cancel_max_batch_size: 64
}
