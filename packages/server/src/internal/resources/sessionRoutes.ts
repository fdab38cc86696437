/** Handlers of what concerns the service and sessions. */
import type { SessionId } from "@effect-tinker/protocol/Identifiers"
import * as ServiceMessages from "@effect-tinker/protocol/ServiceMessages"
import * as TelemetryMessages from "@effect-tinker/protocol/TelemetryMessages"
import { missable, nullish } from "@effect-tinker/protocol/WireField"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
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
  const createSessionResponse = Http.encode(ServiceMessages.CreateSessionResponse)
  const capabilities = Http.encode(ServiceMessages.GetServerCapabilitiesResponse)

  const once = Repeats.make<Session>(({ status }) => status._tag === "Active")

  const healthz: Http.Handler = () => Effect.succeed(Http.json({ status: "ok" }))

  const config: Http.Handler = (request) =>
    Effect.as(Http.decodeBody(ServiceMessages.ClientConfigRequest, request), Http.json(settings.clientConfig))

  const dynamicConfig: Http.Handler = () => Effect.map(settings.dynamicConfig, (config) => Http.json(config))

  const getServerCapabilities: Http.Handler = () =>
    Effect.succeed(capabilities({
      supportedModels: state.engine.baseModels.map((model) => ({
        modelName: model.name,
        maxContextLength: model.maxContextLength,
        vocabularySize: model.vocabularySize,
        trainable: true,
        sampleable: true
      }))
    }))

  const createSession: Http.Handler = (request) =>
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
      return createSessionResponse({ sessionId: session.id as SessionId })
    })

  const heartbeat: Http.Handler = (request) =>
    Effect.gen(function*() {
      const { sessionId } = yield* Http.decodeBody(ServiceMessages.SessionHeartbeatRequest, request)
      yield* state.sessions.heartbeat(yield* Lookups.requireSession(state, sessionId))
      return Http.json({ type: "session_heartbeat" })
    })

  const finish: Http.Handler = (request) =>
    Effect.gen(function*() {
      const { detail, reason } = yield* Http.decodeBody(FinishRequest, request)
      const session = yield* Lookups.requireKnownSession(state, request.params.id ?? "")
      if (session.status._tag === "Active") {
        yield* state.audit.note("session_finish", { session_id: session.id, reason: reason.type, detail })
      }
      // Again where it has ended and that could not be kept.
      yield* JournalWrites.orUnavailable(state.sessions.finish(session, reason.type, detail))
      return Http.json({})
    })

  /** Events are looked at and thrown away: nobody is there to read them. */
  const telemetry: Http.Handler = (request) =>
    Effect.as(
      Http.decodeBody(TelemetrySendRequest, request),
      Http.json({ status: "accepted" })
    )

  return { healthz, config, dynamicConfig, getServerCapabilities, createSession, heartbeat, finish, telemetry }
}

/** Not every client says more than the reason. */
export const FinishRequest = Schema.Struct({
  ...ServiceMessages.FinishSessionRequest.fields,
  detail: nullish(Schema.String)
})

const knownEvents: ReadonlyArray<string> = TelemetryMessages.TelemetryEvent.members.map(
  ({ fields }) => fields.event.literals[0]
)

/** An event of a kind that later clients may have. */
const NewerEvent = Schema.Struct({
  event: Schema.String.pipe(Schema.filter((event) => !knownEvents.includes(event), { jsonSchema: {} }))
})

/** Clients before 0.24 do not name their process. */
export const TelemetrySendRequest = Schema.Struct({
  ...TelemetryMessages.TelemetrySendRequest.fields,
  events: Schema.Array(Schema.Union(TelemetryMessages.TelemetryEvent, NewerEvent)),
  processUuid: missable(Schema.String, "process_uuid")
})

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
