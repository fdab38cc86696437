/**
 * The whole client as one Layer, which needs nothing but an `HttpClient`.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import type { ConfigError } from "effect/ConfigError"
import * as Layer from "effect/Layer"
import * as ClientConfig from "./ClientConfig.js"
import * as Credentials from "./Credentials.js"
import * as FuturesApi from "./FuturesApi.js"
import * as ModelsApi from "./ModelsApi.js"
import * as SamplingApi from "./SamplingApi.js"
import * as ServiceApi from "./ServiceApi.js"
import * as ServiceClient from "./ServiceClient.js"
import * as SessionManager from "./SessionManager.js"
import * as TinkerConfig from "./TinkerConfig.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"
import * as TrainingApi from "./TrainingApi.js"
import * as WeightsApi from "./WeightsApi.js"

const resources = Layer.mergeAll(
  ServiceApi.layer,
  ModelsApi.layer,
  TrainingApi.layer,
  SamplingApi.layer,
  WeightsApi.layer,
  FuturesApi.layer
)

const composed: Layer.Layer<ServiceClient.ServiceClient, never, HttpClient.HttpClient | TinkerConfig.TinkerConfig> =
  ServiceClient.layer.pipe(
    Layer.provide(SessionManager.layer),
    Layer.provide(ClientConfig.layer),
    Layer.provide(resources),
    Layer.provide(TinkerHttpClient.layer),
    Layer.provide(Credentials.layer)
  )

/**
 * The client with settings given as values.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: TinkerConfig.Options = {}
): Layer.Layer<ServiceClient.ServiceClient, never, HttpClient.HttpClient> =>
  Layer.provide(composed, TinkerConfig.layer(options))

/**
 * The client with settings from `TINKER_API_KEY`, `TINKER_BASE_URL`, `TINKER_TAGS` and `TINKER_PROJECT_ID`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromEnv: Layer.Layer<ServiceClient.ServiceClient, ConfigError, HttpClient.HttpClient> = Layer.provide(
  composed,
  TinkerConfig.layerFromEnv
)
