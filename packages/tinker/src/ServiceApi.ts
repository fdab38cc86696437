/**
 * Endpoints of the service itself: its settings and capabilities, sessions, sampling sessions.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { SamplingSessionId, SessionId } from "./Identifiers.js"
import { post } from "./internal/endpoint.js"
import { field, literal, optional } from "./internal/wireField.js"
import type { TinkerError } from "./TinkerError.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class ServiceApi extends Context.Tag("effect-tinker/ServiceApi")<ServiceApi, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly clientConfig: (request: ClientConfigRequest) => Effect.Effect<ClientConfigResponse, TinkerError>
  readonly getServerCapabilities: Effect.Effect<GetServerCapabilitiesResponse, TinkerError>
  readonly createSession: (request: CreateSessionRequest) => Effect.Effect<CreateSessionResponse, TinkerError>
  readonly sessionHeartbeat: (sessionId: SessionId) => Effect.Effect<void, TinkerError>
  readonly finishSession: (
    sessionId: SessionId,
    reason: FinishReason,
    detail?: string | undefined
  ) => Effect.Effect<void, TinkerError>
  readonly createSamplingSession: (
    request: CreateSamplingSessionRequest
  ) => Effect.Effect<CreateSamplingSessionResponse, TinkerError>
  /** What a sampling session samples from. */
  readonly getSampler: (samplerId: SamplingSessionId) => Effect.Effect<GetSamplerResponse, TinkerError>
}

/**
 * @since 0.1.0
 * @category schemas
 */
export const ClientConfigRequest = Schema.Struct({
  sdkVersion: field(Schema.String, "sdk_version")
})

/**
 * @since 0.1.0
 * @category models
 */
export type ClientConfigRequest = typeof ClientConfigRequest.Type

const setting = <A, I>(schema: Schema.Schema<A, I>, key: string, value: A) =>
  Schema.optionalWith(schema, { default: () => value, nullable: true }).pipe(Schema.fromKey(key))

/**
 * Settings that the server dictates. Missing ones take the defaults of the Python SDK 0.38.0.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ClientConfigResponse = Schema.Struct({
  /** Most data in one training request. */
  fwdbwdMaxChunkLen: setting(Schema.Int, "fwdbwd_max_chunk_len", 1024),
  /** Most estimated bytes in one training request. */
  fwdbwdMaxChunkBytes: setting(Schema.Int, "fwdbwd_max_chunk_bytes_count", 5_000_000)
})

/**
 * @since 0.1.0
 * @category models
 */
export type ClientConfigResponse = typeof ClientConfigResponse.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const SupportedModel = Schema.Struct({
  modelName: optional(Schema.String, "model_name"),
  /** In tokens. */
  maxContextLength: optional(Schema.Int, "max_context_length"),
  /** Absent when the server does not say. */
  trainable: Schema.optionalWith(Schema.Boolean, { nullable: true }),
  sampleable: Schema.optionalWith(Schema.Boolean, { nullable: true })
})

/**
 * @since 0.1.0
 * @category schemas
 */
export const GetServerCapabilitiesResponse = Schema.Struct({
  supportedModels: field(Schema.Array(SupportedModel), "supported_models")
})

/**
 * @since 0.1.0
 * @category models
 */
export type GetServerCapabilitiesResponse = typeof GetServerCapabilitiesResponse.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const CreateSessionRequest = Schema.Struct({
  tags: Schema.Array(Schema.String),
  userMetadata: optional(Schema.Record({ key: Schema.String, value: Schema.Unknown }), "user_metadata"),
  sdkVersion: field(Schema.String, "sdk_version"),
  projectId: optional(Schema.String, "project_id"),
  displayName: optional(Schema.String, "display_name"),
  type: literal("create_session")
})

/**
 * @since 0.1.0
 * @category models
 */
export type CreateSessionRequest = typeof CreateSessionRequest.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const CreateSessionResponse = Schema.Struct({
  sessionId: field(SessionId, "session_id"),
  infoMessage: optional(Schema.String, "info_message"),
  warningMessage: optional(Schema.String, "warning_message"),
  errorMessage: optional(Schema.String, "error_message")
})

/**
 * @since 0.1.0
 * @category models
 */
export type CreateSessionResponse = typeof CreateSessionResponse.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const SessionHeartbeatRequest = Schema.Struct({
  sessionId: field(SessionId, "session_id"),
  type: literal("session_heartbeat")
})

/**
 * @since 0.1.0
 * @category schemas
 */
export const FinishReason = Schema.Literal("success", "errored", "interrupted")

/**
 * @since 0.1.0
 * @category models
 */
export type FinishReason = typeof FinishReason.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const FinishSessionRequest = Schema.Struct({
  reason: Schema.Struct({ type: FinishReason }),
  detail: Schema.NullOr(Schema.String)
})

/**
 * One of `baseModel` and `modelPath` is needed.
 *
 * @since 0.1.0
 * @category schemas
 */
export const CreateSamplingSessionRequest = Schema.Struct({
  sessionId: field(SessionId, "session_id"),
  samplingSessionSeqId: field(Schema.Int, "sampling_session_seq_id"),
  baseModel: optional(Schema.String, "base_model"),
  modelPath: optional(Schema.String, "model_path"),
  type: literal("create_sampling_session")
})

/**
 * @since 0.1.0
 * @category models
 */
export type CreateSamplingSessionRequest = typeof CreateSamplingSessionRequest.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const CreateSamplingSessionResponse = Schema.Struct({
  samplingSessionId: field(SamplingSessionId, "sampling_session_id")
})

/**
 * @since 0.1.0
 * @category models
 */
export type CreateSamplingSessionResponse = typeof CreateSamplingSessionResponse.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const GetSamplerResponse = Schema.Struct({
  samplerId: field(Schema.String, "sampler_id"),
  baseModel: field(Schema.String, "base_model"),
  modelPath: optional(Schema.String, "model_path")
})

/**
 * @since 0.1.0
 * @category models
 */
export type GetSamplerResponse = typeof GetSamplerResponse.Type

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, TinkerHttpClient.TinkerHttpClient> = Effect.map(
  TinkerHttpClient.TinkerHttpClient,
  (http) => {
    const heartbeat = post(http, "session_heartbeat", SessionHeartbeatRequest, Schema.Unknown)
    const finish = post(http, "finish_session", FinishSessionRequest, Schema.Unknown)
    return ServiceApi.of({
      clientConfig: post(http, "client/config", ClientConfigRequest, ClientConfigResponse),
      getServerCapabilities: http.json(
        { operation: "get_server_capabilities", method: "GET", path: "/api/v1/get_server_capabilities" },
        GetServerCapabilitiesResponse
      ),
      createSession: post(http, "create_session", CreateSessionRequest, CreateSessionResponse),
      sessionHeartbeat: (sessionId) =>
        Effect.asVoid(heartbeat({ sessionId, type: "session_heartbeat" }, { timeout: Duration.seconds(10) })),
      finishSession: (sessionId, type, detail) =>
        Effect.asVoid(
          finish({ reason: { type }, detail: detail ?? null }, { path: `/api/v1/sessions/${sessionId}/finish` })
        ),
      createSamplingSession: post(
        http,
        "create_sampling_session",
        CreateSamplingSessionRequest,
        CreateSamplingSessionResponse
      ),
      getSampler: (samplerId) =>
        http.json(
          { operation: "get_sampler", method: "GET", path: `/api/v1/samplers/${samplerId}` },
          GetSamplerResponse
        )
    })
  }
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<ServiceApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(ServiceApi, make)
