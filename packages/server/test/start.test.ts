import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, FiberRef } from "effect"
import { start } from "../src/internal/fast/start.js"

describe("what is started", () => {
  it.effect("is over at once where it need not wait, and goes on by itself where it must", () =>
    Effect.gen(function*() {
      const steps: Array<string> = []
      const gate = yield* Deferred.make<void>()
      const note = (step: string) => Effect.sync(() => void steps.push(step))
      const quick = yield* start(note("quick"), (fiber) => Effect.succeed(fiber.unsafePoll()))
      assert.deepStrictEqual(quick, Exit.void)
      const slow = yield* start(
        Effect.zipRight(note("begun"), Effect.zipRight(Deferred.await(gate), note("done"))),
        (fiber) => Effect.as(note("beside"), fiber)
      )
      assert.deepStrictEqual(steps, ["quick", "begun", "beside"])
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(slow)
      assert.deepStrictEqual(steps, ["quick", "begun", "beside", "done"])
    }))

  it.effect("outlives whoever has started it, and is interrupted only where it lets that happen", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const held = Effect.exit(Effect.zipRight(Deferred.await(gate), Effect.interruptible(Effect.never)))
      const fiber = yield* Fiber.join(yield* Effect.fork(start(held, Effect.succeed)))
      const interruption = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* Effect.yieldNow()
      assert.isNull(fiber.unsafePoll())
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(interruption)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.join(fiber)))
    }))

  it.effect("has the clock and the values of whoever has started it", () =>
    Effect.gen(function*() {
      const ref = FiberRef.unsafeMake("nobody's")
      const seen = Effect.zip(FiberRef.get(ref), Clock.currentTimeMillis)
      const fiber = yield* Effect.locally(start(seen, Effect.succeed), ref, "mine")
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["mine", yield* Clock.currentTimeMillis])
    }))
})
