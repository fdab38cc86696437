import { BigramEngine } from "@effect-tinker/engine"
import { CheckpointStore, Faults, TinkerServer } from "@effect-tinker/server"
import { FetchHttpClient, HttpClient } from "@effect/platform"
import type { HttpClientRequest } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Logger, LogLevel, Metric, Option, Redacted, Tracer } from "effect"
import type { Scope } from "effect"
import {
  AdamParams,
  ApiFuture,
  Datum,
  HttpRuntime,
  Identifiers,
  ModelInput,
  RetryPolicy,
  SamplingParams,
  ServiceClient,
  TensorData,
  Tinker,
  TinkerEvents,
  TinkerHttpClient
} from "effect-tinker"
import type { TinkerConfig, TinkerError, TrainingClient } from "effect-tinker"
import { createServer } from "node:http"
import { inspect } from "node:util"
import { TinkerNode } from "../src/index.js"

const key = "tml-own-0f1e2d3c"
const weightsKey = "tml-owner-4b5a6978"
const proxySecret = "proxy-8796a5b4"
const said = "zebracrossing"
const tokens = [61, 62, 63, 64, 65, 66]

/** What must be nowhere: the secrets, and the prompts as text and as numbers, however they are written. */
const forbidden: ReadonlyArray<RegExp> = [
  new RegExp(key),
  new RegExp(weightsKey),
  new RegExp(proxySecret),
  new RegExp(said),
  /eyJ[A-Za-z0-9_-]{8}/,
  /61[,\s]+62[,\s]+63/
]

/**
 * Everything that a program can hear of the SDK: log lines, spans, events, metrics and errors, in every form they are usually
 * printed; and what the service hears as telemetry.
 */
const listening = () => {
  const lines: Array<string> = []
  const hub = TinkerEvents.makeHub()
  const heard = new Set<string>()
  const batches: Array<string> = []
  const hear = (what: string, value: unknown) => {
    lines.push(`${what} ${inspect(value, { depth: 12, maxArrayLength: 1000 })}`)
    lines.push(`${what} ${JSON.stringify(value, (_, one: unknown) => typeof one === "bigint" ? String(one) : one)}`)
  }
  const spans: Array<string> = []
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>()
      spans.push(name)
      return {
        _tag: "Span",
        name,
        spanId: `span-${spans.length}`,
        traceId: "trace",
        parent,
        context,
        status: { _tag: "Started", startTime },
        attributes,
        links,
        sampled: true,
        kind,
        attribute: (name, value) => {
          attributes.set(name, value)
          hear(`attribute ${name}`, value)
        },
        event: (name, _, attributes) => hear(`event ${name}`, attributes),
        addLinks: () => {},
        end: (_, exit) => {
          // What exporters write of it; the error itself is the platform's, and holds the request.
          if (Exit.isFailure(exit)) lines.push(`end of ${name} ${Cause.pretty(exit.cause, { renderErrorCause: true })}`)
        }
      }
    },
    context: (f) => f()
  })
  const hearCause = (what: string, cause: Cause.Cause<unknown>) => {
    lines.push(`${what} ${Cause.pretty(cause, { renderErrorCause: true })}`)
    for (const error of [...Cause.failures(cause), ...Cause.defects(cause)]) {
      hear(what, error)
      if (error instanceof Error) lines.push(`${what} ${error.message} ${error.stack} ${String(error.cause)}`)
    }
  }
  const loggers = [Logger.stringLogger, Logger.logfmtLogger, Logger.jsonLogger].map((logger) =>
    Logger.map(logger, (line) => {
      lines.push(line)
    })
  )
  hub.listen((event) => {
    heard.add(event._tag)
    hear(`event ${event._tag}`, event)
  })
  const hearRequest = (request: HttpClientRequest.HttpClientRequest) => {
    if (!request.url.endsWith("/telemetry") || request.body._tag !== "Uint8Array") return
    batches.push(new TextDecoder().decode(request.body.body))
  }
  const structured = Logger.map(Logger.structuredLogger, (line) => hear("log", line))
  const layer = Layer.mergeAll(
    Logger.remove(Logger.defaultLogger),
    ...[...loggers, structured].map((logger) => Logger.add(logger)),
    Logger.minimumLogLevel(LogLevel.All),
    Layer.setTracer(tracer),
    Layer.succeed(TinkerEvents.CurrentHub, hub)
  )
  return { lines, spans, heard, batches, hear, hearCause, hearRequest, layer }
}

const options: TinkerConfig.Options = {
  apiKey: Redacted.make(key),
  cloudflareAccess: { clientId: "id", clientSecret: Redacted.make(proxySecret) },
  billingPause: 0,
  telemetry: true
}

const server = { apiKeys: [key, weightsKey], jwt: { lifetime: "1000 seconds" } } as const

const prompt = ModelInput.fromTokens(tokens)
const data = [Datum.fromTokens(Int32Array.from(tokens), new Float32Array(tokens.length).fill(1))]
const ragged = Datum.make({
  modelInput: prompt,
  lossFnInputs: { targetTokens: TensorData.int64(tokens), weights: TensorData.float32([1, NaN]) }
})
const samplingParams = SamplingParams.make({ maxTokens: 3, stop: [said], temperature: 0 })

/** In process there is time for all of them; over sockets for those that only sockets have. */
const ways: ReadonlyArray<Faults.Fault> = [
  Faults.drop,
  Faults.breakBody,
  Faults.truncate(5),
  Faults.answer(401),
  Faults.answer(403),
  Faults.answer(500, { body: "<html>bad gateway</html>" }),
  Faults.answer(422, {
    body: { detail: [{ loc: ["body", "prompt"], msg: "is bad", input: { said, key, tokens } }] }
  }),
  Faults.answer(200, { body: { request_id: 5, sequences: [{ text: said, tokens }] } })
]

/** Uses all that takes a secret or a prompt, while everything fails in every way. */
const program = (
  hearCause: (what: string, cause: Cause.Cause<unknown>) => void,
  ways: ReadonlyArray<Faults.Fault>
) =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const faults = yield* Faults.Faults
    let failures = 0

    const tried = <A>(path: string, effect: Effect.Effect<A, TinkerError.TinkerError>) =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(effect)
        if (Exit.isSuccess(exit)) return
        failures += 1
        hearCause(path, exit.cause)
        yield* Effect.logError(`${path} failed`, exit.cause)
      })
    const once = <A>(path: string, effect: Effect.Effect<A, TinkerError.TinkerError>) =>
      Effect.forEach(ways, (fault) => Effect.zipRight(faults.plan({ path, fault }), tried(path, effect)))

    yield* once("client/config", service.getServerCapabilities)
    yield* once("auth/token", service.getServerCapabilities)
    yield* once("get_server_capabilities", service.getServerCapabilities)
    yield* once("create_session", service.createSamplingClient({ baseModel: "bigram" }))
    yield* once("create_model", service.createLoraTrainingClient({ baseModel: "bigram" }))

    const newModel = service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
    const pass = (training: TrainingClient.Service, data: ReadonlyArray<Datum.Datum>) =>
      ApiFuture.flatten(training.forwardBackward({ data, lossFn: "cross_entropy" }))
    // A model whose request was lost takes no more, so each has its own.
    for (const path of ["forward_backward", "retrieve_future"]) {
      for (const fault of [...ways, Faults.failFuture("the data are bad", "user")]) {
        const training = yield* newModel
        yield* faults.plan({ path, fault })
        yield* tried(path, pass(training, data))
      }
    }
    const training = yield* newModel
    yield* tried("a datum with faults", pass(training, [ragged]))
    const { path } = yield* ApiFuture.flatten(training.saveState({ name: "a" }))
    const load = service.createTrainingClientFromState(path, { weightsAccessToken: Redacted.make(weightsKey) })
    yield* once("load_weights", load)
    yield* load
    yield* tried(
      "another's weights",
      service.createTrainingClientFromState("tinker://other:train:0/weights/a", {
        weightsAccessToken: Redacted.make(weightsKey)
      })
    )

    const sampling = yield* service.createSamplingClient({ baseModel: "bigram" })
    const sample = sampling.sample({ prompt, samplingParams, includePromptLogprobs: true })
    yield* once("asample", sample)
    yield* once("retrieve_future", sample)
    yield* sample
    yield* ApiFuture.flatten(training.optimStep(AdamParams.make({ learningRate: 0.1 })))

    yield* faults.revokeTokens
    yield* once("auth/token", service.getServerCapabilities)
    return failures
  }).pipe(
    RetryPolicy.withPolicies({
      firstContact: RetryPolicy.none,
      request: RetryPolicy.none,
      poll: RetryPolicy.none,
      sample: RetryPolicy.none
    })
  )

const check = (
  make: (
    hearRequest: (request: HttpClientRequest.HttpClientRequest) => void
  ) => Effect.Effect<Layer.Layer<ServiceClient.ServiceClient | Faults.Faults, unknown>, unknown, Scope.Scope>,
  inWays: ReadonlyArray<Faults.Fault>
) =>
  Effect.gen(function*() {
    const { batches, hear, hearCause, hearRequest, heard, layer, lines, spans } = listening()
    const client = yield* make(hearRequest)
    const failures = yield* program(hearCause, inWays).pipe(Effect.provide(client), Effect.provide(layer))
    assert.isAbove(failures, inWays.length * 5)
    assert.isAbove(lines.length, 200)
    assert.include(spans, "ServiceClient.createLoraTrainingClient")
    assert.include(spans, "submit")
    assert.includeMembers(Array.from(heard), ["RequestStarted", "RequestStopped", "FutureFailed"])
    for (const { metricKey, metricState } of yield* Metric.snapshot) {
      hear("metric", [metricKey.name, metricKey.tags, metricState])
    }
    const sent = batches.join()
    for (const event of ["SESSION_START", "SESSION_END", "user_error", "UNHANDLED_EXCEPTION", "APIFuture"]) {
      assert.include(sent, event)
    }
    for (const line of [...lines, ...batches]) {
      for (const secret of forbidden) {
        if (secret.test(line)) assert.fail(`${secret} is in: ${line.slice(0, 2000)}`)
      }
    }
  })

it.scopedLive("nothing that is logged, traced or failed with repeats a secret or a prompt, in process", () =>
  check(
    (hearRequest) =>
      Effect.succeed(
        Tinker.layer(options).pipe(
          Layer.provide(hearing(hearRequest)),
          Layer.provide(TinkerServer.layerClientWithStore(server)),
          Layer.provide([BigramEngine.layer(), CheckpointStore.layerMemory]),
          Layer.provideMerge(Faults.layer)
        )
      ),
    ways
  ))

/** Sees every request, also those that are sent without a fiber. */
const hearing = (hear: (request: HttpClientRequest.HttpClientRequest) => void) =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.map(HttpClient.HttpClient, (client) => {
      const heard = HttpClient.tapRequest(client, (request) => Effect.sync(() => hear(request)))
      if (!(HttpRuntime.SendDirectly in client)) return heard
      const sendDirectly = (client as HttpRuntime.DirectHttpClient)[HttpRuntime.SendDirectly]
      return Object.assign(heard, {
        [HttpRuntime.SendDirectly]: (...args: Parameters<typeof sendDirectly>) => {
          hear(args[0])
          return sendDirectly(...args)
        }
      })
    })
  )

const transports: Readonly<Record<string, Layer.Layer<HttpClient.HttpClient, unknown>>> = {
  "connections of Node": TinkerNode.layer,
  fetch: FetchHttpClient.layer,
  "connections of Node, observed": Layer.effect(
    HttpClient.HttpClient,
    Effect.map(HttpClient.HttpClient, HttpClient.tapRequest((request) => Effect.logDebug("request", request)))
  ).pipe(Layer.provide(TinkerNode.layer))
}
for (const [name, transport] of Object.entries(transports)) {
  it.scopedLive(`nothing that is logged, traced or failed with repeats a secret or a prompt, over ${name}`, () =>
    check(
      (hearRequest) =>
        Effect.gen(function*() {
          const http = createServer()
          const context = yield* Layer.build(
            TinkerServer.layer(server).pipe(
              Layer.provide([CheckpointStore.layerMemory, BigramEngine.layer()]),
              Layer.provide(NodeHttpServer.layer(() => http, { port: 0, host: "127.0.0.1" })),
              Layer.provideMerge(Faults.layer)
            )
          )
          const address = http.address()
          const baseUrl = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`
          return Tinker.layer({ ...options, baseUrl }).pipe(
            Layer.provide(hearing(hearRequest)),
            Layer.provide(transport),
            Layer.merge(Layer.succeedContext(context))
          )
        }),
      [Faults.drop, Faults.breakBody]
    ))
}

it.effect("settings and credentials do not show what they hold", () =>
  Effect.gen(function*() {
    const request: TinkerHttpClient.Request = {
      operation: "get_info",
      method: "GET",
      path: "/",
      credential: Option.some(Redacted.make(key))
    }
    const handle = Identifiers.SessionId.make("S")
    for (const value of [options, request, handle]) {
      assert.notMatch(`${inspect(value, { depth: 9 })} ${JSON.stringify(value)}`, new RegExp(`${key}|${proxySecret}`))
    }
  }))
