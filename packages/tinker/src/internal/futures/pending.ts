/** A future that is not settled yet. */
import type { RequestId } from "@effect-tinker/protocol/Identifiers"
import { SessionClosedError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { type ApiFuture, type State, TypeId } from "../../ApiFuture.js"
import * as Fibers from "../effect/fibers.js"
import * as StateCell from "../stateCell.js"

/** A future, and the means to settle it. */
export interface Pending<A, E> {
  readonly future: ApiFuture<A, E>
  readonly report: (state: State) => void
  /** Runs what gives the result. Its end is the future's; `cancel` interrupts it. May be called for one part at a time. */
  readonly settleWith: (work: Effect.Effect<A, E>) => Effect.Effect<void>
  /** Runs a part of the work, which `cancel` interrupts; a failure is the future's, and there is no value then. */
  readonly part: <B>(work: Effect.Effect<B, E>) => Effect.Effect<B | undefined>
}

/** Runs before whoever awaits a future has its end. */
export type OnSettled<A> = (exit: Exit.Exit<A, unknown>) => Effect.Effect<void>

export const make = <A, E>(
  operation: string,
  requestIds: ReadonlyArray<RequestId>,
  onSettled?: OnSettled<A>
): Pending<A, E | TinkerError> => {
  const result = Deferred.unsafeMake<A, E | TinkerError>(FiberId.none)
  const states = StateCell.make<State>({ _tag: "submitted" }, sameState)
  let cancelled = false
  let running: Fibers.Running | undefined

  const reasonOf = (cause: Cause.Cause<E | TinkerError>): Exit.Exit<never, E | TinkerError> => {
    // What else was asked for is interrupted by the first failure.
    const failure = Cause.failureOption(cause)
    if (Option.isSome(failure)) return Exit.fail(failure.value)
    // Interrupted, but not by `cancel`: the scope of the client has closed.
    return Cause.isInterruptedOnly(cause) && !cancelled
      ? Exit.fail(new SessionClosedError({ operation, reason: "closed" }))
      : Exit.failCause(cause)
  }

  const settle = (exit: Exit.Exit<A, E | TinkerError>) =>
    Effect.suspend(() => {
      const settled = Exit.isSuccess(exit) ? exit : reasonOf(exit.cause)
      if (Exit.isSuccess(settled)) states.set({ _tag: "done" })
      else if (Cause.isInterruptedOnly(settled.cause)) states.set({ _tag: "cancelled" })
      else states.set({ _tag: "failed", error: Cause.squash(settled.cause) })
      states.end()
      const told = Deferred.done(result, settled)
      return onSettled === undefined ? Effect.asVoid(told) : Effect.zipRight(onSettled(settled), told)
    })

  const cancellable = <B>(work: Effect.Effect<B, E | TinkerError>) =>
    Fibers.withRunning((fiber): Effect.Effect<B, E | TinkerError> => {
      running = fiber
      return cancelled ? Effect.interrupt : work
    })

  return {
    future: {
      [TypeId]: TypeId,
      requestIds,
      await: Deferred.await(result),
      states: states.changes,
      cancel: Effect.suspend(() => {
        cancelled = true
        return running === undefined ? Effect.void : Effect.asVoid(Fiber.interrupt(running))
      })
    },
    report: states.set,
    settleWith: (work) =>
      Effect.uninterruptible(
        Effect.asVoid(Effect.exit(Effect.onExit(Effect.interruptible(cancellable(work)), settle)))
      ),
    part: (work) =>
      Effect.fork(cancellable(work)).pipe(
        Effect.flatMap(Fiber.await),
        Effect.flatMap((exit) =>
          Exit.isSuccess(exit)
            ? Effect.succeed(exit.value)
            : Effect.as(settle(Exit.failCause(exit.cause)), undefined)
        )
      )
  }
}

/** Runs what gives the result in a fiber of the scope. Closing the scope, also before the fiber has begun, ends the future. */
export const forkIn = <A, E>(
  scope: Scope.Scope,
  pending: Pending<A, E>,
  work: Effect.Effect<A, E>
): Effect.Effect<void> =>
  // A fiber begins as uninterruptible as the one that forks it.
  Effect.uninterruptible(Effect.asVoid(Effect.forkIn(pending.settleWith(work), scope)))

/** A future whose result is there. */
export const succeed = <A>(
  operation: string,
  value: A,
  onSettled?: OnSettled<A>
): Effect.Effect<ApiFuture<A>> => {
  const { future, settleWith } = make<A, TinkerError>(operation, [], onSettled)
  return Effect.as(settleWith(Effect.succeed(value)), future)
}

const sameState = (a: State, b: State): boolean => {
  if (a._tag === "queued" && b._tag === "queued") return a.queueState === b.queueState && a.reason === b.reason
  if (a._tag === "running" && b._tag === "running") return a.reason === b.reason
  return a._tag === b._tag && a._tag !== "retrying"
}
