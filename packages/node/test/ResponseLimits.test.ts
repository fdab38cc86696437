import { FetchHttpClient } from "@effect/platform"
import type { HttpClient } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Layer, Schedule, Schema, Stream } from "effect"
import { HttpRuntime, RawClient, RequestExtras, RetryPolicy, Tinker, TinkerHttpClient } from "effect-tinker"
import type { TinkerConfig } from "effect-tinker"
import type { ServerResponse } from "node:http"
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib"
import { TinkerNode } from "../src/index.js"
import { ZstdInflate } from "../src/internal/inflate.js"
import { compress } from "../src/internal/zstd.js"
import { get, post, serve, transport, until } from "./fixture.js"

const clients: Readonly<Record<string, Layer.Layer<HttpClient.HttpClient, unknown>>> = {
  fetch: FetchHttpClient.layer,
  undici: TinkerNode.layer
}

const mebi = 1024 ** 2
const limits: TinkerConfig.Options = { maxResponseBytes: { others: mebi, results: 4 * mebi } }

/** The error of a request that would be sent again if that could help. */
const refusal = (
  request: Effect.Effect<unknown, unknown, TinkerHttpClient.TinkerHttpClient>,
  url: string,
  layer: Layer.Layer<HttpClient.HttpClient, unknown>
) =>
  Effect.flip(request).pipe(
    Effect.map((error) => error as TinkerError),
    Effect.retry(Schedule.stop),
    Effect.provide(transport(url, limits, layer))
  )

interface TinkerError {
  readonly _tag: string
  readonly message: string
  readonly cause?: unknown
}

const again = RetryPolicy.withPolicies({ request: Schedule.recurs(3) })

const healthz = again(Effect.flatMap(
  TinkerHttpClient.TinkerHttpClient,
  (http) => RetryPolicy.retry(http.request({ operation: "healthz", method: "GET", path: "/api/v1/healthz" }))
))

const assertTooLong = (error: TinkerError, most: string) => {
  assert.strictEqual(error._tag, "ApiResponseValidationError")
  assert.instanceOf(error.cause, HttpRuntime.RefusedAnswer)
  assert.include(error.message, `the ${most} bytes that are read of one`)
  assert.include(error.message, "raise the option maxResponseBytes")
}

/** The settings of a client come before its own requests. */
const settings = (url: string | undefined, response: ServerResponse): boolean => {
  if (!url?.includes("/client/")) return false
  response.end("{}")
  return true
}

const zeros = Buffer.alloc(64 * mebi)

const packed: Readonly<Record<string, Effect.Effect<Uint8Array>>> = {
  gzip: Effect.sync(() => gzipSync(zeros)),
  deflate: Effect.sync(() => deflateSync(zeros)),
  br: Effect.sync(() => brotliCompressSync(zeros.subarray(0, 8 * mebi))),
  zstd: compress(zeros.subarray(0, 8 * mebi)),
  "gzip, gzip": Effect.sync(() => gzipSync(gzipSync(zeros)))
}

for (const [name, layer] of Object.entries(clients)) {
  for (const [encoding, body] of Object.entries(packed)) {
    if (name === "fetch" && encoding === "zstd") continue
    it.scoped(`with ${name}, a body of ${encoding} that unpacks to more than may be read ends the request, unrepeated`, () =>
      Effect.gen(function*() {
        const bytes = yield* body
        assert.isBelow(bytes.length, mebi)
        const server = yield* serve((_, response) =>
          response.writeHead(200, { "content-encoding": encoding, "content-length": bytes.length }).end(bytes)
        )
        assertTooLong(yield* refusal(healthz, server.url, layer), "1,048,576")
        assert.lengthOf(server.requests, 1)
      }))
  }

  it.scoped(`with ${name}, a body without end is read as far as it may be, and its connection closes`, () =>
    Effect.gen(function*() {
      let isClosed = false
      let written = 0
      const part = Buffer.alloc(64 * 1024, 32)
      const server = yield* serve((_, response) => {
        response.on("close", () => isClosed = true)
        const write = () => {
          while (!isClosed) {
            written += part.length
            if (!response.write(part)) return void response.once("drain", write)
          }
        }
        write()
      })
      assertTooLong(yield* refusal(healthz, server.url, layer), "1,048,576")
      yield* until(() => isClosed)
      assert.isBelow(written, 32 * mebi)
      assert.lengthOf(server.requests, 1)
    }))

  it.scoped(`with ${name}, a body that says it is too long is not waited for`, () =>
    Effect.gen(function*() {
      let isClosed = false
      const server = yield* serve((_, response) => {
        response.on("close", () => isClosed = true)
        response.writeHead(200, { "content-length": mebi + 1 }).flushHeaders()
      })
      assertTooLong(yield* refusal(healthz, server.url, layer), "1,048,576")
      yield* until(() => isClosed)
    }))

  it.scoped(`with ${name}, a body encoded three times over is not unpacked`, () =>
    Effect.gen(function*() {
      const bytes = gzipSync(gzipSync(gzipSync("{}")))
      const server = yield* serve((_, response) =>
        response.writeHead(200, { "content-encoding": "gzip, gzip, gzip" }).end(bytes)
      )
      const error = yield* refusal(healthz, server.url, layer)
      assert.strictEqual(error._tag, "ApiResponseValidationError")
      assert.include(error.message, "no more than 2 encodings are undone")
      assert.lengthOf(server.requests, 1)
    }))

  it.scoped(`with ${name}, an answer as long as it may be is read whole, and a result may be longer`, () =>
    Effect.gen(function*() {
      const sizes: Record<string, number> = { healthz: mebi, retrieve_future: 4 * mebi }
      let more = 0
      const server = yield* serve((request, response) => {
        response.end(Buffer.alloc(sizes[request.url!.split("/").at(-1)!]! + more, 32))
      })
      const whole = Effect.all([get("healthz"), post("retrieve_future")]).pipe(
        Effect.map((answers) => answers.map(({ body }) => body.length)),
        Effect.provide(transport(server.url, limits, layer))
      )
      assert.deepStrictEqual(yield* whole, [mebi, 4 * mebi])
      more = 1
      assertTooLong(yield* refusal(get("healthz"), server.url, layer), "1,048,576")
      assertTooLong(yield* refusal(post("retrieve_future"), server.url, layer), "4,194,304")
    }))

  it.scoped(`with ${name}, a region of code may read more, or less, of a body that arrives in parts too`, () =>
    Effect.gen(function*() {
      const server = yield* serve((request, response) => {
        if (!settings(request.url, response)) response.end(Buffer.alloc(2 * mebi, 32))
      })
      const client = Tinker.layer({ baseUrl: server.url, ...limits }).pipe(Layer.provide(layer))
      yield* Effect.gen(function*() {
        const raw = yield* RawClient.RawClient
        const most = (maxResponseBytes: number) => RequestExtras.withExtras({ maxResponseBytes })
        const read = (stream: Stream.Stream<Uint8Array, unknown>) =>
          Stream.runFold(stream, 0, (sum, part) => sum + part.length)
        assert.strictEqual(Exit.isFailure(yield* Effect.exit(raw.get("things"))), true)
        assert.strictEqual((yield* most(2 * mebi)(raw.get("things"))).bytes.length, 2 * mebi)
        assert.strictEqual(yield* read(raw.stream("things")), 2 * mebi)
        const error = yield* Effect.flip(read(raw.stream("things", { maxResponseBytes: mebi })))
        assertTooLong(error as TinkerError, "1,048,576")
        const refused = yield* Effect.flip(raw.get("things", { maxResponseBytes: 0 }))
        assert.strictEqual(refused._tag === "InvalidInputError" && refused.field, "maxResponseBytes")
      }).pipe(Effect.provide(client))
    }))
}

it.scoped("JSON that is nested without end is told from JSON that is no JSON, in answers and in what errors say", () =>
  Effect.gen(function*() {
    const deep = "[".repeat(900_000)
    let status = 200
    const server = yield* serve((request, response) => {
      if (!settings(request.url, response)) response.writeHead(status).end(deep)
    })
    yield* Effect.gen(function*() {
      const raw = yield* RawClient.RawClient
      const answer = yield* raw.get("things")
      assert.isUndefined(answer.json)
      const unread = yield* Effect.flip(answer.parse(Schema.Unknown))
      assert.include(unread.message, "its JSON is nested more than 100 deep")
      status = 400
      const refused = yield* Effect.flip(raw.get("things"))
      assert.strictEqual(refused._tag === "ApiStatusError" && refused.detail.length, 501)
    }).pipe(Effect.provide(Tinker.layer({ baseUrl: server.url, ...limits }).pipe(Layer.provide(TinkerNode.layer))))
  }))

it.effect("zstd where Node has none is unpacked no further than it is read", () =>
  Effect.gen(function*() {
    const bytes = yield* compress(zeros.subarray(0, 32 * mebi))
    const inflate = new ZstdInflate()
    inflate.end(bytes)
    yield* until(() => inflate.readableLength > 0)
    assert.isBelow(inflate.readableLength, 8 * mebi)
    let length = 0
    inflate.on("data", (part: Buffer) => length += part.length)
    yield* until(() => inflate.readableEnded)
    assert.strictEqual(length, 32 * mebi)
  }))
