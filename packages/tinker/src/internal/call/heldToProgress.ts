import { ApiTimeoutError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as WaitingPolicy from "../../WaitingPolicy.js"
import * as Monotonic from "../monotonic.js"
import { type Progress, progressTimeout, shortestProgressTimeout, stuckAt } from "./progress.js"
import { watchdog } from "./watchdog.js"

/** The progress of the call around, where that ends it when it is stuck. */
export class CurrentProgress extends Context.Reference<CurrentProgress>()("effect-tinker/internal/CurrentProgress", {
  defaultValue: (): Progress | undefined => undefined
}) {}

/** Ends a call that makes no progress for as long as the policy in force allows. What it waits for tells of its own. */
export const heldToProgress = <A, E, R>(
  call: Effect.Effect<A, E, R>,
  told: { readonly operation: string; readonly state: string }
): Effect.Effect<A, E | TinkerError, R> =>
  held(call, told, (progress) => Effect.provideService(call, CurrentProgress, progress), () => -Infinity)

/** The same for the submission of a call, whose result is watched by itself. A result of another call at `others` is progress. */
export const submissionHeldToProgress = <A, E, R>(
  submission: Effect.Effect<A, E, R>,
  told: { readonly operation: string; readonly state: string },
  others: { readonly at: number }
): Effect.Effect<A, E | TinkerError, R> => held(submission, told, () => submission, () => others.at)

const held = <A, E, R>(
  call: Effect.Effect<A, E, R>,
  told: { readonly operation: string; readonly state: string },
  watched: (progress: Progress) => Effect.Effect<A, E, R>,
  others: () => number
): Effect.Effect<A, E | TinkerError, R> =>
  Effect.flatMap(WaitingPolicy.CurrentWaitingPolicy, (policy) =>
    policy.failsWhenStuck
      ? Effect.flatMap(Monotonic.now, (now) => {
        const progress: Progress = { at: now, isActive: false }
        return watchdog(
          watched(progress),
          () => stuckAt(progress, others(), policy),
          shortestProgressTimeout(policy),
          () =>
            Effect.fail(new ApiTimeoutError({ reason: "stuck", deadline: progressTimeout(progress, policy), ...told }))
        )
      })
      : call)
