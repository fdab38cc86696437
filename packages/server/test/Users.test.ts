import { HttpClient, HttpClientRequest } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Wire from "./wire.js"

const server = Wire.server({
  protocol: {
    archives: true,
    apiKeys: [{ key: "tml-ann", name: "ann" }, { key: "tml-ann-too", name: "ann" }, { key: "tml-ben", name: "ben" }]
  }
})

/** Every request in it comes with this key. */
const by = (key: string) => <A, E>(effect: Effect.Effect<A, E, HttpClient.HttpClient>) =>
  Effect.updateService(
    effect,
    HttpClient.HttpClient,
    HttpClient.mapRequest(HttpClientRequest.setHeader("x-api-key", key))
  )

const ann = by("tml-ann")
const ben = by("tml-ben")

const annsThings = ann(Effect.gen(function*() {
  const { modelId, sessionId } = yield* Wire.readyModel
  const sampler = String((yield* Wire.createSampler(sessionId)).body.sampling_session_id)
  const pass = yield* Wire.forwardBackward(modelId, 1)
  yield* Wire.result(pass)
  yield* Wire.result(yield* Wire.post("save_weights", { model_id: modelId, seq_id: 2, path: "one" }))
  const external = { model_id: modelId, seq_id: 3, path: "out" }
  yield* Wire.result(yield* Wire.post("save_weights_external", external))
  return { modelId, sessionId, sampler, request: String(pass.body.request_id), path: `tinker://${modelId}/weights/one` }
}))

describe("users", () => {
  it.effect("cannot use what belongs to another, and are told so", () =>
    Effect.gen(function*() {
      const { modelId, path, request, sampler, sessionId } = yield* annsThings
      const benSession = yield* ben(Wire.createSession)
      const checkpoints = `training_runs/${modelId}/checkpoints`
      const calls = {
        heartbeat: Wire.post("session_heartbeat", { session_id: sessionId }),
        finish: Wire.post(`sessions/${sessionId}/finish`, { reason: { type: "success" }, detail: null }),
        session: Wire.get(`sessions/${sessionId}`),
        model: Wire.createModel(sessionId, { model_seq_id: 5 }),
        info: Wire.post("get_info", { model_id: modelId }),
        pass: Wire.forwardBackward(modelId, 4),
        step: Wire.optimStep(modelId, 4),
        save: Wire.post("save_weights", { model_id: modelId, seq_id: 4, path: "two" }),
        unload: Wire.post("unload_model", { model_id: modelId }),
        sample: Wire.sample(sampler),
        sampler: Wire.get(`samplers/${sampler}`),
        result: Wire.post("retrieve_future", { request_id: request }),
        cancel: Wire.post("cancel_future", { request_id: request }),
        load: Wire.post("load_weights", { session_id: benSession, model_seq_id: 0, path, optimizer: true }),
        sampleIt: Wire.createSampler(benSession, { base_model: undefined, model_path: path }),
        weightsInfo: Wire.post("weights_info", { tinker_path: path }),
        copy: Wire.post("copy_weights", { source_path: path }),
        run: Wire.get(`training_runs/${modelId}`),
        list: Wire.get(checkpoints),
        publish: Wire.post(`${checkpoints}/weights/one/publish`, {}),
        remove: Wire.remove(`${checkpoints}/weights/one`),
        files: Wire.get(`${checkpoints}/external_weights/out/external_weights_urls`),
        archive: Wire.get(`${checkpoints}/external_weights/out/archive`)
      }
      for (const [name, call] of Object.entries(calls)) {
        const { body, status } = yield* ben(call)
        assert.strictEqual(status, 403, name)
        assert.include(String(body.detail), "belongs to another user", name)
      }
      const { body } = yield* ann(Wire.forwardBackward(modelId, 4).pipe(Effect.flatMap((pass) => Wire.result(pass))))
      assert.property(body, "loss_fn_outputs")
    }).pipe(Effect.provide(server)))

  it.effect("see their own things in listings, with any key of theirs, and what others have made public", () =>
    Effect.gen(function*() {
      const { modelId, path, sessionId } = yield* annsThings
      const listed = Effect.all({
        sessions: Effect.map(Wire.get("sessions"), ({ body }) => body.sessions),
        runs: Effect.map(Wire.get("training_runs?access_scope=accessible"), ({ body }) => body.training_runs),
        checkpoints: Effect.map(Wire.get("checkpoints"), ({ body }) => body.checkpoints)
      })
      const hers = yield* by("tml-ann-too")(listed)
      assert.deepStrictEqual(hers.sessions, [sessionId])
      assert.lengthOf(hers.runs as ReadonlyArray<unknown>, 1)
      assert.lengthOf(hers.checkpoints as ReadonlyArray<unknown>, 2)
      assert.deepStrictEqual(yield* ben(listed), { sessions: [], runs: [], checkpoints: [] })

      yield* ann(Wire.post(`training_runs/${modelId}/checkpoints/weights/one/publish`, {}))
      const [run] = (yield* ben(listed)).runs as ReadonlyArray<Record<string, unknown>>
      assert.include(run!, { training_run_id: modelId, model_owner: "ann" })
      assert.deepStrictEqual((yield* ben(Wire.get("training_runs"))).body.training_runs, [])
      const { checkpoints } = (yield* ben(Wire.get(`training_runs/${modelId}/checkpoints`))).body
      assert.deepStrictEqual((checkpoints as ReadonlyArray<Record<string, unknown>>).map((one) => one.tinker_path), [
        path
      ])
      assert.strictEqual((yield* ben(Wire.post("weights_info", { tinker_path: path }))).status, 200)
      const benSession = yield* ben(Wire.createSession)
      const loaded = yield* ben(
        Wire.post("load_weights", { session_id: benSession, model_seq_id: 0, path, optimizer: true })
      )
      assert.strictEqual((yield* ben(Wire.result(loaded))).body.type, "load_weights")
    }).pipe(Effect.provide(server)))

  it.effect("see in the accounts of what was used, stored and done what is their own", () =>
    Effect.gen(function*() {
      const hour = "starting_on=1970-01-01T00%3A00%3A00Z&ending_before=1970-01-01T01%3A00%3A00Z"
      const accounts = Effect.all({
        usage: Effect.map(Wire.get(`billing/usage/events?${hour}`), ({ body }) => body),
        storage: Effect.map(Wire.get("billing/usage/checkpoints/current"), ({ body }) => body.data),
        audit: Effect.map(
          Wire.get("audit"),
          ({ body }) => (body.entries as ReadonlyArray<{ readonly event: string }>).map(({ event }) => event)
        )
      })
      const { path, sessionId } = yield* annsThings
      const copied = yield* ann(Wire.post("copy_weights", { source_path: path }))
      assert.strictEqual(copied.status, 200)
      assert.deepStrictEqual(yield* ben(accounts), {
        usage: { data: [], sessions: {}, cost_data_through: null },
        storage: [],
        audit: []
      })
      const hers = yield* by("tml-ann-too")(accounts)
      assert.deepStrictEqual(Object.keys(hers.usage.sessions as object), [sessionId])
      assert.isNotEmpty(hers.usage.data as ReadonlyArray<unknown>)
      assert.lengthOf(hers.storage as ReadonlyArray<unknown>, 1)
      assert.deepStrictEqual(hers.audit, ["session_create", "checkpoint_save", "checkpoint_save", "checkpoint_save"])
      const benSession = yield* ben(Wire.createSession)
      yield* ben(Wire.post(`sessions/${benSession}/finish`, { reason: { type: "success" }, detail: null }))
      assert.deepStrictEqual((yield* ben(accounts)).audit, ["session_create", "session_finish"])
    }).pipe(Effect.provide(server)))

  it.effect("load another's checkpoint with a token of the owner, and with no other", () =>
    Effect.gen(function*() {
      const { path } = yield* annsThings
      const session = yield* ben(Wire.createSession)
      const load = (token: string, seqId: number) =>
        ben(Wire.post("load_weights", {
          session_id: session,
          model_seq_id: seqId,
          path,
          optimizer: false,
          weights_access_token: token
        }))
      assert.strictEqual((yield* load("tml-nobody", 0)).status, 403)
      assert.strictEqual((yield* load("tml-ben", 1)).status, 403)
      assert.strictEqual((yield* load("tml-ann-too", 2)).status, 200)
    }).pipe(Effect.provide(server)))

  it.effect("have idempotency keys of their own for copies", () =>
    Effect.gen(function*() {
      const { modelId, path } = yield* annsThings
      yield* ann(Wire.post(`training_runs/${modelId}/checkpoints/weights/one/publish`, {}))
      const copy = Effect.map(
        Wire.post("copy_weights", { source_path: path }, { "x-idempotency-key": "key-1" }),
        ({ body }) => String(body.tinker_path)
      )
      const anns = yield* ann(copy)
      assert.strictEqual(yield* by("tml-ann-too")(copy), anns)
      const bens = yield* ben(copy)
      assert.notStrictEqual(bens, anns)
      assert.strictEqual(yield* ben(copy), bens)
      assert.strictEqual((yield* ben(Wire.post("weights_info", { tinker_path: bens }))).status, 200)
    }).pipe(Effect.provide(server)))

  it.effect("get one session for all requests with a key of theirs, and another for another's", () =>
    Effect.gen(function*() {
      const create = (key: string, tags: ReadonlyArray<string> = []) =>
        Effect.map(
          Wire.post("create_session", { tags, sdk_version: "0.38.0" }, { "x-idempotency-key": key }),
          ({ body }) => String(body.session_id)
        )
      const first = yield* ann(create("key-1"))
      const [second, third] = yield* Effect.all([ann(create("key-2")), ann(create("key-2"))], {
        concurrency: "unbounded"
      })
      assert.strictEqual(yield* ann(create("key-1")), first)
      assert.strictEqual(second, third)
      assert.lengthOf(new Set([first, second, yield* ben(create("key-1")), yield* ann(create("key-1", ["other"]))]), 4)
      const again = yield* ann(create("key-3"))
      yield* ann(Wire.post(`sessions/${again}/finish`, { reason: { type: "success" }, detail: null }))
      assert.notStrictEqual(yield* ann(create("key-3")), again)
    }).pipe(Effect.provide(server)))

  it.effect("read by an address that they were given of what is public, as long as it is, and of their own always", () =>
    Effect.gen(function*() {
      const { modelId } = yield* annsThings
      const external = `training_runs/${modelId}/checkpoints/external_weights/out`
      const publish = ann(Wire.post(`${external}/publish`, {}))
      const address = Effect.map(
        Wire.get(`${external}/external_weights_urls`),
        ({ body }) => Object.values(body.urls as Record<string, string>)[0]!
      )
      const fetched = (url: string) => Effect.map(HttpClient.get(url), ({ status }) => status)
      yield* publish
      const [anns, bens] = [yield* ann(address), yield* ben(address)]
      assert.deepStrictEqual([yield* fetched(anns), yield* fetched(bens)], [200, 200])
      yield* ann(Wire.remove(`${external}/publish`))
      assert.deepStrictEqual([yield* fetched(anns), yield* fetched(bens)], [200, 403])
    }).pipe(Effect.provide(server)))
})
