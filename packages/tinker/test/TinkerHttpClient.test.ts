import { HttpClientError } from "@effect/platform"
import type { HttpClientRequest } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Redacted, Schema, TestClock } from "effect"
import { RetryPolicy, TinkerConfig, TinkerError, TinkerHttpClient } from "effect-tinker"
import { transport } from "./fixture.js"

const get: TinkerHttpClient.Request = { operation: "get_info", method: "GET", path: "/api/v1/runs/S:train:0/weights/a" }
const post: TinkerHttpClient.Request = {
  operation: "optim_step",
  method: "POST",
  path: "/api/v1/optim_step",
  body: TinkerHttpClient.jsonBody({ a: 1 })
}

const send = (request: TinkerHttpClient.Request) =>
  Effect.flatMap(TinkerHttpClient.TinkerHttpClient, (http) => http.request(request))

const answering = (status: number, body: string, headers: Record<string, string> = {}) => () =>
  Effect.succeed(new Response(body, { status, headers }))

it.effect("keeps the path of the base URL and the colons and slashes of ids", () =>
  Effect.gen(function*() {
    const urls: Array<string> = []
    const record = (request: HttpClientRequest.HttpClientRequest) => {
      urls.push(request.url)
      return Effect.succeed(new Response("{}"))
    }
    yield* Effect.provide(send(get), transport(record, { baseUrl: "http://localhost/base/" }))
    assert.deepStrictEqual(urls, ["http://localhost/base/api/v1/runs/S:train:0/weights/a"])
  }))

it.effect("sends the key, and an idempotency key unless it only asks", () =>
  Effect.gen(function*() {
    const seen: Array<Record<string, string>> = []
    const record = (request: HttpClientRequest.HttpClientRequest) => {
      seen.push(request.headers)
      return Effect.succeed(new Response("{}"))
    }
    const options = { baseUrl: "http://localhost", apiKey: Redacted.make("tml-secret") }
    yield* Effect.provide(Effect.zip(send(get), send(post)), transport(record, options))
    assert.strictEqual(seen[0]?.["x-api-key"], "tml-secret")
    assert.strictEqual(seen[0]?.["x-idempotency-key"], undefined)
    assert.match(seen[1]?.["x-idempotency-key"] ?? "", /^[0-9a-f-]{36}-\d+$/)
    assert.strictEqual(seen[1]?.["content-type"], "application/json")
  }))

it.effect("keeps the idempotency key over the attempts at one request, and counts them", () =>
  Effect.gen(function*() {
    const seen: Array<readonly [string | undefined, string | undefined]> = []
    const record = (request: HttpClientRequest.HttpClientRequest) => {
      seen.push([request.headers["x-idempotency-key"], request.headers["x-stainless-retry-count"]])
      return Effect.succeed(new Response("{}", { status: seen.length < 3 ? 503 : 200 }))
    }
    const fiber = yield* Effect.fork(Effect.provide(RetryPolicy.retry(send(post)), transport(record)))
    yield* TestClock.adjust("10 seconds")
    yield* Fiber.join(fiber)
    assert.deepStrictEqual(seen.map(([, count]) => count), ["0", "1", "2"])
    assert.strictEqual(new Set(seen.map(([key]) => key)).size, 1)
  }))

const statuses: ReadonlyArray<readonly [number, TinkerError.StatusReason, boolean]> = [
  [400, "BadRequest", false],
  [401, "Authentication", false],
  [402, "Billing", false],
  [403, "PermissionDenied", false],
  [404, "NotFound", false],
  [408, "RequestTimeout", true],
  [409, "Conflict", false],
  [410, "Expired", false],
  [422, "UnprocessableEntity", false],
  [429, "RateLimit", true],
  [500, "InternalServer", true],
  [503, "InternalServer", true],
  [302, "Other", false]
]

for (const [status, reason, isRetryable] of statuses) {
  it.effect(`calls status ${status} ${reason}, which ${isRetryable ? "may" : "may not"} be retried`, () =>
    Effect.gen(function*() {
      const options = { baseUrl: "http://localhost", billingPause: 0 }
      const error = yield* Effect.flip(send(get)).pipe(Effect.provide(transport(answering(status, "{}"), options)))
      assert.strictEqual(error._tag === "ApiStatusError" && error.reason, reason)
      assert.strictEqual(TinkerError.isRetryable(error), isRetryable)
    }))
}

const bodies: ReadonlyArray<readonly [string, string]> = [
  ["{\"detail\":\"too big\"}", "too big"],
  ["{\"detail\":[{\"loc\":[\"body\",\"rank\"],\"msg\":\"too big\",\"input\":\"private\"}]}", "body.rank: too big"],
  ["{\"error\":\"too big\"}", "too big"],
  ["{\"type\":\"RequestFailedResponse\",\"error_message\":\"too big\"}", "too big"],
  ["too big", "too big"]
]

for (const [body, detail] of bodies) {
  it.effect(`reads what went wrong from ${body}`, () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(send(get)).pipe(Effect.provide(transport(answering(400, body))))
      assert.strictEqual(error._tag === "ApiStatusError" && error.detail, detail)
    }))
}

it.effect("reads how long the server asks to wait", () =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(send(get)).pipe(
      Effect.provide(transport(answering(429, "{}", { "retry-after": "1.5" })))
    )
    assert.deepStrictEqual(error._tag === "ApiStatusError" && error.retryAfter, Duration.millis(1500))
  }))

it.effect("says where nothing answers and why", () =>
  Effect.gen(function*() {
    const refuse = (request: HttpClientRequest.HttpClientRequest) =>
      new HttpClientError.RequestError({
        request,
        reason: "Transport",
        cause: new Error("request failed", { cause: new Error("connect ECONNREFUSED 127.0.0.1:9") })
      })
    const error = yield* Effect.flip(send(get)).pipe(Effect.provide(transport(refuse)))
    assert.strictEqual(error._tag, "ApiConnectionError")
    assert.include(error.message, "http://localhost (connect ECONNREFUSED 127.0.0.1:9)")
  }))

it.effect("gives up an attempt after its timeout", () =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(
      Effect.flip(send({ ...get, timeout: Duration.seconds(3) })).pipe(Effect.provide(transport(() => Effect.never)))
    )
    yield* TestClock.adjust("3 seconds")
    const error = yield* Fiber.join(fiber)
    assert.strictEqual(error._tag, "ApiTimeoutError")
  }))

it.effect("names the fields of an answer that do not fit, without what they hold", () =>
  Effect.gen(function*() {
    const schema = Schema.Struct({ model: Schema.Struct({ rank: Schema.Number }) })
    const error = yield* Effect.flatMap(TinkerHttpClient.TinkerHttpClient, (http) => http.json(get, schema)).pipe(
      Effect.flip,
      Effect.provide(transport(answering(200, "{\"model\":{\"rank\":\"private\"}}")))
    )
    assert.strictEqual(error._tag, "ApiResponseValidationError")
    assert.include(error.message, "model.rank")
    assert.notInclude(error.message, "private")
  }))

it.effect("sends nothing to a service without a key, and says which variable holds it", () =>
  Effect.gen(function*() {
    let sent = 0
    const error = yield* Effect.flip(send(get)).pipe(
      Effect.provide(
        transport(() => Effect.sync(() => new Response(String(sent++))), { baseUrl: "https://example.com" })
      )
    )
    assert.strictEqual(error._tag, "InvalidInputError")
    assert.include(error.message, "TINKER_API_KEY")
    assert.strictEqual(sent, 0)
  }))

it.effect("refuses a key that the hosted service cannot have given, without repeating it", () =>
  Effect.gen(function*() {
    const error = yield* send(get).pipe(
      Effect.provide(
        transport(answering(200, "{}"), { apiKey: Redacted.make("sk-other"), baseUrl: TinkerConfig.hosted })
      ),
      Effect.flip
    )
    assert.strictEqual(error._tag, "InvalidInputError")
    assert.notInclude(error.message, "sk-other")
  }))
