import { assert, it } from "@effect/vitest"
import { Deferred, Effect, FastCheck, Fiber } from "effect"
import * as Budget from "../src/internal/dispatch/budget.js"

/** Holds a share until told to let go, and notes that it has it. */
const holder = (budget: Budget.Budget, cost: number, name: string, order: Array<string>) =>
  Effect.gen(function*() {
    const over = yield* Deferred.make<void>()
    const fiber = yield* Effect.fork(
      budget.withPermits(cost)(
        Effect.zipRight(Effect.sync(() => order.push(name)), Deferred.await(over))
      )
    )
    yield* Effect.yieldNow()
    return { fiber, release: Effect.zipRight(Deferred.succeed(over, undefined), Fiber.await(fiber)) }
  })

it.effect("who asks for more than there is gets all of it, alone, and the next waits until it is back", () =>
  Effect.gen(function*() {
    const budget = Budget.make(() => 5)
    const order: Array<string> = []
    const large = yield* holder(budget, 8, "large", order)
    const small = yield* holder(budget, 1, "small", order)
    assert.deepStrictEqual(order, ["large"])
    assert.deepStrictEqual([budget.taken(), budget.waiting()], [5, 1])
    yield* large.release
    assert.deepStrictEqual(order, ["large", "small"])
    assert.deepStrictEqual([budget.taken(), budget.waiting()], [1, 0])
    yield* small.release
    assert.strictEqual(budget.taken(), 0)
  }))

it.effect("serves those who wait in their order, also when a later one would fit", () =>
  Effect.gen(function*() {
    const budget = Budget.make(() => 5)
    const order: Array<string> = []
    const first = yield* holder(budget, 3, "first", order)
    const second = yield* holder(budget, 4, "second", order)
    const third = yield* holder(budget, 1, "third", order)
    assert.deepStrictEqual(order, ["first"])
    yield* first.release
    assert.deepStrictEqual(order, ["first", "second", "third"])
    yield* second.release
    yield* third.release
    assert.strictEqual(budget.taken(), 0)
  }))

it.effect("who is interrupted while waiting takes nothing, and lets those behind go on", () =>
  Effect.gen(function*() {
    const budget = Budget.make(() => 5)
    const order: Array<string> = []
    const first = yield* holder(budget, 3, "first", order)
    const second = yield* holder(budget, 4, "second", order)
    const third = yield* holder(budget, 1, "third", order)
    yield* Fiber.interrupt(second.fiber)
    assert.deepStrictEqual(order, ["first", "third"])
    assert.deepStrictEqual([budget.taken(), budget.waiting()], [4, 0])
    yield* Fiber.interrupt(first.fiber)
    yield* third.release
    assert.strictEqual(budget.taken(), 0)
  }))

it.effect("who is interrupted at the moment of being served gives the share back", () =>
  Effect.gen(function*() {
    const budget = Budget.make(() => 5)
    const order: Array<string> = []
    const first = yield* holder(budget, 5, "first", order)
    const second = yield* holder(budget, 5, "second", order)
    const third = yield* holder(budget, 5, "third", order)
    yield* Effect.all([first.release, Fiber.interrupt(second.fiber)], { concurrency: "unbounded" })
    yield* Effect.yieldNow()
    assert.strictEqual(order.at(-1), "third")
    yield* third.release
    assert.deepStrictEqual([budget.taken(), budget.waiting()], [0, 0])
  }))

it.effect("grows and shrinks with its capacity, and gives back what it gave", () =>
  Effect.gen(function*() {
    let capacity = 2
    const budget = Budget.make(() => capacity)
    const order: Array<string> = []
    const first = yield* holder(budget, 2, "first", order)
    const second = yield* holder(budget, 6, "second", order)
    capacity = 10
    yield* first.release
    assert.strictEqual(budget.taken(), 6)
    capacity = 1
    const third = yield* holder(budget, 1, "third", order)
    assert.deepStrictEqual(order, ["first", "second"])
    yield* second.release
    assert.deepStrictEqual(order, ["first", "second", "third"])
    yield* third.release
    assert.strictEqual(budget.taken(), 0)
  }))

it.effect("whatever is asked for and given up, no more is out than there is, in order of asking, and all comes back", () =>
  Effect.promise(() =>
    FastCheck.assert(
      FastCheck.asyncProperty(
        FastCheck.integer({ min: 1, max: 12 }),
        FastCheck.array(
          FastCheck.record({
            cost: FastCheck.integer({ min: 1, max: 15 }),
            turns: FastCheck.nat(4),
            interruptedAfter: FastCheck.option(FastCheck.nat(6), { nil: undefined })
          }),
          { maxLength: 30 }
        ),
        (capacity, holders) =>
          Effect.gen(function*() {
            const budget = Budget.make(() => capacity)
            const order: Array<number> = []
            const wait = (turns: number) => Effect.repeatN(Effect.yieldNow(), turns)
            const work = (turns: number, i: number) =>
              Effect.gen(function*() {
                order.push(i)
                assert.isAtMost(budget.taken(), capacity)
                yield* wait(turns)
              })
            const fibers = yield* Effect.forEach(
              holders,
              ({ cost, turns }, i) => Effect.fork(budget.withPermits(cost)(work(turns, i)))
            )
            yield* Effect.forEach(holders, ({ interruptedAfter }, i) =>
              interruptedAfter === undefined
                ? Effect.void
                : Effect.zipRight(wait(interruptedAfter), Fiber.interrupt(fibers[i]!)), { concurrency: "unbounded" })
            yield* Effect.forEach(fibers, Fiber.await)
            assert.deepStrictEqual(order, [...order].sort((a, b) => a - b))
            for (const [i, { interruptedAfter }] of holders.entries()) {
              if (interruptedAfter === undefined) assert.include(order, i)
            }
            assert.deepStrictEqual([budget.taken(), budget.waiting()], [0, 0])
          }).pipe(Effect.runPromise)
      ),
      { numRuns: 200, seed: 1 }
    )
  ))
