import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer, TestClock } from "effect"
import { ClientConfig, Credentials, ServiceApi, ServiceClient, TinkerConfig } from "effect-tinker"
import { transport } from "./fixture.js"
import { json, stub } from "./stub.js"

/** The settings of a server that answers so. */
const settings = (config: unknown, dynamic: () => unknown = () => ({}), status: () => number = () => 200) => {
  const asked: Array<string> = []
  const answer = (url: string) => {
    const path = url.slice(url.indexOf("/v1/") + 4)
    asked.push(path)
    return path === "client/config"
      ? new Response(JSON.stringify(config))
      : new Response(JSON.stringify(dynamic()), { status: status() })
  }
  const options = { baseUrl: "http://localhost" }
  const layer = ClientConfig.layer.pipe(
    Layer.provide(ServiceApi.layer),
    Layer.provideMerge(transport((request) => Effect.sync(() => answer(request.url)), options)),
    Layer.provide(Layer.provide(Credentials.layer, TinkerConfig.layer(options)))
  )
  return { asked, layer }
}

const get = Effect.flatMap(ClientConfig.ClientConfig, (config) => config.get)
const current = Effect.map(ClientConfig.ClientConfig, (config) => config.current())
/** Fetches, then asks for changes again and again. */
const follow = Effect.flatMap(ClientConfig.ClientConfig, (config) => Effect.zipRight(config.get, config.refresh))
/** The stand-in server's bodies are promises, which virtual time does not wait for. */
const settle = Effect.yieldNow().pipe(Effect.zipRight(Effect.promise(() => new Promise((done) => setImmediate(done)))))
const after = (seconds: number) => Effect.zipRight(TestClock.adjust(seconds * 1000), settle)

it.effect("settings that the server does not send have the protocol's defaults", () => {
  const { layer } = settings({ unheard_of: 1, fwdbwd_max_chunk_len: null })
  return Effect.gen(function*() {
    assert.deepStrictEqual(yield* get, {
      pjwtAuthEnabled: false,
      credentialDefaultSource: "api_key",
      sampleDispatchBytes: 10 * 1024 * 1024,
      inflightResponseBytes: 50 * 1024 * 1024,
      parallelFwdbwdChunks: true,
      protoCompressFwdbwd: false,
      fwdbwdMaxChunkLen: 1024,
      fwdbwdMaxChunkBytes: 5_000_000,
      fwdbwdDispatchBytes: 50_000_000,
      billingPauseSeconds: 3600,
      sampleNoRetries: false,
      sampleStuckDetection: true,
      sampleMaxConcurrentRequests: 2000,
      sampleUseRetrieveFutures: false,
      sampleJoinSamplingSession: false,
      refreshIntervalSeconds: 300,
      sampleCancelEnabled: false,
      sampleCancelMaxBatchSize: 64,
      recognizesRepeatedRequests: true
    })
  }).pipe(Effect.provide(layer))
})

it.effect("the settings are the first thing asked for, with the version of the protocol, and once", () => {
  const { layer, seen } = stub({ get_server_capabilities: () => json({ supported_models: [] }) })
  return Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    yield* Effect.all([service.getServerCapabilities, service.getServerCapabilities], { concurrency: 2 })
    assert.deepStrictEqual(seen.map(({ path }) => path), [
      "client/config",
      "client/dynamic_config",
      "get_server_capabilities",
      "get_server_capabilities"
    ])
    assert.deepStrictEqual(seen[0]?.body, { sdk_version: TinkerConfig.protocolVersion })
  }).pipe(Effect.provide(layer))
})

for (const status of [404, 405]) {
  it.effect(`a server that answers ${status} to the question for settings has the defaults`, () => {
    const { layer } = stub({
      "client/config": () => json({ detail: "Not Found" }, status),
      "client/dynamic_config": () => json({ detail: "Not Found" }, status)
    })
    return Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const sampling = yield* service.createSamplingClient({ baseModel: "small" })
      assert.strictEqual(sampling.baseModel, "small")
    }).pipe(Effect.provide(layer))
  })
}

it.effect("a setting of another type fails, and the next call asks again", () => {
  let times = 0
  const { layer } = stub({
    "client/config": () => json(times++ === 0 ? { fwdbwd_max_chunk_len: "many" } : {}),
    get_server_capabilities: () => json({ supported_models: [] })
  })
  return Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const error = yield* Effect.flip(service.getServerCapabilities)
    assert.strictEqual(error._tag, "ApiResponseValidationError")
    assert.notInclude(error.message, "many")
    yield* service.getServerCapabilities
  }).pipe(Effect.provide(layer))
})

it.scoped("changes are asked for at the server's interval, and used at once", () => {
  let limit = 7
  const { asked, layer } = settings({}, () => ({ refresh_interval_sec: 60, sample_max_concurrent_requests: limit }))
  return Effect.gen(function*() {
    yield* follow
    assert.strictEqual((yield* current).sampleMaxConcurrentRequests, 7)
    limit = 9
    yield* after(59)
    assert.strictEqual(asked.length, 2)
    yield* after(1)
    assert.strictEqual(asked.length, 3)
    assert.strictEqual((yield* current).sampleMaxConcurrentRequests, 9)
  }).pipe(Effect.provide(layer))
})

it.scoped("changes are asked for every ten seconds at most, whatever the server wants", () => {
  const { asked, layer } = settings({}, () => ({ refresh_interval_sec: 1 }))
  return Effect.gen(function*() {
    yield* follow
    yield* after(9)
    assert.strictEqual(asked.length, 2)
    yield* after(1)
    assert.strictEqual(asked.length, 3)
  }).pipe(Effect.provide(layer))
})

for (
  const [what, status, sent] of [["a failure", 500, {}], ["nonsense", 200, { sample_cancel_enabled: "maybe" }]] as const
) {
  it.scoped(`${what} keeps the settings that were good, and is asked again`, () => {
    let trouble = false
    const { asked, layer } = settings(
      {},
      () => trouble ? sent : { refresh_interval_sec: 10, sample_cancel_enabled: true },
      () => trouble ? status : 200
    )
    return Effect.gen(function*() {
      yield* follow
      trouble = true
      yield* after(10)
      yield* after(10)
      assert.strictEqual(asked.length, 4)
      assert.isTrue((yield* current).sampleCancelEnabled)
    }).pipe(Effect.provide(layer))
  })
}

it.effect("nothing is asked for again once the scope has closed", () => {
  const { asked, layer } = settings({})
  return Effect.gen(function*() {
    yield* Effect.scoped(follow)
    yield* after(1000)
    assert.strictEqual(asked.length, 2)
  }).pipe(Effect.provide(layer))
})

it.effect("a client without a session asks for no changes", () => {
  const { layer, to } = stub({ get_server_capabilities: () => json({ supported_models: [] }) })
  return Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    yield* service.getServerCapabilities
    yield* TestClock.adjust("10 minutes")
    assert.strictEqual(to("client/dynamic_config").length, 1)
    yield* service.createSamplingClient({ baseModel: "small" })
    yield* TestClock.adjust("10 minutes")
    assert.strictEqual(to("client/dynamic_config").length, 3)
  }).pipe(Effect.provide(layer))
})

it.effect("an address where nothing answers is given up within seconds", () => {
  const { layer } = stub({ "client/config": () => Effect.die(new Error("connect ECONNREFUSED")) })
  return Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const asking = yield* Effect.fork(Effect.flip(service.getServerCapabilities))
    yield* TestClock.adjust("12 seconds")
    const error = yield* Fiber.join(asking)
    assert.strictEqual(error._tag, "ApiConnectionError")
    assert.include(error.message, "ECONNREFUSED")
  }).pipe(Effect.provide(layer))
})

it.effect("the server says how long a missing credit is waited for", () => {
  let paid = false
  const { layer } = stub({
    "client/config": () => json({ billing_exception_max_pause_duration_sec: 20 }),
    get_server_capabilities: () => paid ? json({ supported_models: [] }) : json({ detail: "no credit" }, 402)
  })
  return Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const failing = yield* Effect.fork(Effect.flip(service.getServerCapabilities))
    yield* TestClock.adjust("25 seconds")
    const error = yield* Fiber.join(failing)
    assert.strictEqual(error._tag === "ApiStatusError" && error.reason, "Billing")
    assert.include(error.message, "no credit")
    const waiting = yield* Effect.fork(service.getServerCapabilities)
    yield* TestClock.adjust("12 seconds")
    paid = true
    yield* TestClock.adjust("5 seconds")
    yield* Fiber.join(waiting)
  }).pipe(Effect.provide(layer))
})

it.effect("a missing credit is not waited for when the user says so, whatever the server does", () => {
  const { layer, to } = stub({ get_server_capabilities: () => json({ detail: "no credit" }, 402) }, { billingPause: 0 })
  return Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    yield* Effect.flip(service.getServerCapabilities)
    assert.strictEqual(to("get_server_capabilities").length, 1)
  }).pipe(Effect.provide(layer))
})
