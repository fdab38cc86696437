import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as ScheduleIntervals from "effect/ScheduleIntervals"
import * as Monotonic from "../monotonic.js"

/** A policy, followed from the first failure on. */
export interface PolicyRun {
  /**
   * How long to wait before another attempt, in milliseconds: as the policy says, and never less than the server asks.
   * `undefined` when the policy is over, or will be when the server wants to be asked again, or when that is in more than an hour.
   */
  readonly next: (error: TinkerError) => Effect.Effect<number | undefined>
  /** Waits for so long. False, at once, when the policy is over. */
  readonly pause: (error: TinkerError) => Effect.Effect<boolean>
}

export const begin = (policy: Schedule.Schedule<unknown, TinkerError>): PolicyRun => {
  let state: unknown = policy.initial
  let isFirst = true
  const isOver = (now: number, error: TinkerError, state: unknown) =>
    Effect.map(policy.step(now, error, state), ([, , decision]) => ScheduleDecision.isDone(decision))
  const next = (error: TinkerError) =>
    Effect.gen(function*() {
      const now = yield* Monotonic.now
      const asked = askedToWait(error)
      const before = state
      const [next, , decision] = yield* policy.step(now, error, before)
      state = next
      if (ScheduleDecision.isDone(decision)) return undefined
      const own = ScheduleIntervals.start(decision.intervals) - now
      // A time limit counts from the first step, which must not be the one that is tried.
      const tried = isFirst ? next : before
      isFirst = false
      if (asked > longestAsked) return undefined
      if (asked <= own) return Math.max(0, own)
      if (!(yield* isOver(now + asked, error, tried))) return asked
      // One that counts attempts has no other now either.
      return tried === next && (yield* isOver(now, error, tried)) ? asked : undefined
    })
  return {
    next,
    pause: (error) =>
      Effect.flatMap(
        next(error),
        (wait) => wait === undefined ? Effect.succeed(false) : Effect.as(Monotonic.sleep(wait), true)
      )
  }
}

/** The longest wait that a server may ask for, in milliseconds. Nobody waits so long for one answer without wanting to hear of it. */
const longestAsked = 3_600_000

/** The wait that the server asks for, in milliseconds. */
const askedToWait = (error: TinkerError): number =>
  error._tag === "ApiStatusError" && error.retryAfter !== undefined ? Duration.toMillis(error.retryAfter) : 0
