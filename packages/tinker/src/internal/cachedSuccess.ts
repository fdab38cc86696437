import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

/** Runs the effect at its first use and keeps what it gives. A failure is not kept: the next use tries again. */
export const cachedSuccess = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<Effect.Effect<A, E>> =>
  Effect.map(Effect.makeSemaphore(1), (semaphore) => {
    let cached = Option.none<A>()
    const fill = Effect.suspend(() =>
      Option.isSome(cached)
        ? Effect.succeed(cached.value)
        : Effect.map(effect, (value) => {
          cached = Option.some(value)
          return value
        })
    )
    return Effect.suspend(() => Option.isSome(cached) ? Effect.succeed(cached.value) : semaphore.withPermits(1)(fill))
  })
