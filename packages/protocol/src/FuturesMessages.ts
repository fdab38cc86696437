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
  retrievedRequestIds: field(Schema.Array(Schema.String), "retrieved_request_ids")
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
 * @since 0.1.0
 * @category schemas
 */
export const CancelFutureRequest = Schema.Struct({ requestId: field(RequestId, "request_id") })
