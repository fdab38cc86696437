/**
 * Settings of the client: the only module that reads configuration.
 */
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"

/**
 * What the rest of the package reads: defaults filled in.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly apiKey: Option.Option<Redacted.Redacted>
  /** Without a trailing slash. */
  readonly baseUrl: string
  readonly requestTimeout: Duration.Duration
  readonly heartbeatInterval: Duration.Duration
  readonly tags: ReadonlyArray<string>
  readonly userMetadata: Readonly<Record<string, string>>
  readonly projectId: Option.Option<string>
  readonly displayName: Option.Option<string>
}

/**
 * @since 0.1.0
 * @category tags
 */
export class TinkerConfig extends Context.Tag("effect-tinker/TinkerConfig")<TinkerConfig, Service>() {}

/**
 * What a user writes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Sent as `X-API-Key`. Environment: `TINKER_API_KEY`. A server on this machine needs none. */
  readonly apiKey?: Redacted.Redacted | undefined
  /** Environment: `TINKER_BASE_URL`. Default: {@link DefaultBaseUrl}. */
  readonly baseUrl?: string | undefined
  /** How long one HTTP request may take; waiting for a result is made of many. Default 60 seconds. */
  readonly requestTimeout?: Duration.DurationInput | undefined
  /** Time between heartbeats of a session. Default 10 seconds. */
  readonly heartbeatInterval?: Duration.DurationInput | undefined
  /** Labels of the session. Environment: `TINKER_TAGS`, separated by commas. */
  readonly tags?: ReadonlyArray<string> | undefined
  /** Kept with the session. */
  readonly userMetadata?: Readonly<Record<string, string>> | undefined
  /** Project of the session. Environment: `TINKER_PROJECT_ID`. */
  readonly projectId?: string | undefined
  /** Name of the session in listings. */
  readonly displayName?: string | undefined
}

/**
 * The address used when none is given: the hosted service, unless a Layer that answers requests itself says otherwise.
 *
 * @since 0.1.0
 * @category config
 */
export class DefaultBaseUrl extends Context.Reference<DefaultBaseUrl>()("effect-tinker/TinkerConfig/DefaultBaseUrl", {
  defaultValue: () => hosted
}) {}

/**
 * The hosted service. Source: the Python SDK 0.38.0.
 *
 * @since 0.1.0
 * @category config
 */
export const hosted = "https://tinker.thinkingmachines.dev/services/tinker-prod"

/**
 * The version of the protocol spoken, sent as `sdk_version`: that of the reference client, the Python SDK.
 *
 * @since 0.1.0
 * @category config
 */
export const protocolVersion = "0.38.0"

/**
 * Fills in the defaults. An empty text counts as not given.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<Service> =>
  Effect.map(DefaultBaseUrl, (defaultBaseUrl) => ({
    apiKey: Option.fromNullable(options.apiKey),
    baseUrl: (options.baseUrl || defaultBaseUrl).replace(/\/+$/, ""),
    requestTimeout: Duration.decode(options.requestTimeout ?? "60 seconds"),
    heartbeatInterval: Duration.decode(options.heartbeatInterval ?? "10 seconds"),
    tags: Array.from(new Set((options.tags ?? []).map((tag) => tag.trim()).filter((tag) => tag !== ""))),
    userMetadata: options.userMetadata ?? {},
    projectId: Option.fromNullable(options.projectId || undefined),
    displayName: Option.fromNullable(options.displayName || undefined)
  }))

/**
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<TinkerConfig> => Layer.effect(TinkerConfig, make(options))

/**
 * The same options, each a `Config`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (options: Config.Config.Wrap<Options>): Layer.Layer<TinkerConfig, ConfigError> =>
  Layer.effect(TinkerConfig, Effect.flatMap(Config.unwrap(options), make))

const optional = <A>(config: Config.Config<A>) => Config.withDefault(config, undefined)

const nonEmpty = (name: string) =>
  Config.map(optional(Config.string(name)), (value) => value === "" ? undefined : value)

/**
 * `TINKER_API_KEY`, `TINKER_BASE_URL`, `TINKER_TAGS`, `TINKER_PROJECT_ID`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromEnv: Layer.Layer<TinkerConfig, ConfigError> = layerConfig({
  apiKey: Config.map(
    Config.all([nonEmpty("TINKER_API_KEY"), optional(Config.redacted("TINKER_API_KEY"))]),
    ([present, key]) => present === undefined ? undefined : key
  ),
  baseUrl: nonEmpty("TINKER_BASE_URL"),
  tags: Config.map(nonEmpty("TINKER_TAGS"), (tags) => tags?.split(",")),
  projectId: nonEmpty("TINKER_PROJECT_ID")
})
