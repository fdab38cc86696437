import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Steps } from "./steps.js"

/** Milliseconds of work at a time. */
const atOnce = 5

/** The result of a long computation, which lets timers and other fibers have their turn. */
export const givingWay = <A>(steps: Steps<A>): Effect.Effect<A> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    for (;;) {
      const until = clock.unsafeCurrentTimeMillis() + atOnce
      do {
        const next = steps.next()
        if (next.done === true) return next.value
      } while (clock.unsafeCurrentTimeMillis() < until)
      yield* Clock.sleep(0)
    }
  })
