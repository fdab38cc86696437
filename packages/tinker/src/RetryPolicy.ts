/**
 * Every schedule by which requests are sent again, one an operation. Whether an error may be retried at all is
 * `TinkerError.isRetryable`, unless a region of code says otherwise.
 */
import { oneOf, optional, optionsOf } from "@effect-tinker/protocol/Checks"
import { durationText } from "@effect-tinker/protocol/Prose"
import * as TinkerError from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import * as Record from "effect/Record"
import * as Schedule from "effect/Schedule"
import * as Schedules from "./internal/effect/schedules.js"
import * as Given from "./internal/given.js"
import * as Monotonic from "./internal/monotonic.js"
import * as Attempts from "./internal/transport/attempts.js"
import * as PolicyRun from "./internal/transport/policyRun.js"
import * as TinkerEvents from "./TinkerEvents.js"

/**
 * What follows a failure that may pass: how long to wait, and when to give up.
 *
 * @since 0.1.0
 * @category models
 */
export type Policy = Schedule.Schedule<unknown, TinkerError.TinkerError>

/**
 * A schedule whose delays double from `first` to `longest` and vary by the share `jitter` to either side, a quarter unless given,
 * so that those who failed together do not return together. No delay is longer than `longest`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const backoff = (options: {
  readonly first: Duration.DurationInput
  readonly longest: Duration.DurationInput
  readonly jitter?: number | undefined
}): Policy => {
  const { first, jitter = 0.25, longest } = options
  return Schedules.doubling({ first, longest, jitter })
}

/**
 * Half a second, doubling, never more than ten seconds apart, jittered by a quarter, for at most five minutes.
 *
 * Source of the figures: the Python SDK 0.38.0, whose two layers of retries this joins into one.
 *
 * @since 0.1.0
 * @category policies
 */
export const transient: Policy = Schedules.within(
  backoff({ first: "500 millis", longest: "10 seconds" }),
  "5 minutes"
)

/**
 * The policy of the first contact: as {@link transient}, but an address where nothing answers, or where only something else than the
 * service does, is given up after five seconds: at the first contact that is a wrong address far more often than an outage.
 *
 * @since 0.1.0
 * @category policies
 */
export const firstContact: Policy = Schedules.unless(
  transient,
  (error, elapsed) =>
    (error._tag === "ApiConnectionError" || TinkerError.isPuzzling(error))
    && Duration.greaterThanOrEqualTo(elapsed, "5 seconds")
)

/**
 * The policy of fetching a result: a second, doubling, never more than thirty seconds apart, jittered by a quarter, without end. How long a
 * result is waited for is `WaitingPolicy`.
 *
 * @since 0.1.0
 * @category policies
 */
export const poll: Policy = backoff({ first: "1 second", longest: "30 seconds" })

/**
 * The policy of submitting a whole sample again, under a new number: half a second, doubling, never more than ten seconds apart, jittered
 * by a quarter, without end, as asking for samples is safe to repeat.
 *
 * Source of the figures: the Python SDK 0.38.0.
 *
 * @since 0.1.0
 * @category policies
 */
export const sample: Policy = backoff({ first: "500 millis", longest: "10 seconds" })

/**
 * The policy of a sample that is refused for now (429): without end, and without delays of its own, as all samples of the client pause
 * together.
 *
 * @since 0.1.0
 * @category policies
 */
export const backpressure: Policy = Schedule.forever

/**
 * The policy of a request that waits for credit (402): every five seconds. The option `billingPause` ends it.
 *
 * Source of the figure: the Python SDK 0.38.0.
 *
 * @since 0.1.0
 * @category policies
 */
export const billing: Policy = Schedule.spaced("5 seconds")

/**
 * The policy of a request whose token was refused (401): once more, with a new token.
 *
 * @since 0.1.0
 * @category policies
 */
export const refusedToken: Policy = Schedule.recurs(1)

/**
 * The policy of renewing a token ahead of its end: every minute, while the old one is still good or gone.
 *
 * Source of the figure: the Python SDK 0.38.0.
 *
 * @since 0.1.0
 * @category policies
 */
export const tokenRenewal: Policy = Schedule.spaced("1 minute")

/**
 * The policy of the question that tells which samples of a sampler are finished: as {@link poll}.
 *
 * @since 0.1.0
 * @category policies
 */
export const completions: Policy = poll

/**
 * The policy of a trace that the server is still making: every five seconds, without end.
 *
 * Source of the figure: the Python SDK 0.38.0.
 *
 * @since 0.1.0
 * @category policies
 */
export const traceExport: Policy = Schedule.spaced("5 seconds")

/**
 * The policy of an archive that the server is still making: every thirty seconds, six attempts in all.
 *
 * Source of the figures: the Python SDK 0.35.0.
 *
 * @since 0.1.0
 * @category policies
 */
export const archive: Policy = Schedules.times(Schedule.spaced("30 seconds"), 5)

/**
 * The policy of reports of what went wrong, which are not worth much: a second, doubling, jittered by a quarter, three times.
 *
 * @since 0.1.0
 * @category policies
 */
export const telemetry: Policy = Schedules.times(backoff({ first: "1 second", longest: "10 seconds" }), 3)

/**
 * Never again.
 *
 * @since 0.1.0
 * @category policies
 */
export const none: Policy = Schedules.none

/**
 * The policies of each kind of operation:
 *
 * - `firstContact`: the server's settings and capabilities
 * - `request`: everything that is answered at once, and every submission
 * - `poll`: fetching a result
 * - `sample`: a sample that the server has lost (410)
 * - `backpressure`: a sample that is refused for now (429)
 * - `billing`: a request that waits for credit (402)
 * - `refusedToken`: a request whose token was refused (401)
 * - `tokenRenewal`: a token that is renewed ahead of its end
 * - `completions`: the common question for finished samples
 * - `traceExport`: a trace that is not there yet
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
  readonly backpressure: Policy
  readonly billing: Policy
  readonly refusedToken: Policy
  readonly tokenRenewal: Policy
  readonly completions: Policy
  readonly traceExport: Policy
  readonly telemetry: Policy
  readonly archive: Policy
  /** What is sent again at all, by any of them. Default: `TinkerError.isRetryable`. */
  readonly retryable: (error: TinkerError.TinkerError) => boolean
}

const defaults: Policies = {
  firstContact,
  request: transient,
  poll,
  sample,
  backpressure,
  billing,
  refusedToken,
  tokenRenewal,
  completions,
  traceExport,
  telemetry,
  archive,
  retryable: TinkerError.isRetryable
}

const { retryable: _, ...schedules } = defaults

const policyNames = Record.keys(schedules)

const policyFields = { ...Record.map(schedules, () => Given.schedule), retryable: Given.fun }

/**
 * The policies in force.
 *
 * @internal
 */
export class CurrentPolicies extends Context.Reference<CurrentPolicies>()("effect-tinker/RetryPolicy/CurrentPolicies", {
  defaultValue: () => defaults
}) {}

/**
 * Replaces policies for a region of code, e.g. `RetryPolicy.withPolicies({ request: Schedule.recurs(2) })`. They decide when and
 * how often, never earlier than the server asks; `retryable` decides what. `request: RetryPolicy.none` also ends the waiting after
 * 429 and the submitting of lost samples, unless the region has policies for these.
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
    Given.around("RetryPolicy.withPolicies", [effect, policies], {
      effect: Given.effect,
      policies: Given.partial(policyFields, "policy")
    }, () =>
      Effect.flatMap(
        CurrentPolicies,
        (current) =>
          Effect.provideService(effect, CurrentPolicies, {
            ...current,
            ...(policies.request === none ? { backpressure: none, sample: none } : {}),
            ...Object.fromEntries(Object.entries(policies).filter(([, policy]) => policy !== undefined))
          })
      ))
)

/**
 * @since 0.1.0
 * @category models
 */
export interface RetryOptions {
  /** Default `request`. */
  readonly policy?: Exclude<keyof Policies, "retryable"> | undefined
  /** What is worth another attempt. Default: what the policies in force say. */
  readonly when?: ((error: TinkerError.TinkerError, policies: Policies) => boolean) | undefined
  /** Logs a warning, at most once a minute. Default: that of the client which sends the request. */
  readonly warn?: ((message: string) => Effect.Effect<void>) | undefined
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
  Given.around("RetryPolicy.retry", [attempt, options], {
    attempt: Given.effect,
    options: retryOptions
  }, () => resend((sharing) => Effect.provideService(attempt, Attempts.CurrentAttempts, sharing), options))

/**
 * Retries as {@link retry} does, for the SDK's own requests: they take what their attempts share as a value, as providing a service costs
 * more than the rest of an attempt, and their arguments need no look at each of thousands a second.
 *
 * @internal
 */
export const resend = <A, R>(
  attempt: (attempts: Attempts.Attempts) => Effect.Effect<A, TinkerError.TinkerError, R>,
  options: RetryOptions = {}
): Effect.Effect<A, TinkerError.TinkerError, R> =>
  Effect.suspend(() => {
    const attempts = Attempts.makeAttempts(true)
    const one = attempt(attempts)
    // The schedule is set up by the first failure: most requests have none.
    return Effect.matchEffect(one, {
      onSuccess: (value) => {
        attempts.watched?.end()
        return Effect.succeed(value)
      },
      onFailure: (error) =>
        Effect.ensuring(
          again(one, options, error, attempts),
          Effect.sync(() => attempts.watched?.end())
        )
    })
  })

const retryOptions = optional(optionsOf({
  policy: optional(oneOf(...policyNames)),
  when: optional(Given.fun),
  warn: optional(Given.fun),
  onRetry: optional(Given.fun)
}))

/** Answers that no service gives, in a row. A result is worth more questions, as asking for it is free. */
const mostPuzzles = 5
const mostPuzzlesOfPolls = 10

const again = <A, R>(
  attempt: Effect.Effect<A, TinkerError.TinkerError, R>,
  { onRetry, policy = "request", warn, when = isWorthwhile }: RetryOptions,
  first: TinkerError.TinkerError,
  attempts: Attempts.Attempts
): Effect.Effect<A, TinkerError.TinkerError, R> =>
  Effect.gen(function*() {
    const policies = yield* CurrentPolicies
    const run = PolicyRun.begin(policies[policy])
    const hub = yield* TinkerEvents.CurrentHub
    const { sender } = attempts
    const most = policies[policy] === transient || policies[policy] === firstContact
      ? sender?.maxRetries ?? Infinity
      : Infinity
    const puzzlesAllowed = policy === "poll" ? mostPuzzlesOfPolls : mostPuzzles
    const started = yield* Monotonic.now
    let error = first
    let puzzles = 0
    // Asked once of each failure.
    while (when(error, policies)) {
      puzzles = TinkerError.isPuzzling(error) ? puzzles + 1 : 0
      if (puzzles > puzzlesAllowed || attempts.retryCount >= most) break
      const wait = yield* run.next(error)
      if (wait === undefined) break
      const attemptNumber = attempts.retryCount + 2
      if (hub.isHeard()) {
        const { operation } = error
        hub.publish({ _tag: "RetryScheduled", operation, policy, attempt: attemptNumber, wait, error })
      }
      const elapsed = (yield* Monotonic.now) - started
      if (elapsed + wait >= worthAWarning) {
        const message = stillFailing(error, elapsed, wait)
        yield* warn?.(message) ?? sender?.warn(error.operation, message) ?? Effect.void
      }
      yield* Monotonic.sleep(wait)
      attempts.retryCount += 1
      if (onRetry !== undefined) yield* onRetry(attemptNumber, error)
      const outcome = yield* Effect.either(attempt)
      if (Either.isRight(outcome)) return outcome.right
      error = outcome.left
    }
    const elapsed = Math.round((yield* Monotonic.now) - started)
    return yield* Effect.fail(
      attempts.retryCount === 0 ? error : TinkerError.withAttempts(error, attempts.retryCount + 1, elapsed)
    )
  })

const isWorthwhile = (error: TinkerError.TinkerError, { retryable }: Policies): boolean => retryable(error)

/**
 * The time that is worth a warning, in milliseconds: what passes sooner is nobody's concern.
 *
 * @internal
 */
export const worthAWarning = 60_000

/**
 * What is logged of a request that goes on failing.
 *
 * @internal
 */
export const stillFailing = (error: TinkerError.TinkerError, elapsed: number, wait: number): string => {
  const since = elapsed < 1000 ? "" : `It has failed for ${durationText(elapsed)}. `
  return `${error.message} ${since}It is tried again in ${durationText(wait)}`
}
