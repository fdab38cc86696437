import {
  type BudgetExceededError,
  isDefinitelyRefused,
  isTinkerError,
  type TinkerError
} from "@effect-tinker/protocol/TinkerError"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { TinkerMetrics } from "../../TinkerMetrics.js"
import * as UsageMeter from "../../UsageMeter.js"
import type * as Fibers from "../effect/fibers.js"
import * as CallTrace from "./callTrace.js"

/** One public call under the eyes of a tracer and of meters. */
export interface WatchedCall {
  readonly track: CallTrace.Track
  /** Runs as the call: inside its span. A failure is its end. */
  readonly around: <A, R>(effect: Effect.Effect<A, TinkerError, R>) => Effect.Effect<A, TinkerError, R>
  /** Sets aside what the call may use, with every meter or with none. */
  readonly reserve: (most: () => UsageMeter.Usage) => Effect.Effect<void, BudgetExceededError>
  /** Says that from now on the server may have it. */
  readonly sent: () => void
  /** What was set aside first has been used; the rest belongs to what is sent later. */
  readonly partUsed: (used: UsageMeter.Usage) => void
  /** Adds attributes to the span of the whole call. */
  readonly annotate: (attributes: Readonly<Record<string, unknown>>) => void
  /** Only the first call counts. */
  readonly end: (exit: Exit.Exit<unknown, unknown>, used?: UsageMeter.Usage) => void
}

export const metersOf = (fiber: Fibers.Running): ReadonlyArray<UsageMeter.UsageMeter> =>
  Context.get(fiber.currentContext, UsageMeter.CurrentMeters)

export const begin = (
  fiber: Fibers.Running,
  name: string,
  attributes: () => Readonly<Record<string, unknown>>
): WatchedCall => make(name, metersOf(fiber), CallTrace.begin(fiber, name, attributes))

/** The same, or nothing where nobody watches: thousands of calls may be made a second. */
export const beginIfWatched = (
  fiber: Fibers.Running,
  name: string,
  attributes: () => Readonly<Record<string, unknown>>
): WatchedCall | undefined => {
  const meters = metersOf(fiber)
  const trace = CallTrace.begin(fiber, name, attributes)
  return meters.length === 0 && trace === undefined ? undefined : make(name, meters, trace)
}

const make = (
  name: string,
  meters: ReadonlyArray<UsageMeter.UsageMeter>,
  trace: CallTrace.CallTrace | undefined
): WatchedCall => {
  const reservations: Array<ReadonlyArray<UsageMeter.Reservation>> = []
  let isSent = false
  let hasEnded = false

  const end: WatchedCall["end"] = (exit, used) => {
    if (hasEnded) return
    hasEnded = true
    for (const reservation of reservations.flat()) {
      if (Exit.isSuccess(exit)) reservation.settle(used ?? UsageMeter.none)
      else if (isSent && mayHaveRun(exit.cause)) reservation.lose()
      else reservation.release()
    }
    trace?.end(exit)
  }

  return {
    track: trace?.track ?? CallTrace.untraced,
    around: (effect) =>
      Effect.onExit(
        trace === undefined ? effect : Effect.withParentSpan(effect, trace.span),
        (exit) => Exit.isSuccess(exit) ? Effect.void : Effect.sync(() => end(exit))
      ),
    reserve: (most) =>
      meters.length === 0
        ? Effect.void
        : Effect.suspend(() => {
          const usage = most()
          const group: Array<UsageMeter.Reservation> = []
          reservations.push(group)
          return Effect.forEach(
            meters,
            (meter) => Effect.map(meter.reserve(name, usage), (reservation) => group.push(reservation)),
            { discard: true }
          )
        }),
    sent: () => {
      isSent = true
    },
    partUsed: (used) => {
      isSent = false
      for (const reservation of reservations.shift() ?? []) reservation.settle(used)
    },
    annotate: (attributes) => {
      if (trace === undefined) return
      for (const name in attributes) trace.span.attribute(name, attributes[name])
    },
    end
  }
}

/** Whether the server may have done what was asked, although there is no result. */
const mayHaveRun = (cause: Cause.Cause<unknown>): boolean => {
  const failure = Cause.failureOption(cause)
  if (Option.isNone(failure) || !isTinkerError(failure.value)) return true
  const error = failure.value
  return error._tag === "SessionClosedError" || !(error._tag === "RequestFailedError" || isDefinitelyRefused(error))
}

/** Adds what a request has used to the metrics. */
export const count = (metrics: TinkerMetrics | undefined, used: UsageMeter.Usage): void => {
  if (metrics === undefined) return
  metrics.countTokens("training", used.training)
  metrics.countTokens("prefill", used.prefill)
  metrics.countTokens("cachedPrefill", used.cachedPrefill)
  metrics.countTokens("sampled", used.sampled)
}
