/**
 * Settings of the client: the only module that reads configuration.
 */
import { notOptions } from "@effect-tinker/protocol/CallOptions"
import { DefaultBaseUrl } from "@effect-tinker/protocol/DefaultBaseUrl"
import { failOnIssues, invalidInput, InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { configIssues, optionNames } from "./internal/configIssues.js"
import * as Environment from "./internal/environment.js"
import type { Query } from "./internal/transport/queryValues.js"
import { withoutUserInfo } from "./internal/transport/requestLog.js"
import * as Limits from "./internal/transport/responseLimits.js"

/**
 * What the rest of the package reads: defaults filled in. Printed without what may be secret: keys and commands, values of
 * headers and of the query, a user in the base URL.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly apiKey: Option.Option<Redacted.Redacted>
  readonly credentialCommand: Option.Option<string>
  /** The address of the service, without a trailing slash. */
  readonly baseUrl: string
  readonly headers: Readonly<Record<string, string>>
  readonly query: Query
  readonly cloudflareAccess: CloudflareAccess
  readonly requestTimeout: Duration.Duration
  readonly maxRetries: Option.Option<number>
  readonly serverProfile: ServerProfile
  readonly maxResponseBytes: ResponseLimits
  readonly billingPause: Option.Option<Duration.Duration>
  readonly heartbeatInterval: Duration.Duration
  readonly heartbeatFailureLimit: number
  readonly tags: ReadonlyArray<string>
  readonly userMetadata: Readonly<Record<string, string>>
  readonly projectId: Option.Option<string>
  readonly displayName: Option.Option<string>
  readonly telemetry: boolean
  readonly propagateTrace: boolean
}

/**
 * @since 0.1.0
 * @category tags
 */
export class TinkerConfig extends Context.Tag("effect-tinker/TinkerConfig")<TinkerConfig, Service>() {}

/**
 * The most that is read of an answer, in bytes, of a body as it comes and of the same body unpacked.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResponseLimits {
  /** The most of the result of a sample or of a training request. Default 1 GiB. */
  readonly results: number
  /** The most of every other answer. Default 64 MiB. */
  readonly others: number
}

/**
 * What a user writes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Sent as `X-API-Key`. Environment: `TINKER_API_KEY`. A server on this machine needs none. */
  readonly apiKey?: Redacted.Redacted | undefined
  /** A shell command that prints a credential, used without a key. Environment: `TINKER_CREDENTIAL_CMD`. */
  readonly credentialCommand?: string | undefined
  /** Environment: `TINKER_BASE_URL`. Default: {@link DefaultBaseUrl}. */
  readonly baseUrl?: string | undefined
  /**
   * Sent with every request, over the client's own headers; the credential cannot be replaced so. Environment:
   * `TINKER_HEADERS`, a JSON object of texts.
   */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** The query of every request, under that which it has itself. Environment: `TINKER_QUERY`, a JSON object of texts. */
  readonly query?: Query | undefined
  /** Environment: `CLOUDFLARE_ACCESS_CLIENT_ID`, `CLOUDFLARE_ACCESS_CLIENT_SECRET`. */
  readonly cloudflareAccess?: Partial<CloudflareAccess> | undefined
  /**
   * How long one HTTP request may take; waiting for a result is made of many. Environment: `TINKER_TIMEOUT`, in seconds, also
   * when the other options are values. Default 60 seconds.
   */
  readonly requestTimeout?: Duration.DurationInput | undefined
  /**
   * How often a request is sent again at most by the policies `request` and `firstContact`, unless a region replaces them.
   * Environment: `TINKER_MAX_RETRIES`, also when the other options are values. Default: as often as fits into their five minutes.
   */
  readonly maxRetries?: number | undefined
  /**
   * The defaults of `requestTimeout` and `maxRetries` that other clients have: `python` 60 seconds and 10, `beam` (the Elixir client)
   * 120 seconds and 2. Environment: `TINKER_PARITY`, also when the other options are values.
   */
  readonly parity?: Parity | undefined
  /**
   * What kind of server it is, where it does not say itself: `open-rl` does a repeated training request twice, so that passes and
   * steps are sent once, and fail with `OutcomeUnknownError` when their answer is lost. Of it and of `skyrl` is known which options
   * they pass over, so that clients tell. Environment: `TINKER_SERVER_PROFILE`. Default `tinker`: repeated requests are known by
   * their numbers, and no option is passed over.
   */
  readonly serverProfile?: keyof typeof serverProfiles | undefined
  /**
   * The most that is read of one answer, in bytes; a longer one is an `ApiResponseValidationError`. Bodies that are read as they
   * arrive, those of `RawClient.stream` and of downloads, have no such bound.
   */
  readonly maxResponseBytes?: Partial<ResponseLimits> | undefined
  /** How long 402 (no credit) is waited out. Default: what the server says, an hour if nothing. Zero fails at once. */
  readonly billingPause?: Duration.DurationInput | undefined
  /** Time between heartbeats of a session. Default 10 seconds. */
  readonly heartbeatInterval?: Duration.DurationInput | undefined
  /** After more failures in a row than this the heartbeats end, and the session counts as lost. Default: no limit. */
  readonly heartbeatFailureLimit?: number | undefined
  /** Labels of the session. Environment: `TINKER_TAGS`, separated by commas. */
  readonly tags?: ReadonlyArray<string> | undefined
  /** Kept with the session. */
  readonly userMetadata?: Readonly<Record<string, string>> | undefined
  /** Project of the session. Environment: `TINKER_PROJECT_ID`. */
  readonly projectId?: string | undefined
  /** Name of the session in listings. */
  readonly displayName?: string | undefined
  /**
   * Whether failures of this client are reported to the service, without keys, prompts or samples. Environment:
   * `TINKER_TELEMETRY`, also when the other options are values: 1, true, yes and on mean yes, any other word no. Default yes.
   */
  readonly telemetry?: boolean | undefined
  /** Whether requests carry the ids of the span around them, as the header `traceparent`. Default false. */
  readonly propagateTrace?: boolean | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export type Parity = "python" | "beam"

/**
 * What differs between servers and cannot be seen by looking.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerProfile {
  /** Whether a training request that is sent again is known by its number, and done once. */
  readonly recognizesRepeats: boolean
  /**
   * Options that are passed over, by what they are of, each with the value that counts instead. A client that is given another says so
   * once.
   */
  readonly ignoredOptions: {
    /** Options of a model that is made. */
    readonly model?: Readonly<Record<string, unknown>>
    /** Options of a step of the optimizer. */
    readonly step?: Readonly<Record<string, unknown>>
    /** Options of a save. */
    readonly save?: Readonly<Record<string, unknown>>
    /** Options of a sample. */
    readonly samplingParams?: Readonly<Record<string, unknown>>
  }
}

/**
 * The kinds of servers by name.
 *
 * @since 0.1.0
 * @category config
 */
export const serverProfiles = {
  tinker: { recognizesRepeats: true, ignoredOptions: {} },
  skyrl: {
    recognizesRepeats: true,
    ignoredOptions: {
      model: { trainAttn: true, trainMlp: true, trainUnembed: false, userMetadata: undefined },
      step: { gradClipNorm: 0 },
      save: { ttl: undefined, overwrite: false, userMetadata: undefined }
    }
  },
  "open-rl": {
    recognizesRepeats: false,
    ignoredOptions: { samplingParams: { seed: undefined, stop: undefined, topK: -1, topP: 1 } }
  }
} as const satisfies Record<string, ServerProfile>

/**
 * Credentials of a proxy in front of the server, each sent if it is there.
 *
 * @since 0.1.0
 * @category models
 */
export interface CloudflareAccess {
  readonly clientId: string | undefined
  readonly clientSecret: Redacted.Redacted | undefined
}

export {
  /**
   * The address used when none is given: the hosted service, unless a Layer that answers requests itself says otherwise.
   *
   * @since 0.1.0
   * @category config
   */
  DefaultBaseUrl,
  /**
   * The address of the hosted service.
   *
   * @since 0.1.0
   * @category config
   */
  hosted
} from "@effect-tinker/protocol/DefaultBaseUrl"

/**
 * The version of the protocol spoken, sent as `sdk_version`: that of the reference client, the Python SDK.
 *
 * @since 0.1.0
 * @category config
 */
export const protocolVersion = "0.38.0"

/**
 * Fills in the defaults; an empty text counts as not given. Fails with every option that cannot be right, unknown ones
 * among them.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<Service, InvalidInputError> => {
  const misfit = notOptions(options, optionNames)
  return misfit === undefined ? ofOptions(options) : invalidInput("TinkerConfig", misfit)
}

const ofOptions = (options: Options): Effect.Effect<Service, InvalidInputError> =>
  Effect.flatMap(
    Effect.all([DefaultBaseUrl, Environment.telemetryWanted, Environment.defaults]),
    ([defaultBaseUrl, telemetryWanted, given]) => {
      const parity = parities[options.parity ?? given.parity ?? "none"]
      const baseUrl = String(options.baseUrl || defaultBaseUrl).replace(/\/+$/, "")
      return Effect.map(failOnIssues("TinkerConfig", configIssues(options, baseUrl)), () => {
        const service: Service = {
          apiKey: Option.fromNullable(options.apiKey),
          credentialCommand: Option.fromNullable(options.credentialCommand || undefined),
          baseUrl,
          headers: options.headers ?? {},
          query: options.query ?? {},
          cloudflareAccess: {
            clientId: options.cloudflareAccess?.clientId || undefined,
            clientSecret: options.cloudflareAccess?.clientSecret
          },
          requestTimeout: Duration.decode(options.requestTimeout ?? given.timeout ?? parity.timeout),
          maxRetries: Option.fromNullable(options.maxRetries ?? given.maxRetries ?? parity.maxRetries),
          serverProfile: serverProfiles[options.serverProfile ?? "tinker"],
          maxResponseBytes: {
            results: options.maxResponseBytes?.results ?? Limits.defaults.results,
            others: options.maxResponseBytes?.others ?? Limits.defaults.others
          },
          billingPause: Option.map(Option.fromNullable(options.billingPause), Duration.decode),
          heartbeatInterval: Duration.decode(options.heartbeatInterval ?? "10 seconds"),
          heartbeatFailureLimit: options.heartbeatFailureLimit ?? Infinity,
          tags: Array.from(new Set((options.tags ?? []).map((tag) => tag.trim()).filter((tag) => tag !== ""))),
          userMetadata: options.userMetadata ?? {},
          projectId: Option.fromNullable(options.projectId || undefined),
          displayName: Option.fromNullable(options.displayName || undefined),
          telemetry: options.telemetry ?? telemetryWanted,
          propagateTrace: options.propagateTrace ?? false
        }
        return Object.assign(Object.create(prototype) as object, service)
      })
    }
  )

const prototype: Inspectable.Inspectable = {
  ...Inspectable.BaseProto,
  toJSON(this: Service) {
    return {
      ...this,
      baseUrl: withoutUserInfo(this.baseUrl),
      credentialCommand: Option.map(this.credentialCommand, () => hidden),
      headers: hideValues(this.headers),
      query: hideValues(this.query)
    }
  }
}

const hidden = "<redacted>"

const hideValues = (record: object): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.keys(record).map((name) => [name, hidden]))

const parities: Record<
  Parity | "none",
  { readonly timeout: string & Duration.DurationInput; readonly maxRetries: number | undefined }
> = {
  none: { timeout: "60 seconds", maxRetries: undefined },
  python: { timeout: "60 seconds", maxRetries: 10 },
  beam: { timeout: "120 seconds", maxRetries: 2 }
}

/**
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<TinkerConfig, InvalidInputError> =>
  Layer.effect(TinkerConfig, make(options))

/**
 * The same options, each a `Config`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options: Config.Config.Wrap<Options>
): Layer.Layer<TinkerConfig, ConfigError | InvalidInputError> =>
  Layer.effect(TinkerConfig, Effect.flatMap(Config.unwrap(options), make))

/**
 * `TINKER_API_KEY`, `TINKER_CREDENTIAL_CMD`, `TINKER_BASE_URL`, `TINKER_HEADERS`, `TINKER_QUERY`, `TINKER_TAGS`,
 * `TINKER_PROJECT_ID`, `TINKER_SERVER_PROFILE`, `CLOUDFLARE_ACCESS_CLIENT_ID`,
 * `CLOUDFLARE_ACCESS_CLIENT_SECRET`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromEnv: Layer.Layer<TinkerConfig, ConfigError | InvalidInputError> = layerConfig(
  Environment.options(Object.keys(serverProfiles))
)

/**
 * Logs what is at least as grave as `TINKER_LOG` says: `trace`, `debug`, `info`, `warning`, `error` or `none`. From `debug`
 * on each request is a line, without its body, and with nothing secret in its headers. Without the variable nothing changes.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerLogFromEnv: Layer.Layer<never, ConfigError> = Layer.unwrapEffect(
  Effect.map(Environment.logLevel, (level) => level === undefined ? Layer.empty : Logger.minimumLogLevel(level))
)
