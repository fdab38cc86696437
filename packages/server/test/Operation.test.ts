import { BigramEngine } from "@effect-tinker/engine"
import { FetchHttpClient, HttpClient, HttpServer, HttpServerRequest } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope, TestClock } from "effect"
import { createServer } from "node:http"
import { CheckpointStore, TinkerProtocol, TinkerServer } from "../src/index.js"
import * as InProcess from "../src/internal/http/inProcess.js"
import * as Wire from "./wire.js"

const scrape = Effect.flatMap(HttpClient.get("http://tinker/metrics"), (reply) => reply.text)

const valueOf = (text: string, series: string): number | undefined => {
  const line = text.split("\n").find((line) => line.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length))
}

describe("metrics", () => {
  it.effect("count requests by route and status, their times, what waits, and tokens", () =>
    Effect.gen(function*() {
      const { modelId, sessionId } = yield* Wire.readyModel
      const sampler = (yield* Wire.createSampler(sessionId)).body.sampling_session_id
      yield* Wire.result(yield* Wire.forwardBackward(modelId, 1))
      yield* Wire.forwardBackward(modelId, 3)
      const sampled = yield* Wire.sample(sampler, { sampling_params: { max_tokens: 3, seed: 1, stop: [] } })
      yield* Wire.result(sampled)
      yield* Wire.get("samplers/none")
      yield* Wire.get("nowhere")
      const held = yield* Effect.fork(
        Wire.post("retrieve_future", { request_id: `${modelId}:3`, allow_metadata_only: false })
      )
      yield* TestClock.adjust("40 seconds")
      yield* Fiber.join(held)
      const text = yield* scrape
      const requests = (method: string, route: string, status: number) =>
        valueOf(text, `tinker_http_requests_total{method="${method}",route="${route}",status="${status}"}`)
      assert.strictEqual(requests("POST", "/api/v1/forward_backward", 200), 2)
      assert.strictEqual(requests("GET", "/api/v1/samplers/:id", 404), 1)
      assert.strictEqual(requests("GET", "unknown", 404), 1)
      assert.strictEqual(valueOf(text, "tinker_queue_length{queue=\"training\"}"), 1)
      assert.strictEqual(valueOf(text, "tinker_sessions"), 1)
      assert.strictEqual(valueOf(text, "tinker_models"), 1)
      assert.strictEqual(valueOf(text, "tinker_tokens_total{kind=\"training\"}"), 4)
      assert.strictEqual(valueOf(text, "tinker_tokens_total{kind=\"sampling_sample\"}"), 3)
      const times = "tinker_http_request_duration_seconds"
      const route = "route=\"/api/v1/retrieve_future\""
      assert.strictEqual(valueOf(text, `${times}_bucket{${route},le="10"}`), 2)
      assert.strictEqual(valueOf(text, `${times}_bucket{${route},le="30"}`), 2)
      assert.strictEqual(valueOf(text, `${times}_bucket{${route},le="60"}`), 3)
      assert.strictEqual(valueOf(text, `${times}_bucket{${route},le="+Inf"}`), 3)
      assert.strictEqual(valueOf(text, `${times}_count{${route}}`), 3)
      assert.isAtLeast(valueOf(text, `${times}_sum{${route}}`)!, 40)
    }).pipe(Effect.provide(Wire.server({ protocol: { metrics: true } }))))

  it.effect("are not there unless asked for, and want a key where one is wanted", () =>
    Effect.gen(function*() {
      const status = HttpClient.get("http://tinker/metrics").pipe(Effect.map(({ status }) => status))
      assert.strictEqual(yield* Effect.provide(status, Wire.server()), 404)
      const protocol = { metrics: true, apiKeys: ["tml-right"] }
      assert.strictEqual(yield* Effect.provide(status, Wire.server({ protocol })), 401)
    }))
})

it.effect("tells of every answer, with neither query nor the token of a file", () => {
  const seen: Array<TinkerProtocol.Answered> = []
  const protocol = { onAnswer: (answered: TinkerProtocol.Answered) => Effect.sync(() => void seen.push(answered)) }
  return Effect.gen(function*() {
    const sessionId = yield* Wire.createSession
    yield* Wire.get(`sessions/${sessionId}?access_scope=owned`)
    yield* HttpClient.get("http://tinker/files/secret/adapter_model.safetensors")
    yield* Wire.get("nowhere?q=1")
    assert.deepStrictEqual(seen.map(({ method, path, route, status }) => [method, path, route, status]), [
      ["POST", "/api/v1/create_session", "/api/v1/create_session", 200],
      ["GET", `/api/v1/sessions/${sessionId}`, "/api/v1/sessions/:id", 200],
      ["GET", "/files/…", "/files/:token/:name", 403],
      ["GET", "/api/v1/nowhere", "unknown", 404]
    ])
  }).pipe(Effect.provide(Wire.server({ protocol })))
})

it.effect("tells those who wait for what it cannot finish in time to ask again, and does not call it failed", () =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const { app, stop } = yield* TinkerProtocol.makeStoppable({ gracePeriod: "100 millis", holdTime: "1 hour" }).pipe(
      Effect.provide([BigramEngine.layer({ stepDuration: "1 day" }), CheckpointStore.layerMemory]),
      Scope.extend(scope)
    )
    const client = HttpClient.make((request, url) =>
      Effect.map(
        Effect.scoped(Effect.provideService(
          app,
          HttpServerRequest.HttpServerRequest,
          InProcess.serverRequest(
            request,
            url,
            request.body._tag === "Uint8Array" ? request.body.body : new Uint8Array(0)
          )
        )),
        (response) => InProcess.clientResponse(request, response)
      ).pipe(Effect.orDie)
    )
    yield* Effect.gen(function*() {
      const { modelId, sessionId } = yield* Wire.readyModel
      const sampler = (yield* Wire.createSampler(sessionId)).body.sampling_session_id
      const submitted = [yield* Wire.forwardBackward(modelId, 1), yield* Wire.sample(sampler)]
      const asking = yield* Effect.fork(Effect.all(submitted.map((one) => Wire.result(one)), { concurrency: 2 }))
      const stopping = yield* Effect.fork(Effect.zipRight(stop, Scope.close(scope, Exit.void)))
      yield* TestClock.adjust("100 millis")
      for (const { body } of yield* Fiber.join(asking)) {
        assert.include(body, { type: "try_again", queue_state: "active" })
      }
      yield* Fiber.join(stopping)
    }).pipe(Effect.provideService(HttpClient.HttpClient, client))
  }))

it.scopedLive("finishes what it has before it stops, refuses what is new meanwhile, and saves what was trained", () =>
  Effect.gen(function*() {
    const store = yield* CheckpointStore.CheckpointStore
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(
      TinkerServer.layer({ gracePeriod: "20 seconds", saveOnStop: true }).pipe(
        Layer.provide(Layer.succeed(CheckpointStore.CheckpointStore, store)),
        Layer.provide(BigramEngine.layer({ stepDuration: "300 millis" })),
        Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))
      ),
      scope
    )
    const { address } = yield* Effect.provide(HttpServer.HttpServer, context)
    const port = address._tag === "TcpAddress" ? address.port : 0
    const here = HttpClient.mapRequest((request) => ({
      ...request,
      url: request.url.replace("http://tinker", `http://127.0.0.1:${port}`)
    }))
    yield* Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      yield* Wire.forwardBackward(modelId, 1)
      const step = yield* Wire.optimStep(modelId, 2)
      const ended = yield* Deferred.make<void>()
      yield* Effect.forkScoped(Effect.zipRight(Scope.close(scope, Exit.void), Deferred.succeed(ended, undefined)))
      const health = yield* Wire.get("healthz").pipe(
        Effect.repeat({ until: ({ status }) => status !== 200 })
      )
      assert.strictEqual(health.status, 503)
      const refused = yield* Wire.optimStep(modelId, 3)
      assert.strictEqual(refused.status, 503)
      assert.strictEqual(refused.headers["retry-after"], "5")
      const stepped = yield* Wire.result(step)
      assert.property(stepped.body, "metrics")
      yield* Deferred.await(ended)
      const saved = yield* store.list
      assert.deepStrictEqual(saved.map(({ path, step }) => [path.trainingRunId, path.checkpointType, step]), [
        [modelId, "training", 1]
      ])
    }).pipe(
      Effect.provideServiceEffect(HttpClient.HttpClient, Effect.map(HttpClient.HttpClient, here)),
      Effect.provide(FetchHttpClient.layer)
    )
  }).pipe(Effect.provide(CheckpointStore.layerMemory)))
