import { assert, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Logger, Stream, TestClock } from "effect"
import { AdamParams, ModelInput, SamplingParams, ServiceClient, WaitingPolicy } from "effect-tinker"
import type { ApiFuture, SamplingClient } from "effect-tinker"
import { answer, json, protobuf, type Seen, stub } from "./stub.js"

type Handlers = Parameters<typeof stub>[0]

const model = {
  create_model: () => json({ request_id: "new" }),
  get_info: () => json({ model_id: "S:train:0", model_data: { model_name: "b" } }),
  optim_step: ({ body }: Seen) => json({ request_id: `step-${String(body.seq_id)}` })
}

/** A server that says of each request what a test says, once the model is made. */
const server = (
  retrieve: (request: Seen) => ReturnType<Handlers[string]>,
  handlers: Handlers = {}
) =>
  stub({
    ...model,
    retrieve_future: (request) =>
      request.body.request_id === "new" ? json({ model_id: "S:train:0", type: "create_model" }) : retrieve(request),
    ...handlers
  }, { heartbeatInterval: "1 day" })

const pausedFor = (reason: string) =>
  json({ type: "try_again", queue_state: "paused_capacity", queue_state_reason: reason })
const active = json({ type: "try_again", queue_state: "active" })
const stepped = json({ metrics: {}, type: "optim_step" })

/** As a server that holds a question for a while. */
const held = <A>(answer: () => A) => Effect.map(Effect.sleep("40 seconds"), answer)

const adam = AdamParams.make({ learningRate: 0.1 })

const createModel = Effect.flatMap(
  ServiceClient.ServiceClient,
  (service) => service.createLoraTrainingClient({ baseModel: "b" })
)

const createSampler = (retryConfig?: SamplingClient.RetryConfig) =>
  Effect.flatMap(
    ServiceClient.ServiceClient,
    (service) => service.createSamplingClient({ baseModel: "b", retryConfig })
  )

const call = { prompt: ModelInput.fromTokens([1, 2]), samplingParams: SamplingParams.make({ maxTokens: 2 }) }

/** Runs with the warnings that are logged meanwhile. */
const withWarnings = <A, E, R>(use: (warnings: Array<string>) => Effect.Effect<A, E, R>) => {
  const warnings: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel._tag === "Warning") warnings.push(String(message))
  })
  return Effect.provide(use(warnings), Logger.replace(Logger.defaultLogger, logger))
}

const statesOf = (future: ApiFuture.ApiFuture<unknown>) => {
  const seen: Array<ApiFuture.State["_tag"]> = []
  return Effect.as(
    Effect.fork(Stream.runForEach(future.states, ({ _tag }) => Effect.sync(() => seen.push(_tag)))),
    seen
  )
}

it.effect("waits for ever by default, tells after ten minutes without progress that the request is stuck, and warns once", () => {
  let open = false
  const { layer } = server(() => open ? stepped : held(() => pausedFor("no GPU is free")))
  return withWarnings((warnings) =>
    Effect.gen(function*() {
      const training = yield* createModel
      const future = yield* training.optimStep(adam)
      const states = yield* statesOf(future)
      yield* TestClock.adjust("9 minutes")
      assert.deepStrictEqual(states, ["submitted", "queued"])
      const queue = warnings.filter((warning) => !warning.includes("without a gradient"))
      assert.isAtLeast(queue.length, 7)
      assert.isAtMost(queue.length, 9)
      assert.deepStrictEqual(new Set(queue), new Set(["model S:train:0 stands still: no GPU is free"]))
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(states, ["submitted", "queued", "stuck"])
      yield* TestClock.adjust("20 minutes")
      const stuck = warnings.filter((warning) => warning.includes("no progress"))
      assert.lengthOf(stuck, 1)
      for (const part of ["S:train:0", "step-1", "paused_capacity", "no GPU is free", "10 minutes"]) {
        assert.include(stuck[0], part)
      }
      open = true
      yield* TestClock.adjust("1 minute")
      yield* future.await
      assert.deepStrictEqual(states, ["submitted", "queued", "stuck", "done"])
    }).pipe(Effect.provide(layer))
  )
})

it.effect("a request of which the server says something new is not stuck, and one of which it says the same is", () => {
  let reply = active
  const { layer } = server(() => held(() => reply))
  return Effect.gen(function*() {
    const training = yield* createModel
    const future = yield* WaitingPolicy.withWaitingPolicy(
      training.optimStep(adam),
      WaitingPolicy.failWhenStuck("10 minutes")
    )
    const states = yield* statesOf(future)
    yield* TestClock.adjust("55 minutes")
    reply = pausedFor("no GPU")
    yield* TestClock.adjust("8 minutes")
    reply = active
    yield* TestClock.adjust("8 minutes")
    reply = pausedFor("no GPU")
    yield* TestClock.adjust("8 minutes")
    assert.deepStrictEqual(states, ["submitted", "running", "queued", "running", "queued"])
    yield* TestClock.adjust("3 minutes")
    const error = yield* Effect.flip(future.await)
    if (error._tag !== "ApiTimeoutError") return assert.fail(error._tag)
    assert.strictEqual(error.reason, "stuck")
    assert.strictEqual(error.requestId, "step-1")
    assert.strictEqual(error.state, "paused_capacity: no GPU")
    assert.strictEqual(Duration.toMinutes(error.deadline), 10)
  }).pipe(Effect.provide(layer))
})

const forgetful: ReadonlyArray<readonly [string, ReturnType<typeof json>, WaitingPolicy.WaitingPolicy, number]> = [
  ["try again", json({ type: "try_again" }), WaitingPolicy.failWhenStuck("5 minutes"), 5],
  ["that it is active", active, WaitingPolicy.failWhenStuck("5 minutes"), 30],
  ["that it is active", active, WaitingPolicy.failWhenStuck("5 minutes", { activeFor: "7 minutes" }), 7]
]

for (const [what, reply, policy, minutes] of forgetful) {
  it.effect(`a server that says ${what} without end, as of what it never knew, is waited for ${minutes} minutes`, () => {
    const { layer } = server(() => held(() => reply))
    return Effect.gen(function*() {
      const training = yield* createModel
      const future = yield* WaitingPolicy.withWaitingPolicy(training.optimStep(adam), policy)
      const waiting = yield* Effect.fork(Effect.flip(future.await))
      // What it says first, after forty seconds, is news.
      yield* TestClock.adjust(Duration.seconds(minutes * 60 + (reply === active ? 39 : -1)))
      assert.strictEqual(yield* Effect.map(Fiber.poll(waiting), (exit) => exit._tag), "None")
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(waiting)
      assert.strictEqual(error._tag === "ApiTimeoutError" && error.reason, "stuck")
    }).pipe(Effect.provide(layer))
  })
}

it.effect("results of other requests of the same model are progress", () => {
  const { layer } = server(({ body }) => held(() => body.request_id === "step-1" ? active : stepped))
  return Effect.gen(function*() {
    const training = yield* createModel
    const future = yield* WaitingPolicy.withWaitingPolicy(
      training.optimStep(adam),
      WaitingPolicy.failWhenStuck("2 minutes", { activeFor: "2 minutes" })
    )
    const waiting = yield* Effect.fork(Effect.flip(future.await))
    for (let i = 0; i < 10; i++) {
      yield* training.optimStep(adam)
      yield* TestClock.adjust("1 minute")
    }
    assert.strictEqual(yield* Effect.map(Fiber.poll(waiting), (exit) => exit._tag), "None")
    yield* TestClock.adjust("2 minutes")
    const error = yield* Fiber.join(waiting)
    assert.strictEqual(error._tag === "ApiTimeoutError" && error.reason, "stuck")
  }).pipe(Effect.provide(layer))
})

it.effect("a request about which nothing is heard is stuck too", () => {
  const { layer } = server(() => json({ detail: "in trouble" }, 503))
  return Effect.gen(function*() {
    const training = yield* createModel
    const future = yield* WaitingPolicy.withWaitingPolicy(
      training.optimStep(adam),
      WaitingPolicy.failWhenStuck("2 minutes")
    )
    yield* TestClock.adjust("110 seconds")
    const waiting = yield* Effect.fork(Effect.flip(future.await))
    yield* TestClock.adjust("1 minute")
    const error = yield* Fiber.join(waiting)
    assert.strictEqual(error._tag === "ApiTimeoutError" && error.reason, "stuck")
    assert.include(error.message, "in trouble")
  }).pipe(Effect.provide(layer))
})

it.effect("fails after the time that a region allows, and changes nothing outside the region", () => {
  const { layer } = server(() => held(() => active))
  return Effect.gen(function*() {
    const training = yield* createModel
    const limited = yield* WaitingPolicy.withWaitingPolicy(
      training.optimStep(adam),
      WaitingPolicy.failAfter("1 minute")
    )
    const free = yield* training.optimStep(adam)
    yield* TestClock.adjust("59 seconds")
    const waiting = yield* Effect.fork(Effect.flip(limited.await))
    yield* TestClock.adjust("1 second")
    const error = yield* Fiber.join(waiting)
    if (error._tag !== "ApiTimeoutError") return assert.fail(error._tag)
    assert.strictEqual(error.reason, "waiting")
    assert.strictEqual(Duration.toSeconds(error.deadline), 60)
    const still = yield* Effect.fork(free.await)
    yield* TestClock.adjust("9 minutes")
    assert.strictEqual(yield* Effect.map(Fiber.poll(still), (exit) => exit._tag), "None")
    yield* Fiber.interrupt(still)
  }).pipe(Effect.provide(layer))
})

/** The first sample of each client stands still, the others go on. */
const stuckSamples = (settings: Readonly<Record<string, unknown>> = {}) =>
  server(
    ({ body }) => held(() => body.request_id === "sample-0" ? pausedFor("no GPU") : protobuf(answer())),
    {
      "client/config": () => json(settings),
      "client/dynamic_config": () => json({ sample_cancel_enabled: true })
    }
  )

it.effect("a sample without progress fails as stuck after the time that its client allows, alone, and the server is told", () => {
  const { layer, to } = stuckSamples()
  return Effect.gen(function*() {
    const sampling = yield* createSampler({ progressTimeout: 900_000 })
    const stuck = yield* Effect.fork(Effect.flip(sampling.sample(call)))
    yield* TestClock.adjust("1 minute")
    const other = yield* Effect.fork(sampling.sample(call))
    yield* TestClock.adjust("1 minute")
    yield* Fiber.join(other)
    yield* TestClock.adjust("12 minutes")
    assert.strictEqual(yield* Effect.map(Fiber.poll(stuck), (exit) => exit._tag), "None")
    yield* TestClock.adjust("5 minutes")
    const error = yield* Fiber.join(stuck)
    if (error._tag !== "ApiTimeoutError") return assert.fail(error._tag)
    assert.strictEqual(error.reason, "stuck")
    assert.strictEqual(error.requestId, "sample-0")
    assert.strictEqual(Duration.toMinutes(error.deadline), 15)
    assert.deepStrictEqual(to("cancel_future").map(({ body }) => body.request_id), ["sample-0"])
    assert.strictEqual(to("asample").length, 2)
  }).pipe(Effect.provide(layer))
})

for (
  const [who, retryConfig, settings] of [
    ["the client", { progressTimeout: 60_000, enableStuckDetection: false }, {}],
    ["the server", { progressTimeout: 60_000 }, { sample_enable_stuck_detection: false }]
  ] as const
) {
  it.effect(`no sample fails as stuck when ${who} does not want it, and a deadline holds all the same`, () => {
    const { layer } = stuckSamples(settings)
    return Effect.gen(function*() {
      const sampling = yield* createSampler(retryConfig)
      const waiting = yield* Effect.fork(Effect.flip(
        WaitingPolicy.withWaitingPolicy(sampling.sample(call), WaitingPolicy.failAfter("10 minutes"))
      ))
      yield* TestClock.adjust("9 minutes")
      assert.strictEqual(yield* Effect.map(Fiber.poll(waiting), (exit) => exit._tag), "None")
      yield* TestClock.adjust("2 minutes")
      const error = yield* Fiber.join(waiting)
      assert.strictEqual(error._tag === "ApiTimeoutError" && error.reason, "waiting")
    }).pipe(Effect.provide(layer))
  })
}

it.effect("a deadline holds beside the time that a sampling client allows without progress", () => {
  const { layer, to } = stuckSamples()
  return Effect.gen(function*() {
    const sampling = yield* createSampler({ progressTimeout: 900_000 })
    const waiting = yield* Effect.fork(Effect.flip(
      WaitingPolicy.withWaitingPolicy(sampling.sample(call), WaitingPolicy.failAfter("5 minutes"))
    ))
    yield* TestClock.adjust("5 minutes")
    const error = yield* Fiber.join(waiting)
    assert.strictEqual(error._tag === "ApiTimeoutError" && error.reason, "waiting")
    assert.deepStrictEqual(to("cancel_future").map(({ body }) => body.request_id), ["sample-0"])
  }).pipe(Effect.provide(layer))
})

for (const together of [false, true]) {
  it.effect(
    `a sampler that stands still is told of once a minute, and as stuck once, when samples are polled for ${
      together ? "together" : "singly"
    }`,
    () => {
      let open = false
      const { layer } = server(
        () => open ? protobuf(answer()) : held(() => json({ type: "try_again", queue_state: "paused_rate_limit" })),
        {
          "client/config": () => json({ sample_use_retrieve_futures: together }),
          retrieve_futures: ({ body }) =>
            body.timeout === 0
              ? json({ cursor: 0, completions: [] })
              : held(() =>
                json({ cursor: 0, completions: open ? [{ state: "finished", request_id: "sample-0" }] : [] })
              )
        }
      )
      return withWarnings((warnings) =>
        Effect.gen(function*() {
          const sampling = yield* createSampler()
          const fiber = yield* Effect.fork(sampling.sample(call))
          yield* TestClock.adjust("5 minutes")
          assert.isAtLeast(warnings.length, 3)
          assert.isAtMost(warnings.length, 5)
          for (const warning of warnings) {
            assert.include(warning, "the limit of models or samplers at once is reached")
          }
          yield* TestClock.adjust("15 minutes")
          const stuck = warnings.filter((warning) => warning.includes("no progress"))
          assert.lengthOf(stuck, 1)
          for (const part of ["S:sample:0", "sample-0", "paused_rate_limit"]) assert.include(stuck[0], part)
          assert.isAtMost(warnings.length, 22)
          open = true
          yield* TestClock.adjust("1 minute")
          yield* Fiber.join(fiber)
        }).pipe(Effect.provide(layer))
      )
    }
  )
}
