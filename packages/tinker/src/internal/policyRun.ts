import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as ScheduleIntervals from "effect/ScheduleIntervals"
import type { TinkerError } from "../TinkerError.js"
import * as Monotonic from "./monotonic.js"

/** A policy, followed from the first failure on. */
export interface PolicyRun {
  /**
   * How long to wait before another attempt, in milliseconds: as the policy says, and never less than the server asks.
   * `undefined` when the policy is over, or will be when the server wants to be asked again.
   */
  readonly next: (error: TinkerError) => Effect.Effect<number | undefined>
}

export const begin = (policy: Schedule.Schedule<unknown, TinkerError>): PolicyRun => {
  let state: unknown = policy.initial
  const isOver = (now: number, error: TinkerError) =>
    Effect.map(policy.step(now, error, state), ([, , decision]) => ScheduleDecision.isDone(decision))
  return {
    next: (error) =>
      Effect.gen(function*() {
        const now = yield* Monotonic.now
        const asked = askedToWait(error)
        const [next, , decision] = yield* policy.step(now, error, state)
        state = next
        if (ScheduleDecision.isDone(decision)) return undefined
        const own = ScheduleIntervals.start(decision.intervals) - now
        if (asked <= own) return Math.max(0, own)
        // A policy that counts attempts is over at both times once it has no other; one with a time limit only then.
        return (yield* isOver(now + asked, error)) && !(yield* isOver(now, error)) ? undefined : asked
      })
  }
}

/** In milliseconds. */
const askedToWait = (error: TinkerError): number =>
  error._tag === "ApiStatusError" && error.retryAfter !== undefined ? Duration.toMillis(error.retryAfter) : 0
