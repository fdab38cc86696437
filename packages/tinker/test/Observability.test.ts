import { Faults } from "@effect-tinker/server"
import { HttpClient, HttpClientResponse } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Exit, Fiber, Layer, Logger, Option, Stream, TestClock, Tracer } from "effect"
import {
  ApiFuture,
  ModelInput,
  SamplingParams,
  ServiceClient,
  Tinker,
  TinkerEvents,
  TinkerMetrics,
  WaitingPolicy
} from "effect-tinker"
import type { TinkerConfig } from "effect-tinker"
import { adam, client, datum } from "./fixture.js"
import { answer, drop, json, protobuf, stub } from "./stub.js"

interface Recorded {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentId: string | undefined
  readonly attributes: ReadonlyMap<string, unknown>
  readonly start: bigint
  end: bigint | undefined
  exit: Exit.Exit<unknown, unknown> | undefined
}

/** Keeps spans in memory. */
const recording = () => {
  const spans: Array<Recorded> = []
  const hex = (n: number, length: number) => n.toString(16).padStart(length, "0")
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>()
      const parentId = Option.getOrUndefined(Option.map(parent, ({ spanId }) => spanId))
      const traceId = Option.match(parent, {
        onNone: () => hex(spans.length + 1, 32),
        onSome: ({ traceId }) => traceId
      })
      const one: Recorded = {
        name,
        traceId,
        spanId: hex(spans.length + 1, 16),
        parentId,
        attributes,
        start: startTime,
        end: undefined,
        exit: undefined
      }
      spans.push(one)
      return {
        _tag: "Span",
        name,
        spanId: one.spanId,
        traceId,
        parent,
        context,
        status: { _tag: "Started", startTime },
        attributes,
        links,
        sampled: true,
        kind,
        attribute: (name, value) => void attributes.set(name, value),
        event: () => {},
        addLinks: () => {},
        end: (endTime, exit) => {
          assert.isUndefined(one.end, `${name} ends once`)
          one.end = endTime
          one.exit = exit
        }
      }
    },
    context: (f) => f()
  })
  const named = (name: string) => spans.filter((span) => span.name === name)
  return {
    spans,
    named,
    childrenOf: (parent: Recorded) =>
      spans.filter(({ name, parentId }) => parentId === parent.spanId && !name.startsWith("http")),
    layer: Layer.setTracer(tracer)
  }
}

/** To the millisecond: delays are drawn, and their fractions rounded. */
const seconds = ({ end, start }: Recorded) => Math.round(Number((end ?? -1n) - start) / 1e6) / 1e3

/** Events of clients that are made with the hub. */
const listening = () => {
  const hub = TinkerEvents.makeHub()
  const events: Array<TinkerEvents.TinkerEvent> = []
  const stop = hub.listen((event) => events.push(event))
  const of = <Tag extends TinkerEvents.TinkerEvent["_tag"]>(tag: Tag) =>
    events.filter((event): event is Extract<TinkerEvents.TinkerEvent, { _tag: Tag }> => event._tag === tag)
  return { hub, of, stop, layer: Layer.succeed(TinkerEvents.CurrentHub, hub) }
}

const capabilities = Effect.flatMap(ServiceClient.ServiceClient, (service) => service.getServerCapabilities)

const sampler = Effect.flatMap(
  ServiceClient.ServiceClient,
  (service) => service.createSamplingClient({ baseModel: "m" })
)

const question = { prompt: ModelInput.fromTokens([1, 2]), samplingParams: SamplingParams.make({ maxTokens: 2 }) }

/** Goes on with the clock until the fiber ends. */
const finished = <A, E>(fiber: Fiber.RuntimeFiber<A, E>, step = "1 second" as const): Effect.Effect<A, E> =>
  Effect.flatMap(
    Fiber.poll(fiber),
    (exit) => Option.isSome(exit) ? exit.value : Effect.zipRight(TestClock.adjust(step), finished(fiber, step))
  )

it.effect("a sample that is sent again is one request with one retry", () =>
  Effect.gen(function*() {
    const { layer: hub, of } = listening()
    let asked = 0
    const { layer } = stub({ asample: () => asked++ === 0 ? json({}, 503) : json({ request_id: "r" }) })
    yield* Effect.gen(function*() {
      const run = yield* Effect.fork(Effect.flatMap(sampler, (sampling) => sampling.sample(question)))
      yield* finished(run)
    }).pipe(Effect.provide(Layer.provide(layer, hub)))
    const stopped = of("RequestStopped").filter(({ operation }) => operation === "asample")
    assert.deepStrictEqual(stopped.map(({ result, retries }) => [result, retries]), [["ok", 1]])
  }))

it.effect("a request has one start and one stop, however often it is sent", () =>
  Effect.gen(function*() {
    const { layer: hub, of } = listening()
    let asked = 0
    const { layer } = stub({
      get_server_capabilities: () => {
        asked += 1
        if (asked === 1) return Effect.delay(Effect.succeed(json({ supported_models: [] })), "40 millis")
        if (asked === 2) return json({}, 503)
        if (asked === 3) return drop
        return asked === 4 ? json({ supported_models: [] }) : json({ detail: "no" }, 403)
      }
    })
    yield* Effect.gen(function*() {
      const run = yield* Effect.fork(Effect.all([capabilities, capabilities, Effect.flip(capabilities)]))
      yield* finished(run)
    }).pipe(Effect.provide(Layer.provide(layer, hub)))
    const path = "/api/v1/get_server_capabilities"
    const started = of("RequestStarted").filter((event) => event.path === path)
    const stopped = of("RequestStopped").filter((event) => event.path === path)
    assert.lengthOf(started, 3)
    for (const event of [...started, ...stopped]) {
      assert.deepInclude(event, { method: "GET", operation: "get_server_capabilities", traffic: "train" })
    }
    assert.deepStrictEqual(
      stopped.map(({ result, retries, status }) => [result, status, retries]),
      [["ok", 200, 0], ["ok", 200, 2], ["PermissionDenied", 403, 0]]
    )
    assert.strictEqual(stopped[0]?.duration, 40)
    // A second and a half of waiting between the attempts, give or take a fifth.
    assert.isAbove(stopped[1]?.duration ?? 0, 1000)
    for (const { operation, result } of of("RequestStopped")) {
      if (operation === "client/config") assert.strictEqual(result, "ok")
    }
  }))

it.effect("a request that never gets an answer stops too, as does one that is interrupted", () =>
  Effect.gen(function*() {
    const { layer: hub, of } = listening()
    const { layer } = stub({ get_server_capabilities: () => Effect.never, healthz: () => drop })
    yield* Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const run = yield* Effect.fork(service.getServerCapabilities)
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(run)
      // Between two attempts.
      const failing = yield* Effect.fork(service.healthCheck)
      yield* TestClock.adjust("100 millis")
      assert.lengthOf(of("RequestStopped").filter(({ operation }) => operation === "healthz"), 0)
      yield* Fiber.interrupt(failing)
    }).pipe(Effect.provide(Layer.provide(layer, hub)))
    const last = of("RequestStopped").slice(-2)
    assert.deepStrictEqual(
      last.map(({ operation, result, status }) => [operation, result, status]),
      [["get_server_capabilities", "interrupted", undefined], ["healthz", "ApiConnectionError", undefined]]
    )
    assert.strictEqual(of("RequestStarted").length, of("RequestStopped").length)
  }))

it.effect("a logger prints one line a request while it is attached, and none afterwards", () =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const logger = Logger.replace(Logger.defaultLogger, Logger.make(({ message }) => void lines.push(String(message))))
    const { hub, layer: hubLayer } = listening()
    const { layer } = stub({ get_server_capabilities: () => json({ supported_models: [] }) })
    yield* Effect.gen(function*() {
      yield* capabilities
      assert.lengthOf(lines, 0)
      yield* capabilities.pipe(
        Effect.zipRight(Effect.yieldNow()),
        Effect.provide(Layer.provide(TinkerEvents.layerLogger, hubLayer))
      )
      assert.deepStrictEqual(lines, ["GET /api/v1/get_server_capabilities: ok (200) after 0 ms"])
      yield* capabilities
      assert.lengthOf(lines, 1)
    }).pipe(Effect.provide(logger), Effect.provide(Layer.provide(layer, hubLayer)))
    assert.isTrue(hub.isHeard())
  }))

it.effect("events are a stream, of one's own clients if one wants", () =>
  Effect.gen(function*() {
    const { layer } = stub({ get_server_capabilities: () => json({ supported_models: [] }) })
    const tags = yield* Effect.gen(function*() {
      const seen = yield* Effect.fork(Stream.runCollect(Stream.take(TinkerEvents.stream, 4)))
      yield* Effect.yieldNow()
      yield* TestClock.adjust(1)
      yield* capabilities.pipe(Effect.provide(layer))
      return Array.from(yield* Fiber.join(seen), ({ _tag }) => _tag)
    }).pipe(Effect.provide(TinkerEvents.layerHub))
    assert.deepStrictEqual(tags, ["RequestStarted", "RequestStopped", "RequestStarted", "RequestStopped"])
  }))

const polled: ReadonlyArray<
  readonly [kind: TinkerEvents.FutureFailureKind, reply: () => ReturnType<typeof json> | typeof drop]
> = [
  ["api_status_error", () => json({ detail: "gone" }, 404)],
  ["connection_error", () => drop],
  ["application_error", () => json({ error: "no", category: "server" })],
  ["validation_error", () => json({ type: "sample" })],
  [
    "proto_deserialization_error",
    () => ({ status: 200, headers: { "content-type": "application/x-protobuf" }, body: Uint8Array.of(255, 1) })
  ]
]
for (const [kind, reply] of polled) {
  it.effect(`a result that ends with ${kind} is told of under that name, with its request and how often it was asked for`, () =>
    Effect.gen(function*() {
      const { layer: hub, of } = listening()
      let asked = 0
      const { layer } = stub({ retrieve_future: () => asked++ === 0 ? json({ type: "try_again" }) : reply() })
      yield* Effect.gen(function*() {
        const sampling = yield* sampler
        const run = yield* Effect.fork(Effect.flip(sampling.sample(question)))
        yield* TestClock.adjust(kind === "connection_error" ? "1 minute" : "5 minutes")
        if (kind === "connection_error") yield* Fiber.interrupt(run)
        else yield* Fiber.join(run)
      }).pipe(Effect.provide(Layer.provide(layer, hub)))
      const [first] = of("FutureFailed")
      assert.deepInclude(first, {
        kind,
        operation: "SamplingClient.sample",
        requestId: "sample-0",
        requestType: "Sample",
        iteration: 1,
        isRetried: kind === "connection_error" || kind === "proto_deserialization_error"
      })
    }))
}

it.effect("a result that is not there in time is told of as a timeout, and one without progress as stuck", () =>
  Effect.gen(function*() {
    const { layer: hub, of } = listening()
    const metrics = TinkerMetrics.make({ tags: { test: "stuck" } })
    const { layer } = stub({
      retrieve_future: () => Effect.delay(Effect.succeed(json({ type: "try_again" })), "20 seconds")
    })
    yield* Effect.gen(function*() {
      const sampling = yield* sampler
      const late = yield* Effect.fork(Effect.flip(
        WaitingPolicy.withWaitingPolicy(sampling.sample(question), WaitingPolicy.failAfter("1 minute"))
      ))
      yield* finished(late)
      const stuck = yield* Effect.fork(sampling.sample(question))
      yield* TestClock.adjust("11 minutes")
      yield* Fiber.interrupt(stuck)
    }).pipe(Effect.provide(layer.pipe(Layer.provide(hub), Layer.provide(TinkerMetrics.layer(metrics)))))
    assert.deepStrictEqual(of("FutureFailed").map(({ kind, requestId }) => [kind, requestId]), [[
      "timeout",
      "sample-0"
    ]])
    assert.deepStrictEqual(of("FutureStuck").map(({ requestId }) => requestId), ["sample-1"])
    assert.strictEqual(metrics.snapshot().futuresStuck, 1)
  }))

it.effect("equal states of the queue are told once, another reason again, and pauses are counted", () =>
  Effect.gen(function*() {
    const { layer: hub, of } = listening()
    const states = [
      ["paused_capacity", "full"],
      ["paused_capacity", "full"],
      ["paused_capacity", "fuller"],
      ["active", undefined],
      ["active", undefined],
      ["paused_rate_limit", undefined]
    ] as const
    const metrics = TinkerMetrics.make({ tags: { test: "pauses" } })
    let asked = 0
    let submitted = 0
    const { layer } = stub({
      asample: () => submitted++ === 0 ? json({}, 429) : json({ request_id: "sample-0", sample_sequence_ids: ["a"] }),
      retrieve_future: () => {
        const state = states[asked++]
        if (asked > states.length && asked < states.length + 3) return json({}, 402)
        return state === undefined
          ? protobuf(answer())
          : json({ type: "try_again", queue_state: state[0], queue_state_reason: state[1] })
      }
    })
    yield* Effect.gen(function*() {
      const sampling = yield* sampler
      yield* finished(yield* Effect.fork(sampling.sample(question)))
    }).pipe(Effect.provide(layer.pipe(Layer.provide(hub), Layer.provide(TinkerMetrics.layer(metrics)))))
    assert.deepStrictEqual(metrics.snapshot().queuePauses, {
      backpressure: 1,
      paused_capacity: 2,
      paused_rate_limit: 1,
      billing: 1
    })
    assert.deepStrictEqual(
      of("QueueStateChanged").map(({ queueState, reason }) => [queueState, reason]),
      [["paused_capacity", "full"], ["paused_capacity", "fuller"], ["active", undefined], [
        "paused_rate_limit",
        undefined
      ]]
    )
  }))

it.effect("each phase of a pass is a span, which together take as long as the call", () =>
  Effect.gen(function*() {
    const { childrenOf, layer: tracing, named } = recording()
    let passes = 0
    const states = ["paused_capacity", "paused_capacity", "active", "active"]
    const { layer } = stub({
      create_model: () => json({ request_id: "m-1" }),
      get_info: () => json({ detail: "no" }, 404),
      forward_backward: () => {
        passes += 1
        return passes === 1 ? json({}, 503) : Effect.delay(Effect.succeed(json({ request_id: "r-1" })), "2 seconds")
      },
      optim_step: () => Effect.delay(Effect.succeed(json({ request_id: "o-1" })), "3 seconds"),
      retrieve_future: ({ body }) => {
        if (body["request_id"] === "m-1") return json({ model_id: "S:train:0" })
        if (body["request_id"] === "o-1") return json({ metrics: {} })
        const state = states.shift()
        return state === undefined
          ? json({
            loss_fn_output_type: "ArrayRecord",
            loss_fn_outputs: [{ logprobs: { data: [-1, -1], dtype: "float32", shape: [2] } }],
            metrics: { "loss:sum": 2 }
          })
          : Effect.delay(Effect.succeed(json({ type: "try_again", queue_state: state })), "5 seconds")
      }
    })
    yield* Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const training = yield* service.createLoraTrainingClient({ baseModel: "m" })
      const run = yield* Effect.fork(Effect.gen(function*() {
        // The step is on its way when the pass comes, which waits for its turn.
        const step = yield* Effect.fork(training.optimStep(adam))
        yield* Effect.yieldNow()
        yield* ApiFuture.flatten(training.forwardBackward({ data: [datum("abc")], lossFn: "cross_entropy" }))
        yield* Fiber.join(step)
      }))
      yield* finished(run)
    }).pipe(Effect.provide(layer), Effect.provide(tracing))

    const [pass, ...others] = named("TrainingClient.forwardBackward")
    assert.lengthOf(others, 0)
    const phases = childrenOf(pass!)
    assert.deepStrictEqual(
      phases.map(({ name }) => name),
      ["validate", "wait for turn", "wait for budget", "submit", "queued", "running", "decode"]
    )
    const took = phases.map(seconds)
    const [validate, turn, budget, submit, queued, running, decode] = took
    assert.deepStrictEqual([validate, turn, budget, queued, running, decode], [0, 3, 0, 15, 5, 0])
    assert.isAbove(submit ?? 0, 2.3)
    assert.isAbove(seconds(pass!), 25)
    assert.closeTo(took.reduce((sum, one) => sum + one, 0), seconds(pass!), 0.004)
    // They follow each other without a gap.
    for (let i = 1; i < phases.length; i++) assert.strictEqual(phases[i]!.start, phases[i - 1]!.end)
    assert.deepInclude(Object.fromEntries(pass!.attributes), {
      sessionId: "S",
      modelId: "S:train:0",
      requestId: "r-1"
    })
    assert.deepInclude(Object.fromEntries(phases[3]!.attributes), { seqId: 2, attempt: 2 })
    assert.deepInclude(Object.fromEntries(phases[4]!.attributes), { requestId: "r-1" })

    const [step] = named("TrainingClient.optimStep")
    assert.deepStrictEqual(
      childrenOf(step!).map(({ name }) => name),
      ["validate", "wait for turn", "submit", "queued", "running", "decode"]
    )
    assert.deepInclude(Object.fromEntries(step!.attributes), { requestId: "o-1", modelId: "S:train:0" })
    const [created] = named("ServiceClient.createLoraTrainingClient")
    assert.deepInclude(Object.fromEntries(created!.attributes), {
      sessionId: "S",
      modelId: "S:train:0",
      requestId: "m-1"
    })
  }))

it.effect("phases of the parts of a call lie beside each other, and end with it", () =>
  Effect.gen(function*() {
    const { childrenOf, layer: tracing, named } = recording()
    yield* Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
      yield* ApiFuture.flatten(
        training.forwardBackward({ data: ["abc", "def", "ghi"].map(datum), lossFn: "cross_entropy" })
      )
      yield* ApiFuture.flatten(training.forwardBackwardCustom({
        data: [datum("abc")],
        lossFn: ([logprobs]) => ({ loss: 1, gradients: [new Float32Array(logprobs!.length)] })
      }))
    }).pipe(
      Effect.provide(client({ server: { clientConfig: { fwdbwd_max_chunk_len: 1 } } })),
      Effect.provide(tracing)
    )
    const [pass] = named("TrainingClient.forwardBackward")
    const parts = childrenOf(pass!).filter(({ name }) => name === "submit")
    assert.deepStrictEqual(parts.map(({ attributes }) => attributes.get("part")).sort(), [0, 1, 2])
    assert.deepStrictEqual(parts.map(({ attributes }) => attributes.get("seqId")).sort(), [1, 2, 3])
    for (const phase of childrenOf(pass!)) assert.isDefined(phase.end)

    const [custom] = named("TrainingClient.forwardBackwardCustom")
    assert.deepStrictEqual(childrenOf(custom!).map(({ name }) => name), [
      "validate",
      "wait for turn",
      ...["wait for budget", "submit", "queued", "running", "decode"],
      "loss",
      ...["wait for budget", "submit", "queued", "running", "decode"]
    ])
  }))

it.effect("a sample's span tells its phases too, again for one that the server has lost", () =>
  Effect.gen(function*() {
    const { childrenOf, layer: tracing, named } = recording()
    let asked = 0
    const { layer } = stub({
      retrieve_future: () => asked++ === 0 ? json({ detail: "gone" }, 410) : protobuf(answer())
    })
    yield* Effect.gen(function*() {
      const sampling = yield* sampler
      yield* finished(yield* Effect.fork(sampling.sample(question)))
    }).pipe(Effect.provide(layer), Effect.provide(tracing))
    const [sample] = named("SamplingClient.sample")
    assert.deepStrictEqual(childrenOf(sample!).map(({ name }) => name), [
      "validate",
      "wait for turn",
      ...["wait for budget", "submit", "queued"],
      ...["wait for budget", "submit", "queued", "running", "decode"]
    ])
    assert.deepInclude(Object.fromEntries(sample!.attributes), {
      sessionId: "S",
      samplingSessionId: "S:sample:0",
      requestId: "sample-1"
    })
    const took = childrenOf(sample!).reduce((sum, one) => sum + seconds(one), 0)
    assert.closeTo(took, seconds(sample!), 0.004)
    const [created] = named("ServiceClient.createSamplingClient")
    assert.deepInclude(Object.fromEntries(created!.attributes), { sessionId: "S", samplingSessionId: "S:sample:0" })
  }))

it.effect("a call that fails or is closed ends its spans with the failure", () =>
  Effect.gen(function*() {
    const { layer: tracing, named, spans } = recording()
    const scope = Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const faults = yield* Faults.Faults
      const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
      yield* faults.plan({ path: "forward_backward", fault: Faults.failFuture("no") })
      const pass = training.forwardBackward({ data: [datum("abc")], lossFn: "cross_entropy" })
      yield* Effect.flip(ApiFuture.flatten(pass))
      yield* Effect.flip(training.forwardBackward({ data: [], lossFn: "cross_entropy" }))
      yield* faults.pauseQueue({ state: "paused_capacity" })
      yield* training.optimStep(adam)
    })
    yield* scope.pipe(Effect.provide(client()), Effect.provide(tracing))
    for (const span of spans) assert.isDefined(span.end, `${span.name} has ended`)
    const [failed, invalid] = named("TrainingClient.forwardBackward")
    const [closed] = named("TrainingClient.optimStep")
    for (const span of [failed, invalid, closed]) assert.isTrue(Exit.isFailure(span!.exit!))
  }))

it.effect("without a tracer there is no span, also inside a span of the user's", () =>
  Effect.gen(function*() {
    const { layer } = stub({})
    const span = yield* Effect.gen(function*() {
      const sampling = yield* sampler
      yield* sampling.sample(question)
      return yield* Effect.currentSpan
    }).pipe(Effect.provide(layer), Effect.withSpan("mine"))
    assert.strictEqual(span.name, "mine")
    assert.strictEqual(span.attributes.size, 0)
  }))

const traced = (options: TinkerConfig.Options) =>
  Effect.gen(function*() {
    const { layer, seen } = stub({ get_server_capabilities: () => json({ supported_models: [] }) }, options)
    const span = yield* Effect.gen(function*() {
      yield* capabilities
      const sampling = yield* sampler
      yield* sampling.sample(question)
      return yield* Effect.currentSpan
    }).pipe(Effect.withSpan("mine"), Effect.provide(layer))
    return { span, seen }
  })

it.effect("requests carry the ids of the span around them, if that is wanted", () =>
  Effect.gen(function*() {
    const on = yield* traced({ propagateTrace: true })
    const asked = on.seen.filter(({ path }) => path === "get_server_capabilities" || path === "retrieve_future")
    assert.lengthOf(asked, 2)
    for (const { headers } of asked) {
      assert.strictEqual(headers["traceparent"], `00-${on.span.traceId}-${on.span.spanId}-01`)
    }
    const off = yield* traced({})
    for (const { headers } of off.seen) {
      assert.isUndefined(headers["traceparent"])
      assert.isUndefined(headers["b3"])
    }
    // Without a span, nothing is sent and nothing fails.
    const { layer, seen } = stub({ get_server_capabilities: () => json({ supported_models: [] }) }, {
      propagateTrace: true
    })
    yield* Effect.provide(capabilities, layer)
    for (const { headers } of seen) assert.isUndefined(headers["traceparent"])
  }))

it.effect("requests inside a traced call carry the ids of its span", () =>
  Effect.gen(function*() {
    const { layer: tracing, named } = recording()
    const { layer, to } = stub({}, { propagateTrace: true })
    yield* Effect.flatMap(sampler, (sampling) => sampling.sample(question)).pipe(
      Effect.provide(layer),
      Effect.provide(tracing)
    )
    const [sample] = named("SamplingClient.sample")
    for (const path of ["asample", "retrieve_future"]) {
      assert.strictEqual(to(path)[0]?.headers["traceparent"], `00-${sample!.traceId}-${sample!.spanId}-01`)
    }
  }))

const secret = "tml-very-secret"

/** What a program logs whose settings come from such an environment. */
const logged = (environment: Readonly<Record<string, string>>) =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const logger = Logger.replace(
      Logger.defaultLogger,
      Logger.make(({ logLevel, message }) => void lines.push(`${logLevel.label} ${String(message)}`))
    )
    let asked = 0
    const http = HttpClient.make((request) =>
      Effect.sync(() => {
        const isAsked = request.url.endsWith("get_server_capabilities")
        const status = isAsked && asked++ === 0 ? 503 : 200
        return HttpClientResponse.fromWeb(request, Response.json({ supported_models: [], jwt: secret }, { status }))
      })
    )
    const config = ConfigProvider.fromMap(
      new Map(Object.entries({ TINKER_API_KEY: secret, TINKER_TELEMETRY: "0", ...environment }))
    )
    yield* Effect.gen(function*() {
      yield* finished(yield* Effect.fork(capabilities))
      yield* Effect.logDebug("mine")
      yield* Effect.logWarning("grave")
    }).pipe(
      Effect.provide(Tinker.layerFromEnv.pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, http)))),
      Effect.provide(logger),
      Effect.withConfigProvider(config)
    )
    return lines
  })

it.effect("TINKER_LOG=debug shows each request with its attempt, and nothing secret", () =>
  Effect.gen(function*() {
    const lines = yield* logged({
      TINKER_LOG: "debug",
      TINKER_BASE_URL: "http://user:word@localhost",
      CLOUDFLARE_ACCESS_CLIENT_ID: "cf-id",
      CLOUDFLARE_ACCESS_CLIENT_SECRET: "cf-secret"
    })
    const asked = lines.filter((line) => line.includes("get_server_capabilities"))
    assert.lengthOf(asked, 4)
    assert.match(
      asked[0]!,
      /^DEBUG GET http:\/\/\[REDACTED\]@localhost\/api\/v1\/get_server_capabilities \(attempt 1, /
    )
    assert.match(asked[1]!, /\(attempt 1, 0 bytes\): 503/)
    assert.match(asked[2]!, /\(attempt 2, /)
    assert.match(asked[3]!, /\(attempt 2, 0 bytes\): 200/)
    for (const name of ["x-api-key", "cf-access-client-id", "cf-access-client-secret"]) {
      assert.include(asked[0]!, `"${name}":"[REDACTED]"`)
    }
    assert.include(asked[0]!, "\"x-sdk-method\":\"ServiceClient.getServerCapabilities\"")
    assert.include(lines, "DEBUG mine")
    for (const word of [secret, "cf-secret", "user:word"]) assert.notInclude(lines.join("\n"), word)
  }))

it.effect("TINKER_LOG is the lowest level that is logged; a word that is none fails at once", () =>
  Effect.gen(function*() {
    assert.deepStrictEqual(yield* logged({}), ["WARN grave"])
    assert.deepStrictEqual(yield* logged({ TINKER_LOG: "info" }), ["WARN grave"])
    assert.deepStrictEqual(yield* logged({ TINKER_LOG: "ERROR" }), [])
    const error = yield* Effect.flip(logged({ TINKER_LOG: "loud" }))
    assert.include(String(error), "TINKER_LOG")
    assert.include(String(error), "There are trace, debug, info, warning, warn, error, none")
  }))
