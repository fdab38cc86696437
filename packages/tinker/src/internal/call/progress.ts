import * as Duration from "effect/Duration"
import type { WaitingPolicy } from "../../WaitingPolicy.js"

/** How one request gets on. */
export interface Progress {
  /** When the last news of it came, in milliseconds of the monotonic clock. Infinity: none is expected yet. */
  at: number
  /** Whether that was that it is active. */
  isActive: boolean
}

/** How long the policy lets it be without news. */
export const progressTimeout = ({ isActive }: Progress, { activeFor, stuckAfter }: WaitingPolicy): Duration.Duration =>
  isActive ? activeFor : stuckAfter

/** However it gets on. */
export const shortestProgressTimeout = ({ activeFor, stuckAfter }: WaitingPolicy): Duration.Duration =>
  Duration.min(activeFor, stuckAfter)

/** When it counts as stuck, as things stand; a result of another request of the same client at `others` is news too. */
export const stuckAt = (progress: Progress, others: number, policy: WaitingPolicy): number =>
  Math.max(progress.at, others) + Duration.toMillis(progressTimeout(progress, policy))
