/**
 * The endpoint of sampling.
 */
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import { type UntypedFuture } from "@effect-tinker/protocol/ModelsMessages"
import { SampleRequest } from "@effect-tinker/protocol/SamplingMessages"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { requestOf } from "./internal/transport/endpoint.js"
import { readSubmitted } from "./internal/transport/readSubmitted.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class SamplingApi extends Context.Tag("effect-tinker/SamplingApi")<SamplingApi, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** `body` is an encoded {@link SampleRequest}, so that attempts at the same request share one encoding. */
  readonly asample: (
    body: TinkerHttpClient.Body,
    options?: TinkerHttpClient.CallOptions
  ) => Effect.Effect<UntypedFuture, TinkerError>
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, TinkerHttpClient.TinkerHttpClient> = Effect.map(
  TinkerHttpClient.TinkerHttpClient,
  (http) => {
    const { method, operation, path } = requestOf(Endpoints.asample)
    return SamplingApi.of({
      asample: (body, options) =>
        Effect.flatMap(http.request({ operation, method, path, headers, body, ...options }), readSubmitted)
    })
  }
)

/** Announces that 429 is understood as "slow down". */
const headers = { "x-tinker-sampling-backpressure": "1" }

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<SamplingApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(
  SamplingApi,
  make
)
