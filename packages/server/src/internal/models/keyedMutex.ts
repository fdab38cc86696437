/** Does what concerns one thing one after another, and what concerns different things at once. */
import * as Effect from "effect/Effect"

/** Runs an effect while no other of the same key runs. */
export type KeyedMutex = <A, E, R>(key: string, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

export const make = (): KeyedMutex => {
  const turns = new Map<string, { readonly semaphore: Effect.Semaphore; holders: number }>()
  return (key, effect) =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        const turn = turns.get(key) ?? { semaphore: Effect.unsafeMakeSemaphore(1), holders: 0 }
        turns.set(key, turn)
        turn.holders += 1
        return turn
      }),
      ({ semaphore }) => semaphore.withPermits(1)(effect),
      (turn) =>
        Effect.sync(() => {
          turn.holders -= 1
          if (turn.holders === 0) turns.delete(key)
        })
    )
}
