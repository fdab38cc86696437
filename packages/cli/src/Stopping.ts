/**
 * Work that finishes what it has begun when it is told to stop.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"

/**
 * Runs `work`. When it is interrupted, as by Ctrl-C, `announce` is run, `stop` is done, and what `work` does then is waited for, to its
 * end.
 *
 * @since 0.1.0
 * @category combinators
 */
export const finishing = <A, E, R>(
  announce: Effect.Effect<void>,
  work: (stop: Deferred.Deferred<void>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const stop = yield* Deferred.make<void>()
      // An interruption reaches the children of a fiber too.
      const fiber = yield* Effect.forkDaemon(restore(work(stop)))
      return yield* restore(Fiber.join(fiber)).pipe(
        Effect.onInterrupt(() => Effect.all([announce, Deferred.succeed(stop, undefined), Fiber.await(fiber)]))
      )
    })
  )

/**
 * What is said at the first signal, where something is finished before the process ends.
 *
 * @since 0.1.0
 * @category utils
 */
export const announcement = (finished: string): string => `Stopping: ${finished}. Ctrl-C again stops at once.`

/**
 * Has the second signal that tells the process to stop end it at once, with the words of `second`, until the scope closes. The words of
 * `first`, if any, are written at the first signal.
 *
 * @since 0.1.0
 * @category combinators
 */
export const atOnce = ({ first, second, write }: {
  readonly first?: string | undefined
  readonly second: Effect.Effect<string>
  /** Writes before it returns, as the process may end then. */
  readonly write: (text: string) => void
}): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      let isStopping = false
      const listener = (signal: NodeJS.Signals) => {
        if (isStopping) {
          write(`${Effect.runSync(second)}\n`)
          process.exit(signal === "SIGINT" ? 130 : 143)
        }
        isStopping = true
        if (first !== undefined) write(`${first}\n`)
      }
      for (const signal of signals) process.on(signal, listener)
      return listener
    }),
    (listener) =>
      Effect.sync(() => {
        for (const signal of signals) process.off(signal, listener)
      })
  )

const signals = ["SIGINT", "SIGTERM"] as const
