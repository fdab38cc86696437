import { assert, describe, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import * as Wire from "./wire.js"

/** What a server says of a request at once, without holding the question. */
const stateOf = (submitted: Wire.Reply) => Effect.map(Wire.result(submitted), ({ body }) => body)

const impatient = { holdTime: 0 }
const slow = { stepDuration: "1 second" } as const

describe("limits", () => {
  it.effect("let samples wait that are more than are computed at a time, and say so", () =>
    Effect.gen(function*() {
      const sampler = (yield* Wire.createSampler(yield* Wire.createSession)).body.sampling_session_id
      const submitted = yield* Effect.forEach([0, 1, 2], (seqId) => Wire.sample(sampler, { seq_id: seqId }))
      assert.include(yield* stateOf(submitted[1]!), { type: "try_again", queue_state: "active" })
      const waiting = yield* stateOf(submitted[2]!)
      assert.include(waiting, { type: "try_again", queue_state: "paused_capacity" })
      assert.include(String(waiting.queue_state_reason), "2 samples are computed at a time")
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* stateOf(submitted[0]!)).type, "sample")
      assert.include(yield* stateOf(submitted[2]!), { queue_state: "active" })
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* stateOf(submitted[2]!)).type, "sample")
    }).pipe(Effect.provide(Wire.server({ protocol: { ...impatient, maxConcurrentSamples: 2 }, engine: slow }))))

  it.effect("let a session with one sample not wait behind all of another's", () =>
    Effect.gen(function*() {
      const [first, second] = yield* Effect.replicateEffect(
        Effect.flatMap(Wire.createSession, Wire.createSampler),
        2
      )
      const ask = (sampler: Wire.Reply, seqId: number) =>
        Wire.sample(sampler.body.sampling_session_id, { seq_id: seqId })
      const many = yield* Effect.forEach(Array.from({ length: 50 }, (_, i) => i), (seqId) => ask(first!, seqId))
      const one = yield* ask(second!, 0)
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual((yield* stateOf(one)).type, "sample")
      assert.strictEqual((yield* stateOf(many[5]!)).type, "try_again")
    }).pipe(Effect.provide(Wire.server({ protocol: { ...impatient, maxConcurrentSamples: 1 }, engine: slow }))))

  it.effect("let a model wait that is more than are trained at a time, until another is unloaded", () =>
    Effect.gen(function*() {
      const sessionId = yield* Wire.createSession
      const first = yield* Wire.createModel(sessionId)
      assert.strictEqual((yield* stateOf(first)).type, "create_model")
      const second = yield* Wire.createModel(sessionId, { model_seq_id: 1 })
      const step = yield* Wire.optimStep(String(second.body.model_id), 1)
      for (const waits of [second, step]) {
        const state = yield* stateOf(waits)
        assert.include(state, { type: "try_again", queue_state: "paused_capacity" })
        assert.include(String(state.queue_state_reason), "1 models are trained at a time")
      }
      yield* Wire.post("unload_model", { model_id: first.body.model_id })
      yield* Effect.yieldNow()
      assert.strictEqual((yield* stateOf(second)).type, "create_model")
      assert.property(yield* stateOf(step), "metrics")
    }).pipe(Effect.provide(Wire.server({ protocol: { ...impatient, maxModels: 1 } }))))

  it.effect("ask for patience when too much waits, and take it once that is done", () =>
    Effect.gen(function*() {
      const sampler = (yield* Wire.createSampler(yield* Wire.createSession)).body.sampling_session_id
      assert.strictEqual((yield* Wire.sample(sampler)).status, 200)
      const refused = yield* Wire.sample(sampler, { seq_id: 1 })
      assert.strictEqual(refused.status, 429)
      assert.strictEqual(refused.headers["retry-after"], "1")
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Wire.sample(sampler, { seq_id: 1 })).status, 200)
    }).pipe(Effect.provide(Wire.server({ protocol: { ...impatient, maxWaitingBytes: 100 }, engine: slow }))))

  it.effect("let in the request that the others of its model wait for, however much waits", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const later = yield* Wire.forwardBackward(modelId, 3)
      assert.strictEqual(later.status, 200)
      assert.strictEqual((yield* Wire.forwardBackward(modelId, 2)).status, 429)
      assert.strictEqual((yield* Wire.forwardBackward(modelId, 1)).status, 200)
      assert.strictEqual((yield* Wire.forwardBackward(modelId, 2)).status, 200)
      assert.property(yield* stateOf(later), "loss_fn_outputs")
    }).pipe(Effect.provide(Wire.server({ protocol: { maxWaitingBytes: 10 } }))))
})
