import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Metric, TestClock } from "effect"
import { RetryPolicy, ServiceClient, TinkerHttpClient, TinkerMetrics } from "effect-tinker"
import { summarize } from "../src/internal/summarize.js"
import { transport } from "./fixture.js"
import { drop, json, stub } from "./stub.js"

/** Metrics are of the whole process, so each test tags its own. */
const own = (test: string) => TinkerMetrics.make({ tags: { test } })

const capabilities = Effect.flatMap(ServiceClient.ServiceClient, (service) => service.getServerCapabilities)

const metricsWith = (test: string) =>
  Effect.map(Metric.snapshot, (pairs) =>
    pairs.flatMap(({ metricKey, metricState }) => {
      const tags = Object.fromEntries(metricKey.tags.map(({ key, value }) => [key, value]))
      return tags["test"] === test ? [{ name: metricKey.name, tags, state: metricState as unknown }] : []
    }))

it("the middle, the 95th and the 99th percent of 1 to 100 are 50.5, 95 and 99", () => {
  const values = Array.from({ length: 100 }, (_, i) => 100 - i)
  const { count, max, mean, min, p50, p95, p99 } = summarize(values)
  assert.deepStrictEqual([p50, p95, p99, min, max, mean, count], [50.5, 95, 99, 1, 100, 50.5, 100])
  assert.deepStrictEqual(summarize([7]).p50, 7)
  assert.deepStrictEqual(summarize([]).p99, undefined)
})

it.effect("two requests that succeed and one that fails are counted so, with their retries, bytes and times", () =>
  Effect.gen(function*() {
    const metrics = own("counted")
    let asked = 0
    const { layer } = stub({
      get_server_capabilities: () => {
        asked += 1
        if (asked === 2) return json({ detail: "busy" }, 503)
        return asked === 4
          ? json({ detail: "no" }, 403)
          : Effect.delay(Effect.succeed(json({ supported_models: [] })), "30 millis")
      }
    })
    const before = metrics.snapshot()
    assert.deepStrictEqual([before.requests, before.duration.p50], [0, undefined])
    yield* Effect.gen(function*() {
      const run = yield* Effect.fork(Effect.all([capabilities, capabilities, Effect.flip(capabilities)]))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(run)
    }).pipe(Effect.provide(Layer.provide(layer, TinkerMetrics.layer(metrics))))

    const found = yield* metricsWith("counted")
    const of = (name: string, operation = "get_server_capabilities") =>
      found.filter((one) => one.name === name && one.tags["operation"] === operation)
    assert.deepStrictEqual(
      of("tinker_requests_total").map(({ state, tags }) => [tags["result"], (state as { count: number }).count]),
      [["ok", 2], ["PermissionDenied", 1]]
    )
    assert.deepInclude(of("tinker_request_retries_total")[0]?.state, { count: 1 })
    const [histogram] = of("tinker_request_duration_ms")
    assert.strictEqual((histogram?.state as { count: number }).count, 3)

    const { bytesReceived, bytesSent, duration, failed, inFlight, requests, retries, succeeded } = metrics.snapshot()
    // The settings were asked for before.
    assert.deepStrictEqual([requests, succeeded, failed, retries, inFlight], [2 + 3, 2 + 2, 1, 1, 0])
    assert.isAbove(bytesSent, 10)
    assert.isAbove(bytesReceived, 60)
    assert.isAtLeast(duration.max ?? 0, 400)
  }))

it.effect("after two requests with an answer and one with a refusal there are 3, 2 and 1", () =>
  Effect.gen(function*() {
    const metrics = own("three")
    let asked = 0
    const answered = transport(() => Effect.succeed(new Response("{}", { status: asked++ === 1 ? 404 : 200 })))
    yield* Effect.gen(function*() {
      const http = yield* TinkerHttpClient.TinkerHttpClient
      const request = http.request({ operation: "get_info", method: "GET", path: "/api/v1/get_info" })
      for (let i = 0; i < 3; i++) yield* Effect.exit(request)
    }).pipe(Effect.provide(Layer.provide(answered, TinkerMetrics.layer(metrics))))
    const { failed, requests, succeeded } = metrics.snapshot()
    assert.deepStrictEqual([requests, succeeded, failed], [3, 2, 1])
  }))

it.effect("requests under way are counted while they are, also when they are interrupted", () =>
  Effect.gen(function*() {
    const metrics = own("under way")
    const { layer } = stub({ get_server_capabilities: () => Effect.never })
    yield* Effect.gen(function*() {
      const run = yield* Effect.fork(capabilities)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(metrics.snapshot().inFlight, 1)
      yield* run.interruptAsFork(run.id())
      yield* run.await
    }).pipe(Effect.provide(Layer.provide(layer, TinkerMetrics.layer(metrics))))
    assert.strictEqual(metrics.snapshot().inFlight, 0)
    const found = yield* metricsWith("under way")
    const results = found.filter(({ name }) => name === "tinker_requests_total").map(({ tags }) => tags["result"])
    assert.deepStrictEqual(results, ["ok", "ok", "interrupted"])
  }))

it.effect("without metrics nothing is counted", () =>
  Effect.gen(function*() {
    const metrics = own("off")
    const { layer, seen } = stub({ get_server_capabilities: () => drop })
    yield* Effect.exit(capabilities).pipe(
      RetryPolicy.withPolicies({ firstContact: RetryPolicy.none }),
      Effect.provide(Layer.provide(layer, TinkerMetrics.layerOff))
    )
    assert.isAbove(seen.length, 1)
    assert.strictEqual(metrics.snapshot().requests, 0)
    assert.isFalse((yield* metricsWith("off")).some(({ name }) => name === "tinker_requests_total"))
  }))
