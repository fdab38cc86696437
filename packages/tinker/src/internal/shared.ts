import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"

/**
 * One run at a time, in the scope, for all who ask while it lasts: they share what comes of it. Interrupting one of them
 * ends the wait of that one alone.
 */
export const shared = <A, E>(effect: Effect.Effect<A, E>, scope: Scope.Scope): Effect.Effect<A, E> => {
  let running: Deferred.Deferred<A, E> | undefined
  return Effect.suspend(() => {
    if (running !== undefined) return Deferred.await(running)
    const outcome = running = Deferred.unsafeMake<A, E>(FiberId.none)
    const run = Effect.ensuring(
      Effect.interruptible(effect),
      Effect.sync(() => {
        running = undefined
      })
    )
    // The fiber must not end before it has begun, or the others would wait for ever.
    return Effect.zipRight(
      Effect.uninterruptible(Effect.forkIn(Effect.intoDeferred(run, outcome), scope)),
      Deferred.await(outcome)
    )
  })
}
