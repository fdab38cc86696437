import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import * as RuntimeFlags from "effect/RuntimeFlags"

/**
 * Begins an effect in a fiber of its own, as one that may not be interrupted but where it says so, and lets it run up to its
 * first waiting before anything else: what need not wait is over then. Forked, it would wait for its turn first, which costs
 * more than a small effect itself. Goes on with the fiber at once, to whose end it has to see.
 */
export const start = <A, B, E, R>(
  effect: Effect.Effect<A>,
  next: (fiber: Fiber.RuntimeFiber<A>) => Effect.Effect<B, E, R>
): Effect.Effect<B, E, R> =>
  Effect.withFiberRuntime((parent, { runtimeFlags }) => {
    const runtime = Runtime.make({
      context: parent.currentContext,
      fiberRefs: parent.getFiberRefs(),
      runtimeFlags: RuntimeFlags.disable(runtimeFlags, RuntimeFlags.Interruption)
    })
    return next(Runtime.runFork(runtime)(effect))
  })
