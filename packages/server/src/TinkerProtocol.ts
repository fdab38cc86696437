/**
 * The Tinker protocol over HTTP: sessions, models, training, sampling and checkpoints, in JSON and protobuf, as the public
 * Python SDK 0.38.0 speaks it. What computes is an `Engine`.
 *
 * An error has a JSON body `{"detail": …}`. What cannot ever succeed is never answered with 408, 429 or 5xx, which
 * clients repeat for minutes, and with 409, which the Python SDK repeats too, only where a checkpoint is to become public that is
 * so already, or the reverse. A request whose data are wrong, or that would save under a name that is taken, is accepted, and
 * fails later with category `user`, so that the numbers of a model's requests have no gaps.
 */
import type { Engine } from "@effect-tinker/engine/Engine"
import type * as HttpApp from "@effect/platform/HttpApp"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { CheckpointStore } from "./CheckpointStore.js"
import type * as Dialect from "./Dialect.js"
import * as Faults from "./Faults.js"
import * as Authentication from "./internal/http/authentication.js"
import * as ClientSettings from "./internal/http/clientSettings.js"
import * as Observation from "./internal/http/observation.js"
import * as Pipeline from "./internal/http/pipeline.js"
import { ConnectionDropped } from "./internal/http/plannedFault.js"
import * as Sender from "./internal/http/sender.js"
import * as ServerState from "./internal/models/serverState.js"
import * as Stopping from "./internal/models/stopping.js"
import * as Restoration from "./internal/records/restoration.js"
import type * as AccountRoutes from "./internal/resources/accountRoutes.js"
import * as Handlers from "./internal/resources/handlers.js"
import * as Metrics from "./internal/resources/metrics.js"

/**
 * @since 0.1.0
 * @category config
 */
export interface Options {
  /**
   * Keys that clients may have. What was made with one belongs to its user; keys of the same name are one user's, and one
   * without a name is somebody's own, by its place in the list. Without this option every client is welcome, with or
   * without a key, and everything is everybody's.
   */
  readonly apiKeys?: ReadonlyArray<string | ApiKey> | undefined
  /**
   * Names, with or without a port, by which clients may call a server without keys beside those of its own machine, and whose pages
   * may; `*` for any. Without this option such a server refuses the requests that web pages of others can make a browser send.
   */
  readonly allowedHosts?: ReadonlyArray<string> | undefined
  /**
   * The address by which clients reach the server, as `https://tinker.example.org`, for the addresses in its answers. Default: that
   * of the connection.
   */
  readonly publicUrl?: string | undefined
  /**
   * Clients exchange their key for a token, a JWT with a lifetime in whole seconds, and show that instead. Without this
   * option they show the key itself.
   */
  readonly jwt?: { readonly lifetime: Duration.DurationInput } | undefined
  /**
   * Settings for clients, under their names on the wire, over those that the server sends anyway; e.g.
   * `{ fwdbwd_max_chunk_len: 2 }`.
   */
  readonly clientConfig?: Readonly<Record<string, unknown>> | undefined
  /**
   * Settings that clients ask for again and again, likewise; e.g. `{ refresh_interval_sec: 10 }`. A test changes them
   * by `Faults.setDynamicConfig`.
   */
  readonly dynamicConfig?: Readonly<Record<string, unknown>> | undefined
  /** What the usage that it tells about costs. Default: it tells of no costs. */
  readonly prices?: PriceList | undefined
  /**
   * Sessions without a heartbeat, or any other request, for so long end, and their models are unloaded. Default one day; without end
   * for `Duration.infinity`.
   */
  readonly sessionTimeout?: Duration.DurationInput | undefined
  /**
   * Sessions at a time. Beyond that the empty one that was unused for longest ends for a new one, which is answered with 429 where all
   * are in use. As many that have ended are remembered. Default 10,000.
   */
  readonly maxSessions?: number | undefined
  /** Largest body of a request in bytes, as it comes and when it is decompressed. Default 256 MiB. */
  readonly maxBodyBytes?: number | undefined
  /**
   * The kind of log-probabilities that samples have: `raw`, the default, those at temperature 1 over the whole vocabulary, which a trainer
   * computes too; or `processed`, those of the distribution that was drawn from. Those of prompts are always raw.
   */
  readonly sampleLogprobs?: "raw" | "processed" | undefined
  /** Samples that are computed at a time; those of different sessions then take turns. Default 256. */
  readonly maxConcurrentSamples?: number | undefined
  /**
   * Models that are trained at a time; the requests of later ones wait, and say so, until one is unloaded or its session ends.
   * Default: as many as there are.
   */
  readonly maxModels?: number | undefined
  /**
   * Bytes of the requests that wait or run. Beyond that a new one is answered with 429, upon which clients send it again
   * later. Default 1 GiB.
   */
  readonly maxWaitingBytes?: number | undefined
  /** Told of every answer, e.g. to write a log. */
  readonly onAnswer?: ((answered: Answered) => Effect.Effect<void>) | undefined
  /** Told at the start what there is of an earlier server, where there is a `ServerJournal`. */
  readonly onRestored?: ((restored: Restored) => Effect.Effect<void>) | undefined
  /** True: counts, and tells at `/metrics` in the text format of Prometheus. Default false. */
  readonly metrics?: boolean | undefined
  /**
   * When it stops, a server on a port takes nothing new, and gives what it has begun so long to finish. Default: it stops
   * at once.
   */
  readonly gracePeriod?: Duration.DurationInput | undefined
  /** True: a server with a grace period then saves every trained model, as `weights/stopped-<time>`. Default false. */
  readonly saveOnStop?: boolean | undefined
  /** Speaks as another server does. Default: as the hosted service. */
  readonly dialect?: Dialect.Dialect | undefined
  /** How long the address of a checkpoint's file is valid. Default 15 minutes. */
  readonly fileUrlLifetime?: Duration.DurationInput | undefined
  /** True: gives every checkpoint as one tar file too, as servers of the protocol's beginning. Default false. */
  readonly archives?: boolean | undefined
  /** How long a question for a result is held before the answer is "not yet". Default 40 seconds. */
  readonly holdTime?: Duration.DurationInput | undefined
  /** How long results are kept. Default one hour. */
  readonly retention?: Duration.DurationInput | undefined
  /**
   * Bytes of samples that are kept after they were fetched, in case an answer was lost; beyond it the oldest are forgotten.
   * Default 64 MiB.
   */
  readonly maxFetchedBytes?: number | undefined
  /** A larger result is announced by its size first, to clients who allow that. Default 1 MiB. */
  readonly maxUnannouncedBytes?: number | undefined
}

/**
 * A key that clients may have, and its name, which its holder is told.
 *
 * @since 0.1.0
 * @category config
 */
export type ApiKey = Authentication.NamedKey

/**
 * Prices in US dollars: tokens by base model, a million of each kind; and a gigabyte stored for a month.
 *
 * @since 0.1.0
 * @category config
 */
export type PriceList = AccountRoutes.PriceList

/**
 * What became of a request. Neither body nor key nor query is in it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Answered {
  readonly method: string
  /** The path as it came, but for tokens in it. */
  readonly path: string
  /** The path with names in place of ids, e.g. `/api/v1/samplers/:id`; `unknown` for one that there is not. */
  readonly route: string
  /** 499 for a client that left before the answer was there. */
  readonly status: number
  readonly millis: number
}

/**
 * What a server has found of an earlier one, in numbers.
 *
 * @since 0.1.0
 * @category models
 */
export type Restored = Restoration.Restored

export { ConnectionDropped }

/**
 * What is wrong with settings for clients: those by which every client would fail or wait for ever, each with its option and its
 * name on the wire, e.g. `clientConfig.fwdbwd_max_chunk_len`. None when clients can go by all of them.
 *
 * @since 0.1.0
 * @category utils
 */
export const settingIssues = (
  options: Pick<Options, "clientConfig" | "dynamicConfig" | "jwt">
): ReadonlyArray<{ readonly setting: string; readonly description: string }> =>
  (["clientConfig", "dynamicConfig"] as const).flatMap((option) =>
    ClientSettings.issues(options[option] ?? {}, options.jwt !== undefined).map(({ description, setting }) => ({
      setting: `${option}.${setting}`,
      description
    }))
  )

/**
 * The routes, with a server's whole state in the scope. Faults are those of the `Faults` service, if there is one.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<HttpApp.Default<ConnectionDropped>, never, Engine | CheckpointStore | Scope.Scope> =>
  Effect.map(makeStoppable(options), ({ app }) => app)

/**
 * The same with what brings it to its end, while the routes still answer: it takes nothing new, and finishes what it has.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeStoppable = (
  options: Options = {},
  /** The address that it listens on, for platforms that do not tell the one that a request has come to. */
  ownOrigin = "http://localhost"
): Effect.Effect<
  { readonly app: HttpApp.Default<ConnectionDropped>; readonly stop: Effect.Effect<void> },
  never,
  Engine | CheckpointStore | Scope.Scope
> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const everything = yield* Scope.fork(scope, ExecutionStrategy.sequential)
    const { app, state, stop } = yield* Scope.extend(makeAll(options, ownOrigin), everything)
    // Runs before everything ends: what that interrupts nobody has cancelled.
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        state.hasEnded = true
        return state.futures.release
      })
    )
    return { app, stop }
  })

const makeAll = (options: Options, ownOrigin: string) =>
  Effect.gen(function*() {
    const { records, state } = yield* ServerState.make(options)
    const faults = Option.getOrUndefined(yield* Effect.serviceOption(Faults.Faults))
    const authentication = Authentication.make({
      keys: options.apiKeys,
      lifetime: options.jwt?.lifetime,
      revocations: faults?.revocations ?? Effect.succeed(0)
    })
    const metrics = options.metrics === true ? Metrics.make() : undefined
    const maxBodyBytes = options.maxBodyBytes ?? 256 * 2 ** 20
    const handlers = Handlers.make(state, options, { authentication, faults, maxBodyBytes, metrics })
    const stopping = Stopping.make(state, {
      gracePeriod: options.gracePeriod ?? 0,
      save: options.saveOnStop === true
    })

    const { journal } = state
    const { restored, unfinished } = yield* Restoration.restore(state, journal, records, options)
    if (journal.isPersistent && options.onRestored !== undefined) yield* options.onRestored(restored)
    yield* Restoration.replay(state, journal, handlers, unfinished)

    const publicOrigin = options.publicUrl?.replace(/\/+$/, "")
    const app = Pipeline.make({
      handlers,
      authentication,
      refusalOf: stopping.refusalOf,
      faults,
      dialect: options.dialect,
      limits: state.limits,
      maxBodyBytes,
      allowedHosts: options.apiKeys === undefined ? options.allowedHosts ?? [] : undefined,
      observe: Observation.make(metrics, options.onAnswer),
      // Not from what a request says of itself, which whoever sends it decides.
      originOf: (request) => () =>
        publicOrigin ?? Sender.localOrigin(request) ??
          (Sender.isInProcess(request) ? new URL(request.originalUrl).origin : ownOrigin)
    })
    return { app, state, stop: stopping.stop }
  })
