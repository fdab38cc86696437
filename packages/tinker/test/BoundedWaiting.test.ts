import { assert, it } from "@effect/vitest"
import { type Clock, Duration, Effect, Fiber, Layer, Logger, Redacted, Schedule, TestClock } from "effect"
import {
  ApiFuture,
  ModelInput,
  RetryPolicy,
  SamplingParams,
  ServiceClient,
  TinkerEvents,
  WaitingPolicy
} from "effect-tinker"
import type { SamplingClient, TinkerConfig, TinkerError } from "effect-tinker"
import { adam, datum } from "./fixture.js"
import { json, stub } from "./stub.js"

type Handlers = Parameters<typeof stub>[0]
type Region = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

const question = { prompt: ModelInput.fromTokens([1, 2]), samplingParams: SamplingParams.make({ maxTokens: 2 }) }
const anywhere: Region = (effect) => effect

/** What a server says that has no result yet; like a real one it does not say so at once. */
const notYet = (more: Readonly<Record<string, unknown>> = {}) =>
  Effect.delay(Effect.succeed(json({ type: "try_again", ...more })), "5 seconds")

const server = (handlers: Handlers, options: TinkerConfig.Options = {}) =>
  stub({
    create_model: () => json({ request_id: "new" }),
    get_info: () => json({ model_id: "S:train:0", model_data: { model_name: "b" } }),
    optim_step: () => json({ request_id: "step" }),
    retrieve_future: ({ body }) => body.request_id === "new" ? json({ model_id: "S:train:0" }) : notYet(),
    ...handlers
  }, { heartbeatInterval: "1 day", ...options })

const service = ServiceClient.ServiceClient
const sampler = (retryConfig?: SamplingClient.RetryConfig) =>
  Effect.flatMap(service, (service) => service.createSamplingClient({ baseModel: "b", retryConfig }))
const trainer = Effect.flatMap(service, (service) => service.createLoraTrainingClient({ baseModel: "b" }))

/** How a call ended, and after how many seconds; it is given three hours. */
const ending = <A, E>(call: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const began = yield* TestClock.currentTimeMillis
    let seconds: number | undefined
    const fiber = yield* Effect.fork(Effect.ensuring(
      Effect.flip(call),
      Effect.map(TestClock.currentTimeMillis, (now) => {
        seconds = (now - began) / 1000
      })
    ))
    for (let i = 0; i < 10_800 && seconds === undefined; i++) yield* TestClock.adjust("1 second")
    assert.isDefined(seconds, "nothing ends it")
    return { error: yield* Fiber.join(fiber), seconds: seconds! }
  })

/** What users may say of waiting, how it ends then, and between which seconds. */
const wishes: ReadonlyArray<{
  readonly what: string
  readonly region?: Region
  readonly retryConfig?: SamplingClient.RetryConfig
  readonly settings?: Readonly<Record<string, unknown>>
  readonly end: "waiting" | "stuck" | "refused"
  readonly within: readonly [number, number]
}> = [
  {
    what: "failAfter",
    region: WaitingPolicy.withWaitingPolicy(WaitingPolicy.failAfter("2 minutes")),
    end: "waiting",
    within: [120, 120]
  },
  {
    what: "failWhenStuck",
    region: WaitingPolicy.withWaitingPolicy(WaitingPolicy.failWhenStuck("3 minutes")),
    end: "stuck",
    within: [180, 180]
  },
  { what: "progressTimeout", retryConfig: { progressTimeout: 60_000 }, end: "stuck", within: [60, 60] },
  { what: "maxAttempts", retryConfig: { maxAttempts: 3 }, end: "refused", within: [1, 10] },
  { what: "enableRetryLogic", retryConfig: { enableRetryLogic: false }, end: "refused", within: [0, 0] },
  {
    what: "RetryPolicy.none",
    region: RetryPolicy.withPolicies({ request: RetryPolicy.none }),
    end: "refused",
    within: [0, 0]
  },
  { what: "the server's sample_no_retries", settings: { sample_no_retries: true }, end: "refused", within: [0, 0] },
  {
    what: "policies of a region",
    region: RetryPolicy.withPolicies({ backpressure: Schedule.recurs(2), sample: Schedule.recurs(2) }),
    end: "refused",
    within: [0, 10]
  }
]

const refusals: ReadonlyArray<readonly [string, number, Handlers]> = [
  ["refused for now", 429, { asample: () => json({ detail: "slow down" }, 429) }],
  ["lost", 410, { retrieve_future: () => json({ detail: "gone" }, 410) }]
]

for (const [how, status, handlers] of refusals) {
  for (const { end, region = anywhere, retryConfig, settings = {}, what, within } of wishes) {
    it.effect(`a sample that is ${how} each time ends as ${what} says`, () => {
      const { layer } = server({ "client/config": () => json(settings), ...handlers })
      return Effect.gen(function*() {
        const sampling = yield* sampler(retryConfig)
        const { error, seconds } = yield* ending(region(sampling.sample(question)))
        if (end === "refused") assert.strictEqual(error._tag === "ApiStatusError" && error.status, status)
        else assert.strictEqual(error._tag === "ApiTimeoutError" && error.reason, end)
        assert.isAtLeast(seconds, within[0])
        assert.isAtMost(seconds, within[1])
      }).pipe(Effect.provide(layer))
    })
  }
}

it.effect("three attempts at a refused sample are three requests, and the error says so", () => {
  const { layer, to } = server({ asample: () => json({ detail: "slow down" }, 429) })
  return Effect.gen(function*() {
    const sampling = yield* sampler({ maxAttempts: 3 })
    const { error } = yield* ending(sampling.sample(question))
    assert.strictEqual(to("asample").length, 3)
    assert.include(error.message, "3 attempts")
  }).pipe(Effect.provide(layer))
})

const trouble = () => json({ detail: "in trouble" }, 503)
const noCredit = () => json({ detail: "no credit" }, 402)

const submissions: ReadonlyArray<
  readonly [string, Handlers, Effect.Effect<unknown, TinkerError.TinkerError, ServiceClient.ServiceClient>]
> = [
  ["a step that is never accepted", { optim_step: trouble }, Effect.flatMap(trainer, (one) => one.optimStep(adam))],
  [
    "a pass that is never accepted",
    { forward_backward: trouble },
    Effect.flatMap(trainer, (one) => one.forwardBackward({ data: [datum("ab")], lossFn: "cross_entropy" }))
  ],
  [
    "a step whose result never comes, after a submission that took long",
    { optim_step: () => Effect.delay(Effect.succeed(json({ request_id: "step" })), "50 seconds") },
    Effect.flatMap(trainer, (one) => ApiFuture.flatten(one.optimStep(adam)))
  ],
  ["a step that waits for credit", { optim_step: noCredit }, Effect.flatMap(trainer, (one) => one.optimStep(adam))],
  [
    "a step that waits for the turn of one before it",
    { optim_step: trouble },
    Effect.flatMap(trainer, (one) =>
      Effect.zipRight(
        Effect.fork(WaitingPolicy.withWaitingPolicy(one.optimStep(adam), WaitingPolicy.forever)),
        one.optimStep(adam)
      ))
  ],
  ["a model that is never made", { create_model: trouble }, trainer],
  ["a model whose making is never told of", { retrieve_future: () => notYet() }, trainer],
  ["a session that is never made", { create_session: trouble }, trainer],
  ["settings that never come", { "client/config": trouble }, sampler()],
  ["a sampler that is never made", { create_sampling_session: trouble }, sampler()],
  [
    "unnamed weights that are never saved",
    { save_weights_for_sampler: trouble },
    Effect.flatMap(trainer, (one) => one.saveWeightsAndGetSamplingClient())
  ]
]

for (const [what, handlers, call] of submissions) {
  it.effect(`${what} ends after the two minutes that failAfter gives the whole call`, () => {
    const { layer } = server(handlers)
    return Effect.gen(function*() {
      const context = yield* Effect.context<ServiceClient.ServiceClient>()
      const bounded = WaitingPolicy.withWaitingPolicy(call, WaitingPolicy.failAfter("2 minutes"))
      const { error, seconds } = yield* ending(Effect.provide(bounded, context))
      assert.strictEqual(error._tag === "ApiTimeoutError" && error.reason, "waiting")
      assert.include(error.message, "no result after 2 minutes")
      assert.strictEqual(seconds, 120)
    }).pipe(Effect.provide(layer))
  })
}

for (const [what, handlers, call] of submissions.filter(([what]) => !/result never comes|settings/.test(what))) {
  it.effect(`${what} ends as stuck after the two minutes of failWhenStuck`, () => {
    const { layer } = server(handlers)
    return Effect.gen(function*() {
      const context = yield* Effect.context<ServiceClient.ServiceClient>()
      const held = WaitingPolicy.withWaitingPolicy(call, WaitingPolicy.failWhenStuck("2 minutes"))
      const { error, seconds } = yield* ending(Effect.provide(held, context))
      assert.strictEqual(error._tag === "ApiTimeoutError" && error.reason, "stuck")
      assert.strictEqual(seconds, 120)
    }).pipe(Effect.provide(layer))
  })
}

const policies: ReadonlyArray<readonly [keyof RetryPolicy.Policies, Handlers, number, TinkerConfig.Options]> = [
  ["request", { get_server_capabilities: trouble }, 3, {}],
  ["billing", { get_server_capabilities: noCredit }, 3, {}]
]

for (const [name, handlers, requests, options] of policies) {
  it.effect(`a region may replace the policy ${name}`, () => {
    const { layer, to } = server(handlers, options)
    return Effect.gen(function*() {
      const { getServerCapabilities } = yield* service
      const replaced = { firstContact: Schedule.recurs(2), [name]: Schedule.recurs(2) }
      yield* ending(RetryPolicy.withPolicies(getServerCapabilities, replaced))
      assert.strictEqual(to("get_server_capabilities").length, requests)
    }).pipe(Effect.provide(layer))
  })
}

it.effect("a refused token is replaced as often as a region says", () => {
  let tokens = 0
  const { layer, to } = server({
    "client/config": () => json({ pjwt_auth_enabled: true }),
    "auth/token": () => json({ jwt: `eyJ.${tokens++}.x` }),
    get_server_capabilities: () => json({ detail: "an old token" }, 401)
  }, { apiKey: Redacted.make("tml-key") })
  return Effect.gen(function*() {
    const { getServerCapabilities } = yield* service
    yield* ending(RetryPolicy.withPolicies(getServerCapabilities, { refusedToken: Schedule.recurs(3) }))
    assert.strictEqual(new Set(to("get_server_capabilities").map(({ headers }) => headers["x-api-key"])).size, 4)
  }).pipe(Effect.provide(layer))
})

it.effect("what is retryable may be widened and narrowed for a region", () => {
  const { layer, to } = server({ get_server_capabilities: () => json({ detail: "not yet" }, 409) })
  const narrow = server({ get_server_capabilities: trouble })
  return Effect.gen(function*() {
    const ask = Effect.flatMap(service, ({ getServerCapabilities }) => ending(getServerCapabilities))
    const retryable = (error: TinkerError.TinkerError) => error._tag === "ApiStatusError" && error.status === 409
    yield* RetryPolicy.withPolicies(ask, { retryable, firstContact: Schedule.recurs(2) }).pipe(Effect.provide(layer))
    assert.strictEqual(to("get_server_capabilities").length, 3)
    yield* RetryPolicy.withPolicies(ask, { retryable }).pipe(Effect.provide(narrow.layer))
    assert.strictEqual(narrow.to("get_server_capabilities").length, 1)
  })
})

/** Runs for ten minutes, with the warnings that are logged meanwhile. */
const warningsOf = <A, E>(
  layer: Layer.Layer<ServiceClient.ServiceClient>,
  call: Effect.Effect<A, E, ServiceClient.ServiceClient>
) =>
  Effect.gen(function*() {
    const warnings: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      if (logLevel._tag === "Warning") warnings.push(String(message))
    })
    const fiber = yield* Effect.fork(
      call.pipe(Effect.provide(layer), Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
    )
    yield* TestClock.adjust("290 seconds")
    yield* Fiber.interrupt(fiber)
    return warnings
  })

const paused = () => notYet({ queue_state: "paused_capacity" })
const loud: ReadonlyArray<
  readonly [string, Handlers, Effect.Effect<unknown, TinkerError.TinkerError, ServiceClient.ServiceClient>, RegExp]
> = [
  [
    "a sample that is refused for now",
    { asample: () => json({ detail: "slow down" }, 429) },
    Effect.flatMap(sampler(), (one) => one.sample(question)),
    /asample: the server answered 429 \(RateLimit\): slow down.* It has failed for \d+ minutes?.* It is tried again in/
  ],
  [
    "a sample that is lost each time",
    { retrieve_future: () => json({ detail: "gone" }, 410) },
    Effect.flatMap(sampler(), (one) => one.sample(question)),
    /410 \(Expired\): gone.*It has failed for/
  ],
  [
    "a step that is not accepted",
    { optim_step: trouble },
    Effect.flatMap(trainer, (one) => one.optimStep(adam)),
    /optim_step: the server answered 503.*in trouble.*It has failed for/
  ],
  [
    "a step whose result cannot be asked for",
    { retrieve_future: ({ body }) => body.request_id === "new" ? json({ model_id: "S:train:0" }) : trouble() },
    Effect.flatMap(trainer, (one) => ApiFuture.flatten(one.optimStep(adam))),
    /503.*It has failed for/
  ],
  [
    "a step in a queue that stands still",
    { retrieve_future: ({ body }) => body.request_id === "new" ? json({ model_id: "S:train:0" }) : paused() },
    Effect.flatMap(trainer, (one) => ApiFuture.flatten(one.optimStep(adam))),
    /model S:train:0 stands still: the server is short of capacity/
  ],
  [
    "a model that waits to be made",
    { retrieve_future: paused },
    trainer,
    /a new model of b stands still: the server is short of capacity/
  ],
  [
    "a request without credit",
    { create_model: noCredit },
    trainer,
    /create_model: the server answered 402: there is no credit/
  ]
]

for (const [what, handlers, call, words] of loud) {
  it.effect(`${what} is warned of in words, about once a minute`, () => {
    const { layer } = server(handlers)
    return Effect.gen(function*() {
      const all = yield* warningsOf(Layer.orDie(layer) as Layer.Layer<ServiceClient.ServiceClient>, call)
      const warnings = all.filter((warning) => !warning.includes("without a gradient"))
      assert.isAtLeast(warnings.length, 3)
      assert.isAtMost(warnings.length, 5)
      assert.match(warnings[1]!, words)
    })
  })
}

it.effect("a server that asks to wait for credit longer than `billingPause` is not waited for", () => {
  const { layer, to } = server(
    { create_model: () => json({ detail: "no credit" }, 402, { "retry-after": "600" }) },
    { billingPause: "5 minutes" }
  )
  return Effect.gen(function*() {
    const context = yield* Effect.context<ServiceClient.ServiceClient>()
    const { error, seconds } = yield* ending(Effect.provide(trainer, context))
    assert.strictEqual(error._tag === "ApiStatusError" && error.status, 402)
    assert.strictEqual(seconds, 0)
    assert.lengthOf(to("create_model"), 1)
  }).pipe(Effect.provide(layer))
})

it.effect("every attempt that follows a failure is an event, with its policy, its number and the wait", () => {
  let refused = 0
  let lost = 0
  const { layer } = server({
    create_sampling_session: () => refused++ === 0 ? trouble() : json({ sampling_session_id: "S:sample:0" }),
    asample: () => refused++ < 3 ? json({ detail: "slow down" }, 429) : json({ request_id: `r-${refused}` }),
    retrieve_future: () =>
      lost++ === 0 ? json({ detail: "gone" }, 410) : lost === 2 ? noCredit() : json({ error: "no" })
  })
  const hub = TinkerEvents.makeHub()
  const seen: Array<TinkerEvents.RetryScheduled> = []
  hub.listen((event) => {
    if (event._tag === "RetryScheduled") seen.push(event)
  })
  return Effect.gen(function*() {
    const sampling = yield* sampler()
    yield* ending(sampling.sample(question))
  }).pipe(
    Effect.provide(Layer.provideMerge(layer, Layer.succeed(TinkerEvents.CurrentHub, hub))),
    (run) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(run)
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(seen.map(({ attempt, policy }) => [policy, attempt]), [
          ["request", 2],
          ["backpressure", 2],
          ["sample", 2],
          ["billing", 2]
        ])
        assert.isTrue(seen.every(({ wait }) => wait >= 0))
        assert.strictEqual(seen[3]!.wait, 5000)
      })
  )
})

/** The clock of the test, whose time of day can be set. */
const adjustable = Effect.map(Effect.clock, (clock) => {
  let offset = 0
  const settable: Clock.Clock = Object.assign(Object.create(clock), {
    unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() + offset,
    unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
    currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + offset)
  })
  return {
    settable,
    set: (by: Duration.DurationInput, direction: 1 | -1) => {
      offset += direction * Duration.toMillis(by)
    }
  }
})

for (const [how, direction] of [["back", -1], ["forward", 1]] as const) {
  it.effect(`a clock set ${how} by an hour changes no timeout, no deadline and no pause`, () => {
    let samples = 0
    const { layer, to } = server({
      "client/dynamic_config": () => Effect.never,
      asample: () => samples++ === 0 ? json({ detail: "slow down" }, 429) : json({ request_id: "r" })
    }, { requestTimeout: "3 seconds" })
    const quiet = server({
      asample: () => samples++ === 0 ? json({ detail: "slow down" }, 429) : json({ request_id: "r" })
    })
    return Effect.gen(function*() {
      const { set, settable } = yield* adjustable
      const withClock = Effect.withClock(settable)
      const fetching = yield* Effect.fork(
        withClock(Effect.flip(RetryPolicy.withPolicies(sampler(), { request: RetryPolicy.none }))).pipe(
          Effect.provide(layer)
        )
      )
      yield* TestClock.adjust("1 second")
      set("1 hour", direction)
      yield* TestClock.adjust("2 seconds")
      const late = yield* Fiber.poll(fetching)
      assert.strictEqual(late._tag, "Some")
      assert.strictEqual(to("client/dynamic_config").length, 1)

      samples = 0
      yield* Effect.gen(function*() {
        const sampling = yield* sampler()
        const waiting = yield* Effect.fork(
          Effect.flip(
            WaitingPolicy.withWaitingPolicy(sampling.sample(question), WaitingPolicy.failWhenStuck("1 minute"))
          )
        )
        yield* TestClock.adjust("500 millis")
        assert.strictEqual(quiet.to("asample").length, 1)
        set("1 hour", direction)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(quiet.to("asample").length, 2)
        yield* TestClock.adjust("58 seconds")
        assert.strictEqual((yield* Fiber.poll(waiting))._tag, "None")
        yield* TestClock.adjust("500 millis")
        assert.strictEqual((yield* Fiber.poll(waiting))._tag, "Some")
      }).pipe(withClock, Effect.provide(quiet.layer))
    })
  })
}
