import { HttpClient } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Chunk, Effect, Fiber, Layer, Schema, Stream, TestClock } from "effect"
import { FileInput, RawClient, RetryPolicy, ServerSentEvents, Tinker, TinkerError } from "effect-tinker"
import * as Fixture from "./fixture.js"
import { drop, json, type Seen, stub } from "./stub.js"

const raw = RawClient.RawClient

const text = (body: string, headers: Record<string, string> = {}) => ({
  status: 200,
  headers,
  body: new TextEncoder().encode(body)
})

it.effect("has all five methods, with query, headers and payload", () => {
  const server = stub({ things: ({ method }) => json({ method }) })
  return Effect.gen(function*() {
    const client = yield* raw
    const options = { query: { a: [1, 2] }, headers: { "X-A": "1" }, payload: { json: { b: null, c: undefined } } }
    const answers = [
      yield* client.get("api/v1/things", { query: { a: [1, 2] }, headers: { "X-A": "1" } }),
      yield* client.post("/api/v1/things", options),
      yield* client.put("//api/v1/things", options),
      yield* client.patch("http://localhost/api/v1/things", options),
      yield* client.delete("api/v1/things")
    ]
    assert.deepStrictEqual(answers.map((answer) => answer.json), [
      { method: "GET" },
      { method: "POST" },
      { method: "PUT" },
      { method: "PATCH" },
      { method: "DELETE" }
    ])
    const seen = server.to("things")
    assert.deepStrictEqual(seen.map((request) => request.text), [
      "",
      "{\"b\":null}",
      "{\"b\":null}",
      "{\"b\":null}",
      ""
    ])
    for (const { headers, query } of seen.slice(0, 4)) {
      assert.deepStrictEqual(query, { a: "1,2" })
      assert.strictEqual(headers["x-a"], "1")
      assert.match(headers["x-sdk-method"] ?? "", /^RawClient\.(get|post|put|patch)$/)
    }
    assert.deepStrictEqual(seen.map(({ headers }) => headers["content-type"]), [
      undefined,
      "application/json",
      "application/json",
      "application/json",
      // Without a body.
      undefined
    ])
    assert.deepStrictEqual(seen.map(({ headers }) => headers["x-idempotency-key"] !== undefined), [
      false,
      true,
      true,
      true,
      true
    ])
  }).pipe(Effect.provide(server.layer))
})

const Annotated = Schema.Struct({
  displayName: Schema.propertySignature(Schema.String).pipe(Schema.fromKey("display_name")),
  parts: Schema.Array(Schema.Struct({
    madeAt: Schema.propertySignature(Schema.Date).pipe(Schema.fromKey("made_at")),
    bytes: Schema.Uint8ArrayFromBase64,
    note: Schema.optional(Schema.String)
  }))
})

it.effect("one schema renames, formats dates and encodes bytes at any depth, in both directions", () => {
  const server = stub({ things: ({ body }) => json(body) })
  const value = { displayName: "a", parts: [{ madeAt: new Date(0), bytes: Uint8Array.of(1, 2, 255), note: undefined }] }
  return Effect.gen(function*() {
    const client = yield* raw
    const answer = yield* client.post("api/v1/things", { payload: { schema: Annotated, value } })
    assert.deepStrictEqual<unknown>(server.to("things")[0]!.body, {
      display_name: "a",
      parts: [{ made_at: "1970-01-01T00:00:00.000Z", bytes: "AQL/" }]
    })
    const { parts } = yield* answer.parse(Annotated)
    assert.deepStrictEqual(parts[0]!.bytes, Uint8Array.of(1, 2, 255))
    assert.deepStrictEqual(parts[0]!.madeAt, new Date(0))
  }).pipe(Effect.provide(server.layer))
})

it.effect("bytes, forms and forms with files have their own types", () => {
  const server = stub({ things: () => json({}) })
  return Effect.gen(function*() {
    const client = yield* raw
    yield* client.post("api/v1/things", {
      payload: { bytes: new TextEncoder().encode("raw"), contentType: "text/plain" }
    })
    yield* client.post("api/v1/things", { payload: { form: { a: { b: [1, 2] } } } })
    yield* client.post("api/v1/things", {
      payload: { multipart: { fields: { a: "x" }, files: { f: FileInput.fromBytes(Uint8Array.of(65)) } } }
    })
    const [bytes, form, multipart] = server.to("things")
    assert.deepStrictEqual([bytes!.headers["content-type"], bytes!.text], ["text/plain", "raw"])
    assert.strictEqual(form!.headers["content-type"], "application/x-www-form-urlencoded")
    assert.strictEqual(form!.text, "a%5Bb%5D%5B%5D=1&a%5Bb%5D%5B%5D=2")
    const parsed = yield* Effect.promise(() =>
      new Response(multipart!.text, { headers: { "content-type": multipart!.headers["content-type"]! } }).formData()
    )
    assert.strictEqual(parsed.get("a"), "x")
    assert.strictEqual((parsed.get("f") as File).size, 1)
  }).pipe(Effect.provide(server.layer))
})

const cyclic: { self?: unknown } = {}
cyclic.self = cyclic
const wrong = { displayName: "tml-secret", parts: [{ madeAt: "x", bytes: Uint8Array.of(1) }] }

for (
  const [what, path, options, field] of [
    ["an address of another server", "https://elsewhere.example/api/v1/things", {}, "path"],
    ["another port of the server", "http://localhost:81/api/v1/things", {}, "path"],
    ["a host that only begins like the server's", "http://localhost.example/api", {}, "path"],
    ["a payload that JSON cannot hold", "api/v1/things", { payload: { json: cyclic } }, "payload"],
    ["no payload at all", "api/v1/things", { payload: { json: undefined } }, "payload"],
    [
      "a payload that does not fit its schema",
      "api/v1/things",
      { payload: { schema: Annotated as Schema.Schema<unknown>, value: wrong } },
      "payload.parts.0.madeAt"
    ],
    ["a credential among the headers", "api/v1/things", { headers: { "x-api-key": "tml-secret" } }, "headers.x-api-key"]
  ] as const
) {
  it.effect(`${what} is refused, and nothing is sent there`, () => {
    const server = stub({ things: () => json({}) })
    return Effect.gen(function*() {
      const client = yield* raw
      const error = yield* Effect.flip(client.post(path, options))
      assert.instanceOf(error, TinkerError.InvalidInputError)
      assert.strictEqual((error as TinkerError.InvalidInputError).field, field)
      assert.notInclude(error.message, "tml-secret")
      assert.isTrue(server.seen.every((request) => request.path.startsWith("client/")))
      const streamed = yield* Effect.flip(Stream.runDrain(client.stream(path, options)))
      assert.strictEqual((streamed as TinkerError.InvalidInputError).field, field)
    }).pipe(Effect.provide(server.layer))
  })
}

it.effect("is sent again as everything else is, under one key, unless told otherwise", () => {
  const answers = [json({}, 503), drop, json({ ok: true }), json({}, 503)]
  const server = stub({ things: () => answers.shift()! })
  return Effect.gen(function*() {
    const client = yield* raw
    const fiber = yield* Effect.fork(client.post("api/v1/things"))
    yield* TestClock.adjust("10 seconds")
    const { json, retries } = yield* Fiber.join(fiber)
    assert.deepStrictEqual(json, { ok: true })
    assert.strictEqual(retries, 2)
    assert.lengthOf(Array.from(new Set(server.to("things").map(({ headers }) => headers["x-idempotency-key"]))), 1)
    const error = yield* Effect.flip(client.post("api/v1/things", { retry: RetryPolicy.none, idempotencyKey: "k" }))
    assert.strictEqual(error._tag, "ApiStatusError")
    assert.include(error.message, "RawClient.post (POST /api/v1/things)")
    assert.strictEqual(server.to("things").at(-1)!.headers["x-idempotency-key"], "k")
  }).pipe(Effect.provide(server.layer))
})

it.effect("a stream is sent again up to its first byte, and an answer other than 2xx is no stream", () => {
  const answers = [json({}, 503), text("a\r\nb\nc"), json({ detail: "no" }, 404)]
  const server = stub({ things: () => answers.shift()! })
  return Effect.gen(function*() {
    const client = yield* raw
    const fiber = yield* Effect.fork(Stream.runCollect(client.lines("api/v1/things")))
    yield* TestClock.adjust("2 seconds")
    assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(fiber)), ["a", "b", "c"])
    let parts = 0
    const error = yield* client.stream("api/v1/things").pipe(
      Stream.runForEach(() => Effect.sync(() => parts++)),
      Effect.flip
    )
    assert.strictEqual(error._tag === "ApiStatusError" ? error.reason : error._tag, "NotFound")
    assert.strictEqual(parts, 0)
    assert.deepStrictEqual(server.to("things").map(({ method }) => method), ["GET", "GET", "GET"])
  }).pipe(Effect.provide(server.layer))
})

it.effect("events are read by a schema, and asked for as such", () => {
  const server = stub({
    things: () =>
      text("data: {\"step\":1}\n\nevent: end\ndata: {\"step\":2}\n\nevent: bad\ndata: {\"step\":\"tml-x\"}\n\n")
  })
  return Effect.gen(function*() {
    const client = yield* raw
    const steps: Array<number> = []
    const error = yield* client.events("api/v1/things", { payload: { json: {} } }).pipe(
      ServerSentEvents.json(Schema.Struct({ step: Schema.Number })),
      Stream.runForEach(({ step }) => Effect.sync(() => steps.push(step))),
      Effect.flip
    )
    assert.deepStrictEqual(steps, [1, 2])
    assert.strictEqual(error._tag, "ApiResponseValidationError")
    assert.include(error.message, "event bad")
    assert.include(error.message, "step")
    assert.notInclude(error.message, "tml-x")
    const [{ headers, method }] = server.to("things") as [Seen]
    assert.deepStrictEqual([method, headers["accept"]], ["POST", "text/event-stream"])
  }).pipe(Effect.provide(server.layer))
})

it.effect("a stream that does not begin within the timeout is asked for no longer", () => {
  const server = stub({ things: () => Effect.never })
  return Effect.gen(function*() {
    const client = yield* raw
    const fiber = yield* client.stream("api/v1/things", { timeout: "5 seconds", retry: RetryPolicy.none }).pipe(
      Stream.runDrain,
      Effect.flip,
      Effect.fork
    )
    yield* TestClock.adjust("5 seconds")
    assert.strictEqual((yield* Fiber.join(fiber))._tag, "ApiTimeoutError")
  }).pipe(Effect.provide(server.layer))
})

it.effect("works with a server in this process, and any HttpClient", () =>
  Effect.gen(function*() {
    const client = yield* raw
    const parts = yield* Stream.mkString(client.text("api/v1/healthz"))
    assert.deepStrictEqual(JSON.parse(parts), { status: "ok" })
  }).pipe(Effect.provide(Fixture.client())))

it.effect("nothing is sent before the first use", () => {
  let requests = 0
  const http = HttpClient.make(() => Effect.die(requests++))
  return Effect.gen(function*() {
    const client = yield* raw
    client.stream("api/v1/things")
    client.get("api/v1/things")
    assert.strictEqual(requests, 0)
  }).pipe(
    Effect.provide(Tinker.layer({ baseUrl: "http://localhost" })),
    Effect.provide(Layer.succeed(HttpClient.HttpClient, http))
  )
})
