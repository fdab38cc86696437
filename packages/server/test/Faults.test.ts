import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { Faults } from "../src/index.js"
import * as Wire from "./wire.js"

const heartbeat = (sessionId: string) => Wire.post("session_heartbeat", { session_id: sessionId })

describe("Faults", () => {
  it.effect("answers the n-th request from now as planned, as often as planned", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const sessionId = yield* Wire.createSession
      yield* heartbeat(sessionId)
      yield* faults.plan({
        path: "session_heartbeat",
        nth: 2,
        times: 2,
        fault: Faults.answer(429, { headers: { "retry-after": "3" }, body: { detail: "slow down" } })
      })
      const replies = yield* Effect.replicateEffect(heartbeat(sessionId), 4)
      assert.deepStrictEqual(replies.map((reply) => reply.status), [200, 429, 429, 200])
      assert.strictEqual(replies[1]!.headers["retry-after"], "3")
      assert.deepStrictEqual(replies[1]!.body, { detail: "slow down" })
      assert.strictEqual((yield* faults.requestCounts).get("session_heartbeat"), 5)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("does nothing of what was asked when it answers instead or drops the connection", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const { modelId } = yield* Wire.readyModel
      yield* faults.plan({ path: "optim_step", fault: Faults.answer(503) })
      yield* faults.plan({ path: "optim_step", nth: 2, fault: Faults.drop })
      assert.strictEqual((yield* Wire.optimStep(modelId, 1)).status, 503)
      const error = yield* Effect.flip(Wire.optimStep(modelId, 1))
      assert.deepStrictEqual([error._tag, error.reason], ["RequestError", "Transport"])
      // Another request may have the number, so the first two never arrived.
      assert.strictEqual((yield* Wire.forwardBackward(modelId, 1)).status, 200)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("does what was asked when the answer is lost", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const { modelId } = yield* Wire.readyModel
      yield* faults.plan({ path: "optim_step", fault: Faults.loseAnswer })
      assert.strictEqual((yield* Effect.flip(Wire.optimStep(modelId, 1)))._tag, "RequestError")
      assert.strictEqual((yield* Wire.forwardBackward(modelId, 1)).status, 400)
      assert.property((yield* Wire.result(yield* Wire.optimStep(modelId, 1))).body, "metrics")
    }).pipe(Effect.provide(Wire.server())))

  it.effect("accepts a request and fails it later, without doing it", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const { modelId, sessionId } = yield* Wire.readyModel
      yield* faults.plan({ path: "forward_backward", fault: Faults.failFuture("out of memory") })
      yield* faults.plan({ path: "asample", fault: Faults.failFuture("no", "user") })
      const pass = yield* Wire.forwardBackward(modelId, 1)
      assert.deepStrictEqual((yield* Wire.result(pass)).body, { error: "out of memory", category: "server" })
      const step = yield* Wire.result(yield* Wire.optimStep(modelId, 2))
      assert.deepStrictEqual(step.body, { metrics: { "unclipped_grad_l2:mean": 0 } })
      const { body: { sampling_session_id: id } } = yield* Wire.createSampler(sessionId)
      assert.deepStrictEqual((yield* Wire.result(yield* Wire.sample(id))).body, { error: "no", category: "user" })
    }).pipe(Effect.provide(Wire.server())))

  it.effect("lets a request wait; one that is given up meanwhile does nothing", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const { modelId } = yield* Wire.readyModel
      yield* faults.plan({ path: "optim_step", times: 2, fault: Faults.delay("1 minute") })
      const givenUp = yield* Effect.fork(Wire.optimStep(modelId, 1))
      yield* TestClock.adjust("30 seconds")
      yield* Fiber.interrupt(givenUp)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Wire.forwardBackward(modelId, 1)).status, 200)
      const patient = yield* Effect.fork(Wire.optimStep(modelId, 2))
      yield* TestClock.adjust("59 seconds")
      assert.isTrue((yield* Fiber.poll(patient))._tag === "None")
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(patient)).status, 200)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("holds the queue of a model with a reason until it is resumed, and no other", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const { modelId, sessionId } = yield* Wire.readyModel
      yield* Wire.createModel(sessionId, { model_seq_id: 1 })
      yield* faults.pauseQueue({ modelId, state: "paused_capacity", reason: "full" })
      const held = yield* Wire.optimStep(modelId, 1)
      const free = yield* Wire.optimStep(`${sessionId}:train:1`, 1)
      assert.property((yield* Wire.result(free)).body, "metrics")
      const asking = yield* Effect.fork(Wire.result(held))
      yield* TestClock.adjust("40 seconds")
      assert.deepInclude((yield* Fiber.join(asking)).body, {
        type: "try_again",
        queue_state: "paused_capacity",
        queue_state_reason: "full"
      })
      yield* faults.resumeQueue({ modelId })
      assert.property((yield* Wire.result(held)).body, "metrics")
    }).pipe(Effect.provide(Wire.server())))

  it.effect("holds every queue, also those of samplers", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const sessionId = yield* Wire.createSession
      const { body: { sampling_session_id: id } } = yield* Wire.createSampler(sessionId)
      yield* faults.pauseQueue({ state: "paused_rate_limit" })
      const submitted = [yield* Wire.createModel(sessionId), yield* Wire.sample(id)]
      const asking = yield* Effect.fork(Effect.forEach(submitted, (reply) => Wire.result(reply), { concurrency: 2 }))
      yield* TestClock.adjust("40 seconds")
      const states = (yield* Fiber.join(asking)).map(({ body }) => body.queue_state)
      assert.deepStrictEqual(states, ["paused_rate_limit", "paused_rate_limit"])
      yield* faults.resumeQueue()
      assert.property((yield* Wire.result(submitted[0]!)).body, "model_id")
      assert.property((yield* Wire.result(submitted[1]!)).body, "sequences")
    }).pipe(Effect.provide(Wire.server())))

  it.effect("answers with any text, also an empty one, as a proxy would", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const page = "<html>bad gateway</html>"
      yield* faults.plan({ path: "healthz", fault: Faults.answer(502, { body: page, contentType: "text/html" }) })
      yield* faults.plan({ path: "healthz", nth: 2, fault: Faults.answer(400, { body: "" }) })
      const html = yield* Wire.get("healthz")
      assert.deepStrictEqual([html.status, html.headers["content-type"]], [502, "text/html"])
      assert.strictEqual(Wire.textOf(html.bytes), page)
      const empty = yield* Wire.get("healthz")
      assert.deepStrictEqual([empty.status, empty.headers["content-length"], empty.bytes.length], [400, "0", 0])
    }).pipe(Effect.provide(Wire.server())))

  it.effect("cuts an answer short so that it still looks complete", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const { modelId } = yield* Wire.readyModel
      const whole = yield* Wire.forwardBackward(modelId, 1)
      const expected = yield* Wire.result(whole, { protobuf: true })
      yield* faults.plan({ path: "retrieve_future", fault: Faults.truncate() })
      yield* faults.plan({ path: "optim_step", fault: Faults.truncate(5) })
      const half = yield* Wire.result(whole, { protobuf: true })
      assert.deepStrictEqual(half.bytes, expected.bytes.slice(0, expected.bytes.length >> 1))
      assert.strictEqual(half.headers["content-type"], "application/x-protobuf")
      assert.strictEqual(half.headers["content-length"], String(half.bytes.length))
      const json = yield* Wire.optimStep(modelId, 2)
      assert.deepStrictEqual([json.status, Wire.textOf(json.bytes)], [200, "{\"req"])
      // It was done all the same.
      assert.strictEqual((yield* Wire.forwardBackward(modelId, 2)).status, 400)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("breaks the connection in the middle of the answer's body, after the work", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const { modelId } = yield* Wire.readyModel
      yield* faults.plan({ path: "optim_step", fault: Faults.breakBody })
      const error = yield* Effect.flip(Wire.optimStep(modelId, 1))
      assert.strictEqual(error._tag, "ResponseError")
      assert.strictEqual((yield* Wire.forwardBackward(modelId, 1)).status, 400)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("does the work at once and answers later", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const { modelId } = yield* Wire.readyModel
      yield* faults.plan({ path: "optim_step", fault: Faults.delayAnswer("1 minute") })
      const slow = yield* Effect.fork(Wire.optimStep(modelId, 1))
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual((yield* Fiber.poll(slow))._tag, "None")
      assert.property((yield* Wire.result(yield* Wire.optimStep(modelId, 1))).body, "metrics")
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(slow)).status, 200)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("delivers a request twice, and the client sees the second answer", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const { body: { sampling_session_id: id } } = yield* Wire.createSampler(yield* Wire.createSession)
      yield* faults.plan({ path: "join_sampling_session", fault: Faults.duplicate })
      const { body } = yield* Wire.post("join_sampling_session", { sampling_session_id: id })
      assert.strictEqual(body.client_counter, 2)
      assert.strictEqual((yield* faults.requestCounts).get("join_sampling_session"), 1)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("plans for any request, heartbeats left out", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const sessionId = yield* Wire.createSession
      yield* faults.plan({ path: Faults.anyPath, nth: 2, times: 2, fault: Faults.answer(503) })
      const replies = [
        yield* Wire.get("healthz"),
        yield* heartbeat(sessionId),
        yield* Wire.createSampler(sessionId),
        yield* heartbeat(sessionId),
        yield* Wire.get("healthz"),
        yield* Wire.get("healthz")
      ]
      assert.deepStrictEqual(replies.map(({ status }) => status), [200, 200, 503, 200, 503, 200])
    }).pipe(Effect.provide(Wire.server())))

  it.effect("tells which plans no request has met", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const never = { path: "optim_step", fault: Faults.drop, nth: 2 }
      yield* faults.plan({ path: "healthz", times: 3, fault: Faults.answer(503) })
      yield* faults.plan(never)
      assert.lengthOf(yield* faults.unused, 2)
      yield* Wire.get("healthz")
      assert.deepStrictEqual(yield* faults.unused, [never])
    }).pipe(Effect.provide(Wire.server())))

  it.effect("changes the settings that clients ask for again and again, while the server runs", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const ask = Effect.map(Wire.post("client/dynamic_config", { sdk_version: "0.38.0" }), ({ body }) => body)
      const first = { refresh_interval_sec: 300, sample_cancel_enabled: false, sample_cancel_max_batch_size: 64 }
      assert.deepStrictEqual(yield* ask, first)
      yield* faults.setDynamicConfig({ refresh_interval_sec: 10 })
      assert.deepStrictEqual(yield* ask, { ...first, refresh_interval_sec: 10 })
    }).pipe(Effect.provide(Wire.server({ protocol: { dynamicConfig: { sample_cancel_enabled: false } } }))))
})
