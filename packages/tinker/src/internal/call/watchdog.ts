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
): Effect.Effect<A, E | E2, R> => {
  const nap = Math.min(Duration.toMillis(shortest), longestSleep)
  const watch: Effect.Effect<never, E2> = Effect.flatMap(Monotonic.now, (now) => {
    const left = limit() - now
    if (left <= 0) return onStuck()
    return Effect.zipRight(Effect.sleep(Math.ceil(Math.min(left, nap))), watch)
  })
  return Effect.raceFirst(effect, watch)
}

/** Timers know no more than 2^31 - 1 milliseconds. */
const longestSleep = 2 ** 31 - 1
