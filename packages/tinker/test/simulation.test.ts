import { assert, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as Simulation from "./simulation.js"

it.effect("counts the fibers that a program leaves behind, and those that end with it not", () =>
  Effect.gen(function*() {
    const simulation = yield* Simulation.make()
    yield* simulation.run(Effect.flatMap(Effect.fork(Effect.sleep("1 minute")), Fiber.join))
    assert.strictEqual(simulation.fibers(), 0)
    yield* simulation.run(Effect.forkDaemon(Effect.never))
    yield* simulation.settle
    assert.strictEqual(simulation.fibers(), 1)
    const fiber = yield* simulation.fork(Effect.sleep("1 minute"))
    yield* simulation.settle
    assert.strictEqual(simulation.fibers(), 2)
    yield* simulation.join(fiber)
    assert.strictEqual(simulation.fibers(), 1)
  }))
