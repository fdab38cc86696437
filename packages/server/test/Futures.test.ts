import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, TestClock } from "effect"
import { Futures } from "../src/index.js"
import * as Completions from "../src/internal/models/completions.js"
import * as Wire from "./wire.js"

const idle = Effect.succeed({ state: "active" } as const)

const outcome: Futures.Outcome = { _tag: "Completed", json: () => ({}), bytes: new Uint8Array(1000) }

const ask = (futures: Futures.Service, requestId: string) =>
  Effect.map(
    futures.retrieve(requestId, { allowMetadataOnly: false }),
    Option.match({ onNone: () => "None", onSome: ({ _tag }) => _tag })
  )

describe("outcomes", () => {
  it.effect("that were fetched and could be computed again are kept up to a size, the newest the longest", () =>
    Effect.gen(function*() {
      const forgotten: Array<string> = []
      const futures = Futures.make({ maxFetchedBytes: 11_000, onForgotten: (id) => void forgotten.push(id) })
      for (let i = 0; i < 6; i++) {
        yield* futures.submit(`s:${i}`, idle, { isRepeatable: true })
        yield* futures.complete(`s:${i}`, outcome)
        if (i !== 1) yield* ask(futures, `s:${i}`)
      }
      assert.deepStrictEqual(forgotten, ["s:0", "s:2", "s:3"])
      assert.strictEqual(yield* ask(futures, "s:0"), "Expired")
      for (const id of ["s:4", "s:5", "s:1"]) assert.strictEqual(yield* ask(futures, id), "Completed", id)
    }))

  it.effect("of training stay however often they are fetched, until their time is over", () =>
    Effect.gen(function*() {
      const futures = Futures.make({ maxFetchedBytes: 1 })
      yield* futures.submit("m:1", idle)
      yield* futures.complete("m:1", outcome)
      for (let i = 0; i < 3; i++) assert.strictEqual(yield* ask(futures, "m:1"), "Completed")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* ask(futures, "m:1"), "Expired")
    }))

  it.effect("that nobody can tell of are lost, to whoever waits, asks later or registers the request again", () =>
    Effect.gen(function*() {
      const futures = Futures.make()
      yield* futures.submit("m:1", idle)
      const waiting = yield* Effect.fork(ask(futures, "m:1"))
      yield* Effect.yieldNow()
      yield* futures.lose("m:1")
      assert.strictEqual(yield* Fiber.join(waiting), "Lost")
      yield* futures.submit("m:1", idle)
      yield* futures.complete("m:1", outcome)
      assert.strictEqual(yield* ask(futures, "m:1"), "Lost")
      // One that was done is no loss, and one of an earlier server is none that failed where it cannot be read.
      yield* futures.submit("m:2", idle)
      yield* futures.complete("m:2", outcome)
      yield* futures.lose("m:2")
      assert.strictEqual(yield* ask(futures, "m:2"), "Completed")
      yield* futures.restore("m:3", { _tag: "Result", at: 0, read: Effect.succeed(undefined) })
      assert.strictEqual(yield* ask(futures, "m:3"), "Lost")
    }))

  it.effect("that are forgotten are computed again when the request comes again", () =>
    Effect.gen(function*() {
      const sampler = (yield* Wire.createSampler(yield* Wire.createSession)).body.sampling_session_id
      const first = yield* Wire.result(yield* Wire.sample(sampler))
      const second = yield* Wire.result(yield* Wire.sample(sampler, { seq_id: 1 }))
      assert.strictEqual(second.body.type, "sample")
      const again = { body: { request_id: `${String(sampler)}:0` } } as unknown as Wire.Reply
      assert.strictEqual((yield* Wire.result(again)).status, 410)
      assert.deepStrictEqual((yield* Wire.result(yield* Wire.sample(sampler))).body, first.body)
    }).pipe(Effect.provide(Wire.server({ protocol: { maxFetchedBytes: 5000 } }))))
})

describe("completions", () => {
  it.effect("are told in order to who asks for them, and are not kept for ever where nobody does", () =>
    Effect.gen(function*() {
      const completions = Completions.make()
      const add = (count: number) =>
        Effect.forEach(
          Array.from({ length: count }, (_, i) => i),
          (i) => completions.add(0, { requestId: String(i), isFailed: false, size: 0 }),
          { discard: true }
        )
      yield* add(3000)
      const first = yield* completions.after(0, 0, 0)
      assert.strictEqual(first.cursor, 3000)
      assert.lengthOf(first.completions, 3000)
      yield* add(2)
      const next = yield* completions.after(0, first.cursor, 0)
      assert.deepStrictEqual(next.completions.map(({ requestId }) => requestId), ["0", "1"])
      // The same question again, as its answer was lost.
      assert.deepStrictEqual(yield* completions.after(0, first.cursor, 0), next)
      yield* add(50_000)
      assert.isBelow((yield* completions.after(0, next.cursor, 0)).completions.length, 20_001)
    }))
})
