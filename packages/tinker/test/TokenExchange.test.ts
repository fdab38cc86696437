import { Faults } from "@effect-tinker/server"
import type { HttpClientRequest } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Logger, Redacted, TestClock } from "effect"
import { ApiFuture, Credentials, ModelInput, SamplingParams, ServiceClient } from "effect-tinker"
import type { TinkerError } from "effect-tinker"
import { adam, client, datum } from "./fixture.js"
import { json, stub } from "./stub.js"

/** Lengths are of the token's life. */
const server = (lifetime: "1 second" | "50 seconds" | "100 seconds" | "1000 seconds", seen: Seen = []) =>
  client({
    server: { apiKeys: ["tml-right"], jwt: { lifetime } },
    client: { apiKey: Redacted.make("tml-right") },
    onRequest: ({ body, headers, url }) => {
      const text = body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : ""
      seen.push({ path: url.slice(url.indexOf("/v1/") + 4), headers, body: text })
    }
  })

type Seen = Array<{
  readonly path: string
  readonly headers: HttpClientRequest.HttpClientRequest["headers"]
  readonly body: string
}>

const count = (path: string) =>
  Effect.flatMap(Faults.Faults, (faults) => Effect.map(faults.requestCounts, (counts) => counts.get(path) ?? 0))
const exchanges = count("auth/token")

const ask = Effect.flatMap(ServiceClient.ServiceClient, (service) => service.getServerCapabilities)
const askTogether = (n: number) => Effect.all(Array.from({ length: n }, () => ask), { concurrency: "unbounded" })

it.effect("shows the token instead of the key once the server wants tokens", () => {
  const seen: Seen = []
  return Effect.gen(function*() {
    yield* ask
    const keys = new Map(seen.map(({ headers, path }) => [path, headers["x-api-key"]]))
    assert.strictEqual(keys.get("client/config"), "tml-right")
    assert.strictEqual(keys.get("auth/token"), "tml-right")
    assert.match(keys.get("client/dynamic_config") ?? "", /^eyJ/)
    assert.strictEqual(keys.get("get_server_capabilities"), keys.get("client/dynamic_config"))
    assert.strictEqual(yield* exchanges, 1)
  }).pipe(Effect.provide(server("1000 seconds", seen)))
})

it.effect("renews the token at about half its life, unasked", () =>
  Effect.gen(function*() {
    yield* ask
    yield* TestClock.adjust("449 seconds")
    assert.strictEqual(yield* exchanges, 1)
    yield* TestClock.adjust("102 seconds")
    assert.strictEqual(yield* exchanges, 2)
    yield* TestClock.adjust("600 seconds")
    assert.strictEqual(yield* exchanges, 3)
  }).pipe(Effect.provide(server("1000 seconds"))))

it.effect("fifty calls near the end of a token share one exchange", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    yield* ask
    // The renewal ahead of time fails, and its next attempt is a minute away.
    yield* faults.plan({ path: "auth/token", fault: Faults.answer(503) })
    yield* TestClock.adjust("80 seconds")
    assert.strictEqual(yield* exchanges, 2)
    yield* faults.plan({ path: "auth/token", fault: Faults.delay("2 seconds") })
    const all = yield* Effect.fork(askTogether(50))
    yield* TestClock.adjust("2 seconds")
    yield* Fiber.join(all)
    assert.strictEqual(yield* exchanges, 3)
  }).pipe(Effect.provide(server("100 seconds"))))

it.effect("a failed renewal keeps the token that is good, warns, and comes again after a minute", () => {
  const warnings: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel._tag === "Warning") warnings.push(String(message))
  })
  const seen: Seen = []
  return Effect.gen(function*() {
    const faults = yield* Faults.Faults
    yield* Effect.provide(ask, Logger.replace(Logger.defaultLogger, logger))
    const token = seen.at(-1)?.headers["x-api-key"]
    yield* faults.plan({ path: "auth/token", fault: Faults.answer(500) })
    yield* TestClock.adjust("449 seconds")
    while ((yield* exchanges) === 1) yield* TestClock.adjust("1 second")
    assert.strictEqual(warnings.length, 1)
    yield* ask
    assert.strictEqual(seen.at(-1)?.headers["x-api-key"], token)
    yield* TestClock.adjust("60 seconds")
    assert.strictEqual(yield* exchanges, 3)
    yield* ask
    assert.notStrictEqual(seen.at(-1)?.headers["x-api-key"], token)
  }).pipe(Effect.provide(server("1000 seconds", seen)))
})

it.effect("calls near the end of a token do not queue up behind an exchange that fails", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    yield* ask
    yield* faults.plan({ path: "auth/token", fault: Faults.answer(503), times: 100 })
    yield* TestClock.adjust("80 seconds")
    const before = yield* exchanges
    yield* askTogether(50)
    assert.strictEqual((yield* exchanges) - before, 1)
  }).pipe(Effect.provide(server("100 seconds"))))

it.effect("a key that the exchange refuses is told at once", () => {
  const { layer, to } = stub({
    "client/config": () => json({ pjwt_auth_enabled: true }),
    "auth/token": () => json({ detail: "no such key" }, 401)
  }, { apiKey: Redacted.make("tml-wrong") })
  return Effect.gen(function*() {
    const error = yield* Effect.flip(ask)
    assert.strictEqual(error._tag === "ApiStatusError" && error.reason, "Authentication")
    assert.include(error.message, "no such key")
    assert.strictEqual(to("auth/token").length, 1)
  }).pipe(Effect.provide(layer))
})

it.effect("thirty calls within the life of a short token cost few exchanges", () =>
  Effect.gen(function*() {
    for (let call = 0; call < 30; call++) {
      yield* ask
      yield* TestClock.adjust("1600 millis")
    }
    assert.isAtMost(yield* exchanges, 3)
  }).pipe(Effect.provide(server("50 seconds"))))

it.effect("an idle client with a very short token does not renew it all the time", () =>
  Effect.gen(function*() {
    yield* ask
    yield* TestClock.adjust("60 seconds")
    assert.isAtMost(yield* exchanges, 13)
  }).pipe(Effect.provide(server("1 second"))))

it.effect("fifty samples rejected together cause one exchange, and each is sent once more as it was", () => {
  const seen: Seen = []
  return Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const service = yield* ServiceClient.ServiceClient
    const sampling = yield* service.createSamplingClient({ baseModel: "bigram" })
    yield* faults.revokeTokens
    yield* faults.plan({ path: "auth/token", fault: Faults.delay("1 second") })
    seen.length = 0
    const before = yield* exchanges
    const sample = sampling.sample({
      prompt: ModelInput.fromTokens([1]),
      samplingParams: SamplingParams.make({ maxTokens: 1 })
    })
    const all = yield* Effect.fork(Effect.all(Array.from({ length: 50 }, () => sample), { concurrency: "unbounded" }))
    yield* TestClock.adjust("2 seconds")
    assert.strictEqual((yield* Fiber.join(all)).length, 50)
    assert.strictEqual((yield* exchanges) - before, 1)
    const sent = new Map<string, Array<string>>()
    for (const { body, headers, path } of seen.filter(({ path }) => path === "asample")) {
      const key = headers["x-idempotency-key"]!
      sent.set(key, [...sent.get(key) ?? [], `${path} ${JSON.stringify(body)}`])
    }
    assert.strictEqual(sent.size, 50)
    for (const [first, second, ...more] of sent.values()) {
      assert.strictEqual(first, second)
      assert.deepStrictEqual(more, [])
    }
  }).pipe(Effect.provide(server("1000 seconds", seen)))
})

it.effect("many asked at once with a revoked token are each asked exactly twice", () => {
  const seen: Seen = []
  return Effect.gen(function*() {
    const faults = yield* Faults.Faults
    yield* ask
    yield* faults.revokeTokens
    yield* faults.plan({ path: "auth/token", fault: Faults.delay("1 second") })
    const asked = yield* count("get_server_capabilities")
    const all = yield* Effect.fork(askTogether(50))
    yield* TestClock.adjust("1 second")
    yield* Fiber.join(all)
    assert.strictEqual(yield* exchanges, 2)
    assert.strictEqual((yield* count("get_server_capabilities")) - asked, 100)
  }).pipe(Effect.provide(server("1000 seconds", seen)))
})

it.effect("a second rejection is final", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    yield* ask
    const marked = { headers: { "www-authenticate": "Bearer error=\"invalid_token\"" } }
    const before = yield* count("get_server_capabilities")
    yield* faults.plan({ path: "get_server_capabilities", fault: Faults.answer(401, marked), times: 2 })
    const error: TinkerError.TinkerError = yield* Effect.flip(ask)
    assert.strictEqual(error._tag === "ApiStatusError" && error.reason, "Authentication")
    assert.strictEqual((yield* count("get_server_capabilities")) - before, 2)
  }).pipe(Effect.provide(server("1000 seconds"))))

it.effect("a rejection that does not blame the token is sent once more too, if it was a token", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    yield* ask
    yield* faults.plan({ path: "get_server_capabilities", fault: Faults.answer(401) })
    yield* ask
    assert.strictEqual(yield* exchanges, 2)
  }).pipe(Effect.provide(server("1000 seconds"))))

it.effect("a rejection is final at once where keys are shown", () => {
  const { layer, to } = stub({ get_server_capabilities: () => json({ detail: "a wrong key" }, 401) }, {
    apiKey: Redacted.make("tml-key")
  })
  return Effect.gen(function*() {
    yield* Effect.flip(ask)
    assert.strictEqual(to("get_server_capabilities").length, 1)
  }).pipe(Effect.provide(layer))
})

it.effect("a token revoked in the middle of a long poll does not end the wait", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const service = yield* ServiceClient.ServiceClient
    const training = yield* service.createLoraTrainingClient({ baseModel: "bigram" })
    yield* faults.pauseQueue({ state: "paused_capacity", reason: "full" })
    const future = yield* training.forwardBackward({ data: [datum("abc")], lossFn: "cross_entropy" })
    const waiting = yield* Effect.fork(future.await)
    yield* TestClock.adjust("5 seconds")
    yield* faults.revokeTokens
    yield* TestClock.adjust("60 seconds")
    yield* faults.resumeQueue()
    yield* TestClock.adjust("60 seconds")
    assert.property((yield* Fiber.join(waiting)).metrics, "loss:sum")
    yield* ApiFuture.flatten(training.optimStep(adam))
  }).pipe(Effect.provide(server("1000 seconds"))))

it.effect("the exchange is no attempt at the request that needed it", () => {
  const seen: Seen = []
  return Effect.gen(function*() {
    yield* ask
    yield* TestClock.adjust("8 seconds")
    seen.length = 0
    const service = yield* ServiceClient.ServiceClient
    yield* service.createSamplingClient({ baseModel: "bigram" })
    const keys = seen.map(({ headers }) => headers["x-idempotency-key"])
    assert.strictEqual(new Set(keys).size, keys.length)
    for (const { headers, path } of seen) {
      const named = path === "create_sampling_session"
      assert.strictEqual(headers["x-sdk-method"], named ? "ServiceClient.createSamplingClient" : undefined)
    }
  }).pipe(Effect.provide(server("1 second", seen)))
})

it.effect("a waiter that gives up does not end the exchange for the others", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    yield* faults.plan({ path: "auth/token", fault: Faults.delay("10 seconds") })
    const first = yield* Effect.fork(ask)
    yield* TestClock.adjust("1 second")
    const second = yield* Effect.fork(ask)
    yield* TestClock.adjust("1 second")
    yield* Fiber.interrupt(first)
    yield* TestClock.adjust("10 seconds")
    yield* Fiber.join(second)
    assert.strictEqual(yield* exchanges, 1)
  }).pipe(Effect.provide(server("1000 seconds"))))

it.effect("the command goes before a key where the server wants it", () => {
  const { layer, to } = stub({
    "client/config": () => json({ pjwt_auth_enabled: true, credential_default_source: "credential_cmd" }),
    "auth/token": () => json({ jwt: "eyJ.e30.x" }),
    get_server_capabilities: () => json({ supported_models: [] })
  }, { apiKey: Redacted.make("tml-key"), credentialCommand: "print" })
  return Effect.gen(function*() {
    yield* ask
    assert.strictEqual(to("client/config")[0]?.headers["x-api-key"], "tml-key")
    assert.strictEqual(to("auth/token")[0]?.headers["x-api-key"], "tml-command")
    assert.strictEqual(to("get_server_capabilities")[0]?.headers["x-api-key"], "eyJ.e30.x")
  }).pipe(
    Effect.provide(layer),
    Effect.provideService(Credentials.CredentialCommand, { run: () => Effect.succeed(Redacted.make("tml-command")) })
  )
})
