/**
 * Messages of the service itself: its settings and capabilities, sessions, sampling sessions.
 */
import * as Schema from "effect/Schema"
import { SamplingSessionId, SessionId } from "./Identifiers.js"
import { field, literal, nullable, nullish, optional, optionalDefaulted, sentType } from "./WireField.js"

/**
 * The body of a refusal: what was wrong, or where a request does not fit, for people to read.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ErrorResponse = Schema.Struct({
  detail: Schema.Union(
    Schema.String,
    Schema.Array(Schema.Struct({
      type: Schema.String,
      /** The names and numbers that lead to the place. */
      loc: Schema.Array(Schema.Union(Schema.String, Schema.Number)),
      msg: Schema.String
    }))
  )
})

/**
 * @since 0.1.0
 * @category models
 */
export type ErrorResponse = typeof ErrorResponse.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const HealthResponse = Schema.Struct({ status: Schema.String })

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
  optionalDefaulted(schema, key, () => value)

/**
 * Settings that the server dictates, at the start and when asked for changes. Missing ones take the defaults of the Python
 * SDK 0.38.0.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ClientConfigResponse = Schema.Struct({
  /** Requests carry a token that the credential is exchanged for. */
  pjwtAuthEnabled: setting(Schema.Boolean, "pjwt_auth_enabled", false),
  /** `credential_cmd`: the exchange takes what the credential command prints, rather than a key. */
  credentialDefaultSource: setting(Schema.String, "credential_default_source", "api_key"),
  /** Most estimated bytes of samples being submitted at once. */
  sampleDispatchBytes: setting(Schema.Number, "sample_dispatch_bytes_semaphore_size", 10_485_760),
  /** Most bytes of large results being fetched at once. */
  inflightResponseBytes: setting(Schema.Number, "inflight_response_bytes_semaphore_size", 52_428_800),
  /** The parts of one training call are submitted at once, rather than one after another. */
  parallelFwdbwdChunks: setting(Schema.Boolean, "parallel_fwdbwd_chunks", true),
  /** Training requests are compressed with zstd. */
  protoCompressFwdbwd: setting(Schema.Boolean, "proto_compress_fwdbwd", false),
  /** Most data in one training request. */
  fwdbwdMaxChunkLen: setting(Schema.Int, "fwdbwd_max_chunk_len", 1024),
  /** Most estimated bytes in one training request. */
  fwdbwdMaxChunkBytes: setting(Schema.Number, "fwdbwd_max_chunk_bytes_count", 5_000_000),
  /** Most estimated bytes of training requests being submitted at once. */
  fwdbwdDispatchBytes: setting(Schema.Number, "fwdbwd_dispatch_bytes_semaphore_size", 50_000_000),
  /** How long a missing credit is waited for, in seconds. */
  billingPauseSeconds: setting(Schema.Number, "billing_exception_max_pause_duration_sec", 3600),
  /** A sample is submitted once, whatever happens. Log-probabilities of prompts are not concerned. */
  sampleNoRetries: setting(Schema.Boolean, "sample_no_retries", false),
  /** Samples may count as stuck. */
  sampleStuckDetection: setting(Schema.Boolean, "sample_enable_stuck_detection", true),
  /** Most samples of one sampling session at once. */
  sampleMaxConcurrentRequests: setting(Schema.Number, "sample_max_concurrent_requests", 2000),
  /** Finished samples are learnt of by one long poll a sampling session, rather than one each. */
  sampleUseRetrieveFutures: setting(Schema.Boolean, "sample_use_retrieve_futures", false),
  /** Copies of a sampling client ask the server for their range of numbers. */
  sampleJoinSamplingSession: setting(Schema.Boolean, "sample_join_sampling_session", false),
  /** How often these settings are asked for again, in seconds. */
  refreshIntervalSeconds: setting(Schema.Number, "refresh_interval_sec", 300),
  /** The server is told of samples that nobody wants any more. */
  sampleCancelEnabled: setting(Schema.Boolean, "sample_cancel_enabled", false),
  /** Most samples that the server is told of at once. */
  sampleCancelMaxBatchSize: setting(Schema.Int, "sample_cancel_max_batch_size", 64),
  /** A training request that is sent again is known by its number, and done once. Other servers say no. */
  recognizesRepeatedRequests: setting(Schema.Boolean, "recognizes_repeated_requests", true)
})

/**
 * @since 0.1.0
 * @category models
 */
export type ClientConfigResponse = typeof ClientConfigResponse.Type

/**
 * Settings by their names on the wire.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Settings = Schema.Record({ key: Schema.String, value: Schema.Unknown })

/**
 * @since 0.1.0
 * @category models
 */
export type Settings = typeof Settings.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const AuthTokenResponse = Schema.Struct({ jwt: Schema.Redacted(Schema.NonEmptyString) })

/**
 * @since 0.1.0
 * @category schemas
 */
export const SupportedModel = Schema.Struct({
  modelName: optional(Schema.String, "model_name"),
  /** The longest prompt and answer together, in tokens. */
  maxContextLength: optional(Schema.Int, "max_context_length"),
  /** Number of tokens that the model knows. Our own server tells it. */
  vocabularySize: optional(Schema.Int, "vocab_size"),
  /** Absent when the server does not say. */
  trainable: nullish(Schema.Boolean),
  sampleable: nullish(Schema.Boolean)
})

/**
 * @since 0.1.0
 * @category schemas
 */
export const GetServerCapabilitiesResponse = Schema.Struct({
  /** Some servers give bare names. */
  supportedModels: field(
    Schema.Array(Schema.Union(
      SupportedModel,
      Schema.transform(Schema.String, Schema.typeSchema(SupportedModel), {
        strict: true,
        decode: (modelName) => ({ modelName }),
        encode: ({ modelName = "" }) => modelName
      })
    )),
    "supported_models"
  )
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
export const SessionHeartbeatResponse = Schema.Struct({ type: sentType("session_heartbeat") })

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
  detail: nullable(Schema.String)
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
export const JoinSamplingSessionRequest = Schema.Struct({
  samplingSessionId: field(SamplingSessionId, "sampling_session_id"),
  type: literal("join_sampling_session")
})

/**
 * @since 0.1.0
 * @category schemas
 */
export const JoinSamplingSessionResponse = Schema.Struct({ clientCounter: field(Schema.Int, "client_counter") })

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
