import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Logger, Queue, Scope, TestClock } from "effect"
import { ModelInput, SamplingParams, ServiceClient } from "effect-tinker"
import type { SamplingClient } from "effect-tinker"
import { type Answer, answer, json, protobuf, type Seen, stub } from "./stub.js"

const createClient = Effect.flatMap(
  ServiceClient.ServiceClient,
  (service) => service.createSamplingClient({ baseModel: "b" })
)
const call = { prompt: ModelInput.fromTokens([1, 2]), samplingParams: SamplingParams.make({ maxTokens: 2 }) }
const sampleMany = (sampling: SamplingClient.Service, count: number) =>
  Effect.forkAll(Array.from({ length: count }, () => sampling.sample(call)))

const config = { "client/config": () => json({ sample_use_retrieve_futures: true }) }
const completion = (requestId: string, size?: number) => ({
  state: "finished",
  request_id: requestId,
  ...(size === undefined ? {} : { response_payload_uncompressed_size: size })
})

/** Answers the common poll with whatever a test offers, and mere acknowledgements at once. */
const offered = Effect.map(Queue.unbounded<Answer>(), (queue) => ({
  offer: (completions: ReadonlyArray<unknown>, cursor: number) => Queue.offer(queue, json({ completions, cursor })),
  refuse: (status: number) => Queue.offer(queue, json({ detail: "no" }, status)),
  handler: ({ body }: Seen) =>
    body.timeout === 0 ? json({ completions: [], cursor: body.prev_cursor }) : Queue.take(queue)
}))

const acknowledged = (seen: ReadonlyArray<Seen>) => seen.map(({ body }) => body.retrieved_request_ids)

it.effect("fetches each of a hundred results once, at once where its size was told", () =>
  Effect.gen(function*() {
    const poll = yield* offered
    const { layer, to } = stub({ ...config, retrieve_futures: poll.handler })
    yield* Effect.gen(function*() {
      const sampling = yield* createClient
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(to("retrieve_futures").length, 0)
      const fibers = yield* sampleMany(sampling, 100)
      yield* TestClock.adjust("1 second")
      yield* poll.offer(
        Array.from({ length: 100 }, (_, i) => completion(`sample-${i}`, i % 2 === 0 ? 100 : undefined)),
        7
      )
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fibers)).length, 100)
      assert.strictEqual(to("retrieve_future").length, 100)
      assert.strictEqual(to("retrieve_future").filter(({ body }) => body.allow_metadata_only === false).length, 50)

      yield* TestClock.adjust("1 minute")
      const polls = to("retrieve_futures")
      assert.strictEqual(polls.length, 2)
      assert.deepStrictEqual(polls.map(({ body }) => body.prev_cursor), [0, 7])
      assert.deepStrictEqual(polls.map(({ body }) => body.timeout), [undefined, 0])
    }).pipe(Effect.provide(layer))
  }))

it.effect("acknowledges each fetched result in order, and once unless that poll failed", () =>
  Effect.gen(function*() {
    const poll = yield* offered
    const { layer, to } = stub({ ...config, retrieve_futures: poll.handler })
    yield* Effect.gen(function*() {
      const sampling = yield* createClient
      const first = yield* sampleMany(sampling, 3)
      yield* TestClock.adjust("1 second")
      yield* poll.offer([completion("sample-2"), completion("sample-0")], 1)
      yield* TestClock.adjust("1 second")
      yield* poll.offer([], 1)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(acknowledged(to("retrieve_futures")), [[], [], ["sample-0", "sample-2"]])
      yield* poll.refuse(503)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(acknowledged(to("retrieve_futures")).at(-1), ["sample-0", "sample-2"])
      yield* poll.offer([completion("sample-1")], 2)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(first)
      yield* poll.offer([], 2)
      yield* TestClock.adjust("1 second")
      const all = acknowledged(to("retrieve_futures"))
      assert.deepStrictEqual(all.at(-1), ["sample-1"])
      assert.lengthOf(all.filter((ids) => Array.isArray(ids) && ids[0] === "sample-0"), 2)
    }).pipe(Effect.provide(layer))
  }))

it.effect("closing the scope sends the last acknowledgement before the session ends", () => {
  let polls = 0
  const { layer, seen, to } = stub({
    ...config,
    retrieve_futures: () => json({ completions: polls++ === 0 ? [completion("sample-0", 10)] : [], cursor: 1 })
  })
  return Effect.gen(function*() {
    yield* Effect.flatMap(createClient, (sampling) => sampling.sample(call)).pipe(Effect.provide(layer))
    assert.deepStrictEqual(acknowledged(to("retrieve_futures")).at(-1), ["sample-0"])
    const paths = seen.map(({ path }) => path)
    assert.isBelow(paths.lastIndexOf("retrieve_futures"), paths.indexOf("sessions/S/finish"))
  })
})

for (const status of [400, 401, 404, 410]) {
  it.effect(`after a ${status} waiting samples ask singly, and the next ones poll together again`, () =>
    Effect.gen(function*() {
      const poll = yield* offered
      const { layer, to } = stub({ ...config, retrieve_futures: poll.handler })
      yield* Effect.gen(function*() {
        const sampling = yield* createClient
        yield* poll.refuse(status)
        const first = yield* sampleMany(sampling, 5)
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(first)
        assert.strictEqual(to("retrieve_future").length, 5)
        yield* TestClock.adjust("1 minute")

        const second = yield* sampleMany(sampling, 2)
        yield* TestClock.adjust("1 second")
        yield* poll.offer([completion("sample-5", 1), completion("sample-6", 1)], 2)
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* Fiber.join(second)).length, 2)
      }).pipe(Effect.provide(layer))
    }))
}

it.effect("a completion that comes before its submission was answered is not lost", () =>
  Effect.gen(function*() {
    const poll = yield* offered
    const { layer } = stub({
      ...config,
      retrieve_futures: poll.handler,
      asample: ({ body }) =>
        body.seq_id === 0
          ? json({ request_id: "a" })
          : Effect.as(Effect.sleep("5 seconds"), json({ request_id: "b" }))
    })
    yield* Effect.gen(function*() {
      const sampling = yield* createClient
      const fibers = yield* sampleMany(sampling, 2)
      yield* TestClock.adjust("1 second")
      yield* poll.offer([completion("b", 1), completion("a", 1)], 2)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(fibers)).length, 2)
    }).pipe(Effect.provide(layer))
  }))

it.effect("asks once a minute for the sample that waits longest, and tells why it waits", () => {
  const warnings: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel._tag === "Warning") warnings.push(String(message))
  })
  const { layer, to } = stub({
    ...config,
    retrieve_futures: () => Effect.as(Effect.sleep("20 seconds"), json({ completions: [], cursor: 0 })),
    retrieve_future: () => json({ type: "try_again", queue_state: "paused_capacity", queue_state_reason: "no GPU" })
  })
  return Effect.gen(function*() {
    const sampling = yield* createClient
    const fiber = yield* sampleMany(sampling, 100)
    yield* TestClock.adjust("90 seconds")
    assert.deepStrictEqual(to("retrieve_future").map(({ body }) => body.request_id), ["sample-0"])
    assert.lengthOf(warnings, 1)
    assert.include(warnings[0], "no GPU")
    yield* TestClock.adjust("20 seconds")
    assert.deepStrictEqual(to("retrieve_future").map(({ body }) => body.request_id), ["sample-0", "sample-0"])
    yield* Fiber.interrupt(fiber)
  }).pipe(Effect.provide(layer), Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
})

it.effect("finds a result of which the common poll never told", () => {
  const { layer } = stub({
    ...config,
    retrieve_futures: ({ body }) =>
      Effect.as(Effect.sleep(body.timeout === 0 ? 0 : "20 seconds"), json({ completions: [], cursor: 0 }))
  })
  return Effect.gen(function*() {
    const sampling = yield* createClient
    const fiber = yield* sampleMany(sampling, 2)
    yield* TestClock.adjust("3 minutes")
    assert.lengthOf(yield* Fiber.join(fiber), 2)
  }).pipe(Effect.provide(layer))
})

it.effect("keeps the latest of the completions that nobody waits for, however many samples were given up", () => {
  let given: ReadonlyArray<unknown> = Array.from({ length: 10_001 }, (_, i) => completion(`given-up-${i}`))
  const { layer, to } = stub({
    ...config,
    asample: ({ body }) =>
      body.seq_id === 0
        ? json({ request_id: "a" })
        : Effect.as(Effect.sleep("5 seconds"), json({ request_id: "b" })),
    retrieve_futures: ({ body }) => {
      const completions = body.timeout === 0 ? [] : [...given, completion("b", 1), completion("a", 1)]
      given = []
      return json({ completions, cursor: 1 })
    }
  })
  return Effect.gen(function*() {
    const sampling = yield* createClient
    const fiber = yield* sampleMany(sampling, 2)
    yield* TestClock.adjust("10 seconds")
    assert.lengthOf(yield* Fiber.join(fiber), 2)
    assert.lengthOf(to("retrieve_futures"), 3)
  }).pipe(Effect.provide(layer))
})

it.effect("a failed sample is fetched and acknowledged too", () =>
  Effect.gen(function*() {
    const poll = yield* offered
    const { layer, to } = stub({
      ...config,
      retrieve_futures: poll.handler,
      retrieve_future: () => json({ error: "bad prompt", category: "user" })
    })
    yield* Effect.gen(function*() {
      const sampling = yield* createClient
      const fiber = yield* Effect.fork(Effect.flip(sampling.sample(call)))
      yield* poll.offer([{ state: "failed", request_id: "sample-0" }], 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "RequestFailedError")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(acknowledged(to("retrieve_futures")).at(-1), ["sample-0"])
    }).pipe(Effect.provide(layer))
  }))

it.effect("large results wait for the bytes that are free", () => {
  let open = 0
  let most = 0
  const { layer } = stub({
    "client/config": () => json({ sample_use_retrieve_futures: true, inflight_response_bytes_semaphore_size: 250 }),
    retrieve_futures: () =>
      json({ completions: Array.from({ length: 6 }, (_, i) => completion(`sample-${i}`, 100)), cursor: 6 }),
    retrieve_future: () =>
      Effect.gen(function*() {
        most = Math.max(most, ++open)
        yield* Effect.sleep("1 second")
        open--
        return protobuf(answer())
      })
  })
  return Effect.gen(function*() {
    const sampling = yield* createClient
    const fibers = yield* sampleMany(sampling, 6)
    yield* TestClock.adjust("10 seconds")
    yield* Fiber.join(fibers)
    assert.strictEqual(most, 2)
  }).pipe(Effect.provide(layer))
})

for (const together of [true, false]) {
  it.effect(`closing the client fails samples that are waited for ${together ? "together" : "singly"}`, () => {
    const { layer, to } = stub({
      "client/config": () => json({ sample_use_retrieve_futures: together }),
      "client/dynamic_config": () => json({ sample_cancel_enabled: true }),
      retrieve_futures: ({ body }) => body.timeout === 0 ? json({ completions: [], cursor: 0 }) : Effect.never,
      retrieve_future: () => Effect.never
    })
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(layer, scope)
      const sampling = yield* Effect.provide(createClient, context)
      const waiting = yield* Effect.fork(Effect.flip(sampling.sample(call)))
      yield* TestClock.adjust("1 second")
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(closing)
      assert.strictEqual((yield* Fiber.join(waiting))._tag, "SessionClosedError")
      assert.strictEqual((yield* Effect.flip(sampling.sample(call)))._tag, "SessionClosedError")
      assert.lengthOf(to("asample"), 1)
    })
  })
}

/** Counts requests of a kind that are open. */
const opened = () => {
  let count = 0
  return {
    count: () => count,
    hold: Effect.acquireUseRelease(
      Effect.sync(() => count++),
      () => Effect.never,
      () => Effect.sync(() => count--)
    )
  }
}

it.effect("the common question ends with the last sample that waits, and what was read is acknowledged then", () => {
  const polls = opened()
  let asked = 0
  const { layer, to } = stub({
    ...config,
    retrieve_futures: ({ body }) =>
      body.timeout === 0
        ? json({ completions: [], cursor: 1 })
        : asked++ === 0
        ? json({ completions: [completion("sample-0", 10)], cursor: 1 })
        : polls.hold
  })
  return Effect.gen(function*() {
    const sampling = yield* createClient
    yield* sampling.sample(call)
    yield* TestClock.adjust("1 second")
    const fibers = yield* Effect.forEach([1, 2, 3], () => Effect.fork(sampling.sample(call)))
    yield* TestClock.adjust("1 second")
    yield* Fiber.interrupt(fibers[0]!)
    assert.strictEqual(polls.count(), 1)
    yield* Fiber.interruptAll(fibers)
    yield* TestClock.adjust(0)
    assert.strictEqual(polls.count(), 0)
    const before = to("retrieve_futures").length
    yield* TestClock.adjust("5 minutes")
    assert.lengthOf(to("retrieve_futures"), before)
    assert.deepStrictEqual(acknowledged(to("retrieve_futures")).flat(), ["sample-0"])
    // The next ones are asked for together again.
    const next = yield* Effect.fork(sampling.sample(call))
    yield* TestClock.adjust("1 second")
    assert.strictEqual(polls.count(), 1)
    yield* Fiber.interrupt(next)
  }).pipe(Effect.provide(layer))
})

it.effect("the question for the state of one sample ends with that sample", () => {
  const singles = opened()
  const { layer } = stub({
    ...config,
    retrieve_futures: () => Effect.as(Effect.sleep("20 seconds"), json({ completions: [], cursor: 0 })),
    retrieve_future: () => singles.hold
  })
  return Effect.gen(function*() {
    const sampling = yield* createClient
    const slow = yield* Effect.fork(sampling.sample(call))
    yield* TestClock.adjust("41 seconds")
    assert.strictEqual(singles.count(), 1)
    yield* Fiber.interrupt(slow)
    assert.strictEqual(singles.count(), 0)
  }).pipe(Effect.provide(layer))
})
