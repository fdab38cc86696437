import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { Faults } from "../src/index.js"
import * as Wire from "./wire.js"

const createSampler = Effect.map(
  Effect.flatMap(Wire.createSession, Wire.createSampler),
  ({ body }) => String(body.sampling_session_id)
)

const ask = (id: string, options: Record<string, unknown> = {}, clone = 0) =>
  Effect.map(
    Wire.post("retrieve_futures", {
      target: { type: "sampling_session", sampling_session_id: id, cloned_sampler_id: clone },
      prev_cursor: 0,
      retrieved_request_ids: [],
      ...options
    }),
    ({ body }) => body as { cursor: number; completions: ReadonlyArray<Record<string, unknown>> }
  )

describe("completions", () => {
  it.effect("tells which samples of a session are done, from a cursor on, with their sizes", () =>
    Effect.gen(function*() {
      const id = yield* createSampler
      const submitted = [yield* Wire.sample(id), yield* Wire.sample(id, { seq_id: 1, prompt: { chunks: [] } })]
      const { bytes } = yield* Wire.result(submitted[0]!, { protobuf: true })
      yield* Wire.result(submitted[1]!)
      const first = { state: "finished", request_id: `${id}:0`, response_payload_uncompressed_size: bytes.length }
      const second = { state: "failed", request_id: `${id}:1` }
      assert.deepStrictEqual(yield* ask(id), { cursor: 2, completions: [first, second] })
      assert.deepStrictEqual(yield* ask(id, { prev_cursor: 1 }), { cursor: 2, completions: [second] })
    }).pipe(Effect.provide(Wire.server())))

  it.effect("holds the question until a sample is done, and no longer than it should", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const id = yield* createSampler
      yield* faults.pauseQueue({ state: "paused_capacity" })
      yield* Wire.sample(id)
      const asking = yield* Effect.fork(ask(id))
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual((yield* Fiber.poll(asking))._tag, "None")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(asking), { cursor: 0, completions: [] })
      assert.deepStrictEqual(yield* ask(id, { timeout: 0 }), { cursor: 0, completions: [] })
      const again = yield* Effect.fork(ask(id))
      yield* TestClock.adjust("5 seconds")
      yield* faults.resumeQueue()
      assert.strictEqual((yield* Fiber.join(again)).cursor, 1)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("tells each copy of a client of its own samples", () =>
    Effect.gen(function*() {
      const id = yield* createSampler
      const numbers = ["999999999", "1000000000", "999999999000000001"]
      for (const number of numbers) {
        const { body } = yield* Wire.post(
          "asample",
          `{"sampling_session_id":"${id}","seq_id":${number},"prompt":{"chunks":[{"tokens":[1]}]},`
            + "\"sampling_params\":{\"max_tokens\":1}}"
        )
        yield* Wire.post("retrieve_future", { request_id: body.request_id })
      }
      for (const [i, clone] of [0, 1, 999_999_999].entries()) {
        const { completions } = yield* ask(id, { timeout: 0 }, clone)
        assert.deepStrictEqual(completions.map((completion) => completion.request_id), [`${id}:${numbers[i]}`])
      }
    }).pipe(Effect.provide(Wire.server())))

  it.effect("lets go of results whose receipt was confirmed, and of no others", () =>
    Effect.gen(function*() {
      const id = yield* createSampler
      const submitted = [yield* Wire.sample(id), yield* Wire.sample(id, { seq_id: 1 })]
      for (const reply of submitted) yield* Wire.result(reply)
      yield* ask(id, { timeout: 0, retrieved_request_ids: [`${id}:0`] })
      assert.strictEqual((yield* Wire.result(submitted[0]!)).status, 410)
      assert.strictEqual((yield* Wire.result(submitted[1]!)).status, 200)
      assert.strictEqual((yield* ask(id)).cursor, 2)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("refuses the question for a session that is not there", () =>
    Effect.gen(function*() {
      const { status } = yield* Wire.post("retrieve_futures", {
        target: { type: "sampling_session", sampling_session_id: "other", cloned_sampler_id: 0 },
        prev_cursor: 0,
        retrieved_request_ids: []
      })
      assert.strictEqual(status, 404)
    }).pipe(Effect.provide(Wire.server())))
})
