import { Faults } from "@effect-tinker/server"
import type { HttpClientRequest } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber, FiberId, Layer, Logger, Redacted, Scope, TestClock } from "effect"
import { ServiceClient } from "effect-tinker"
import { client } from "./fixture.js"

const count = (path: string) =>
  Effect.flatMap(Faults.Faults, (faults) => Effect.map(faults.requestCounts, (counts) => counts.get(path) ?? 0))

const createSampling = Effect.flatMap(
  ServiceClient.ServiceClient,
  (service) => service.createSamplingClient({ baseModel: "bigram" })
)

it.effect("makes no session until something is trained or sampled, and then one", () =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const { supportedModels } = yield* service.getServerCapabilities
    assert.strictEqual(supportedModels[0]?.modelName, "bigram")
    assert.strictEqual(yield* count("create_session"), 0)
    yield* Effect.all([createSampling, createSampling, createSampling], { concurrency: "unbounded" })
    assert.strictEqual(yield* count("create_session"), 1)
    assert.strictEqual(yield* count("client/config"), 1)
  }).pipe(Effect.provide(client())))

it.effect("gives up at once when it is interrupted while the server is in trouble, and tries again later", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    yield* faults.plan({ path: "create_session", fault: Faults.answer(503), times: 3 })
    const impatient = yield* Effect.fork(createSampling)
    yield* TestClock.adjust("100 millis")
    yield* Fiber.interrupt(impatient)
    const patient = yield* Effect.fork(createSampling)
    yield* TestClock.adjust("1 minute")
    assert.strictEqual((yield* Fiber.join(patient)).baseModel, "bigram")
  }).pipe(Effect.provide(client())))

it.effect("beats every ten seconds, through failures of single beats", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    yield* createSampling
    yield* faults.plan({ path: "session_heartbeat", fault: Faults.answer(503), nth: 2 })
    yield* TestClock.adjust("50 seconds")
    assert.strictEqual(yield* count("session_heartbeat"), 5)
  }).pipe(Effect.provide(client())))

it.effect("beats as often as it is told to", () =>
  Effect.gen(function*() {
    yield* createSampling
    yield* TestClock.adjust("10 seconds")
    assert.strictEqual(yield* count("session_heartbeat"), 5)
  }).pipe(Effect.provide(client({ client: { heartbeatInterval: "2 seconds" } }))))

it.effect("stops beating when the server says that the session is finished", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    yield* createSampling
    yield* faults.plan({ path: "session_heartbeat", fault: Faults.answer(410) })
    yield* TestClock.adjust("1 minute")
    assert.strictEqual(yield* count("session_heartbeat"), 1)
  }).pipe(Effect.provide(client())))

it.effect("warns when no beat was accepted for two minutes", () =>
  Effect.gen(function*() {
    const warnings: Array<unknown> = []
    const faults = yield* Faults.Faults
    const logger = Logger.make(({ logLevel, message }) => {
      if (logLevel._tag === "Warning") warnings.push(message)
    })
    yield* Effect.provide(createSampling, Logger.replace(Logger.defaultLogger, logger))
    yield* faults.plan({ path: "session_heartbeat", fault: Faults.answer(503), times: 100 })
    yield* TestClock.adjust("110 seconds")
    assert.strictEqual(warnings.length, 0)
    yield* TestClock.adjust("30 seconds")
    assert.isAbove(warnings.length, 0)
  }).pipe(Effect.provide(client())))

for (
  const [how, exit] of [["success", Exit.void], ["errored", Exit.fail("no")], [
    "interrupted",
    Exit.interrupt(FiberId.none)
  ]] as const
) {
  it.effect(`finishes the session as ${how} when the scope closes so`, () =>
    Effect.gen(function*() {
      const bodies: Array<string> = []
      const scope = yield* Scope.make()
      const onRequest = (request: HttpClientRequest.HttpClientRequest) => {
        if (!request.url.endsWith("/finish")) return
        bodies.push(request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : "")
      }
      const context = yield* Layer.buildWithScope(client({ onRequest }), scope)
      yield* Effect.provide(createSampling, context)
      yield* Scope.close(scope, exit)
      assert.deepStrictEqual(bodies, [`{"reason":{"type":"${how}"},"detail":null}`])
    }))
}

it.effect("a server that wants a key gets it, and refuses a wrong one", () =>
  Effect.gen(function*() {
    const withKey = (key: string) =>
      createSampling.pipe(Effect.provide(client({
        server: { apiKeys: ["tml-right"] },
        client: { apiKey: Redacted.make(key) }
      })))
    assert.strictEqual((yield* withKey("tml-right")).baseModel, "bigram")
    const error = yield* Effect.flip(withKey("tml-wrong"))
    assert.strictEqual(error._tag === "ApiStatusError" && error.reason, "Authentication")
    assert.include(error.message, "TINKER_API_KEY")
    assert.notInclude(error.message, "tml-wrong")
  }))
