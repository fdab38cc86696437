import { BigramEngine, Engine } from "@effect-tinker/engine"
import { CheckpointStore, Faults, TinkerServer } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Stream, TestClock } from "effect"
import {
  AdamParams,
  ApiFuture,
  ModelInput,
  SamplingParams,
  ServiceClient,
  Tinker,
  TinkerMetrics,
  UsageMeter
} from "effect-tinker"
import type { TinkerError } from "effect-tinker"
import { datum } from "./fixture.js"
import { answer, drop, json, protobuf, stub } from "./stub.js"

const prices: UsageMeter.Prices = { training: 3, prefill: 1, cachedPrefill: 0.25, sampled: 4 }

const adam = AdamParams.make({ learningRate: 0.1, eps: 1e-8 })

const usage = (some: Partial<UsageMeter.Usage>): UsageMeter.Usage => ({ ...UsageMeter.none, ...some })

const sampler = Effect.flatMap(
  ServiceClient.ServiceClient,
  (service) => service.createSamplingClient({ baseModel: "m" })
)

const ask = (prompt: number, maxTokens: number | undefined, numSamples = 1) => ({
  prompt: ModelInput.fromTokens(new Int32Array(prompt)),
  samplingParams: SamplingParams.make({ maxTokens }),
  numSamples
})

/** The in-process server, which counts what its engine computes. */
const countingServer = (metrics: TinkerMetrics.TinkerMetrics) => {
  const billed = { ...UsageMeter.none }
  const engine = Layer.sync(Engine.Engine, (): Engine.Service => {
    const engine = BigramEngine.make()
    return {
      ...engine,
      forwardBackward: (modelId, call) =>
        Effect.tap(engine.forwardBackward(modelId, call), () =>
          Effect.sync(() => {
            for (const { tokens } of call.data) billed.training += tokens.length
          })),
      sample: (samplerId, request) =>
        Effect.tap(engine.sample(samplerId, request), ({ sequences }) =>
          Effect.sync(() => {
            billed.prefill += request.prompt.length
            for (const { tokens } of sequences) billed.sampled += tokens.length
          }))
    }
  })
  const layer = Tinker.layer().pipe(
    Layer.provide(TinkerMetrics.layer(metrics)),
    Layer.provide(TinkerServer.layerClientWithStore()),
    Layer.provide([engine, CheckpointStore.layerMemory]),
    Layer.provideMerge(Faults.layer)
  )
  return { billed, layer }
}

it.effect(
  "a run of 20 steps and 50 samples is counted as the server counts it, with faults on the way",
  () =>
    Effect.gen(function*() {
      const metrics = TinkerMetrics.make({ tags: { test: "usage" } })
      const { billed, layer } = countingServer(metrics)
      const meter = yield* UsageMeter.make({ prices })
      const run = Effect.gen(function*() {
        const service = yield* ServiceClient.ServiceClient
        const faults = yield* Faults.Faults
        const ways = [Faults.loseAnswer, Faults.answer(503), Faults.breakBody, Faults.duplicate, Faults.answer(429)]
        for (let i = 0; i < 15; i++) {
          yield* faults.plan({ path: Faults.anyPath, nth: 10 + 9 * i, fault: ways[i % ways.length]! })
        }
        const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4, seed: 1 })
        for (let step = 0; step < 20; step++) {
          const data = ["a lamp burns", `step ${step}`].map(datum)
          yield* ApiFuture.flatten(training.forwardBackward({ data, lossFn: "cross_entropy" }))
          yield* ApiFuture.flatten(training.optimStep(adam))
        }
        // It fails on the server, and costs nothing.
        yield* faults.plan({ path: "forward_backward", fault: Faults.failFuture("no") })
        yield* Effect.flip(
          ApiFuture.flatten(training.forwardBackward({ data: [datum("lost")], lossFn: "cross_entropy" }))
        )
        const data = [datum("two passes")]
        yield* ApiFuture.flatten(training.forwardBackwardCustom({
          data,
          lossFn: ([logprobs]) => ({ loss: 1, gradients: [new Float32Array(logprobs!.length)] })
        }))
        const sampling = yield* service.createSamplingClient({ baseModel: "bigram" })
        for (let i = 0; i < 50; i++) {
          yield* sampling.sample({
            prompt: ModelInput.fromTokens(Array.from({ length: 3 + i % 5 }, (_, j) => 65 + j)),
            samplingParams: SamplingParams.make({ maxTokens: 1 + i % 7, seed: i }),
            numSamples: 1 + i % 3
          })
        }
        yield* sampling.computeLogprobs(ModelInput.fromTokens([65, 66, 67]))
        return yield* faults.unused
      })
      const fiber = yield* Effect.fork(run.pipe(UsageMeter.withMeter(meter), Effect.provide(layer)))
      while ((yield* Fiber.poll(fiber))._tag === "None") yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* Fiber.join(fiber), [])

      const { cost, left, reserved, uncertain, used } = yield* meter.snapshot
      assert.deepStrictEqual(used, billed)
      assert.isAbove(used.training, 20 * 15)
      assert.isAbove(used.sampled, 100)
      assert.deepStrictEqual([reserved, uncertain], [UsageMeter.none, UsageMeter.none])
      assert.closeTo(cost ?? 0, (3 * billed.training + billed.prefill + 4 * billed.sampled) / 1e6, 1e-12)
      assert.isUndefined(left)
      assert.deepStrictEqual(metrics.snapshot().tokens, billed)
    }),
  60_000
)

it.effect("tokens that the server had at hand are counted and priced apart", () =>
  Effect.gen(function*() {
    const meter = yield* UsageMeter.make({ prices })
    const { layer } = stub({ retrieve_future: () => protobuf(answer({ promptCacheHitTokens: 6 }, 2)) })
    yield* Effect.flatMap(sampler, (sampling) => sampling.sample(ask(10, 5, 2))).pipe(
      UsageMeter.withMeter(meter),
      Effect.provide(layer)
    )
    const { cost, used } = yield* meter.snapshot
    assert.deepStrictEqual(used, usage({ prefill: 4, cachedPrefill: 6, sampled: 4 }))
    assert.closeTo(cost ?? 0, (4 * 1 + 6 * 0.25 + 4 * 4) / 1e6, 1e-15)
  }))

it.effect("the first call that could exceed the budget is refused before anything is sent", () =>
  Effect.gen(function*() {
    const meter = yield* UsageMeter.make({ budget: { tokens: 30 } })
    const { layer, to } = stub({})
    yield* Effect.gen(function*() {
      const sampling = yield* sampler
      // 10 + 5 at most, of which 10 + 2 are used.
      yield* sampling.sample(ask(10, 5))
      yield* sampling.sample(ask(10, 8))
      const error = yield* Effect.flip(sampling.sample(ask(4, 3)))
      assert.lengthOf(to("asample"), 2)
      assert.deepInclude({ ...error }, {
        _tag: "BudgetExceededError",
        operation: "SamplingClient.sample",
        unit: "tokens",
        budget: 30,
        left: 6,
        asked: 7
      })
      assert.include(error.message, "may use 7 tokens, and 6 of the budget of 30 tokens are left")
      yield* sampling.sample(ask(4, 2))
      assert.strictEqual((yield* meter.snapshot).left, 0)
    }).pipe(UsageMeter.withMeter(meter), Effect.provide(layer))
  }))

it.effect("training is held to the budget as well, in money", () =>
  Effect.gen(function*() {
    const { billed, layer } = countingServer(TinkerMetrics.make({ tags: { test: "budget" } }))
    // Tokens of "abcd" make a datum of three.
    const meter = yield* UsageMeter.make({ prices, budget: { usd: (7 * 3) / 1e6 } })
    yield* Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
      const pass = training.forwardBackward({ data: [datum("abcd")], lossFn: "cross_entropy" })
      yield* ApiFuture.flatten(pass)
      yield* ApiFuture.flatten(training.optimStep(adam))
      yield* ApiFuture.flatten(training.forward({ data: [datum("abcd")], lossFn: "cross_entropy" }))
      const error = yield* Effect.flip(pass)
      assert.deepInclude({ ...error }, { _tag: "BudgetExceededError", unit: "USD" })
      assert.match(error.message, /may use 0.000009 USD, and 0.000003 of the budget of 0.000021 USD are left/)
      // The model goes on, and numbers have no gap.
      yield* ApiFuture.flatten(training.optimStep(adam))
    }).pipe(UsageMeter.withMeter(meter), Effect.provide(layer))
    assert.strictEqual(billed.training, 6)
    assert.deepStrictEqual((yield* meter.snapshot).used, usage({ training: 6 }))
  }))

it.effect("calls at the same time never exceed the budget together", () =>
  Effect.gen(function*() {
    const meter = yield* UsageMeter.make({ budget: { tokens: 100 } })
    let answered = 0
    const { layer, to } = stub({
      retrieve_future: () =>
        Effect.sync(() => {
          answered += 1
          return protobuf(answer())
        }).pipe(Effect.delay("1 second"))
    })
    yield* Effect.gen(function*() {
      const sampling = yield* sampler
      const all = yield* Effect.fork(
        Effect.all(Array.from({ length: 20 }, () => Effect.exit(sampling.sample(ask(10, 10)))), {
          concurrency: "unbounded"
        })
      )
      yield* TestClock.adjust("500 millis")
      assert.lengthOf(to("asample"), 5)
      const { left, reserved } = yield* meter.snapshot
      assert.deepStrictEqual([left, reserved], [0, usage({ prefill: 50, sampled: 50 })])
      yield* TestClock.adjust("5 seconds")
      const exits = yield* Fiber.join(all)
      assert.strictEqual(exits.filter(Exit.isSuccess).length, 5)
      assert.strictEqual(answered, 5)
      // Each has used twelve of its twenty, so that there is room again.
      assert.strictEqual((yield* meter.snapshot).left, 40)
    }).pipe(UsageMeter.withMeter(meter), Effect.provide(layer))
  }))

const failures: ReadonlyArray<
  readonly [what: string, handlers: Parameters<typeof stub>[0], isKept: boolean]
> = [
  ["is refused", { asample: () => json({ detail: "no" }, 400) }, false],
  ["fails on the server", { retrieve_future: () => json({ error: "no", category: "user" }) }, false],
  ["may have been taken", { asample: () => drop }, true],
  ["gives an answer that cannot be read", { retrieve_future: () => json({ sequences: 5 }) }, true]
]
for (const [what, handlers, isKept] of failures) {
  it.effect(`a call that ${what} is not counted, and ${isKept ? "keeps" : "gives back"} its share of the budget`, () =>
    Effect.gen(function*() {
      const meter = yield* UsageMeter.make({ budget: { tokens: 100 } })
      const { layer } = stub(handlers)
      const run = yield* Effect.fork(
        Effect.flatMap(sampler, (sampling) => Effect.exit(sampling.sample(ask(10, 10)))).pipe(
          UsageMeter.withMeter(meter),
          Effect.provide(layer)
        )
      )
      yield* TestClock.adjust("6 minutes")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(run)))
      const { left, reserved, uncertain, used } = yield* meter.snapshot
      assert.deepStrictEqual([used, reserved], [UsageMeter.none, UsageMeter.none])
      assert.deepStrictEqual(uncertain, isKept ? usage({ prefill: 10, sampled: 10 }) : UsageMeter.none)
      assert.strictEqual(left, isKept ? 80 : 100)
    }))
}

it.effect("what is interrupted before it is sent gives everything back, and afterwards nothing", () =>
  Effect.gen(function*() {
    const { layer } = stub({ retrieve_future: () => Effect.never })
    const meter = yield* UsageMeter.make({ budget: { tokens: 100 } })
    yield* Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const sampling = yield* service.createSamplingClient({ baseModel: "m", retryConfig: { maxConnections: 1 } })
      const sent = yield* Effect.fork(sampling.sample(ask(10, 10)))
      yield* TestClock.adjust("1 second")
      const waiting = yield* Effect.fork(sampling.sample(ask(20, 10)))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* meter.snapshot).left, 50)
      yield* Fiber.interrupt(waiting)
      assert.strictEqual((yield* meter.snapshot).left, 80)
      yield* Fiber.interrupt(sent)
      const { left, uncertain } = yield* meter.snapshot
      assert.deepStrictEqual([left, uncertain], [80, usage({ prefill: 10, sampled: 10 })])
    }).pipe(UsageMeter.withMeter(meter), Effect.provide(layer))
  }))

it.effect("a call that nothing bounds is refused under a budget, and counted without one", () =>
  Effect.gen(function*() {
    const { layer, to } = stub({})
    const [limited, free] = [yield* UsageMeter.make({ budget: { tokens: 1e9 } }), yield* UsageMeter.make()]
    yield* Effect.gen(function*() {
      const sampling = yield* sampler
      const error = yield* Effect.flip(UsageMeter.withMeter(sampling.sample(ask(10, undefined)), limited))
      assert.include(error.message, "Set maxTokens")
      assert.lengthOf(to("asample"), 0)
      yield* UsageMeter.withMeter(sampling.sample(ask(10, undefined)), free)
    }).pipe(Effect.provide(layer))
    assert.deepStrictEqual((yield* free.snapshot).used, usage({ prefill: 10, sampled: 2 }))
    assert.strictEqual((yield* limited.snapshot).left, 1e9)
  }))

it.effect("meters inside each other count the same, and the tighter budget decides", () =>
  Effect.gen(function*() {
    const { layer } = stub({})
    const [outer, inner] = [
      yield* UsageMeter.make({ budget: { tokens: 1000 } }),
      yield* UsageMeter.make({ budget: { tokens: 30 } })
    ]
    yield* Effect.gen(function*() {
      const sampling = yield* sampler
      const one = sampling.sample(ask(10, 10))
      yield* one
      yield* UsageMeter.withMeter(one, inner)
      yield* Effect.flip(UsageMeter.withMeter(one, inner))
    }).pipe(UsageMeter.withMeter(outer), Effect.provide(layer))
    assert.deepStrictEqual((yield* outer.snapshot).used, usage({ prefill: 20, sampled: 4 }))
    assert.deepStrictEqual((yield* inner.snapshot).used, usage({ prefill: 10, sampled: 2 }))
    // The inner refusal gave back what the outer one had set aside.
    assert.deepStrictEqual((yield* outer.snapshot).reserved, UsageMeter.none)
  }))

it.effect("changes tell what is set aside and what is used", () =>
  Effect.gen(function*() {
    const { layer } = stub({ retrieve_future: () => Effect.delay(Effect.succeed(protobuf(answer())), "1 second") })
    const meter = yield* UsageMeter.make()
    const seen = yield* Effect.fork(Stream.runCollect(Stream.take(meter.changes, 3)))
    yield* TestClock.adjust(1)
    const run = yield* Effect.fork(
      Effect.flatMap(sampler, (sampling) => sampling.sample(ask(10, 10))).pipe(
        UsageMeter.withMeter(meter),
        Effect.provide(layer)
      )
    )
    yield* TestClock.adjust("1 minute")
    yield* Fiber.join(run)
    const figures = Array.from(yield* Fiber.join(seen), ({ reserved, used }) => [reserved.sampled, used.sampled])
    assert.deepStrictEqual(figures, [[0, 0], [10, 0], [0, 2]])
  }))

it("of a price or a use that is no number the cost is none either, rather than less", () => {
  const prices = { training: 1, prefill: 2, sampled: 3 }
  for (const wrong of [NaN, -1, undefined as never, "many" as never]) {
    assert.isNaN(UsageMeter.costOf({ ...UsageMeter.none, sampled: wrong }, prices))
    assert.isNaN(UsageMeter.costOf(UsageMeter.none, { ...prices, sampled: wrong }))
  }
  assert.strictEqual(UsageMeter.costOf({ ...UsageMeter.none, sampled: Infinity }, { ...prices, sampled: 0 }), 0)
})

it.effect("a budget in money needs prices, and nothing may be negative", () =>
  Effect.gen(function*() {
    const message = (options: Parameters<typeof UsageMeter.make>[0]) =>
      Effect.map(Effect.flip(UsageMeter.make(options)), (error: TinkerError.InvalidInputError) => error.message)
    assert.include(yield* message({ budget: { usd: 1 } }), "prices: are missing")
    assert.include(yield* message({ budget: { tokens: -1 } }), "budget.tokens: is -1")
    assert.include(yield* message({ prices: { ...prices, sampled: NaN } }), "prices.sampled: is NaN")
    assert.strictEqual(UsageMeter.costOf(usage({ cachedPrefill: 1e6 }), { training: 1, prefill: 2, sampled: 3 }), 2)
  }))
