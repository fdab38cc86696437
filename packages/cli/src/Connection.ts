/**
 * The client of a command: which service it asks, as whom, and how patiently.
 */
import * as StoredCredentials from "@effect-tinker/node/StoredCredentials"
import * as TinkerNode from "@effect-tinker/node/TinkerNode"
import * as UndiciHttpClient from "@effect-tinker/node/UndiciHttpClient"
import { ApiTimeoutError, type InvalidInputError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as Path from "@effect/platform/Path"
import type * as CheckpointDownload from "effect-tinker/CheckpointDownload"
import * as RetryPolicy from "effect-tinker/RetryPolicy"
import * as Tinker from "effect-tinker/Tinker"
import * as TinkerEvents from "effect-tinker/TinkerEvents"
import type { ConfigError } from "effect/ConfigError"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Failure from "./Failure.js"
import * as GlobalOptions from "./GlobalOptions.js"
import * as Output from "./Output.js"
import * as Profile from "./Profile.js"
import type { UsageError } from "./UsageError.js"
import { Variables } from "./Variables.js"

/**
 * The settings in force, under the names of the environment's variables: options go before variables, these before those of the profile.
 * An empty variable counts as none.
 *
 * @since 0.1.0
 * @category config
 */
export const settings: Effect.Effect<
  ReadonlyMap<string, string>,
  UsageError,
  GlobalOptions.GlobalOptions | FileSystem.FileSystem | Path.Path
> = Effect.map(Effect.all([GlobalOptions.GlobalOptions, Variables, profile()]), ([{ baseUrl }, variables, profile]) => {
  const environment = Object.entries(variables).flatMap(([name, value]) =>
    value === undefined || value.trim() === "" ? [] : [[name, value] as const]
  )
  const { base_url, credential_command, project_id } = Option.getOrElse(profile, (): Profile.Profile => ({}))
  return new Map([
    // People who try a command out are not to be reported on.
    ["TINKER_TELEMETRY", "0"],
    ...given({ TINKER_BASE_URL: base_url, TINKER_CREDENTIAL_CMD: credential_command, TINKER_PROJECT_ID: project_id }),
    ...environment,
    ...given({ TINKER_BASE_URL: baseUrl })
  ])
})

function profile() {
  return Effect.flatMap(
    Effect.all([GlobalOptions.GlobalOptions, Variables]),
    ([{ profile }, { TINKER_PROFILE }]) => Profile.find(profile ?? (TINKER_PROFILE?.trim() || undefined))
  )
}

const keyId = Effect.map(Effect.suspend(profile), (profile) => Option.getOrUndefined(profile)?.key)

const given = (values: Readonly<Record<string, string | undefined>>): ReadonlyArray<readonly [string, string]> =>
  Object.entries(values).flatMap(([name, value]) => value === undefined ? [] : [[name, value] as const])

/**
 * Has a program read the settings in force instead of the variables, and a profile's key where it has one.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withSettings = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | UsageError, R | GlobalOptions.GlobalOptions | FileSystem.FileSystem | Path.Path> =>
  Effect.flatMap(Effect.all([settings, keyId]), ([settings, keyId]) =>
    effect.pipe(
      Effect.withConfigProvider(ConfigProvider.fromMap(new Map(settings))),
      Effect.provideService(StoredCredentials.KeyId, keyId)
    ))

/** Says, once an attempt has failed, that there is another. */
const announced: Layer.Layer<never, never, Output.Output> = Layer.scopedDiscard(Effect.gen(function*() {
  const output = yield* Output.Output
  const hub = yield* TinkerEvents.CurrentHub
  const stop = hub.listen((event) => {
    if (event._tag === "RetryScheduled" && event.policy !== "poll" && output.format === "table") {
      Effect.runSync(
        output.notice(`${event.error.message} Asking again in ${Duration.format(Math.round(event.wait))}.`)
      )
    }
  })
  yield* Effect.addFinalizer(() => Effect.sync(stop))
}))

/**
 * The clients, with the settings in force.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  Tinker.Clients | CheckpointDownload.CheckpointDownload,
  UsageError | ConfigError | InvalidInputError,
  GlobalOptions.GlobalOptions | Output.Output | FileSystem.FileSystem | Path.Path
> = Layer.unwrapEffect(
  Effect.map(
    Effect.all([settings, keyId]),
    ([settings, keyId]) =>
      Layer.merge(Tinker.layerFromEnv, Tinker.layerDownloadFromEnv).pipe(
        Layer.provide(announced),
        Layer.provide(TinkerNode.layer),
        Layer.provide(Layer.succeed(StoredCredentials.KeyId, keyId)),
        Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(new Map(settings))))
      )
  )
)

/**
 * What sends requests to other services than Tinker's, by way of the same proxies.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerHttp: Layer.Layer<
  HttpClient.HttpClient,
  UsageError | InvalidInputError,
  GlobalOptions.GlobalOptions | FileSystem.FileSystem | Path.Path
> = Layer.unwrapEffect(
  Effect.map(settings, (settings) =>
    Layer.provide(
      UndiciHttpClient.layer,
      Layer.setConfigProvider(ConfigProvider.fromMap(new Map(settings)))
    ))
)

/** Three attempts, within so many milliseconds: more is for programs that nobody waits for. */
const attempts = (withinMillis: number) =>
  RetryPolicy.backoff({ first: "500 millis", longest: "5 seconds" }).pipe(
    Schedule.intersect(Schedule.recurs(2)),
    Schedule.upTo(withinMillis)
  )

/**
 * A request as people ask: three attempts, within the time of `--timeout` all together; 402, which programs wait out, fails at once.
 *
 * @since 0.1.0
 * @category combinators
 */
export const brief = <A, E, R>(
  request: Effect.Effect<A, E, R>
): Effect.Effect<A, E | TinkerError, R | GlobalOptions.GlobalOptions> =>
  Effect.flatMap(GlobalOptions.GlobalOptions, ({ timeoutMillis }) =>
    impatient(request).pipe(
      Effect.timeoutFail({
        duration: timeoutMillis,
        onTimeout: () =>
          new ApiTimeoutError({
            operation: Failure.anyRequest,
            reason: "waiting",
            deadline: Duration.millis(timeoutMillis)
          })
      })
    ))

/**
 * The same without a time limit of its own, for what takes long.
 *
 * @since 0.1.0
 * @category combinators
 */
export const impatient = <A, E, R>(
  request: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R | GlobalOptions.GlobalOptions> =>
  Effect.flatMap(GlobalOptions.GlobalOptions, ({ timeoutMillis }) =>
    RetryPolicy.withPolicies(request, {
      request: attempts(timeoutMillis),
      firstContact: attempts(timeoutMillis),
      billing: RetryPolicy.none
    }))
