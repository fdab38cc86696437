import { assert, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import * as Wire from "./wire.js"

const heartbeat = (sessionId: string) =>
  Effect.map(Wire.post("session_heartbeat", { session_id: sessionId }), ({ status }) => status)

const create = Effect.map(
  Wire.post("create_session", { tags: [], sdk_version: "0.38.0" }),
  ({ body, headers, status }) => ({
    id: String(body.session_id),
    status,
    retryAfter: headers["retry-after"]
  })
)

it.effect("a session that nobody uses ends in a day, and one that is asked for anything does not", () =>
  Effect.gen(function*() {
    const unused = yield* Wire.readyModel
    const trained = yield* Wire.readyModel
    const sampled = yield* Wire.createSession
    const sampler = (yield* Wire.createSampler(sampled)).body.sampling_session_id
    const beating = yield* Wire.createSession
    for (let hour = 1; hour <= 30; hour++) {
      yield* TestClock.adjust("1 hour")
      yield* Wire.optimStep(trained.modelId, hour)
      yield* Wire.sample(sampler, { seq_id: hour })
      yield* heartbeat(beating)
    }
    assert.strictEqual((yield* Wire.optimStep(unused.modelId, 1)).status, 410)
    assert.strictEqual(yield* heartbeat(unused.sessionId), 410)
    for (const sessionId of [trained.sessionId, sampled, beating]) assert.strictEqual(yield* heartbeat(sessionId), 200)
    assert.strictEqual((yield* Wire.optimStep(trained.modelId, 31)).status, 200)
  }).pipe(Effect.provide(Wire.server())))

it.effect("sessions are bounded: the empty one that was unused for longest makes room, and nothing in use does", () =>
  Effect.gen(function*() {
    const { modelId, sessionId } = yield* Wire.readyModel
    const first = yield* create
    yield* TestClock.adjust("10 seconds")
    const second = yield* create
    yield* TestClock.adjust("10 seconds")
    const refused = yield* create
    assert.strictEqual(refused.status, 429)
    assert.strictEqual(refused.retryAfter, "30")
    yield* TestClock.adjust("20 seconds")
    assert.strictEqual(yield* heartbeat(first.id), 200)
    // Of the second nothing was heard for longer than of the first.
    const third = yield* create
    assert.strictEqual(third.status, 200)
    assert.strictEqual(yield* heartbeat(second.id), 410)
    assert.strictEqual(yield* heartbeat(first.id), 200)
    yield* TestClock.adjust("1 hour")
    yield* heartbeat(third.id)
    yield* heartbeat(first.id)
    assert.strictEqual((yield* create).status, 429)
    assert.strictEqual((yield* Wire.optimStep(modelId, 1)).status, 200)
    assert.strictEqual(yield* heartbeat(sessionId), 200)
  }).pipe(Effect.provide(Wire.server({ protocol: { maxSessions: 3 } }))))

it.effect("as many sessions that have ended are remembered as there may be", () =>
  Effect.gen(function*() {
    const ids: Array<string> = []
    for (let i = 0; i < 4; i++) {
      const { id } = yield* create
      ids.push(id)
      yield* Wire.post(`sessions/${id}/finish`, { reason: { type: "success" }, detail: null })
    }
    assert.deepStrictEqual(yield* Effect.forEach(ids, heartbeat), [404, 410, 410, 410])
  }).pipe(Effect.provide(Wire.server({ protocol: { maxSessions: 3 } }))))
