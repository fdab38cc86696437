/**
 * The settings that the server sends to its clients: fetched before anything else, asked for again from time to time.
 */
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import * as ServiceMessages from "@effect-tinker/protocol/ServiceMessages"
import { ApiResponseValidationError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Credentials from "./Credentials.js"
import { cachedSuccess } from "./internal/cachedSuccess.js"
import * as Schedules from "./internal/effect/schedules.js"
import { isMissing } from "./internal/isMissing.js"
import * as RetryPolicy from "./RetryPolicy.js"
import * as ServiceApi from "./ServiceApi.js"
import * as TinkerConfig from "./TinkerConfig.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

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
  /** The settings; the first use fetches them. */
  readonly get: Effect.Effect<ServiceMessages.ClientConfigResponse, TinkerError>
  /** The settings as far as they are known, for limits that are read at every use. */
  readonly current: () => ServiceMessages.ClientConfigResponse
  /** Asks for changes from now on until the scope closes. A client that only reads needs none. */
  readonly refresh: Effect.Effect<void, never, Scope.Scope>
}

/**
 * Used with servers that have no such endpoint.
 *
 * @internal
 */
export const defaults: ServiceMessages.ClientConfigResponse = Schema.decodeSync(ServiceMessages.ClientConfigResponse)(
  {}
)

/** However short an interval the server asks for. Source: the Python SDK 0.38.0. */
const shortestInterval = Duration.seconds(10)

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<
  Service,
  never,
  ServiceApi.ServiceApi | Credentials.Credentials | TinkerHttpClient.TinkerHttpClient
> = Effect.gen(function*() {
  const api = yield* ServiceApi.ServiceApi
  const credentials = yield* Credentials.Credentials
  const http = yield* TinkerHttpClient.TinkerHttpClient
  const request = { sdkVersion: TinkerConfig.protocolVersion }
  let settings: ServiceMessages.Settings = {}
  let current = defaults

  const merge = (operation: string, sent: ServiceMessages.Settings) => {
    const merged = { ...settings, ...sent }
    return Either.match(decode(merged), {
      onLeft: () =>
        Effect.fail(
          new ApiResponseValidationError({ operation, description: "a setting is not of the type that it should have" })
        ),
      onRight: (decoded) => {
        settings = merged
        current = decoded
        return http.setBillingPause(Duration.seconds(decoded.billingPauseSeconds))
      }
    })
  }

  const fetch = Effect.gen(function*() {
    const own = yield* credentials.own
    const sent = yield* RetryPolicy.retry(api.clientConfig(request, own), { policy: "firstContact" }).pipe(
      Effect.catchIf(isMissing, () => Effect.succeed<ServiceMessages.Settings>({}))
    )
    yield* merge(Endpoints.clientConfig.operation, sent)
    if (current.pjwtAuthEnabled) {
      yield* credentials.exchangeBy(api.authToken, {
        preferCommand: current.credentialDefaultSource === "credential_cmd"
      })
    }
    const changes = yield* RetryPolicy.retry(api.dynamicConfig(request)).pipe(
      Effect.catchIf(isMissing, () => Effect.succeed<ServiceMessages.Settings>({}))
    )
    yield* merge(Endpoints.dynamicConfig.operation, changes)
    return current
  })

  // A failure keeps the last settings that were good.
  const refreshOnce = Effect.flatMap(
    api.dynamicConfig(request, { inBackground: true }),
    (sent) => merge(Endpoints.dynamicConfig.operation, sent)
  ).pipe(
    Effect.catchAll((error) => Effect.logDebug("the settings could not be asked for again", error.message))
  )
  // The server says anew each time how long the next one may take.
  const refreshes = Schedules.delayedBy(
    () => Duration.max(Duration.seconds(current.refreshIntervalSeconds), shortestInterval)
  )

  const get = yield* cachedSuccess(fetch)
  return ClientConfig.of({
    get: Effect.map(get, () => current),
    current: () => current,
    refresh: Effect.asVoid(Effect.forkScoped(Effect.interruptible(Effect.schedule(refreshOnce, refreshes))))
  })
})

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  ClientConfig,
  never,
  ServiceApi.ServiceApi | Credentials.Credentials | TinkerHttpClient.TinkerHttpClient
> = Layer.effect(ClientConfig, make)

const decode = Schema.decodeUnknownEither(ServiceMessages.ClientConfigResponse)
