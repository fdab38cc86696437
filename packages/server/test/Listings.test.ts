import { HttpClient, HttpClientRequest } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Effect, TestClock } from "effect"
import { CheckpointStore } from "../src/index.js"
import * as Wire from "./wire.js"

const send = (method: "PUT" | "DELETE" | "POST", path: string, body?: unknown, headers: Record<string, string> = {}) =>
  HttpClientRequest.make(method)(`http://tinker/api/v1/${path}`).pipe(
    body === undefined
      ? (request) => request
      : HttpClientRequest.bodyText(JSON.stringify(body), "application/json"),
    HttpClientRequest.setHeaders(headers),
    HttpClient.execute,
    Effect.flatMap((response) =>
      Effect.map(response.text, (text) => ({
        status: response.status,
        text,
        body: text === "" ? {} : JSON.parse(text) as Record<string, unknown>
      }))
    )
  )

const save = (
  modelId: string,
  seqId: number,
  name: string,
  options: Record<string, unknown> = {},
  path = "save_weights"
) => Effect.flatMap(Wire.post(path, { model_id: modelId, seq_id: seqId, path: name, ...options }), Wire.result)

/** A model with a checkpoint `weights/s`. */
const saved = Effect.gen(function*() {
  const ready = yield* Wire.readyModel
  yield* save(ready.modelId, 1, "s", { user_metadata: { note: "n" } })
  return { ...ready, base: `training_runs/${ready.modelId}/checkpoints` }
})

interface Run {
  readonly training_run_id: string
}

const idsOf = (reply: Wire.Reply) => (reply.body.training_runs as ReadonlyArray<Run>).map((run) => run.training_run_id)

it.effect("lists training runs by pages, the newest first, and by project", () =>
  Effect.gen(function*() {
    const sessionId = yield* Wire.createSession
    const models: Array<string> = []
    for (let i = 0; i < 5; i++) {
      models.unshift(String((yield* Wire.createModel(sessionId, { model_seq_id: i })).body.model_id))
    }
    const first = yield* Wire.get("training_runs?limit=2&offset=1&access_scope=owned")
    assert.deepStrictEqual(idsOf(first), models.slice(1, 3))
    assert.deepStrictEqual(first.body.cursor, { offset: 1, limit: 2, total_count: 5 })
    assert.deepStrictEqual(idsOf(yield* Wire.get("training_runs")), models)
    assert.deepStrictEqual(idsOf(yield* Wire.get("training_runs?project_id=p")), [])
    yield* send("PUT", `sessions/${sessionId}/project`, { project_id: "p" })
    assert.deepStrictEqual(idsOf(yield* Wire.get("training_runs?project_id=p")), models)
    for (const query of ["limit=0", "limit=1.5", "offset=-1", "access_scope=mine"]) {
      assert.strictEqual((yield* Wire.get(`training_runs?${query}`)).status, 422)
    }
  }).pipe(Effect.provide(Wire.server())))

it.effect("lists the checkpoints of all runs, the newest first, and those of one run", () =>
  Effect.gen(function*() {
    const { base, modelId } = yield* saved
    yield* TestClock.adjust("1 second")
    yield* save(modelId, 2, "w", {}, "save_weights_for_sampler")
    const idsOf = (reply: Wire.Reply) =>
      (reply.body.checkpoints as ReadonlyArray<Record<string, unknown>>).map((one) => one.checkpoint_id)
    assert.deepStrictEqual(idsOf(yield* Wire.get("checkpoints")), ["sampler_weights/w", "weights/s"])
    const second = yield* Wire.get("checkpoints?limit=1&offset=1")
    assert.deepStrictEqual(idsOf(second), ["weights/s"])
    assert.deepStrictEqual(second.body.cursor, { offset: 1, limit: 1, total_count: 2 })
    assert.deepStrictEqual(idsOf(yield* Wire.get(base)), ["weights/s", "sampler_weights/w"])
  }).pipe(Effect.provide(Wire.server())))

it.effect("deletes a checkpoint by kind and name, once", () =>
  Effect.gen(function*() {
    const { base } = yield* saved
    assert.strictEqual((yield* send("DELETE", `${base}/s`)).status, 400)
    assert.strictEqual((yield* send("DELETE", `${base}/other/s`)).status, 400)
    const deleted = yield* send("DELETE", `${base}/weights/s`)
    assert.deepStrictEqual([deleted.status, deleted.text], [204, ""])
    assert.strictEqual((yield* send("DELETE", `${base}/weights/s`)).status, 404)
    assert.deepStrictEqual((yield* Wire.get("checkpoints")).body.checkpoints, [])
  }).pipe(Effect.provide(Wire.server())))

it.effect("makes a checkpoint public and takes that back, and refuses what is so already", () =>
  Effect.gen(function*() {
    const { base } = yield* saved
    const isPublic = Effect.map(
      Wire.get(base),
      ({ body }) => (body.checkpoints as ReadonlyArray<{ readonly public: boolean }>)[0]!.public
    )
    const path = `${base}/weights/s/publish`
    assert.strictEqual((yield* send("DELETE", path)).status, 409)
    assert.strictEqual((yield* send("POST", path)).status, 204)
    assert.isTrue(yield* isPublic)
    assert.strictEqual((yield* send("POST", path)).status, 409)
    assert.strictEqual((yield* send("DELETE", path)).status, 204)
    assert.isFalse(yield* isPublic)
    assert.strictEqual((yield* send("POST", `${base}/weights/other/publish`)).status, 404)
  }).pipe(Effect.provide(Wire.server())))

it.effect("removes a checkpoint when its time is over, by the server's clock, unless that is taken away", () =>
  Effect.gen(function*() {
    const { base, modelId } = yield* saved
    yield* save(modelId, 2, "t")
    const path = (name: string) => `${base}/weights/${name}/ttl`
    for (const seconds of [3599, 315_360_001, 0, -1]) {
      assert.strictEqual((yield* send("PUT", path("s"), { ttl_seconds: seconds })).status, 400)
    }
    assert.strictEqual((yield* send("PUT", path("s"), {})).status, 422)
    assert.strictEqual((yield* send("PUT", path("other"), { ttl_seconds: 3600 })).status, 404)
    for (const name of ["s", "t"]) yield* send("PUT", path(name), { ttl_seconds: 3600 })
    assert.strictEqual((yield* send("PUT", path("t"), { ttl_seconds: null })).status, 204)
    const listed = Effect.map(
      Wire.get(base),
      ({ body }) => body.checkpoints as ReadonlyArray<{ readonly checkpoint_id: string; readonly expires_at: unknown }>
    )
    assert.deepStrictEqual((yield* listed).map((one) => one.expires_at), ["1970-01-01T01:00:00.000Z", null])
    yield* TestClock.adjust("59 minutes")
    assert.strictEqual((yield* listed).length, 2)
    yield* TestClock.adjust("1 minute")
    assert.deepStrictEqual((yield* listed).map((one) => one.checkpoint_id), ["weights/t"])
  }).pipe(Effect.provide(Wire.server())))

it.effect("copies a checkpoint into a run of its own, once for all requests with one key", () =>
  Effect.gen(function*() {
    const { modelId } = yield* saved
    const source = `tinker://${modelId}/weights/s`
    const copy = (key: string, body: Record<string, unknown> = {}) =>
      send("POST", "copy_weights", { source_path: source, destination_project_id: "p", ...body }, {
        "x-idempotency-key": key
      })
    const first = String((yield* copy("a")).body.tinker_path)
    assert.match(first, /^tinker:\/\/[^/]+\/weights\/s$/)
    assert.notStrictEqual(first, source)
    assert.strictEqual((yield* copy("a")).body.tinker_path, first)
    assert.notStrictEqual((yield* copy("b", { ttl_seconds: 3600 })).body.tinker_path, first)
    assert.strictEqual((yield* copy("c", { ttl_seconds: 1 })).status, 400)
    assert.strictEqual((yield* copy("d", { source_path: "tinker://r/weights/none" })).status, 404)
    const store = yield* CheckpointStore.CheckpointStore
    assert.strictEqual((yield* store.list).length, 3)
    const runs = yield* Wire.get("training_runs?project_id=p")
    assert.deepStrictEqual(runs.body.cursor, { offset: 0, limit: 20, total_count: 2 })
    assert.strictEqual((yield* Wire.optimStep(first.split("/")[2]!, 1)).status, 404)
  }).pipe(Effect.provide(Wire.server())))

it.effect("wants the key of a checkpoint's owner to be one of its own keys", () =>
  Effect.gen(function*() {
    const reply = yield* send("POST", "copy_weights", { source_path: "tinker://r/weights/s" }, {
      "x-api-key": "tml-right",
      "x-tinker-weights-access-token": "tml-wrong"
    })
    assert.strictEqual(reply.status, 403)
  }).pipe(Effect.provide(Wire.server({ protocol: { apiKeys: ["tml-right"] } }))))

it.effect("tells of a session's models and samplers, and puts it into one project for good", () =>
  Effect.gen(function*() {
    const { modelId, sessionId } = yield* Wire.readyModel
    const sampler = yield* Wire.createSampler(sessionId)
    const other = yield* Wire.createSession
    assert.deepStrictEqual((yield* Wire.get(`sessions/${sessionId}?access_scope=owned`)).body, {
      training_run_ids: [modelId],
      sampler_ids: [sampler.body.sampling_session_id],
      user_metadata: {},
      display_name: null
    })
    assert.deepStrictEqual((yield* Wire.get("sessions?limit=1")).body, { sessions: [other] })
    assert.deepStrictEqual((yield* Wire.get("sessions?offset=1")).body, { sessions: [sessionId] })
    assert.strictEqual((yield* Wire.get("sessions/none")).status, 404)
    const assign = (id: string, body: unknown) => send("PUT", `sessions/${id}/project`, body)
    assert.strictEqual((yield* assign(sessionId, { project_id: "p" })).status, 200)
    assert.strictEqual((yield* assign(sessionId, { project_id: "p" })).status, 200)
    assert.strictEqual((yield* assign(sessionId, { project_id: "q" })).status, 403)
    assert.strictEqual((yield* assign(sessionId, { project_id: "" })).status, 400)
    assert.strictEqual((yield* assign("none", { project_id: "p" })).status, 404)
  }).pipe(Effect.provide(Wire.server())))

it.effect("tells what clients have said of the ends of their sessions, if they said anything", () =>
  Effect.gen(function*() {
    const ended = (end: Record<string, unknown>) =>
      Effect.gen(function*() {
        const sessionId = yield* Wire.createSession
        const finished = yield* Wire.post(`sessions/${sessionId}/finish`, { reason: { type: "errored" }, ...end })
        assert.strictEqual(finished.status, 200)
        const { body } = yield* Wire.post("sessions/search", { session_id: sessionId })
        const [found] = body.sessions as ReadonlyArray<{ readonly status: unknown }>
        return found!.status
      })
    const status = (detail: unknown) => ({ type: "client_finished", reason: { type: "errored" }, detail })
    assert.deepStrictEqual(yield* ended({ detail: "boom" }), status("boom"))
    assert.deepStrictEqual(yield* ended({ detail: null }), status(null))
    assert.deepStrictEqual(yield* ended({}), status(null))
  }).pipe(Effect.provide(Wire.server())))

interface Page {
  readonly sessions: ReadonlyArray<{ readonly session_id: string; readonly checkpoints_count: number }>
  readonly next_cursor: unknown
}

it.effect("searches sessions by name, metadata, project and status, by pages, the newest first", () =>
  Effect.gen(function*() {
    const create = (name: string, metadata: Record<string, string> = {}) =>
      Effect.map(
        Wire.post("create_session", {
          tags: [],
          sdk_version: "0.38.0",
          display_name: name,
          user_metadata: metadata
        }),
        ({ body }) => String(body.session_id)
      )
    const search = (body: Record<string, unknown>) =>
      Effect.map(Wire.post("sessions/search", body), (reply) => reply.body as unknown as Page)
    const found = (body: Record<string, unknown>) =>
      Effect.map(search(body), ({ sessions }) => sessions.map((one) => one.session_id))

    const math = yield* create("Math run one", { team: "a" })
    yield* TestClock.adjust("1 second")
    const code = yield* create("Code run", { team: "b" })
    const twin = yield* create("Code twin", { team: "b" })
    yield* Wire.post(`sessions/${code}/finish`, { reason: { type: "errored" }, detail: null })
    yield* send("PUT", `sessions/${math}/project`, { project_id: "p" })

    assert.deepStrictEqual(yield* found({ display_name: "RUN math" }), [math])
    assert.deepStrictEqual(yield* found({ display_name: "math", session_id: code }), [code, math])
    assert.deepStrictEqual((yield* found({ user_metadata: { team: "b" } })).toSorted(), [code, twin].toSorted())
    assert.deepStrictEqual(yield* found({ project_ids: ["p"] }), [math])
    assert.deepStrictEqual(yield* found({ statuses: [{ type: "client_finished", reasons: ["errored"] }] }), [code])
    assert.deepStrictEqual(yield* found({ statuses: [{ type: "client_finished", reasons: ["success"] }] }), [])
    assert.deepStrictEqual(yield* found({ statuses: [{ type: "active" }], user_metadata: { team: "b" } }), [twin])
    assert.deepStrictEqual(yield* found({ owner: { type: "user", owner_urns: ["urn:other"] } }), [])

    const pages: Array<ReadonlyArray<string>> = []
    let cursor: unknown = null
    do {
      const page: Page = yield* search({ limit: 1, cursor })
      pages.push(page.sessions.map((one) => one.session_id))
      cursor = page.next_cursor
    } while (cursor !== null)
    assert.deepStrictEqual(pages.map((page) => page.length), [1, 1, 1])
    assert.deepStrictEqual(pages.flat(), yield* found({}))
    assert.strictEqual(pages[2]![0], math)
    assert.strictEqual((yield* Wire.post("sessions/search", { limit: 201 })).status, 422)
    const garbage = yield* Wire.post("sessions/search", {
      cursor: { last_created_at: "garbage", last_session_id: math }
    })
    assert.strictEqual(garbage.status, 400)
    assert.include(String(garbage.body.detail), "last_created_at is garbage")
  }).pipe(Effect.provide(Wire.server())))
