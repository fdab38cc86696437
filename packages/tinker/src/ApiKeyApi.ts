/**
 * Endpoints of an API key itself, for logging in and out. Each request carries the key that it is about, whatever
 * credential the client has.
 */
import type { ApiKey } from "@effect-tinker/protocol/ApiKeyMessages"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import { call, ofCollection, send } from "./internal/transport/endpoint.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class ApiKeyApi extends Context.Tag("effect-tinker/ApiKeyApi")<ApiKeyApi, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly getApiKey: (key: Redacted.Redacted) => Effect.Effect<ApiKey, TinkerError>
  /** Makes the key invalid for good. */
  readonly deleteApiKey: (key: Redacted.Redacted) => Effect.Effect<void, TinkerError>
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, TinkerHttpClient.TinkerHttpClient> = Effect.map(
  TinkerHttpClient.TinkerHttpClient,
  (http) => {
    const getApiKey = call(http, Endpoints.getApiKey)
    const deleteApiKey = send(http, Endpoints.deleteApiKey)
    return ApiKeyApi.of({
      getApiKey: (key) => ofCollection(getApiKey({}, { credential: Option.some(key) })),
      deleteApiKey: (key) => ofCollection(deleteApiKey({}, { credential: Option.some(key) }))
    })
  }
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<ApiKeyApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(ApiKeyApi, make)
