/**
 * Every schedule by which requests are sent again, one an operation. Whether an error may be retried at all is
 * `TinkerError.isRetryable`.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import * as Schedule from "effect/Schedule"
import * as TinkerError from "./TinkerError.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * What follows a failure that may pass: how long to wait, and when to give up.
 *
 * @since 0.1.0
 * @category models
 */
export type Policy = Schedule.Schedule<unknown, TinkerError.TinkerError>

/** Doubling from `first` to `longest`, between 80 and 120 %, so that those who failed together do not return together. */
const backoff = (first: Duration.DurationInput, longest: Duration.DurationInput) =>
  Schedule.exponential(first).pipe(Schedule.union(Schedule.spaced(longest)), Schedule.jittered)

/**
 * Half a second, doubling, never more than ten seconds apart, jittered, for at most five minutes.
 *
 * Source of the figures: the Python SDK 0.38.0, whose two layers of retries this joins into one.
 *
 * @since 0.1.0
 * @category policies
 */
export const transient: Policy = backoff("500 millis", "10 seconds").pipe(Schedule.upTo("5 minutes"))

/**
 * As {@link transient}, but an address where nothing answers is given up after five seconds: at the first contact that is
 * a wrong address far more often than an outage.
 *
 * @since 0.1.0
 * @category policies
 */
export const firstContact: Policy = transient.pipe(
  Schedule.intersect(Schedule.elapsed),
  Schedule.check((error: TinkerError.TinkerError, [, elapsed]) =>
    error._tag !== "ApiConnectionError" || Duration.lessThan(elapsed, "5 seconds")
  )
)

/**
 * For fetching a result: a second, doubling, never more than thirty seconds apart, jittered, without end. How long a
 * result is waited for is `WaitingPolicy`.
 *
 * @since 0.1.0
 * @category policies
 */
export const poll: Policy = backoff("1 second", "30 seconds")

/**
 * For submitting a whole sample again, under a new number: half a second, doubling, never more than ten seconds apart,
 * jittered, without end, as asking for samples is safe to repeat.
 *
 * Source of the figures: the Python SDK 0.38.0.
 *
 * @since 0.1.0
 * @category policies
 */
export const sample: Policy = backoff("500 millis", "10 seconds")

/**
 * For an archive that the server is still making: every thirty seconds, six attempts in all.
 *
 * Source of the figures: the Python SDK 0.35.0.
 *
 * @since 0.1.0
 * @category policies
 */
export const archive: Policy = Schedule.spaced("30 seconds").pipe(Schedule.intersect(Schedule.recurs(5)))

/**
 * For reports of what went wrong, which are not worth much: a second, doubling, jittered, three times.
 *
 * @since 0.1.0
 * @category policies
 */
export const telemetry: Policy = backoff("1 second", "10 seconds").pipe(Schedule.intersect(Schedule.recurs(3)))

/**
 * Never again.
 *
 * @since 0.1.0
 * @category policies
 */
export const none: Policy = Schedule.stop

/**
 * Which policy each kind of operation has:
 *
 * - `firstContact`: the server's settings and capabilities
 * - `request`: everything that is answered at once, and every submission
 * - `poll`: fetching a result
 * - `sample`: a sample that the server has lost, or whose fetching failed for good
 * - `telemetry`: a batch of events
 * - `archive`: an archive of a checkpoint that is not there yet
 *
 * @since 0.1.0
 * @category models
 */
export interface Policies {
  readonly firstContact: Policy
  readonly request: Policy
  readonly poll: Policy
  readonly sample: Policy
  readonly telemetry: Policy
  readonly archive: Policy
}

/**
 * The policies in force.
 *
 * @since 0.1.0
 * @category config
 */
export class CurrentPolicies extends Context.Reference<CurrentPolicies>()("effect-tinker/RetryPolicy/CurrentPolicies", {
  defaultValue: (): Policies => ({ firstContact, request: transient, poll, sample, telemetry, archive })
}) {}

/**
 * Replaces policies for a region of code, e.g. `RetryPolicy.withPolicies({ request: Schedule.recurs(2) })`. They decide
 * when and how often; what cannot succeed is not sent again by any policy, and never earlier than the server asks.
 *
 * @example
 * ```ts
 * import { Effect, Layer, Schedule } from "effect"
 * import { FetchHttpClient } from "@effect/platform"
 * import { RetryPolicy, ServiceClient, Tinker } from "effect-tinker"
 *
 * // Nobody listens there: fails after three attempts, and says so.
 * const program = Effect.flatMap(ServiceClient.ServiceClient, (service) => service.healthCheck).pipe(
 *   RetryPolicy.withPolicies({ firstContact: Schedule.recurs(2), request: Schedule.recurs(2) })
 * )
 * const Client = Tinker.layer({ baseUrl: "http://127.0.0.1:1" }).pipe(Layer.provide(FetchHttpClient.layer))
 *
 * await Effect.runPromise(Effect.flip(Effect.provide(program, Client)))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const withPolicies: {
  (policies: Partial<Policies>): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(effect: Effect.Effect<A, E, R>, policies: Partial<Policies>): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(effect: Effect.Effect<A, E, R>, policies: Partial<Policies>): Effect.Effect<A, E, R> =>
    Effect.flatMap(
      CurrentPolicies,
      (current) => Effect.provideService(effect, CurrentPolicies, { ...current, ...policies })
    )
)

/**
 * @since 0.1.0
 * @category models
 */
export interface RetryOptions {
  /** Default `request`. */
  readonly policy?: keyof Policies | undefined
  /** What is worth another attempt. Default: what `TinkerError.isRetryable` says. */
  readonly when?: ((error: TinkerError.TinkerError) => boolean) | undefined
  /** Runs before each attempt after the first, 2 being the second; a failure ends the attempts. */
  readonly onRetry?:
    | ((attempt: number, error: TinkerError.TinkerError) => Effect.Effect<void, TinkerError.TinkerError>)
    | undefined
}

/**
 * Sends a request by its policy, all attempts under one idempotency key, by which the server knows them for the same. The
 * error of the last attempt tells how many there were.
 *
 * @since 0.1.0
 * @category combinators
 */
export const retry = <A, R>(
  attempt: Effect.Effect<A, TinkerError.TinkerError, R>,
  options?: RetryOptions
): Effect.Effect<A, TinkerError.TinkerError, R> =>
  retryWith((sharing) => Effect.provideService(attempt, TinkerHttpClient.CurrentAttempts, sharing), options)

/**
 * As {@link retry}, for requests that take what their attempts share as a value. Providing a service costs more than the
 * rest of an attempt, which counts where thousands are made a second.
 *
 * @since 0.1.0
 * @category combinators
 */
export const retryWith = <A, R>(
  attempt: (attempts: TinkerHttpClient.Attempts) => Effect.Effect<A, TinkerError.TinkerError, R>,
  options: RetryOptions = {}
): Effect.Effect<A, TinkerError.TinkerError, R> =>
  Effect.suspend(() => {
    const attempts = TinkerHttpClient.makeAttempts(true)
    const one = attempt(attempts)
    // The schedule is set up by the first failure: most requests have none.
    return Effect.matchEffect(one, {
      onSuccess: (value) => {
        attempts.watched?.end()
        return Effect.succeed(value)
      },
      onFailure: (error) => {
        if ((options.when ?? TinkerError.isRetryable)(error)) {
          return Effect.ensuring(
            again(one, options, error, attempts),
            Effect.sync(() => attempts.watched?.end())
          )
        }
        attempts.watched?.end()
        return Effect.fail(error)
      }
    })
  })

const again = <A, R>(
  attempt: Effect.Effect<A, TinkerError.TinkerError, R>,
  { onRetry, policy = "request", when = TinkerError.isRetryable }: RetryOptions,
  first: TinkerError.TinkerError,
  attempts: TinkerHttpClient.Attempts
): Effect.Effect<A, TinkerError.TinkerError, R> =>
  Effect.gen(function*() {
    const policies = yield* CurrentPolicies
    const driver = yield* Schedule.driver(policies[policy])
    const started = yield* Clock.currentTimeMillis
    let error = first
    while (when(error)) {
      const failed = yield* Clock.currentTimeMillis
      if (Either.isLeft(yield* Effect.either(driver.next(error)))) break
      const wait = failed + askedToWait(error) - (yield* Clock.currentTimeMillis)
      if (wait > 0) yield* Effect.sleep(wait)
      attempts.retryCount += 1
      if (onRetry !== undefined) yield* onRetry(attempts.retryCount + 1, error)
      const outcome = yield* Effect.either(attempt)
      if (Either.isRight(outcome)) return outcome.right
      error = outcome.left
    }
    return yield* Effect.fail(
      TinkerError.withAttempts(error, attempts.retryCount + 1, (yield* Clock.currentTimeMillis) - started)
    )
  })

/** In milliseconds. */
const askedToWait = (error: TinkerError.TinkerError): number =>
  error._tag === "ApiStatusError" && error.retryAfter !== undefined ? Duration.toMillis(error.retryAfter) : 0
