/**
 * How long this process was ever too busy to answer: heartbeats and long polls need it free.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** Between two looks, in milliseconds. */
const interval = 5

/**
 * Watches while the scope is open. The effect gives the longest pause since it was last asked, in milliseconds. It is
 * real time that is measured, whatever clock the program runs by.
 *
 * @since 0.1.0
 * @category constructors
 */
export const watch: Effect.Effect<Effect.Effect<number>, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => {
      const state = { last: process.hrtime.bigint(), longest: 0 }
      const timer = setInterval(() => {
        const now = process.hrtime.bigint()
        state.longest = Math.max(state.longest, Number(now - state.last) / 1e6 - interval)
        state.last = now
      }, interval)
      timer.unref()
      return { state, timer }
    }),
    ({ timer }) => Effect.sync(() => clearInterval(timer))
  ),
  ({ state }) =>
    Effect.sync(() => {
      const { longest } = state
      state.longest = 0
      return longest
    })
)
