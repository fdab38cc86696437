import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Either, Encoding, Fiber, FiberId, Redacted, TestClock } from "effect"
import { ModelInput, SamplingParams, ServiceClient } from "effect-tinker"
import type { SamplingClient, TrainingClient } from "effect-tinker"
import { client } from "./fixture.js"
import { answer, json, protobuf, type Seen, stub } from "./stub.js"

const prompt = ModelInput.fromTokens([1, 2])
const call = { prompt, samplingParams: SamplingParams.make({ maxTokens: 2 }) }

const makeHandle = (options: TrainingClient.SamplerOptions = {}) =>
  Effect.flatMap(ServiceClient.ServiceClient, (service) =>
    Effect.flatMap(
      service.createSamplingClient({ baseModel: "b", ...options }),
      (sampling) => sampling.handle
    ))

/** Uses the client that a handle stands for. */
const withRestored = <A, E>(handle: string, use: (sampling: SamplingClient.Service) => Effect.Effect<A, E>) =>
  Effect.flatMap(
    ServiceClient.ServiceClient,
    (service) => Effect.flatMap(service.createSamplingClientFromHandle(handle), use)
  )

/** From the text: larger ones are no exact numbers of JavaScript. */
const numbers = (seen: ReadonlyArray<Seen>) => seen.map(({ text }) => BigInt(/"seq_id":(\d+)/.exec(text)![1]!))

const range = 1_000_000_000n

it.effect("carries the model and the settings of a client, and no credential", () => {
  const { layer } = stub({}, { apiKey: Redacted.make("tml-very-secret"), headers: { "x-proxy": "also-secret" } })
  return Effect.gen(function*() {
    const retryConfig = { maxConnections: 2, progressTimeout: 1000, maxAttempts: 3 }
    const handle = yield* makeHandle({ recordStabilityInfo: true, retryConfig })
    assert.match(handle, /^[A-Za-z0-9_-]+=*$/)
    const text = Either.getOrThrow(Encoding.decodeBase64UrlString(handle))
    assert.notInclude(text, "secret")
    assert.deepStrictEqual(JSON.parse(text), {
      sessionId: "S",
      samplingSessionId: "S:sample:0",
      baseModel: "b",
      recordStabilityInfo: true,
      retryConfig
    })
  }).pipe(Effect.provide(layer))
})

it.effect("is restored as often as one likes, in other processes, without a session or a sampling session of theirs", () => {
  const { layer, seen, to } = stub({})
  const other = (handle: string) =>
    withRestored(handle, (sampling) =>
      Effect.gen(function*() {
        yield* sampling.sample(call)
        yield* sampling.sample(call)
        assert.strictEqual(sampling.baseModel, "b")
        return yield* sampling.handle
      })).pipe(Effect.provide(layer))
  return Effect.gen(function*() {
    const handle = yield* Effect.provide(makeHandle({ recordStabilityInfo: true }), layer)
    const before = seen.length
    assert.strictEqual(yield* other(handle), handle)
    assert.strictEqual(yield* other(handle), handle)
    const paths = new Set(seen.slice(before).map(({ path }) => path))
    assert.deepStrictEqual(
      Array.from(paths).sort(),
      ["asample", "client/config", "client/dynamic_config", "retrieve_future"]
    )
    const asked = to("asample")
    assert.isTrue(asked.every(({ body }) => body.sampling_session_id === "S:sample:0"))
    assert.isTrue(asked.every(({ body }) => body.record_stability_info === true))
    const [a, b, c, d] = numbers(asked)
    for (const first of [a!, c!]) {
      assert.strictEqual(first % range, 0n)
      assert.isTrue(first >= range && first <= range * range)
    }
    assert.deepStrictEqual([b, d], [a! + 1n, c! + 1n])
    assert.notStrictEqual(a, c)
  })
})

it.effect("keeps the session of the first client alive, and does not finish it", () => {
  const { layer, to } = stub({})
  return Effect.gen(function*() {
    const handle = yield* Effect.provide(makeHandle(), layer)
    const before = to("sessions/S/finish").length
    yield* withRestored(handle, () => TestClock.adjust("35 seconds")).pipe(Effect.provide(layer))
    assert.deepStrictEqual(to("session_heartbeat").map(({ body }) => body.session_id), ["S", "S", "S"])
    assert.strictEqual(to("sessions/S/finish").length, before)
  })
})

it.effect("numbers the samples of a copy by what the server answers it, asked once before the first", () => {
  let counter = 6
  const { layer, to } = stub({
    "client/config": () => json({ sample_join_sampling_session: true, sample_use_retrieve_futures: true }),
    join_sampling_session: () => Effect.as(Effect.sleep("1 second"), json({ client_counter: ++counter })),
    retrieve_futures: ({ body }) =>
      json({
        cursor: 1,
        completions: body.timeout === 0
          ? []
          : [0, 1, 2, 3, 4].map((i) => ({ state: "finished", request_id: `sample-${i}` }))
      })
  })
  const other = (handle: string, samples: number) =>
    withRestored(
      handle,
      (sampling) =>
        Effect.all(Array.from({ length: samples }, () => sampling.sample(call)), { concurrency: "unbounded" })
    ).pipe(
      Effect.zipLeft(TestClock.adjust("1 second"), { concurrent: true }),
      Effect.provide(layer)
    )
  return Effect.gen(function*() {
    const handle = yield* Effect.provide(makeHandle(), layer)
    yield* other(handle, 3)
    yield* other(handle, 2)
    assert.deepStrictEqual(
      to("join_sampling_session").map(({ body }) => body),
      Array.from({ length: 2 }, () => ({ sampling_session_id: "S:sample:0", type: "join_sampling_session" }))
    )
    assert.deepStrictEqual(
      numbers(to("asample")).sort(),
      [7n, 7n, 7n, 8n, 8n].map((n, i) => n * range + [0n, 1n, 2n, 0n, 1n][i]!)
    )
    const copies = to("retrieve_futures").map(({ body }) =>
      (body.target as { cloned_sampler_id: number }).cloned_sampler_id
    )
    assert.deepStrictEqual(Array.from(new Set(copies)), [7, 8])
  })
})

it.effect("draws a number where the server counts no copies", () => {
  const { layer, to } = stub({
    "client/config": () => json({ sample_join_sampling_session: true }),
    join_sampling_session: () => json({ detail: "what?" }, 404)
  })
  return Effect.gen(function*() {
    const handle = yield* Effect.provide(makeHandle(), layer)
    yield* withRestored(handle, (sampling) => sampling.sample(call)).pipe(Effect.provide(layer))
    const [number] = numbers(to("asample"))
    assert.isTrue(number! >= range && number! % range === 0n)
  })
})

it.effect("a copy whose server refused to count it, or whose first sample was interrupted meanwhile, asks again", () => {
  const entered = Deferred.unsafeMake<void>(FiberId.none)
  const answers = [
    json({ detail: "no" }, 403),
    Effect.zipRight(
      Deferred.succeed(entered, undefined),
      Effect.as(Effect.sleep("50 seconds"), json({ client_counter: 2 }))
    ),
    json({ client_counter: 3 })
  ]
  const { layer, to } = stub({
    "client/config": () => json({ sample_join_sampling_session: true }),
    join_sampling_session: () => answers.shift()!
  })
  return Effect.gen(function*() {
    const handle = yield* Effect.provide(makeHandle(), layer)
    yield* withRestored(handle, (sampling) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(sampling.sample(call))
        assert.strictEqual(error._tag === "ApiStatusError" && error.reason, "PermissionDenied")
        const fiber = yield* Effect.fork(sampling.sample(call))
        yield* Deferred.await(entered)
        yield* Fiber.interrupt(fiber)
        const asking = yield* Effect.fork(sampling.sample(call))
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(asking)
      })).pipe(Effect.provide(layer))
    assert.strictEqual(numbers(to("asample"))[0]! % range, 0n)
    assert.lengthOf(to("asample"), 1)
  })
})

it.effect("a copy keeps to the retry settings of the first client", () => {
  let open = 0
  let most = 0
  const { layer } = stub({
    retrieve_future: () =>
      Effect.gen(function*() {
        most = Math.max(most, ++open)
        yield* Effect.sleep("1 second")
        open--
        return protobuf(answer())
      })
  })
  return Effect.gen(function*() {
    const handle = yield* Effect.provide(makeHandle({ retryConfig: { maxConnections: 2 } }), layer)
    yield* withRestored(handle, (sampling) =>
      Effect.gen(function*() {
        const fibers = yield* Effect.forkAll(Array.from({ length: 6 }, () => sampling.sample(call)))
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(fibers)
      })).pipe(Effect.provide(layer))
    assert.strictEqual(most, 2)
  })
})

for (
  const [what, damage] of [
    ["is cut", (handle: string) => handle.slice(0, -7)],
    ["is something else", () => "no handle!"],
    ["lacks a field", () => Encoding.encodeBase64Url(JSON.stringify({ sessionId: "S" }))]
  ] as const
) {
  it.effect(`is refused when it ${what}, before anything is sent`, () => {
    const { layer, seen } = stub({})
    return Effect.gen(function*() {
      const handle = yield* makeHandle()
      const before = seen.length
      const error = yield* Effect.flip(withRestored(damage(handle), () => Effect.void))
      assert.strictEqual(error._tag === "InvalidInputError" && error.field, "handle")
      assert.strictEqual(seen.length, before)
    }).pipe(Effect.provide(layer))
  })
}

it.effect("a copy gets from a real server what the first client gets", () =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const sampling = yield* service.createSamplingClient({ baseModel: "bigram" })
    const copy = yield* service.createSamplingClientFromHandle(yield* sampling.handle)
    const seeded = { prompt, samplingParams: SamplingParams.make({ maxTokens: 5, seed: 3 }) }
    const [one, other] = yield* Effect.all([sampling.sample(seeded), copy.sample(seeded)])
    assert.deepStrictEqual(one.sequences[0]!.tokens, other.sequences[0]!.tokens)
    assert.notStrictEqual(one.sequences[0]!.sequenceId, other.sequences[0]!.sequenceId)
  }).pipe(Effect.provide(client())))

it.effect("asks for changed settings in the process that restored it too", () => {
  const { layer, to } = stub({})
  return Effect.gen(function*() {
    const handle = yield* Effect.provide(makeHandle(), layer)
    const before = to("client/dynamic_config").length
    yield* withRestored(handle, (sampling) => Effect.zipRight(sampling.sample(call), TestClock.adjust("11 minutes")))
      .pipe(Effect.provide(layer))
    // At the start, and every five minutes.
    assert.strictEqual(to("client/dynamic_config").length - before, 3)
  })
})
