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
