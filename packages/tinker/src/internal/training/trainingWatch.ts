/** How the calls of a training client are watched. */
import type { Datum } from "@effect-tinker/protocol/Datum"
import * as ModelInput from "@effect-tinker/protocol/ModelInput"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type { Session } from "../../SessionManager.js"
import * as UsageMeter from "../../UsageMeter.js"
import * as WaitingPolicy from "../../WaitingPolicy.js"
import { submissionHeldToProgress } from "../call/heldToProgress.js"
import type { Observers } from "../call/observers.js"
import * as WatchedCall from "../call/watchedCall.js"
import * as Fibers from "../effect/fibers.js"
import type { OnSettled } from "../futures/pending.js"
import type { Submitted } from "../futures/submitted.js"
import * as Monotonic from "../monotonic.js"

export interface TrainingWatch {
  /** Runs a call as a public one, within the deadline in force: its span lasts until its result is there. */
  readonly watched: <A, R>(
    name: string,
    run: (watch: WatchedCall.WatchedCall) => Effect.Effect<A, TinkerError, R>
  ) => Effect.Effect<A, TinkerError, R>
  /** The call waits for its turn from now on: in milliseconds of the monotonic clock. */
  readonly inTurn: (watch: WatchedCall.WatchedCall) => Effect.Effect<number>
  /** The end of its result. */
  readonly settled: (name: string, watch: WatchedCall.WatchedCall, used: UsageMeter.Usage) => OnSettled<unknown>
}

export const make = (
  { metrics, reporting, telemetry }: Observers,
  session: Session,
  others: { readonly at: number },
  ids: () => Readonly<Record<string, unknown>>
): TrainingWatch => ({
  watched: (name, run) =>
    Fibers.withRunning((fiber) => {
      const watch = WatchedCall.begin(fiber, name, ids)
      const submitted = session.noteLoss(Effect.suspend(() => run(watch)))
      const notAccepted = { operation: name, state: "not accepted yet" }
      const held = submissionHeldToProgress(submitted, notAccepted, others)
      return reporting(name)(watch.around(WaitingPolicy.bounded(held, () => notAccepted)))
    }),
  inTurn: (watch) =>
    Effect.map(Monotonic.now, (now) => {
      watch.track.enter("wait for turn")
      return now
    }),
  settled: (name, watch, used) => (exit) =>
    Effect.suspend(() => {
      if (Exit.isSuccess(exit)) WatchedCall.count(metrics, used)
      watch.end(exit, used)
      return Exit.isFailure(exit) && telemetry !== undefined
        ? telemetry.reportFailure(name, exit.cause)
        : Effect.void
    })
})

/** One request has one id, a call in parts the ids of all. */
export const requestIdsOf = (submitted: ReadonlyArray<Submitted<unknown>>): string =>
  submitted.map(({ requestId }) => requestId).join(" ")

/** What a pass over the data uses. Images and audio count as `unknown` where they do not say how many tokens they are. */
export const usageOf = (data: ReadonlyArray<Datum>, unknown: number): UsageMeter.Usage => {
  let training = 0
  for (const { modelInput } of data) training += Either.getOrElse(ModelInput.length(modelInput), () => unknown)
  return { ...UsageMeter.none, training }
}
