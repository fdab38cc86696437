import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Monotonic from "../monotonic.js"

/**
 * Ends an effect with a failure at the moment at which it has made no progress for too long. `limit` is that moment as things
 * stand, in milliseconds of the monotonic clock; news may bring it nearer, but never nearer than `shortest` from then.
 */
export const watchdog = <A, E, R, E2>(
  effect: Effect.Effect<A, E, R>,
  limit: () => number,
  shortest: Duration.Duration,
  onStuck: () => Effect.Effect<never, E2>
): Effect.Effect<A, E | E2, R> =>
  Effect.raceFirst(
    effect,
    Effect.zipRight(Monotonic.sleepUntil(limit, Duration.toMillis(shortest)), Effect.suspend(onStuck))
  )
