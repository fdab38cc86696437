import { HttpClient, HttpClientRequest } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Layer, Redacted, TestClock } from "effect"
import { AdminClient, RestClient, Tinker } from "effect-tinker"
import * as Wire from "./wire.js"

const prices = { tokens: { bigram: { training: 10, prefill: 1, sampled: 100 } }, gigabyteMonth: 0.5 }

interface Event {
  readonly bucket_start: string
  readonly session_id: string
  readonly estimated_cost_usd?: number
  readonly event_info: Readonly<Record<string, unknown>>
}

const eventsOf = (reply: Wire.Reply) => reply.body.data as ReadonlyArray<Event>

const usage = Wire.get(
  "billing/usage/events?starting_on=1970-01-01T00%3A00%3A00Z&ending_before=1970-01-02T00%3A00%3A00Z"
)

const save = (modelId: string, seqId: number, name: string) =>
  Effect.flatMap(Wire.post("save_weights", { model_id: modelId, seq_id: seqId, path: name }), Wire.result)

const send = (method: "DELETE" | "POST", path: string) =>
  HttpClient.execute(HttpClientRequest.make(method)(`http://tinker/api/v1/${path}`))

describe("usage", () => {
  it.effect("counts the tokens of what has succeeded, by hour, kind and session, with what they cost", () =>
    Effect.gen(function*() {
      const { modelId, sessionId } = yield* Wire.readyModel
      const sampler = (yield* Wire.createSampler(sessionId)).body.sampling_session_id
      const forward = { data: [Wire.datum("hello"), Wire.datum("me")] }
      yield* Wire.result(yield* Wire.forwardBackward(modelId, 1, forward))
      yield* Wire.forwardBackward(modelId, 1, forward)
      yield* Wire.result(yield* Wire.forwardBackward(modelId, 2, { data: [] }))
      yield* TestClock.adjust("1 hour")
      yield* Wire.result(yield* Wire.forwardBackward(modelId, 3, { forwardOnly: true }))
      yield* Wire.result(
        yield* Wire.sample(sampler, { num_samples: 2, sampling_params: { max_tokens: 3, seed: 1, stop: [] } })
      )
      const events = eventsOf(yield* usage)
      assert.deepStrictEqual(
        events.map((event) => [event.bucket_start, event.event_info.type, event.event_info.token_count]),
        [
          ["1970-01-01T00:00:00.000Z", "training", 4 + 1],
          ["1970-01-01T01:00:00.000Z", "training", 4],
          ["1970-01-01T01:00:00.000Z", "sampling_prefill", 2],
          ["1970-01-01T01:00:00.000Z", "sampling_sample", 6]
        ]
      )
      assert.isTrue(events.every((event) => event.session_id === sessionId))
      assert.deepStrictEqual(events.map((event) => event.estimated_cost_usd), [50e-6, 40e-6, 2e-6, 600e-6])
    }).pipe(Effect.provide(Wire.server({ protocol: { prices } }))))

  it.effect("counts how long checkpoints take how much room, until they are deleted", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      yield* save(modelId, 1, "a")
      yield* TestClock.adjust("30 minutes")
      yield* save(modelId, 2, "b")
      yield* TestClock.adjust("1 hour")
      const listed = (yield* Wire.get("checkpoints")).body.checkpoints as ReadonlyArray<{ readonly size_bytes: number }>
      const bytes = listed[0]!.size_bytes
      yield* send("DELETE", `training_runs/${modelId}/checkpoints/weights/b`)
      yield* TestClock.adjust("3 hours")
      const events = eventsOf(yield* usage)
      assert.strictEqual(events.filter((event) => event.event_info.type === "checkpoint").length, 2)
      const hours = events.flatMap(({ event_info: info }) =>
        info.type === "storage" ? [Number(info.gigabyte_hours)] : []
      )
      assert.closeTo(hours.reduce((a, b) => a + b, 0), bytes / 1e9 * (4.5 + 1), 1e-15)
      const current = yield* Wire.get("billing/usage/checkpoints/current")
      const rows = current.body.data as ReadonlyArray<Record<string, unknown>>
      assert.deepStrictEqual(rows.map((row) => [row.checkpoint_count, row.size_bytes]), [[1, bytes]])
      assert.closeTo(Number(rows[0]!.estimated_monthly_cost_usd), bytes / 1e9 * 0.5, 1e-15)
      assert.deepStrictEqual((yield* Wire.get("billing/usage/checkpoints/current?project_id=p")).body.data, [])
    }).pipe(Effect.provide(Wire.server({ protocol: { prices } }))))

  it.effect("refuses windows that are not whole hours, too long, backwards or in the future", () =>
    Effect.gen(function*() {
      const status = (from: string, before: string) =>
        Effect.map(
          Wire.get(`billing/usage/events?starting_on=${from}&ending_before=${before}`),
          ({ status }) => status
        )
      assert.strictEqual(yield* status("1970-01-01T00:00:00Z", "1970-01-15T00:00:00Z"), 200)
      assert.strictEqual(yield* status("1970-01-01T00:00:00Z", "1970-01-15T01:00:00Z"), 400)
      assert.strictEqual(yield* status("1970-01-01T00:30:00Z", "1970-01-02T00:00:00Z"), 400)
      assert.strictEqual(yield* status("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"), 400)
      assert.strictEqual(yield* status("1970-01-01T01:00:00Z", "1970-01-02T00:00:00Z"), 400)
      assert.strictEqual(yield* status("soon", "later"), 400)
      assert.strictEqual((yield* Wire.get("billing/usage/events")).status, 422)
    }).pipe(Effect.provide(Wire.server())))
})

describe("audit log", () => {
  it.effect("tells by day what was done to sessions and checkpoints", () =>
    Effect.gen(function*() {
      const { modelId, sessionId } = yield* Wire.readyModel
      yield* save(modelId, 1, "a")
      const base = `training_runs/${modelId}/checkpoints/weights/a`
      yield* send("POST", `${base}/publish`)
      yield* TestClock.adjust("1 day")
      yield* send("DELETE", base)
      yield* Wire.post(`sessions/${sessionId}/finish`, { reason: { type: "success" }, detail: null })
      const events = (query: string) =>
        Effect.map(
          Wire.get(`audit?${query}`),
          ({ body }) => (body.entries as ReadonlyArray<{ readonly event: string }>).map(({ event }) => event)
        )
      assert.deepStrictEqual(yield* events("day=1970-01-01"), [
        "session_create",
        "checkpoint_save",
        "checkpoint_publish"
      ])
      assert.deepStrictEqual(yield* events("event_type=checkpoints"), ["checkpoint_delete"])
      assert.deepStrictEqual(yield* events("event_type=all"), ["checkpoint_delete", "session_finish"])
      assert.strictEqual((yield* Wire.get("audit?day=1970-13-01")).status, 422)
    }).pipe(Effect.provide(Wire.server())))
})

describe("keys", () => {
  const as = (method: "GET" | "DELETE", key: string) =>
    HttpClient.execute(
      HttpClientRequest.make(method)("http://tinker/api/v1/auth/apikey/me").pipe(
        HttpClientRequest.setHeader("x-api-key", key)
      )
    )
  const protocol = { apiKeys: ["tml-a", { key: "tml-b", name: "Bo" }], jwt: { lifetime: "1 hour" } } as const

  it.effect("tells the holder of a key its name, and takes it and its tokens away when asked", () =>
    Effect.gen(function*() {
      const told = yield* Effect.flatMap(as("GET", "tml-b"), (reply) => reply.json)
      assert.deepStrictEqual(told, { key_id: 2, name: "Bo", note: null, details: null })
      const token = String((yield* Wire.post("auth/token", {}, { "x-api-key": "tml-b" })).body.jwt)
      const create = Wire.post("create_session", { tags: [], sdk_version: "0.38.0" }, { "x-api-key": token })
      assert.strictEqual((yield* create).status, 200)
      assert.strictEqual((yield* as("DELETE", "tml-b")).status, 204)
      assert.strictEqual((yield* as("GET", "tml-b")).status, 401)
      assert.strictEqual((yield* create).status, 401)
      assert.strictEqual((yield* as("GET", "tml-a")).status, 200)
    }).pipe(Effect.provide(Wire.server({ protocol }))))

  it.effect("says that it asks for none", () =>
    Effect.gen(function*() {
      const told = yield* Effect.flatMap(as("GET", "any"), (reply) => reply.json)
      assert.deepInclude(told, { key_id: 0, note: "this server asks for no keys" })
      assert.strictEqual((yield* as("DELETE", "any")).status, 404)
    }).pipe(Effect.provide(Wire.server())))
})

describe("sessions", () => {
  it.effect("end without heartbeats after the time that was set, and keep their checkpoints", () =>
    Effect.gen(function*() {
      const { modelId, sessionId } = yield* Wire.readyModel
      const other = yield* Wire.createSession
      yield* save(modelId, 1, "a")
      const beat = (id: string) =>
        Effect.map(Wire.post("session_heartbeat", { session_id: id }), ({ status }) => status)
      yield* TestClock.adjust("4 minutes")
      assert.strictEqual(yield* beat(other), 200)
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual([yield* beat(sessionId), yield* beat(other)], [410, 200])
      assert.strictEqual((yield* Wire.optimStep(modelId, 2)).status, 410)
      assert.lengthOf((yield* Wire.get("checkpoints")).body.checkpoints as ReadonlyArray<unknown>, 1)
      const found = yield* Wire.post("sessions/search", { statuses: [{ type: "cancelled" }] })
      const [one, ...others] = found.body.sessions as ReadonlyArray<Record<string, unknown>>
      assert.deepStrictEqual([one?.session_id, others], [sessionId, []])
      const { body } = yield* Wire.get("audit")
      assert.include(JSON.stringify(body.entries), "session_expire")
    }).pipe(Effect.provide(Wire.server({ protocol: { sessionTimeout: "5 minutes" } }))))

  it.effect("have no traces, which is said for those that exist", () =>
    Effect.gen(function*() {
      const sessionId = yield* Wire.createSession
      assert.deepInclude((yield* Wire.get(`sessions/${sessionId}/trace_export`)).body, { status: "failed" })
      assert.strictEqual((yield* Wire.get("sessions/none/trace_export")).status, 404)
    }).pipe(Effect.provide(Wire.server())))
})

describe("older clients", () => {
  it.effect("are not shown checkpoints that they cannot read, and send telemetry without a process", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      yield* save(modelId, 1, "a")
      const external = yield* Wire.post("save_weights_external", { model_id: modelId, seq_id: 2, path: "x" })
      yield* Wire.result(external)
      const kinds = (version: string) =>
        Effect.gen(function*() {
          const client = yield* HttpClient.HttpClient
          const lists = yield* Effect.forEach(["checkpoints", `training_runs/${modelId}/checkpoints`], (path) =>
            Effect.flatMap(
              client.get(`http://tinker/api/v1/${path}`, { headers: { "x-stainless-package-version": version } }),
              (reply) =>
                reply.json
            ))
          return lists.map((list) =>
            (list as { checkpoints: ReadonlyArray<{ checkpoint_type: string }> }).checkpoints
              .map((one) =>
                one.checkpoint_type
              )
              .toSorted()
          )
        })
      assert.deepStrictEqual(yield* kinds("0.25.0"), [["training"], ["training"]])
      assert.deepStrictEqual(yield* kinds("0.28.0"), [["external", "training"], ["external", "training"]])
      const telemetry = { events: [], platform: "Linux", sdk_version: "0.18.0", session_id: "s" }
      assert.strictEqual((yield* Wire.post("telemetry", telemetry)).status, 200)
      assert.strictEqual((yield* Wire.post("create_custom_loss", {})).status, 400)
    }).pipe(Effect.provide(Wire.server())))
})

it.effect("speaks of usage, storage, keys and the audit log as this SDK reads them", () =>
  Effect.gen(function*() {
    const { modelId } = yield* Wire.readyModel
    yield* Wire.result(yield* Wire.forwardBackward(modelId, 1))
    yield* save(modelId, 2, "a")
    yield* TestClock.adjust("1 hour")
    const rest = yield* RestClient.RestClient
    const admin = yield* AdminClient.AdminClient
    const { data, sessions } = yield* admin.getBillingUsage({
      startingOn: DateTime.unsafeMake(0),
      endingBefore: DateTime.unsafeMake(3_600_000)
    })
    assert.deepStrictEqual(data.map(({ eventInfo }) => eventInfo._tag), ["Training", "Checkpoint", "Storage"])
    assert.strictEqual(Object.keys(sessions).length, 1)
    assert.strictEqual((yield* admin.getCurrentCheckpointStorageUsage()).data[0]?.checkpointCount, 1)
    assert.strictEqual((yield* rest.getApiKey(Redacted.make("tml-any"))).keyId, 0)
    assert.isAbove((yield* admin.getAuditLog()).entries.length, 0)
  }).pipe(
    Effect.scoped,
    Effect.provide(Tinker.layer().pipe(Layer.provideMerge(Wire.server())))
  ))
