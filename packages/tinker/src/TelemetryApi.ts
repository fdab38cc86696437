/**
 * The endpoint to which clients report what went wrong.
 */
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import type { TelemetrySendRequest } from "@effect-tinker/protocol/TelemetryMessages"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { post } from "./internal/transport/endpoint.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class TelemetryApi extends Context.Tag("effect-tinker/TelemetryApi")<TelemetryApi, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Sends a batch once. */
  readonly send: (
    request: TelemetrySendRequest,
    options?: TinkerHttpClient.CallOptions
  ) => Effect.Effect<void, TinkerError>
}

/** Source: the Python SDK 0.38.0. */
const timeout = Duration.seconds(5)

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, TinkerHttpClient.TinkerHttpClient> = Effect.map(
  TinkerHttpClient.TinkerHttpClient,
  (http) => {
    const send = post(http, Endpoints.telemetry)
    return TelemetryApi.of({
      send: (request, options) =>
        TinkerHttpClient.asOwnRequest(Effect.asVoid(send(request, { timeout, pausesForBilling: false, ...options })))
    })
  }
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<TelemetryApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(
  TelemetryApi,
  make
)
