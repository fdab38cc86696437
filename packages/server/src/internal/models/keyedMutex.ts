/** Does what concerns one thing one after another, and what concerns different things at once. */
import * as Effect from "effect/Effect"

/** Runs an effect while no other of the same key runs. */
export type KeyedMutex = <A, E, R>(key: string, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

export const make = (): KeyedMutex => {
  const locks = new Map<string, { readonly semaphore: Effect.Semaphore; holders: number }>()
  return (key, effect) =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        const lock = locks.get(key) ?? { semaphore: Effect.unsafeMakeSemaphore(1), holders: 0 }
        locks.set(key, lock)
        lock.holders += 1
        return lock
      }),
      ({ semaphore }) => semaphore.withPermits(1)(effect),
      (lock) =>
        Effect.sync(() => {
          lock.holders -= 1
          if (lock.holders === 0) locks.delete(key)
        })
    )
}
