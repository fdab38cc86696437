import { assert, it } from "@effect/vitest"
import { Chunk, Deferred, Effect, Either, Fiber, FiberId, Logger, LogLevel, Stream, TestClock } from "effect"
import { ModelInput, SamplingParams, ServiceClient } from "effect-tinker"
import type { SamplingClient } from "effect-tinker"
import { answer, json, protobuf, stub } from "./stub.js"

const createClient = Effect.flatMap(
  ServiceClient.ServiceClient,
  (service) => service.createSamplingClient({ baseModel: "b" })
)

const small = ModelInput.fromTokens([1, 2, 3])
const large = ModelInput.fromTokens(new Int32Array(20_000))
const samplingParams = SamplingParams.make({ maxTokens: 2 })

const sampleMany = (sampling: SamplingClient.Service, count: number, prompt = small) =>
  Effect.forkAll(Array.from({ length: count }, () => sampling.sample({ prompt, samplingParams })))

/** Counts how many requests are open at once. */
const gauge = () => {
  let open = 0
  let most = 0
  return {
    most: () => most,
    open: () => open,
    reset: () => {
      most = open
    },
    hold: <A>(effect: Effect.Effect<A>) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          open += 1
          most = Math.max(most, open)
        }),
        () => effect,
        () => Effect.sync(() => open--)
      )
  }
}

it.effect("submits all of many samples whose results are late, four hundred at a time", () => {
  const submits = gauge()
  const accepts = Deferred.unsafeMake<void>(FiberId.none)
  const { layer, to } = stub({
    asample: () => submits.hold(Effect.as(Deferred.await(accepts), json({ request_id: "r" }))),
    retrieve_future: () => Effect.never
  })
  return Effect.gen(function*() {
    const sampling = yield* createClient
    const fibers = yield* sampleMany(sampling, 401)
    yield* TestClock.adjust("10 millis")
    assert.strictEqual(to("asample").length, 400)
    yield* Deferred.succeed(accepts, undefined)
    yield* TestClock.adjust("10 millis")
    assert.strictEqual(to("asample").length, 401)
    assert.strictEqual(submits.most(), 400)
    assert.strictEqual(to("retrieve_future").length, 401)
    yield* Fiber.interrupt(fibers)
  }).pipe(Effect.provide(layer))
})

it.effect("after a 429 everyone pauses, then ten are submitted at a time until ten seconds later", () => {
  const submits = gauge()
  let refusals = 1
  const { layer, to } = stub({
    asample: () =>
      refusals-- > 0
        ? json({ detail: "slow down" }, 429)
        : submits.hold(Effect.as(Effect.sleep("1 second"), json({ request_id: "r" })))
  })
  return Effect.gen(function*() {
    const sampling = yield* createClient
    const first = yield* sampleMany(sampling, 1)
    yield* TestClock.adjust("100 millis")
    const fibers = yield* sampleMany(sampling, 30)
    yield* TestClock.adjust("800 millis")
    assert.strictEqual(to("asample").length, 1)
    yield* TestClock.adjust("1 second")
    assert.strictEqual(submits.open(), 10)
    yield* TestClock.adjust("5 seconds")
    assert.strictEqual(submits.most(), 10)
    yield* Fiber.join(fibers)
    yield* Fiber.join(first)

    yield* TestClock.adjust("10 seconds")
    const later = yield* sampleMany(sampling, 30)
    yield* TestClock.adjust("100 millis")
    assert.strictEqual(submits.open(), 30)
    yield* TestClock.adjust("2 seconds")
    yield* Fiber.join(later)
  }).pipe(Effect.provide(layer))
})

for (
  const [size, prompt, seconds] of [["small", small, 1], ["large", large, 5]] as const
) {
  it.effect(`a ${size} prompt that is refused with 429 is sent again after ${seconds} s, with the same number`, () => {
    let refusals = 2
    const { layer, to } = stub({
      asample: () => refusals-- > 0 ? json({}, 429) : json({ request_id: "r" })
    })
    return Effect.gen(function*() {
      const sampling = yield* createClient
      const fiber = yield* Effect.fork(sampling.sample({ prompt, samplingParams }))
      yield* TestClock.adjust(`${seconds * 1000 - 1} millis`)
      assert.strictEqual(to("asample").length, 1)
      yield* TestClock.adjust(`${seconds * 250} millis`)
      assert.strictEqual(to("asample").length, 2)
      yield* TestClock.adjust(`${seconds * 1200} millis`)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(to("asample").map(({ body }) => body.seq_id), [0, 0, 0])
    }).pipe(Effect.provide(layer))
  })
}

it.effect("waits as long as the server asks when that is longer", () => {
  let refusals = 1
  const { layer, to } = stub({
    asample: () => refusals-- > 0 ? json({}, 429, { "retry-after": "20" }) : json({ request_id: "r" })
  })
  return Effect.gen(function*() {
    const sampling = yield* createClient
    const fiber = yield* sampleMany(sampling, 1)
    yield* TestClock.adjust("19 seconds")
    assert.strictEqual(to("asample").length, 1)
    yield* TestClock.adjust("6 seconds")
    yield* Fiber.join(fiber)
  }).pipe(Effect.provide(layer))
})

it.effect("clients of one account pause together, those of another account do not", () => {
  let refusals = 1
  const one = stub({ asample: () => refusals-- > 0 ? json({}, 429) : json({ request_id: "r" }) })
  const other = stub({})
  return Effect.gen(function*() {
    const [a, b] = yield* Effect.all([createClient, createClient])
    const first = yield* sampleMany(a, 1)
    yield* TestClock.adjust("100 millis")
    const second = yield* sampleMany(b, 1)
    const free = yield* Effect.fork(
      Effect.flatMap(createClient, (sampling) => sampling.sample({ prompt: small, samplingParams })).pipe(
        Effect.provide(other.layer)
      )
    )
    yield* TestClock.adjust("500 millis")
    assert.strictEqual(one.to("asample").length, 1)
    yield* Fiber.join(free)
    yield* TestClock.adjust("1 second")
    yield* Fiber.join(first)
    yield* Fiber.join(second)
  }).pipe(Effect.provide(one.layer))
})

it.effect("a large prompt waits for the bytes it needs, and those after it wait for it", () => {
  const order: Array<number> = []
  const { layer } = stub({
    "client/config": () => json({ sample_dispatch_bytes_semaphore_size: 100 }),
    asample: ({ body }) => {
      order.push((body.prompt as { chunks: Array<{ tokens: Array<number> }> }).chunks[0]!.tokens.length)
      return Effect.as(Effect.sleep("1 second"), json({ request_id: "r" }))
    }
  })
  const ask = (sampling: SamplingClient.Service, tokens: number) =>
    Effect.fork(sampling.sample({ prompt: ModelInput.fromTokens(new Int32Array(tokens)), samplingParams }))
  return Effect.gen(function*() {
    const sampling = yield* createClient
    yield* Effect.forEach([6, 50, 1, 2], (tokens) => Effect.zipRight(ask(sampling, tokens), Effect.yieldNow()))
    yield* TestClock.adjust("10 millis")
    assert.deepStrictEqual(order, [6])
    yield* TestClock.adjust("1 second")
    assert.deepStrictEqual(order, [6, 50])
    yield* TestClock.adjust("1 second")
    assert.deepStrictEqual(order, [6, 50, 1, 2])
  }).pipe(Effect.provide(layer))
})

it.effect("has no more samples of a session under way than the server or the caller allows", () => {
  const polls = gauge()
  const held = { retrieve_future: () => polls.hold(Effect.as(Effect.sleep("1 second"), protobuf(answer()))) }
  const run = (maxConnections: number | null, allowed: number) => {
    const { layer } = stub({ ...held, "client/config": () => json({ sample_max_concurrent_requests: allowed }) })
    return Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const sampling = yield* service.createSamplingClient({ baseModel: "b", retryConfig: { maxConnections } })
      polls.reset()
      const fibers = yield* sampleMany(sampling, 20)
      yield* TestClock.adjust("30 seconds")
      yield* Fiber.join(fibers)
      return polls.most()
    }).pipe(Effect.provide(layer))
  }
  return Effect.gen(function*() {
    assert.strictEqual(yield* run(5, 2000), 5)
    assert.strictEqual(yield* run(null, 7), 7)
    assert.strictEqual(yield* run(10, 3), 3)
    assert.strictEqual(yield* run(null, 2000), 20)
  })
})

it.effect("with the completion poller there is no limit to the samples of a session", () => {
  const { layer, to } = stub({
    "client/config": () => json({ sample_use_retrieve_futures: true, sample_max_concurrent_requests: 2 }),
    retrieve_futures: () => Effect.never
  })
  return Effect.gen(function*() {
    const sampling = yield* createClient
    const fibers = yield* sampleMany(sampling, 10)
    yield* TestClock.adjust("1 second")
    assert.strictEqual(to("asample").length, 10)
    yield* Fiber.interrupt(fibers)
  }).pipe(Effect.provide(layer))
})

it.effect("asks once when the server wants no retries, but for log-probabilities again", () => {
  const { layer, to } = stub({
    "client/config": () => json({ sample_no_retries: true }),
    retrieve_future: () =>
      to("retrieve_future").length <= 2
        ? json({ detail: "gone" }, 410)
        : protobuf(answer({ promptLogprobs: Float32Array.of(-1, -2) }))
  })
  return Effect.gen(function*() {
    const sampling = yield* createClient
    const error = yield* Effect.flip(sampling.sample({ prompt: small, samplingParams }))
    assert.strictEqual(error._tag === "ApiStatusError" && error.reason, "Expired")
    const logprobs = yield* Effect.fork(sampling.computeLogprobs(small))
    yield* TestClock.adjust("1 second")
    assert.strictEqual((yield* Fiber.join(logprobs)).length, 3)
    assert.strictEqual(to("asample").length, 3)
  }).pipe(Effect.provide(layer))
})

it.effect("sends a lost sample again within the client's delays, at most as often as it says", () => {
  const times: Array<number> = []
  const { layer } = stub({
    asample: () =>
      Effect.map(TestClock.currentTimeMillis, (now) => {
        times.push(now)
        return json({ request_id: "r" })
      }),
    retrieve_future: () => json({ detail: "gone" }, 410)
  })
  return Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const sampling = yield* service.createSamplingClient({
      baseModel: "b",
      retryConfig: { retryDelayBase: 1000, retryDelayMax: 3000, jitterFactor: 0.25, maxAttempts: 6 }
    })
    const fiber = yield* Effect.fork(Effect.flip(sampling.sample({ prompt: small, samplingParams })))
    yield* TestClock.adjust("1 minute")
    const error = yield* Fiber.join(fiber)
    assert.strictEqual(error._tag === "ApiStatusError" && error.attempts, 6)
    const delays = times.slice(1).map((time, i) => Math.round(time - times[i]!))
    const ranges = [[750, 1250], [1500, 2500], [2250, 3000], [2250, 3000], [2250, 3000]]
    assert.strictEqual(delays.length, ranges.length)
    delays.forEach((delay, i) => {
      assert.isAtLeast(delay, ranges[i]![0]!)
      assert.isAtMost(delay, ranges[i]![1]!)
    })
  }).pipe(Effect.provide(layer))
})

it.effect("a stream of prompts keeps to its concurrency, in order, and stops when its consumer does", () => {
  const polls = gauge()
  const { layer, to } = stub({
    "client/dynamic_config": () => json({ sample_cancel_enabled: true }),
    asample: ({ body }) => json({ request_id: `r${String(body.seq_id)}` }),
    retrieve_future: ({ body }) =>
      polls.hold(
        Effect.as(
          Effect.sleep(Number(String(body.request_id).slice(1)) % 2 === 0 ? "2 seconds" : "1 second"),
          protobuf(answer({ promptCacheHitTokens: Number(String(body.request_id).slice(1)) }))
        )
      )
  })
  const prompts = Stream.repeatValue({ prompt: small, samplingParams })
  return Effect.gen(function*() {
    const sampling = yield* createClient
    const run = (unordered: boolean) =>
      Effect.gen(function*() {
        const before = to("asample").length
        const fiber = yield* sampling.sampleStream(prompts, { concurrency: 4, unordered }).pipe(
          Stream.take(10),
          Stream.mapEffect(({ result }) => Either.match(result, { onLeft: Effect.fail, onRight: Effect.succeed })),
          Stream.map(({ promptCacheHitTokens }) => promptCacheHitTokens - before),
          Stream.runCollect,
          Effect.fork
        )
        yield* TestClock.adjust("1 minute")
        return Chunk.toReadonlyArray(yield* Fiber.join(fiber))
      })
    assert.deepStrictEqual(yield* run(false), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    assert.strictEqual(polls.most(), 4)
    const asked = to("asample").length
    yield* TestClock.adjust("1 minute")
    assert.strictEqual(to("asample").length, asked)
    assert.strictEqual(polls.open(), 0)
    assert.isAbove(to("cancel_future").length, 0)
    assert.notDeepEqual(yield* run(true), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  }).pipe(Effect.provide(layer))
})

it.effect("a slow consumer of a stream stops the asking", () => {
  const { layer, to } = stub({})
  return Effect.gen(function*() {
    const sampling = yield* createClient
    const gate = yield* Deferred.make<void>()
    const fiber = yield* sampling.sampleStream(Stream.repeatValue({ prompt: small, samplingParams }), {
      concurrency: 4
    })
      .pipe(Stream.take(100), Stream.runForEach(() => Deferred.await(gate)), Effect.fork)
    yield* TestClock.adjust("1 minute")
    assert.isAtMost(to("asample").length, 32)
    yield* Deferred.succeed(gate, undefined)
    yield* Fiber.join(fiber)
    assert.isAtLeast(to("asample").length, 100)
  }).pipe(Effect.provide(layer))
})

it.effect("tells the server of interrupted samples it has accepted, so many at a time, before the scope closes", () => {
  const cancels = gauge()
  const { layer, to } = stub({
    "client/dynamic_config": () => json({ sample_cancel_enabled: true, sample_cancel_max_batch_size: 64 }),
    retrieve_future: () => Effect.never,
    cancel_future: () => cancels.hold(Effect.as(Effect.sleep("100 millis"), json({})))
  })
  return Effect.gen(function*() {
    const program = yield* Effect.fork(
      Effect.gen(function*() {
        const sampling = yield* createClient
        const fibers = yield* sampleMany(sampling, 200)
        yield* Effect.sleep("1 second")
        yield* Fiber.interrupt(fibers)
      }).pipe(Effect.provide(layer))
    )
    yield* TestClock.adjust("1 minute")
    yield* Fiber.join(program)
    assert.strictEqual(to("cancel_future").length, 200)
    assert.strictEqual(new Set(to("cancel_future").map(({ body }) => body.request_id)).size, 200)
    assert.strictEqual(cancels.most(), 64)
  })
})

it.effect("tells the server nothing of samples it has not accepted, nor when it does not want to know", () => {
  const run = (enabled: boolean, accepts: boolean) => {
    const { layer, to } = stub({
      "client/dynamic_config": () => json({ sample_cancel_enabled: enabled }),
      ...(accepts ? { retrieve_future: () => Effect.never } : { asample: () => Effect.never })
    })
    return Effect.gen(function*() {
      const sampling = yield* createClient
      const fibers = yield* sampleMany(sampling, 3)
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fibers)
      yield* TestClock.adjust("1 second")
      return to("cancel_future").length
    }).pipe(Effect.provide(layer))
  }
  return Effect.gen(function*() {
    assert.strictEqual(yield* run(true, false), 0)
    assert.strictEqual(yield* run(false, true), 0)
    assert.strictEqual(yield* run(true, true), 3)
  })
})

it.effect("a cancellation that fails fails nothing else", () => {
  const { layer, to } = stub({
    "client/dynamic_config": () => json({ sample_cancel_enabled: true }),
    retrieve_future: ({ body }) => body.request_id === "sample-0" ? Effect.never : protobuf(answer()),
    cancel_future: () => json({ detail: "no" }, 422)
  })
  return Effect.gen(function*() {
    const sampling = yield* createClient
    const fiber = yield* sampleMany(sampling, 1)
    yield* TestClock.adjust("1 second")
    yield* Fiber.interrupt(fiber)
    const { sequences } = yield* sampling.sample({ prompt: small, samplingParams })
    assert.strictEqual(sequences.length, 1)
    assert.strictEqual(to("cancel_future").length, 1)
  }).pipe(Effect.provide(layer))
})

it.effect("tells at debug level at most every two seconds how the samples get on, and nothing otherwise", () => {
  const times: Array<number> = []
  const lines: Array<string> = []
  const logger = Logger.make(({ date, message }) => {
    if (!String(message).includes("under way")) return
    times.push(date.getTime())
    lines.push(String(message))
  })
  const lost = new Set(["sample-0", "sample-1"])
  const { layer } = stub({
    retrieve_future: ({ body }) =>
      lost.delete(String(body.request_id))
        ? json({ detail: "gone" }, 410)
        : body.request_id === "sample-2"
        ? json({ error: "no", category: "user" })
        : Effect.as(Effect.sleep("900 millis"), protobuf(answer()))
  })
  const run = (level: LogLevel.LogLevel) =>
    Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const sampling = yield* service.createSamplingClient({ baseModel: "b", retryConfig: { maxConnections: 3 } })
      const fiber = yield* Effect.fork(Effect.all(
        Array.from({ length: 12 }, () => Effect.either(sampling.sample({ prompt: small, samplingParams }))),
        { concurrency: "unbounded" }
      ))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      yield* sampling.sample({ prompt: small, samplingParams }).pipe(
        Effect.zipLeft(TestClock.adjust("1 second"), { concurrent: true })
      )
    }).pipe(Logger.withMinimumLogLevel(level), Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
  return Effect.gen(function*() {
    yield* run(LogLevel.Info)
    assert.lengthOf(lines, 0)
    lost.add("sample-15").add("sample-16")
    yield* run(LogLevel.Debug)
    assert.isAtLeast(lines.length, 3)
    for (let i = 1; i < times.length; i++) assert.isAtLeast(times[i]! - times[i - 1]!, 2000)
    assert.include(lines[0], "of 1 samples 1 wait, 0 are under way, 0 are done; 0 retries, failures: none")
    assert.match(lines[1]!, /of 12 samples \d+ wait, [123] are under way, \d+ are done; 2 retries, failures: none/)
    assert.include(lines.at(-1), "of 13 samples 1 wait, 0 are under way, 12 are done; 2 retries, failures: none")
  }).pipe(Effect.provide(layer))
})

it.effect("a stream of many prompts has as many under way as it may, and never more", () => {
  const full = Deferred.unsafeMake<void>(FiberId.none)
  let open = 0
  let most = 0
  const { layer, to } = stub({
    asample: ({ body }) => {
      most = Math.max(most, ++open)
      if (open === 64) Deferred.unsafeDone(full, Effect.void)
      return json({ request_id: `r${String(body.seq_id)}` })
    },
    retrieve_future: () =>
      // One more than there may be would be asked for meanwhile.
      Effect.map(Effect.zipRight(Deferred.await(full), Effect.repeatN(Effect.yieldNow(), 50)), () => {
        open -= 1
        return protobuf(answer())
      })
  })
  return Effect.gen(function*() {
    const sampling = yield* createClient
    const prompts = Stream.take(Stream.repeatValue({ prompt: small, samplingParams }), 400)
    assert.strictEqual(yield* Stream.runCount(sampling.sampleStream(prompts)), 400)
    assert.strictEqual(to("asample").length, 400)
    assert.strictEqual(most, 64)
  }).pipe(Effect.provide(layer))
})

it.effect("samples whose questions failed together do not ask again together", () => {
  const failed = new Set<unknown>()
  const times: Array<number> = []
  const { layer } = stub({
    retrieve_future: ({ body }) =>
      failed.has(body.request_id)
        ? Effect.map(TestClock.currentTimeMillis, (now) => {
          times.push(now)
          return protobuf(answer())
        })
        : Effect.sync(() => {
          failed.add(body.request_id)
          return json({ detail: "in trouble" }, 503)
        })
  })
  return Effect.gen(function*() {
    const sampling = yield* createClient
    const fibers = yield* sampleMany(sampling, 20)
    yield* TestClock.adjust("2 seconds")
    yield* Fiber.join(fibers)
    assert.isAtLeast(new Set(times).size, 15)
    assert.isAtLeast(Math.min(...times), 749)
    assert.isAtMost(Math.max(...times), 1251)
  }).pipe(Effect.provide(layer))
})
