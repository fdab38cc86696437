import { BigramEngine, Engine } from "@effect-tinker/engine"
import { NodeServer } from "@effect-tinker/node"
import { HttpClient, HttpClientRequest, type HttpMethod, HttpServer } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Layer } from "effect"
import { CheckpointStore, type TinkerProtocol, TinkerServer } from "../src/index.js"
import * as Wire from "./wire.js"

/** A server on a port of this machine, and a client that finds it there. */
const server = (options: TinkerProtocol.Options) => {
  const serving = TinkerServer.layer(options).pipe(
    Layer.provide(CheckpointStore.layerMemory),
    Layer.provide(BigramEngine.layer()),
    Layer.provideMerge(NodeServer.layer({ host: "127.0.0.1", port: 0 }))
  )
  const client = Effect.gen(function*() {
    const { address } = yield* HttpServer.HttpServer
    const port = address._tag === "TcpAddress" ? address.port : 0
    return HttpClient.mapRequest(
      yield* HttpClient.HttpClient,
      (request) => HttpClientRequest.setUrl(request, request.url.replace("//tinker", `//127.0.0.1:${port}`))
    )
  })
  return Layer.effect(HttpClient.HttpClient, client).pipe(
    Layer.provide(NodeHttpClient.layer),
    Layer.provide(serving)
  )
}

/** A request that waits for those before it, which nobody sends. */
const waiting = Effect.flatMap(Wire.readyModel, ({ modelId }) => Wire.forwardBackward(modelId, 50))

it.live("whoever asks for a result that does not come is told so once the question was held for long enough", () =>
  Effect.gen(function*() {
    const { body } = yield* Effect.flatMap(waiting, Wire.result)
    assert.strictEqual(body.type, "try_again")
  }).pipe(Effect.provide(server({ holdTime: 0 }))))

it.live("whoever will not wait for results that come is answered at once", () =>
  Effect.gen(function*() {
    const { body: { sampling_session_id } } = yield* Effect.flatMap(Wire.createSession, Wire.createSampler)
    const { body } = yield* Wire.post("retrieve_futures", {
      target: { type: "sampling_session", sampling_session_id, cloned_sampler_id: 0 },
      prev_cursor: 0,
      timeout: 0,
      retrieved_request_ids: []
    })
    assert.deepStrictEqual(body, { cursor: 0, completions: [] })
  }).pipe(Effect.provide(server({ holdTime: Duration.infinity }))))

it.live("a question whose client leaves comes to its end", () =>
  Effect.gen(function*() {
    const left = yield* Deferred.make<void>()
    const onAnswer: TinkerProtocol.Options["onAnswer"] = ({ status }) =>
      status === 499 ? Deferred.succeed(left, undefined) : Effect.void
    yield* Effect.gen(function*() {
      const submitted = yield* waiting
      // One that leaves before the server has heard the question counts for nothing.
      yield* Effect.repeat(
        Effect.gen(function*() {
          const question = yield* Effect.fork(Wire.result(submitted))
          yield* Wire.createSession
          yield* Fiber.interrupt(question)
        }),
        { until: () => Deferred.isDone(left) }
      )
    }).pipe(Effect.provide(server({ holdTime: Duration.infinity, onAnswer })))
  }))

it.live("HEAD is answered like GET, and another method with those that there are", () =>
  Effect.gen(function*() {
    const statusOf = (method: HttpMethod.HttpMethod, path: string) =>
      Effect.map(
        HttpClient.execute(HttpClientRequest.make(method)(`http://tinker/api/v1/${path}`)),
        ({ headers, status }) => [status, headers["allow"]]
      )
    assert.deepStrictEqual(yield* statusOf("HEAD", "healthz"), [200, undefined])
    assert.deepStrictEqual(yield* statusOf("DELETE", "asample?a=b"), [405, "POST"])
    assert.deepStrictEqual(yield* statusOf("DELETE", "sessions/any/finish"), [405, "POST"])
    assert.deepStrictEqual(yield* statusOf("GET", "other"), [404, undefined])
    // The route is there, and not what its path names.
    assert.deepStrictEqual(yield* statusOf("GET", "training_runs/"), [404, undefined])
    assert.deepStrictEqual(yield* statusOf("GET", `training_runs/${"x".repeat(1000)}`), [404, undefined])
    assert.deepStrictEqual(yield* statusOf("GET", "training_runs/%zz"), [400, undefined])
    assert.deepStrictEqual(yield* statusOf("PUT", "training_runs/"), [405, "GET"])
  }).pipe(Effect.provide(server({}))))

it.effect("what a client asked for is made, though it leaves meanwhile", () =>
  Effect.gen(function*() {
    const begun = yield* Effect.makeLatch(false)
    const released = yield* Effect.makeLatch(false)
    const engine = Layer.effect(
      Engine.Engine,
      Effect.map(Engine.Engine, (engine): Engine.Service => ({
        ...engine,
        createSampler: (id, options) =>
          begun.open.pipe(Effect.zipRight(released.await), Effect.zipRight(engine.createSampler(id, options)))
      }))
    ).pipe(Layer.provide(BigramEngine.layer()))
    yield* Effect.gen(function*() {
      const sessionId = yield* Wire.createSession
      const client = yield* Effect.fork(Wire.createSampler(sessionId))
      yield* begun.await
      const leaving = yield* Effect.fork(Fiber.interrupt(client))
      yield* released.open
      yield* Fiber.join(leaving)
      const { body } = yield* Wire.get(`sessions/${sessionId}`)
      assert.deepStrictEqual(body.sampler_ids, [`${sessionId}:sample:0`])
    }).pipe(Effect.provide(TinkerServer.layerClient.pipe(Layer.provide(engine))))
  }))
