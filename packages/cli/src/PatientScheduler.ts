/**
 * A scheduler for programs that compute much beside what must go on.
 */
import * as Scheduler from "effect/Scheduler"

/**
 * Returns to Node's event loop after each round of fibers. The default does so after thousands, so that a burst of work
 * keeps timers and sockets waiting.
 *
 * @since 0.1.0
 * @category config
 */
export const patient = Scheduler.makeBatched((task) => void setImmediate(task))
