/**
 * Endpoints of training: passes over data, and optimizer steps.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { AdamParams } from "./AdamParams.js"
import { ModelId } from "./Identifiers.js"
import { decodeJson } from "./internal/decodeJson.js"
import { post } from "./internal/endpoint.js"
import * as Protobuf from "./internal/protobuf.js"
import { field, literal } from "./internal/wireField.js"
import { UntypedFuture } from "./ModelsApi.js"
import type { TinkerError } from "./TinkerError.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class TrainingApi extends Context.Tag("effect-tinker/TrainingApi")<TrainingApi, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** `body` is an encoded {@link ForwardBackwardRequest}, so that attempts at the same request share one encoding. */
  readonly forwardBackward: (body: Uint8Array) => Effect.Effect<UntypedFuture, TinkerError>
  readonly optimStep: (request: OptimStepRequest) => Effect.Effect<UntypedFuture, TinkerError>
}

/**
 * @since 0.1.0
 * @category models
 */
export type ForwardBackwardRequest = Protobuf.ForwardBackwardRequest

/**
 * @since 0.1.0
 * @category schemas
 */
export const encodeForwardBackwardRequest: (request: ForwardBackwardRequest) => Uint8Array =
  Protobuf.encodeForwardBackwardRequest

/**
 * Throws an `Error` that names the field when the bytes are no such request.
 *
 * @since 0.1.0
 * @category schemas
 */
export const decodeForwardBackwardRequest: (bytes: Uint8Array) => ForwardBackwardRequest =
  Protobuf.decodeForwardBackwardRequest

/**
 * All data must have fields of the same names.
 *
 * @since 0.1.0
 * @category schemas
 */
export const encodeForwardBackwardOutput = Protobuf.encodeForwardBackwardOutput

/**
 * Throws an `Error` that names the field when the bytes are no such output.
 *
 * @since 0.1.0
 * @category schemas
 */
export const decodeForwardBackwardOutput = Protobuf.decodeForwardBackwardOutput

/**
 * @since 0.1.0
 * @category schemas
 */
export const OptimStepRequest = Schema.Struct({
  adamParams: field(AdamParams, "adam_params"),
  modelId: field(ModelId, "model_id"),
  seqId: field(Schema.Int, "seq_id"),
  type: literal("optim_step")
})

/**
 * @since 0.1.0
 * @category models
 */
export type OptimStepRequest = typeof OptimStepRequest.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const OptimStepResponse = Schema.Struct({
  /** Named `name:reduction`, e.g. `unclipped_grad_l2:mean`. */
  metrics: Schema.optionalWith(Schema.Record({ key: Schema.String, value: Schema.Number }), {
    nullable: true,
    default: () => ({})
  })
})

/**
 * @since 0.1.0
 * @category models
 */
export type OptimStepResponse = typeof OptimStepResponse.Type

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, TinkerHttpClient.TinkerHttpClient> = Effect.map(
  TinkerHttpClient.TinkerHttpClient,
  (http) =>
    TrainingApi.of({
      forwardBackward: (bytes) =>
        Effect.flatMap(
          http.request({
            operation: "forward_backward",
            method: "POST",
            path: "/api/v1/forward_backward",
            body: { contentType: "application/x-protobuf", bytes }
          }),
          (response) => decodeJson("forward_backward", response.body, UntypedFuture)
        ),
      optimStep: post(http, "optim_step", OptimStepRequest, UntypedFuture)
    })
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<TrainingApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(
  TrainingApi,
  make
)
