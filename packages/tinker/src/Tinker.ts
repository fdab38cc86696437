/**
 * The whole client as one Layer, which needs nothing but an `HttpClient`. What a runtime may add beside it, such as stored
 * credentials, is used if it is provided along.
 */
import type { InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as Path from "@effect/platform/Path"
import type { ConfigError } from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as AdminClient from "./AdminClient.js"
import * as ApiKeyApi from "./ApiKeyApi.js"
import * as AuditApi from "./AuditApi.js"
import * as BillingApi from "./BillingApi.js"
import * as CheckpointDownload from "./CheckpointDownload.js"
import * as CheckpointsApi from "./CheckpointsApi.js"
import * as ClientConfig from "./ClientConfig.js"
import * as Credentials from "./Credentials.js"
import * as FuturesApi from "./FuturesApi.js"
import * as ModelsApi from "./ModelsApi.js"
import * as RawClient from "./RawClient.js"
import * as RestClient from "./RestClient.js"
import * as SamplingApi from "./SamplingApi.js"
import * as ServiceApi from "./ServiceApi.js"
import * as ServiceClient from "./ServiceClient.js"
import * as SessionManager from "./SessionManager.js"
import * as SessionsApi from "./SessionsApi.js"
import * as TelemetryApi from "./TelemetryApi.js"
import * as TelemetryReporter from "./TelemetryReporter.js"
import * as TinkerConfig from "./TinkerConfig.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"
import * as TrainingApi from "./TrainingApi.js"
import * as TrainingRunsApi from "./TrainingRunsApi.js"
import * as WeightsApi from "./WeightsApi.js"

/** What is asked for to train and to sample. */
const ofSessions = Layer.mergeAll(
  ServiceApi.layer,
  ModelsApi.layer,
  TrainingApi.layer,
  SamplingApi.layer,
  WeightsApi.layer,
  FuturesApi.layer,
  TelemetryApi.layer
)

const resources = Layer.mergeAll(
  ofSessions,
  CheckpointsApi.layer,
  TrainingRunsApi.layer,
  SessionsApi.layer,
  BillingApi.layer,
  AuditApi.layer,
  ApiKeyApi.layer
)

const mechanics = SessionManager.layer.pipe(
  Layer.provideMerge(TelemetryReporter.layer),
  Layer.provideMerge(ClientConfig.layer)
)

/**
 * What programs hold.
 *
 * @since 0.1.0
 * @category models
 */
export type Clients =
  | ServiceClient.ServiceClient
  | RestClient.RestClient
  | AdminClient.AdminClient
  | RawClient.RawClient

const composed: Layer.Layer<
  Clients,
  InvalidInputError,
  HttpClient.HttpClient | TinkerConfig.TinkerConfig
> = Layer.mergeAll(ServiceClient.layer, RestClient.layer, AdminClient.layer, RawClient.layer).pipe(
  Layer.provide(mechanics),
  Layer.provide(resources),
  Layer.provide(TinkerHttpClient.layer),
  Layer.provide(Credentials.layer)
)

/**
 * The client with settings given as values. Fails when one of them cannot be right; sends nothing until it is used.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: TinkerConfig.Options = {}
): Layer.Layer<Clients, InvalidInputError, HttpClient.HttpClient> =>
  Layer.provide(composed, TinkerConfig.layer(options))

/**
 * The client with settings from the environment; see `TinkerConfig.layerFromEnv` and, for `TINKER_LOG`,
 * `TinkerConfig.layerLogFromEnv`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromEnv: Layer.Layer<
  Clients,
  ConfigError | InvalidInputError,
  HttpClient.HttpClient
> = composed.pipe(Layer.provide(TinkerConfig.layerFromEnv), Layer.provideMerge(TinkerConfig.layerLogFromEnv))

const service: Layer.Layer<
  ServiceClient.ServiceClient,
  InvalidInputError,
  HttpClient.HttpClient | TinkerConfig.TinkerConfig
> = ServiceClient.layer.pipe(
  Layer.provide(mechanics),
  Layer.provide(ofSessions),
  Layer.provide(TinkerHttpClient.layer),
  Layer.provide(Credentials.layer)
)

/**
 * The `ServiceClient` alone, as {@link layer} makes it, for programs that are sent over a network, as to browsers: bundlers leave out the
 * clients that are not in it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerService = (
  options: TinkerConfig.Options = {}
): Layer.Layer<ServiceClient.ServiceClient, InvalidInputError, HttpClient.HttpClient> =>
  Layer.provide(service, TinkerConfig.layer(options))

const ownSession: Layer.Layer<
  CheckpointDownload.OwnSession,
  never,
  HttpClient.HttpClient | TinkerConfig.TinkerConfig
> = Layer.effect(
  CheckpointDownload.OwnSession,
  Effect.map(Effect.context<HttpClient.HttpClient | TinkerConfig.TinkerConfig>(), (context) => ({
    client: Effect.map(
      Layer.build(Layer.provide(composed, Layer.succeedContext(context))),
      (built) => Context.get(built, ServiceClient.ServiceClient)
    )
  }))
)

const downloads: Layer.Layer<
  CheckpointDownload.CheckpointDownload,
  InvalidInputError,
  HttpClient.HttpClient | TinkerConfig.TinkerConfig | FileSystem.FileSystem | Path.Path
> = CheckpointDownload.layer.pipe(
  Layer.provide([ownSession, ClientConfig.layer, TelemetryReporter.layer]),
  Layer.provide(resources),
  Layer.provide(TinkerHttpClient.layer),
  Layer.provide(Credentials.layer)
)

/**
 * Downloads of checkpoints, which need files beside an `HttpClient`. Sends nothing until it is used.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDownload = (
  options: TinkerConfig.Options = {}
): Layer.Layer<
  CheckpointDownload.CheckpointDownload,
  InvalidInputError,
  HttpClient.HttpClient | FileSystem.FileSystem | Path.Path
> => Layer.provide(downloads, TinkerConfig.layer(options))

/**
 * The same with settings from the environment, as {@link layerFromEnv} reads them.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDownloadFromEnv: Layer.Layer<
  CheckpointDownload.CheckpointDownload,
  ConfigError | InvalidInputError,
  HttpClient.HttpClient | FileSystem.FileSystem | Path.Path
> = downloads.pipe(Layer.provide(TinkerConfig.layerFromEnv), Layer.provideMerge(TinkerConfig.layerLogFromEnv))
