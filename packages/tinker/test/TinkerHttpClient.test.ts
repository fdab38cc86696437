import { HttpClient, HttpClientError } from "@effect/platform"
import type { HttpClientRequest } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import {
  ConfigProvider,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  Redacted,
  Schedule,
  Schema,
  TestClock
} from "effect"
import { Credentials, HttpRuntime, RetryPolicy, TinkerConfig, TinkerError, TinkerHttpClient } from "effect-tinker"
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
  [501, "Unsupported", false],
  [503, "InternalServer", true],
  [505, "Unsupported", false],
  [302, "Other", false]
]

for (const [status, reason, isRetryable] of statuses) {
  it.effect(`calls status ${status} ${reason}, which ${isRetryable ? "may" : "may not"} be retried`, () =>
    Effect.gen(function*() {
      const options = { baseUrl: "http://localhost", billingPause: 0 }
      const error = yield* Effect.flip(send(get)).pipe(
        Effect.provide(transport(answering(status, "{\"detail\":\"no\"}"), options))
      )
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

it.effect("tells no password of an address that a runtime names", () =>
  Effect.gen(function*() {
    const refuse = (request: HttpClientRequest.HttpClientRequest) =>
      new HttpClientError.RequestError({
        request,
        reason: "Transport",
        cause: new AggregateError([new Error("cannot reach http://mia:s3cret@proxy.example:8080/ now")])
      })
    const error = yield* Effect.flip(send(get)).pipe(Effect.provide(transport(refuse)))
    assert.include(error.message, "cannot reach http://proxy.example:8080/ now")
    assert.notInclude(error.message, "s3cret")
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

const waits: ReadonlyArray<readonly [Record<string, string>, number | undefined]> = [
  [{ "retry-after": "1.5" }, 1500],
  [{ "retry-after": new Date(2000).toUTCString() }, 2000],
  [{ "retry-after-ms": "250", "retry-after": "30" }, 250],
  [{ "retry-after": "120" }, 120_000],
  // By the server's own clock, however wrong ours is.
  [{ date: new Date(1e12).toUTCString(), "retry-after": new Date(1e12 + 90_000).toUTCString() }, 90_000],
  [{ "retry-after": "1e30" }, undefined],
  [{ "retry-after": "0" }, undefined],
  [{ "retry-after": "-3" }, undefined],
  [{ "retry-after": "soon" }, undefined],
  [{}, undefined]
]
for (const [headers, millis] of waits) {
  it.effect(`${JSON.stringify(headers)} asks for ${millis ?? "no"} ms of waiting`, () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(send(get)).pipe(Effect.provide(transport(answering(429, "{}", headers))))
      assert.strictEqual(
        error._tag === "ApiStatusError" ? error.retryAfter && Duration.toMillis(error.retryAfter) : NaN,
        millis
      )
    }))
}

for (const [header, status, times] of [["true", 409, 3], ["false", 503, 1]] as const) {
  it.effect(`a ${status} whose header x-should-retry says ${header} is sent ${times === 1 ? "once" : "again"}`, () =>
    Effect.gen(function*() {
      let asked = 0
      const answer = () =>
        Effect.sync(() =>
          ++asked < 3
            ? new Response("{}", { status, headers: { "x-should-retry": header } })
            : new Response("{}")
        )
      const fiber = yield* Effect.fork(
        Effect.exit(RetryPolicy.retry(send(post))).pipe(
          Effect.provide(transport(answer))
        )
      )
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(Exit.isSuccess(yield* Fiber.join(fiber)), times > 1)
      assert.strictEqual(asked, times)
    }))
}

it.effect("an empty 400 is a refused connection sixteen times in a row, and then an answer", () =>
  Effect.gen(function*() {
    const tags: Array<string> = []
    for (let i = 0; i < 17; i++) tags.push((yield* Effect.flip(send(post)))._tag)
    assert.deepStrictEqual(tags.slice(0, 16), new Array(16).fill("ApiConnectionError"))
    assert.strictEqual(tags[16], "ApiStatusError")
  }).pipe(Effect.provide(transport(answering(400, "")))))

it.effect("an answer gives a refused connection its chance back", () =>
  Effect.gen(function*() {
    let asked = 0
    const answer = () => Effect.sync(() => ++asked % 2 === 1 ? new Response("", { status: 400 }) : new Response("{}"))
    yield* Effect.gen(function*() {
      for (let i = 0; i < 30; i++) {
        assert.strictEqual((yield* Effect.flip(send(post)))._tag, "ApiConnectionError")
        yield* send(post)
      }
    }).pipe(Effect.provide(transport(answer)))
  }))

it.effect("a 400 that says why, without a length, is an answer at once", () =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(send(post))
    assert.strictEqual(error._tag === "ApiStatusError" && error.detail, "rank is 0")
  }).pipe(Effect.provide(transport(answering(400, "{\"detail\":\"rank is 0\"}")))))

it.effect("says of itself what clients of the service say, and which attempt it is", () =>
  Effect.gen(function*() {
    let seen: Record<string, string> = {}
    const record = (request: HttpClientRequest.HttpClientRequest) => {
      seen = { ...request.headers }
      return Effect.succeed(new Response("{}"))
    }
    yield* Effect.provide(send({ ...post, timeout: Duration.millis(2500) }), transport(record))
    // The last two are the platform's, for traces.
    const { "x-idempotency-key": _, b3: _1, traceparent: _2, ...headers } = seen
    for (const name of ["x-stainless-os", "x-stainless-arch"]) assert.match(headers[name] ?? "", /^\w/)
    assert.deepStrictEqual(headers, {
      accept: "application/json",
      "content-type": "application/json",
      "user-agent": "effect-tinker/0.1.0",
      "x-stainless-package-version": TinkerConfig.protocolVersion,
      "x-stainless-os": headers["x-stainless-os"]!,
      "x-stainless-arch": headers["x-stainless-arch"]!,
      "x-stainless-runtime": "node",
      "x-stainless-runtime-version": process.versions.node,
      "x-stainless-async": "async:effect",
      "x-stainless-retry-count": "0",
      "x-stainless-read-timeout": "2.5"
    })
  }))

it.effect("shows a proxy its credentials, each if it is there", () =>
  Effect.gen(function*() {
    const seen: Array<Record<string, string>> = []
    const record = (request: HttpClientRequest.HttpClientRequest) => {
      seen.push(request.headers)
      return Effect.succeed(new Response("{}"))
    }
    const access = (cloudflareAccess: TinkerConfig.Options["cloudflareAccess"]) =>
      Effect.provide(send(get), transport(record, { baseUrl: "http://localhost", cloudflareAccess }))
    yield* access({ clientId: "id", clientSecret: Redacted.make("secret") })
    yield* access({ clientId: "id" })
    yield* access(undefined)
    assert.deepStrictEqual(
      seen.map((headers) => [headers["cf-access-client-id"], headers["cf-access-client-secret"]]),
      [["id", "secret"], ["id", undefined], [undefined, undefined]]
    )
  }))

it.effect("the credential command and a proxy's credentials may come from the environment", () =>
  Effect.gen(function*() {
    const { cloudflareAccess, credentialCommand } = yield* TinkerConfig.TinkerConfig
    assert.strictEqual(Option.getOrUndefined(credentialCommand), "print")
    assert.strictEqual(cloudflareAccess.clientId, "id")
    assert.strictEqual(cloudflareAccess.clientSecret && Redacted.value(cloudflareAccess.clientSecret), "secret")
  }).pipe(Effect.provide(Layer.provide(
    TinkerConfig.layerFromEnv,
    Layer.setConfigProvider(ConfigProvider.fromMap(
      new Map([
        ["TINKER_CREDENTIAL_CMD", "print"],
        ["CLOUDFLARE_ACCESS_CLIENT_ID", "id"],
        ["CLOUDFLARE_ACCESS_CLIENT_SECRET", "secret"]
      ])
    ))
  ))))

for (const baseUrl of ["http://localhost/base", "http://localhost/base/", "http://localhost/base//"]) {
  it.effect(`addresses below ${baseUrl} are the same with and without a slash at its end`, () =>
    Effect.gen(function*() {
      const urls: Array<string> = []
      const record = (request: HttpClientRequest.HttpClientRequest) => {
        urls.push(request.url)
        return Effect.succeed(new Response("{}"))
      }
      yield* Effect.provide(send({ ...get, path: "/api/v1/healthz" }), transport(record, { baseUrl }))
      assert.deepStrictEqual(urls, ["http://localhost/base/api/v1/healthz"])
    }))
}

it.effect("a request may take sixty seconds unless told otherwise, for all requests or for one", () =>
  Effect.gen(function*() {
    const within = (options: Partial<TinkerConfig.Options>, request: Partial<TinkerHttpClient.Request>) =>
      Effect.flip(send({ ...get, ...request })).pipe(
        Effect.provide(transport(() => Effect.never, { baseUrl: "http://localhost", ...options })),
        Effect.map((error) => error._tag === "ApiTimeoutError" ? Duration.toSeconds(error.deadline) : NaN)
      )
    const all = yield* Effect.fork(Effect.all([
      within({}, {}),
      within({ requestTimeout: "20 seconds" }, {}),
      within({ requestTimeout: "20 seconds" }, { timeout: Duration.seconds(5) })
    ], { concurrency: "unbounded" }))
    yield* TestClock.adjust("59 seconds")
    assert.strictEqual((yield* Fiber.poll(all))._tag, "None")
    yield* TestClock.adjust("1 second")
    assert.deepStrictEqual(yield* Fiber.join(all), [60, 20, 5])
  }))

it.effect("a policy of two more attempts makes three, on any endpoint, samples too", () =>
  Effect.gen(function*() {
    for (const operation of ["asample", "optim_step", "session_heartbeat"]) {
      let asked = 0
      const answer = () => Effect.sync(() => new Response("{}", { status: asked++ < 9 ? 500 : 200 }))
      const fiber = yield* Effect.fork(
        Effect.flip(RetryPolicy.retry(send({ ...post, operation, path: `/api/v1/${operation}` }))).pipe(
          RetryPolicy.withPolicies({ request: Schedule.recurs(2) }),
          Effect.provide(transport(answer))
        )
      )
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(asked, 3)
      assert.strictEqual(error._tag === "ApiStatusError" && error.attempts, 3)
    }
  }))

for (const field of ["apiKey", "cloudflareAccess.clientSecret", "headers.x-mine"]) {
  it.effect(`${field} with a line break is refused by name, unrepeated, before a transport repeats it`, () =>
    Effect.gen(function*() {
      const bad = "tml-a\ntml-b"
      const options: TinkerConfig.Options = {
        baseUrl: "http://localhost",
        ...(field === "apiKey" ? { apiKey: Redacted.make(bad) } : {}),
        ...(field.startsWith("cloudflare") ? { cloudflareAccess: { clientSecret: Redacted.make(bad) } } : {}),
        ...(field.startsWith("headers") ? { headers: { "x-mine": bad } } : {})
      }
      const error = yield* Effect.flip(Effect.provide(send(get), transport(answering(200, "{}"), options)))
      assert.strictEqual(error._tag === "InvalidInputError" && error.field, field)
      assert.notInclude(error.message, "tml-")
    }))
}

it.effect("stops all requests that are interrupted together before what waits for one of them goes on", () =>
  Effect.gen(function*() {
    const events: Array<string> = []
    const platform = HttpClient.make(() => Effect.never)
    const direct: HttpRuntime.DirectHttpClient = Object.assign(platform, {
      [HttpRuntime.SendDirectly]: () => () => void events.push("stopped")
    })
    const layer = TinkerHttpClient.layer.pipe(
      Layer.provide(Layer.succeed(HttpClient.HttpClient, direct)),
      Layer.provide(Credentials.layer),
      Layer.provide(TinkerConfig.layer({ baseUrl: "http://localhost" }))
    )
    const one = Effect.ensuring(send(get), Effect.sync(() => events.push("went on")))
    const three = Effect.all([one, one, one], { concurrency: "unbounded" })
    yield* Effect.gen(function*() {
      const fiber = yield* Effect.fork(three)
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(layer))
    assert.deepStrictEqual(events, ["stopped", "stopped", "stopped", "went on", "went on", "went on"])
  }))
