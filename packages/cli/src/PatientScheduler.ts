/**
 * A scheduler for programs that compute much beside what must go on.
 */
import * as Effect from "effect/Effect"
import * as Scheduler from "effect/Scheduler"

/**
 * Runs a program so that it returns to Node's event loop after each round of fibers. The default does so after thousands, so that a burst of work
 * keeps timers and sockets waiting.
 *
 * @since 0.1.0
 * @category combinators
 */
export const patiently: <A, E, R>(program: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = Effect.withScheduler(
  Scheduler.makeBatched((task) => void setImmediate(task))
)
