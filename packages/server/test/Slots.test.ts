import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import * as Slots from "../src/internal/models/slots.js"

/** Work that notes its name when it begins, and ends when told. */
const makeWork = Effect.sync(() => {
  const begun: Array<string> = []
  const ends = new Map<string, Deferred.Deferred<void>>()
  const work = (name: string) =>
    Effect.gen(function*() {
      begun.push(name)
      const end = yield* Deferred.make<void>()
      ends.set(name, end)
      yield* Deferred.await(end)
    })
  const end = (name: string) => Effect.zipRight(Deferred.succeed(ends.get(name)!, undefined), settled)
  return { begun, work, end }
})

const settled = Effect.repeatN(Effect.yieldNow(), 5)

describe("slots", () => {
  it.effect("let no more run at a time than there are", () =>
    Effect.gen(function*() {
      const slots = Slots.make(2)
      const { begun, end, work } = yield* makeWork
      for (const name of ["a", "b", "c"]) yield* Effect.fork(slots.within("one", work(name)))
      yield* settled
      assert.deepStrictEqual(begun, ["a", "b"])
      assert.deepStrictEqual([slots.taken(), slots.waiting()], [2, 1])
      yield* end("b")
      assert.deepStrictEqual(begun, ["a", "b", "c"])
      yield* end("a")
      yield* end("c")
      assert.deepStrictEqual([slots.taken(), slots.waiting()], [0, 0])
    }))

  it.effect("give turns to groups, so that one with many does not hold up another", () =>
    Effect.gen(function*() {
      const slots = Slots.make(1)
      const { begun, end, work } = yield* makeWork
      for (const name of ["many 1", "many 2", "many 3"]) yield* Effect.fork(slots.within("many", work(name)))
      for (const name of ["few 1", "few 2"]) yield* Effect.fork(slots.within("few", work(name)))
      yield* settled
      for (let i = 0; i < 4; i++) yield* end(begun.at(-1)!)
      assert.deepStrictEqual(begun, ["many 1", "many 2", "few 1", "many 3", "few 2"])
    }))

  it.effect("are free again after work that fails, dies or is interrupted, and those who leave lose their place", () =>
    Effect.gen(function*() {
      const slots = Slots.make(1)
      const { begun, end, work } = yield* makeWork
      yield* Effect.exit(slots.within("one", Effect.fail("wrong")))
      yield* Effect.exit(slots.within("one", Effect.die("broken")))
      const first = yield* Effect.fork(slots.within("one", work("first")))
      yield* settled
      const second = yield* Effect.fork(slots.within("one", work("second")))
      yield* Effect.fork(slots.within("one", work("third")))
      yield* settled
      yield* Fiber.interrupt(second)
      yield* Fiber.interrupt(first)
      yield* settled
      assert.deepStrictEqual(begun, ["first", "third"])
      yield* end("third")
      assert.deepStrictEqual([slots.taken(), slots.waiting()], [0, 0])
    }))

  it.effect("are not missed by those who begin to wait while the last one becomes free", () =>
    Effect.gen(function*() {
      const slots = Slots.make(1)
      const [first, second] = [slots.slot("one"), slots.slot("two")]
      yield* first.begin()
      const waits = second.begin()
      assert.isFalse(second.hasBegun())
      first.end()
      yield* waits
      assert.isTrue(second.hasBegun())
      assert.strictEqual(slots.taken(), 1)
      second.end()
      second.end()
      assert.strictEqual(slots.taken(), 0)
    }))
})
