/**
 * The settings that the server sends to its clients, fetched at their first use and kept.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { cachedSuccess } from "./internal/cachedSuccess.js"
import * as RetryPolicy from "./RetryPolicy.js"
import * as ServiceApi from "./ServiceApi.js"
import * as TinkerConfig from "./TinkerConfig.js"
import type { TinkerError } from "./TinkerError.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class ClientConfig extends Context.Tag("effect-tinker/ClientConfig")<ClientConfig, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly get: Effect.Effect<ServiceApi.ClientConfigResponse, TinkerError>
}

/**
 * Used with servers that have no such endpoint.
 *
 * @since 0.1.0
 * @category config
 */
export const defaults: ServiceApi.ClientConfigResponse = Schema.decodeSync(ServiceApi.ClientConfigResponse)({})

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, ServiceApi.ServiceApi> = Effect.gen(function*() {
  const api = yield* ServiceApi.ServiceApi
  const fetch = RetryPolicy.retry(
    api.clientConfig({ sdkVersion: TinkerConfig.protocolVersion }),
    RetryPolicy.firstContact
  ).pipe(
    Effect.catchIf(
      (error) => error._tag === "ApiStatusError" && error.reason === "NotFound",
      () => Effect.succeed(defaults)
    )
  )
  return ClientConfig.of({ get: yield* cachedSuccess(fetch) })
})

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<ClientConfig, never, ServiceApi.ServiceApi> = Layer.effect(ClientConfig, make)
