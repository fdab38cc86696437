import { assert, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Redacted, TestClock } from "effect"
import {
  AdamParams,
  RawResponse,
  RequestExtras,
  RestClient,
  RetryPolicy,
  ServiceClient,
  TinkerError,
  TinkerHttpClient
} from "effect-tinker"
import * as Fixture from "./fixture.js"
import { json, stub } from "./stub.js"

const list = Effect.flatMap(RestClient.RestClient, (rest) => rest.listTrainingRuns())
const copy = Effect.flatMap(RestClient.RestClient, (rest) => rest.copyWeights("tinker://S:train:0/weights/a"))
const runs = () => json({ training_runs: [], cursor: { limit: 20, offset: 0, total_count: 0 } })
const copied = () => json({ tinker_path: "tinker://T:train:0/weights/a" })

const service = (options?: Parameters<typeof stub>[1], handlers: Parameters<typeof stub>[0] = {}) =>
  stub({ training_runs: runs, "copy_weights": copied, ...handlers }, { projectId: "p", ...options })

it.effect("headers of a region go over those of the client, whatever their letters, and can leave one out", () => {
  const server = service({ headers: { "X-Team": "blue", "X-Other": "kept" } })
  return Effect.gen(function*() {
    yield* RequestExtras.withExtras(list, {
      headers: {
        "x-TEAM": "red",
        Accept: "application/vnd.x+json",
        "X-Stainless-OS": undefined,
        "x-stainless-retry-count": "7"
      }
    })
    const [request] = server.to("training_runs")
    assert.strictEqual(request!.headers["x-team"], "red")
    assert.strictEqual(request!.headers["x-other"], "kept")
    assert.strictEqual(request!.headers["accept"], "application/vnd.x+json")
    assert.strictEqual(request!.headers["x-stainless-retry-count"], "7")
    assert.notProperty(request!.headers, "x-stainless-os")
    yield* list
    assert.strictEqual(server.to("training_runs")[1]!.headers["x-team"], "blue")
    assert.property(server.to("training_runs")[1]!.headers, "x-stainless-os")
  }).pipe(Effect.provide(server.layer))
})

it.effect("a query of a region goes over that of the request, which goes over the client's", () => {
  const server = service({ query: { tenant: "a", limit: "1", deep: { x: "1" }, off: "no" } })
  return Effect.gen(function*() {
    yield* list
    assert.include(server.to("training_runs")[0]!.query, { tenant: "a", limit: "20", "deep[x]": "1", off: "no" })
    yield* RequestExtras.withExtras(list, {
      query: {
        limit: 3,
        order: ["newest", "largest"],
        deep: { y: { z: true } },
        none: null,
        empty: "",
        nothing: [],
        off: null
      }
    })
    assert.deepStrictEqual(server.to("training_runs")[1]!.query, {
      tenant: "a",
      limit: "3",
      offset: "0",
      access_scope: "owned",
      order: "newest,largest",
      "deep[y][z]": "true"
    })
  }).pipe(Effect.provide(server.layer))
})

it.effect("fields of a region go over those of a JSON body", () => {
  const server = service()
  return Effect.gen(function*() {
    yield* RequestExtras.withExtras(copy, { body: { note: null, kept: undefined, nested: { a: [1] } } })
    yield* RequestExtras.withExtras(copy, { body: { destination_project_id: "other" } })
    yield* RequestExtras.withExtras(list, { body: { note: 1 } })
    const [first, second] = server.to("copy_weights")
    assert.include(first!.body, { destination_project_id: "p" })
    assert.deepInclude(first!.body, { note: null, nested: { a: [1] } })
    assert.notProperty(first!.body, "kept")
    assert.include(second!.body, { destination_project_id: "other" })
    assert.strictEqual(server.to("training_runs")[0]!.text, "")
  }).pipe(Effect.provide(server.layer))
})

it.effect("fields beside a number that is too long for a number leave it as it is", () =>
  Effect.gen(function*() {
    const texts: Array<string> = []
    const http = Fixture.transport((request) => {
      texts.push(request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : "")
      return Effect.succeed(new Response("{}"))
    })
    const bytes = new TextEncoder().encode("{\"seq_id\":1000000000000000001} ")
    yield* Effect.flatMap(TinkerHttpClient.TinkerHttpClient, (http) =>
      http.request({ operation: "o", method: "POST", path: "/p", body: { contentType: "application/json", bytes } }))
      .pipe(
        RequestExtras.withExtras({ body: { a: 1 } }),
        Effect.provide(http)
      )
    assert.deepStrictEqual(texts, ["{\"seq_id\":1000000000000000001,\"a\":1}"])
  }))

it.scoped("fields for a body that is no JSON object are refused, and nothing is sent", () => {
  const sent: Array<string> = []
  return Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
    const error = yield* training.forwardBackward({ data: [Fixture.datum("abc")], lossFn: "cross_entropy" }).pipe(
      RequestExtras.withExtras({ body: { note: 1 } }),
      Effect.flip
    )
    assert.instanceOf(error, TinkerError.InvalidInputError)
    assert.include(error.message, "JSON object")
    assert.isFalse(sent.some((url) => url.includes("forward_backward")))
  }).pipe(Effect.provide(Fixture.client({ onRequest: ({ url }) => sent.push(url) })))
})

it.effect("a given idempotency key is that of all attempts, null sends none, and by default each request has its own", () => {
  let refusals = 1
  const server = service({}, { "copy_weights": () => refusals-- > 0 ? json({}, 503) : copied() })
  return Effect.gen(function*() {
    const keys = Effect.sync(() => server.to("copy_weights").map(({ headers }) => headers["x-idempotency-key"]))
    const first = yield* Effect.fork(RequestExtras.withExtras(copy, { idempotencyKey: "mine" }))
    yield* TestClock.adjust("2 seconds")
    yield* Fiber.join(first)
    assert.deepStrictEqual(yield* keys, ["mine", "mine"])
    yield* RequestExtras.withExtras(copy, { idempotencyKey: null })
    yield* copy
    yield* copy
    const [, , none, third, fourth] = yield* keys
    assert.isUndefined(none)
    assert.isString(third)
    assert.notStrictEqual(third, fourth)
    yield* RequestExtras.withExtras(list, { idempotencyKey: "mine" })
    assert.isUndefined(server.to("training_runs")[0]!.headers["x-idempotency-key"])
  }).pipe(Effect.provide(server.layer))
})

it.effect("a client with another timeout for a region is the same client, and the same as before", () => {
  const once = Effect.flatMap(RestClient.RestClient, (rest) => rest.getTrainingRun("r"))
  const slow = stub({ "training_runs/r": () => Effect.never }, { requestTimeout: "20 seconds" })
  return Effect.gen(function*() {
    const deadline = (extras?: RequestExtras.RequestExtras) =>
      Effect.map(
        Effect.flip(extras === undefined ? once : RequestExtras.withExtras(once, extras)),
        (error) => error._tag === "ApiTimeoutError" ? Duration.toSeconds(error.deadline) : error._tag
      )
    const both = yield* Effect.fork(
      Effect.all([deadline({ timeout: "10 seconds" }), deadline()], { concurrency: 2 }).pipe(
        RetryPolicy.withPolicies({ request: RetryPolicy.none })
      )
    )
    yield* TestClock.adjust("30 seconds")
    assert.deepStrictEqual(yield* Fiber.join(both), [10, 20])
    const timeouts = slow.to("training_runs/r").map(({ headers }) => headers["x-stainless-read-timeout"])
    assert.deepStrictEqual(timeouts, ["10", "20"])
  }).pipe(Effect.provide(slow.layer))
})

for (
  const [what, extras, field] of [
    ["a credential", { headers: { "X-Api-Key": "tml-other" } }, "headers.x-api-key"],
    ["a credential left out", { headers: { "x-api-key": undefined } }, "headers.x-api-key"],
    ["a header of the connection", { headers: { Host: "elsewhere" } }, "headers.host"],
    ["a header with a line break", { headers: { "x-a": "tml-secret\r\nx-b: 1" } }, "headers.x-a"],
    ["a name that is none", { headers: { "x a": "tml-secret" } }, "headers.x a"],
    ["no time at all", { timeout: 0 }, "timeout"],
    ["a key with a line break", { idempotencyKey: "a\nb" }, "idempotencyKey"]
  ] as const
) {
  it.effect(`${what} is refused before anything is sent`, () => {
    const server = service()
    return Effect.gen(function*() {
      const error = yield* Effect.flip(RequestExtras.withExtras(list, extras))
      assert.instanceOf(error, TinkerError.InvalidInputError)
      assert.strictEqual((error as TinkerError.InvalidInputError).field, field)
      assert.notInclude(error.message, "tml-")
      assert.lengthOf(server.to("training_runs"), 0)
    }).pipe(Effect.provide(server.layer))
  })
}

it.effect("what an inner region says goes over the outer one, the rest stays", () => {
  const server = service()
  return Effect.gen(function*() {
    yield* list.pipe(
      RequestExtras.withExtras({ headers: { "X-A": "inner" }, query: { a: "inner" } }),
      RequestExtras.withExtras({
        headers: { "x-a": "outer", "x-b": "outer" },
        query: { b: "outer" },
        timeout: "9 seconds"
      })
    )
    const [{ headers, query } = { headers: {}, query: {} }] = server.to("training_runs")
    assert.include(headers, { "x-a": "inner", "x-b": "outer", "x-stainless-read-timeout": "9" })
    assert.include(query, { a: "inner", b: "outer" })
  }).pipe(Effect.provide(server.layer))
})

it.effect("what the client does for itself has no extras, even if the region made the client", () => {
  const requests: Array<readonly [string, Readonly<Record<string, string>>]> = []
  const client = Fixture.client({
    client: { telemetry: true, apiKey: Redacted.make("tml-key") },
    onRequest: ({ headers, url }) =>
      requests.push([url.slice(url.lastIndexOf("/v1/") + 4).replace(/^sessions\/.*\//, ""), headers])
  })
  return Effect.gen(function*() {
    const { responses } = yield* Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
      const step = yield* Effect.flatMap(
        training.optimStep(AdamParams.make({ learningRate: 1 })),
        (future) => future.await
      ).pipe(Effect.fork)
      yield* TestClock.adjust("10 minutes")
      yield* Fiber.join(step)
    }).pipe(
      Effect.scoped,
      Effect.provide(client),
      RequestExtras.withExtras({ headers: { "x-region": "1" }, idempotencyKey: "once" }),
      RawResponse.withResponses
    )
    const has = (path: string) => {
      const found = requests.filter(([url]) => url === path).map(([, headers]) => headers["x-region"] === "1")
      assert.isAbove(found.length, 0, path)
      return found.every((one) => one) ? "all" : found.some((one) => one) ? "some" : "none"
    }
    const own = ["client/config", "client/dynamic_config", "create_session", "session_heartbeat", "telemetry", "finish"]
    for (const path of own) {
      assert.strictEqual(has(path), "none", path)
    }
    for (const path of ["create_model", "optim_step", "retrieve_future"]) assert.strictEqual(has(path), "all", path)
    const polls = requests.filter(([url]) => url === "retrieve_future")
    assert.isTrue(polls.every(([, headers]) => headers["x-idempotency-key"] !== "once"))
    assert.deepStrictEqual(
      Array.from(new Set(responses.map(({ operation }) => operation.split(" ")[0]))).sort(),
      ["create_model", "get_info", "optim_step", "retrieve_future"]
    )
  })
})

it.effect("the exchange of a credential is no request of the region", () => {
  const server = service({ apiKey: Redacted.make("tml-key") }, {
    "client/config": () => json({ pjwt_auth_enabled: true }),
    "auth/token": () => json({ jwt: "eyJhbGciOiJub25lIn0.e30.x" })
  })
  return Effect.gen(function*() {
    yield* RequestExtras.withExtras(list, { headers: { "x-region": "1" }, body: { a: 1 } })
    assert.notProperty(server.to("auth/token")[0]!.headers, "x-region")
    assert.deepStrictEqual(server.to("auth/token")[0]!.body, {})
    assert.property(server.to("training_runs")[0]!.headers, "x-region")
  }).pipe(Effect.provide(server.layer))
})

it.effect("a region that fails leaves nothing behind", () => {
  const server = service()
  return Effect.gen(function*() {
    const outcome = yield* Effect.exit(
      RequestExtras.withExtras(Effect.zipRight(list, Effect.fail("no")), { headers: { "x-a": "1" } })
    )
    assert.isTrue(Exit.isFailure(outcome))
    yield* list
    assert.notProperty(server.to("training_runs")[1]!.headers, "x-a")
  }).pipe(Effect.provide(server.layer))
})
