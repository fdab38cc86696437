/** Asking for results until they are there. */
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ApiFuture, State } from "../../ApiFuture.js"
import * as WaitingPolicy from "../../WaitingPolicy.js"
import { CurrentProgress } from "../call/heldToProgress.js"
import { shortestProgressTimeout } from "../call/progress.js"
import { watchdog } from "../call/watchdog.js"
import * as Fibers from "../effect/fibers.js"
import * as Monotonic from "../monotonic.js"
import * as Pending from "./pending.js"
import type { Submitted, Waiting } from "./submitted.js"
import { Waiter } from "./waiter.js"

/**
 * Polls for the results of the chunks of one call in a fiber of the scope, and combines them in order. When one fails,
 * the others are no longer asked for.
 */
export const inScope = <A, B>(
  waiting: Waiting,
  scope: Scope.Scope,
  chunks: ReadonlyArray<Submitted<A>>,
  combine: (results: ReadonlyArray<A>) => B,
  onSettled?: Pending.OnSettled<B>
): Effect.Effect<ApiFuture<B>> =>
  Effect.suspend(() => {
    const pending = Pending.make<B, TinkerError>(
      chunks[0]!.operation,
      chunks.map((chunk) => chunk.requestId),
      onSettled
    )
    const work = Effect.map(retrieveAll(waiting, chunks, pending.report), combine)
    return Effect.as(Pending.forkIn(scope, pending, work), pending.future)
  })

/** Asks for several results at once. */
export const retrieveAll = <A>(
  waiting: Waiting,
  chunks: ReadonlyArray<Submitted<A>>,
  report: (state: State) => void
): Effect.Effect<ReadonlyArray<A>, TinkerError> =>
  chunks.length === 1
    ? Effect.map(retrieve(waiting, chunks[0]!, report), (result) => [result])
    : Effect.forEach(chunks, (chunk) => retrieve(waiting, chunk, report), { concurrency: "unbounded" })

/** Asks for one result until it is there, or the `WaitingPolicy` in force says otherwise. */
export const retrieve = <A>(
  waiting: Waiting,
  submitted: Submitted<A>,
  report?: ((state: State) => void) | undefined
): Effect.Effect<A, TinkerError> =>
  Fibers.withRunning((fiber) => {
    const policy = Context.get(fiber.currentContext, WaitingPolicy.CurrentWaitingPolicy)
    const progress = submitted.progress ?? Context.get(fiber.currentContext, CurrentProgress)
    return Effect.clockWith((clock) => {
      const now = Monotonic.unsafeNow(clock)
      const waiter = new Waiter(waiting, { ...submitted, progress }, report, policy, now)
      const watched = policy.failsWhenStuck && progress === undefined
        ? watchdog(waiter.run, () => waiter.stuckAt(), shortestProgressTimeout(policy), waiter.failAsStuck)
        : waiter.run
      const left = Duration.toMillis(policy.deadline) - (now - (submitted.began ?? now))
      return Effect.catchAll(
        Duration.isFinite(policy.deadline)
          ? Effect.timeoutFail(watched, {
            duration: Math.max(0, Math.ceil(left)),
            onTimeout: () => waiter.timeout("waiting", policy.deadline)
          })
          : watched,
        waiter.onFailure
      )
    })
  })
