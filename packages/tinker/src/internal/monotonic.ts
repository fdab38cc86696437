/**
 * Spans of time, by a clock that nobody can set: an hour taken back from the wall clock must neither stop a timeout nor make a
 * pause an hour long.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** The time of a clock that never goes back, in milliseconds. */
export const unsafeNow = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos()) / 1_000_000

/** The time of the clock that never goes back, in milliseconds. */
export const now: Effect.Effect<number> = Effect.clockWith((clock) => Effect.sync(() => unsafeNow(clock)))

/** Sleeps for so many milliseconds, in whole ones: timers would wake before a fraction is over. */
export const sleep = (wait: number): Effect.Effect<void> =>
  wait > 0 ? Effect.sleep(Math.min(Math.ceil(wait), longestSleep)) : Effect.void

/**
 * Sleeps until a moment, which may move meanwhile, as no schedule's can. If it may also come nearer, it is looked at again after `most`
 * milliseconds at the latest.
 */
export const sleepUntil = (moment: () => number, most: number = longestSleep): Effect.Effect<void> =>
  Effect.flatMap(now, (now) => {
    const left = moment() - now
    return left <= 0 ? Effect.void : Effect.zipRight(sleep(Math.min(left, most)), sleepUntil(moment, most))
  })

/** Timers know no more than 2^31 - 1 milliseconds. */
const longestSleep = 2 ** 31 - 1
