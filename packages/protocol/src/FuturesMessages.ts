/**
 * Messages of which results of submitted requests are fetched: long polls, for one request or for all of a sampler.
 */
import * as Schema from "effect/Schema"
import { RequestId, SamplingSessionId } from "./Identifiers.js"
import { field, fieldDefaulted, literal, nullish, optional } from "./WireField.js"

/**
 * What was submitted, as the service names it.
 *
 * @since 0.1.0
 * @category models
 */
export type RequestType =
  | "CreateModel"
  | "LoadWeights"
  | "SaveWeights"
  | "SaveWeightsForSampler"
  | "Forward"
  | "ForwardBackward"
  | "OptimStep"
  | "SaveWeightsExternal"
  | "UnloadModel"
  | "Sample"

/**
 * @since 0.1.0
 * @category schemas
 */
export const FuturesRetrieveRequest = Schema.Struct({
  target: Schema.Struct({
    type: literal("sampling_session"),
    samplingSessionId: field(SamplingSessionId, "sampling_session_id"),
    /** 0 for the original client of the sampling session. */
    clonedSamplerId: field(Schema.Number, "cloned_sampler_id")
  }),
  prevCursor: field(Schema.Number, "prev_cursor"),
  /** 0 for an answer at once. */
  timeout: nullish(Schema.Number),
  /** Results that may be thrown away. Clients before 0.36 do not say what they have. */
  retrievedRequestIds: fieldDefaulted(Schema.Array(Schema.String), "retrieved_request_ids", () => [])
})

/**
 * @since 0.1.0
 * @category models
 */
export type FuturesRetrieveRequest = typeof FuturesRetrieveRequest.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const FuturesRetrieveResponse = Schema.Struct({
  cursor: Schema.Number,
  completions: Schema.Array(Schema.Struct({
    state: Schema.String,
    requestId: field(RequestId, "request_id"),
    /** The size of the result, in bytes. */
    size: optional(Schema.Number, "response_payload_uncompressed_size")
  }))
})

/**
 * @since 0.1.0
 * @category models
 */
export type FuturesRetrieveResponse = typeof FuturesRetrieveResponse.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const FutureRetrieveRequest = Schema.Struct({
  requestId: field(RequestId, "request_id"),
  allowMetadataOnly: fieldDefaulted(Schema.Boolean, "allow_metadata_only", () => false)
})

/**
 * The answer to a question for a result that is not there yet: what the queue of the request is doing, and why, for people to read.
 *
 * @since 0.1.0
 * @category schemas
 */
export const TryAgain = Schema.Struct({
  type: Schema.Literal("try_again"),
  requestId: field(Schema.String, "request_id"),
  queueState: field(Schema.Literal("active", "paused_capacity", "paused_rate_limit"), "queue_state"),
  queueStateReason: optional(Schema.String, "queue_state_reason")
})

/**
 * The answer to a question for a result that is there, and larger than the questioner may want at once.
 *
 * @since 0.1.0
 * @category schemas
 */
export const CompleteMetadata = Schema.Struct({
  status: Schema.Literal("complete_metadata"),
  /** The size of the result, in bytes. */
  responsePayloadSize: field(Schema.Number, "response_payload_size")
})

/**
 * What a request has failed of. The category `user` means that the request is at fault.
 *
 * @since 0.1.0
 * @category schemas
 */
export const RequestFailed = Schema.Struct({
  error: Schema.String,
  category: Schema.Literal("unknown", "server", "user")
})

/**
 * The answer to a question for a result: one of those above, or what the request has come to, by the schema of its own endpoint.
 *
 * @since 0.1.0
 * @category schemas
 */
export const FutureRetrieveResponse = Schema.Union(
  TryAgain,
  CompleteMetadata,
  RequestFailed,
  Schema.Record({ key: Schema.String, value: Schema.Unknown })
)

/**
 * @since 0.1.0
 * @category schemas
 */
export const CancelFutureRequest = Schema.Struct({ requestId: field(RequestId, "request_id") })
