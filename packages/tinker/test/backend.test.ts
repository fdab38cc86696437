import { BigramEngine } from "@effect-tinker/engine"
import { TinkerServer } from "@effect-tinker/server"
import { FetchHttpClient, HttpApiClient, HttpClient, HttpClientResponse, HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { Tinker } from "effect-tinker"
import { createServer } from "node:http"
import * as Backend from "../examples/backend.js"

interface Sent {
  readonly path: string
  readonly body: Readonly<Record<string, unknown>>
}

/** Each step gives way to the sockets of the backend: a run in this process would never wait for anything. */
const engine = BigramEngine.layer({ baseModels: ["base"], stepDuration: "1 millis" })

/** The Tinker server in this process; requests to `path` are held until the latch opens. */
const tinker = (sent: Array<Sent>, hold?: { readonly path: string; readonly latch: Effect.Effect<void> }) =>
  Tinker.layer().pipe(
    Layer.provide(
      Layer.effect(
        HttpClient.HttpClient,
        Effect.map(HttpClient.HttpClient, (client) =>
          HttpClient.transform(client, (effect, request) => {
            const path = request.url.slice(request.url.indexOf("/api/v1/") + 8)
            const text = request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : ""
            sent.push({ path, body: text.startsWith("{") ? JSON.parse(text) : {} })
            return path === hold?.path ? Effect.zipRight(hold.latch, effect) : effect
          }))
      )
    ),
    Layer.provide(TinkerServer.layerClient.pipe(Layer.provide(engine)))
  )

interface Span {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
}

/** An OpenTelemetry collector: takes whatever comes, and tells the spans. */
const collector = (bodies: Array<string>) =>
  Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request) => {
      if (request.body._tag === "Uint8Array") bodies.push(new TextDecoder().decode(request.body.body))
      return Effect.succeed(HttpClientResponse.fromWeb(request, new Response("{}")))
    })
  )

const spansOf = (bodies: ReadonlyArray<string>): ReadonlyArray<Span> =>
  bodies.flatMap((body) => {
    const { resourceSpans = [] } = JSON.parse(body) as {
      resourceSpans?: ReadonlyArray<{ readonly scopeSpans: ReadonlyArray<{ readonly spans: ReadonlyArray<Span> }> }>
    }
    return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))
  })

/** The backend on a free port of this machine, a client that outlives it, and the means to end it. */
const start = (client: ReturnType<typeof tinker>, bodies: Array<string>) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const running = Backend.layer({ baseModel: "base" }).pipe(
      Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
      Layer.provide(client),
      Layer.provide(Backend.layerTracing("http://collector").pipe(Layer.provide(collector(bodies))))
    )
    const context = yield* Layer.buildWithScope(running, scope)
    const baseUrl = yield* Effect.provide(HttpServer.addressFormattedWith(Effect.succeed), context)
    const api = yield* Effect.provide(HttpApiClient.make(Backend.Api, { baseUrl }), FetchHttpClient.layer)
    return { models: api.models, end: (exit: Exit.Exit<unknown>) => Scope.close(scope, exit) }
  })

it.live("the backend samples and trains, and its spans are those of the requests that it answers", () =>
  Effect.gen(function*() {
    const bodies: Array<string> = []
    const { end, models } = yield* start(tinker([]), bodies)
    const { tokens } = yield* models.complete({ payload: { prompt: [1, 2, 3], maxTokens: 5 } })
    assert.lengthOf(tokens, 5)

    const { id } = yield* models.train({ payload: { tokens: [1, 2, 3], steps: 3 } })
    const trained = yield* Effect.repeat(models.run({ path: { id } }), { until: ({ steps }) => steps === 3 })
    assert.isNumber(trained.loss)
    assert.strictEqual((yield* Effect.flip(models.run({ path: { id: "another" } })))._tag, "UnknownRun")

    yield* end(Exit.void)
    const spans = spansOf(bodies)
    const sample = spans.find(({ name }) => name === "SamplingClient.sample")!
    const request = spans.find(({ spanId }) => spanId === sample.parentSpanId)!
    assert.match(request.name, /^http.server POST/)
    const steps = spans.filter(({ name }) => name === "TrainingClient.forwardBackward")
    const run = spans.find(({ name }) => name === "run")!
    assert.deepStrictEqual(steps.map(({ parentSpanId }) => parentSpanId), Array(3).fill(run.spanId))
  }))

it.live("what a caller of the backend can mend is refused as theirs, before it is sent", () =>
  Effect.gen(function*() {
    const sent: Array<Sent> = []
    const { end, models } = yield* start(tinker(sent), [])
    const error = yield* Effect.flip(models.complete({ payload: { prompt: [1], maxTokens: -5 } }))
    assert.strictEqual(error._tag, "Refused")
    assert.isFalse(sent.some(({ path }) => path === "asample"))
    yield* end(Exit.void)
  }))

it.live("the backend ends in order: answers what is under way, saves its runs, finishes the session, sends its spans", () =>
  Effect.gen(function*() {
    const sent: Array<Sent> = []
    const bodies: Array<string> = []
    const reached = yield* Deferred.make<void>()
    const released = yield* Deferred.make<void>()
    const latch = Effect.zipRight(Deferred.succeed(reached, undefined), Deferred.await(released))
    const { end, models } = yield* start(tinker(sent, { path: "asample", latch }), bodies)
    const { id } = yield* models.train({ payload: { tokens: [1, 2, 3], steps: 1_000_000 } })
    const answer = yield* Effect.fork(models.complete({ payload: { prompt: [1, 2, 3], maxTokens: 5 } }))
    yield* Deferred.await(reached)

    const ending = yield* Effect.fork(end(Exit.interrupt(yield* Effect.fiberId)))
    yield* Effect.repeat(Effect.exit(models.run({ path: { id } })), { until: Exit.isFailure })
    yield* Deferred.succeed(released, undefined)
    assert.lengthOf((yield* Fiber.join(answer)).tokens, 5)
    yield* Fiber.join(ending)

    assert.deepInclude(sent.find(({ path }) => path === "save_weights")?.body, { path: "interrupted" })
    assert.deepStrictEqual(sent.at(-1)?.body["reason"], { type: "interrupted" })
    assert.isTrue(spansOf(bodies).some(({ name }) => name === "run"))
  }))
