/**
 * Every schedule by which requests are sent again. Whether an error may be retried at all is `TinkerError.isRetryable`.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { uuid } from "./internal/uuid.js"
import * as TinkerError from "./TinkerError.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

const retryAfter = (error: TinkerError.TinkerError): Duration.Duration =>
  (error._tag === "ApiStatusError" ? error.retryAfter : undefined) ?? Duration.zero

/** Doubling from `first` to `longest`, jittered, never earlier than the server's `retry-after`, while it may help. */
const backoff = (first: Duration.DurationInput, longest: Duration.DurationInput) =>
  Schedule.exponential(first).pipe(
    Schedule.union(Schedule.spaced(longest)),
    Schedule.jittered,
    Schedule.intersect(Schedule.identity<TinkerError.TinkerError>()),
    Schedule.modifyDelay(([, error], delay) => Duration.max(delay, retryAfter(error))),
    Schedule.whileInput(TinkerError.isRetryable)
  )

/**
 * Half a second, doubling, never more than ten seconds apart, jittered, for at most five minutes; never earlier than the
 * server's `retry-after`.
 *
 * Source of the figures: the Python SDK 0.38.0, whose two layers of retries this joins into one.
 *
 * @since 0.1.0
 * @category models
 */
export const transient: Schedule.Schedule<unknown, TinkerError.TinkerError> = backoff("500 millis", "10 seconds").pipe(
  Schedule.upTo("5 minutes")
)

/**
 * As {@link transient}, but an address where nothing answers is given up after five seconds: at the first contact that is
 * a wrong address far more often than an outage.
 *
 * @since 0.1.0
 * @category models
 */
export const firstContact: Schedule.Schedule<unknown, TinkerError.TinkerError> = transient.pipe(
  Schedule.intersect(Schedule.elapsed),
  Schedule.check((error: TinkerError.TinkerError, [, elapsed]) =>
    error._tag !== "ApiConnectionError" || Duration.lessThan(elapsed, "5 seconds")
  )
)

/**
 * For fetching a result: a second, doubling, never more than thirty seconds apart, jittered; gives up after ten minutes in
 * which no request got through.
 *
 * @since 0.1.0
 * @category models
 */
export const poll: Schedule.Schedule<unknown, TinkerError.TinkerError> = backoff("1 second", "30 seconds").pipe(
  Schedule.upTo("10 minutes")
)

/**
 * Sends a request by a schedule, all attempts under one idempotency key, by which the server knows them for the same.
 *
 * @since 0.1.0
 * @category combinators
 */
export const retry = <A, R>(
  attempt: Effect.Effect<A, TinkerError.TinkerError, R>,
  schedule: Schedule.Schedule<unknown, TinkerError.TinkerError> = transient
): Effect.Effect<A, TinkerError.TinkerError, R> =>
  Effect.flatMap(uuid, (idempotencyKey) => {
    let retryCount = 0
    return Effect.suspend(() =>
      Effect.provideService(attempt, TinkerHttpClient.Attempt, { idempotencyKey, retryCount: retryCount++ })
    ).pipe(Effect.retry(schedule))
  })
