import { Faults } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { ModelInput, SampleResponse, SamplingParams, ServiceClient } from "effect-tinker"
import { client } from "./fixture.js"

const createClient = Effect.flatMap(
  ServiceClient.ServiceClient,
  (service) => service.createSamplingClient({ baseModel: "bigram" })
)

const prompt = ModelInput.fromTokens([10, 20, 30])

it.effect("gives as many answers as asked for, each with an id, tokens and their log-probabilities", () =>
  Effect.gen(function*() {
    const sampling = yield* createClient
    const samplingParams = SamplingParams.make({ maxTokens: 5, seed: 1 })
    const { sequences } = yield* sampling.sample({ prompt, numSamples: 3, samplingParams })
    assert.deepStrictEqual(sequences.map(({ tokens }) => tokens.length), [5, 5, 5])
    assert.strictEqual(new Set(sequences.map(({ sequenceId }) => sequenceId)).size, 3)
    for (const { logprobs } of sequences) assert.isTrue(logprobs?.every((logprob) => logprob <= 0))

    const again = yield* sampling.sample({ prompt, numSamples: 3, samplingParams })
    assert.deepStrictEqual(again.sequences.map(({ tokens }) => tokens), sequences.map(({ tokens }) => tokens))
  }).pipe(Effect.provide(client())))

it.effect("ends an answer at a stop text, which it keeps", () =>
  Effect.gen(function*() {
    const sampling = yield* createClient
    const samplingParams = { maxTokens: 1000, temperature: 0 }
    const [free] = (yield* sampling.sample({ prompt, samplingParams: SamplingParams.make(samplingParams) })).sequences
    const stop = String.fromCharCode(...free!.tokens.slice(1, 3))
    const [stopped] = (yield* sampling.sample({
      prompt,
      samplingParams: SamplingParams.make({ ...samplingParams, stop })
    })).sequences
    assert.strictEqual(stopped?.stopReason, "stop")
    assert.deepStrictEqual(stopped?.tokens, free!.tokens.slice(0, stopped!.tokens.length))
    assert.isAtMost(stopped!.tokens.length, 3)
  }).pipe(Effect.provide(client())))

it.effect("gives log-probabilities of the prompt and the most probable tokens at each place", () =>
  Effect.gen(function*() {
    const sampling = yield* createClient
    const response = yield* sampling.sample({
      prompt,
      samplingParams: SamplingParams.make({ maxTokens: 1 }),
      includePromptLogprobs: true,
      topkPromptLogprobs: 2
    })
    assert.isNaN(response.promptLogprobs?.[0])
    assert.deepStrictEqual(SampleResponse.topkAt(response.topkPromptLogprobs!, 0), [])
    const [best, second] = SampleResponse.topkAt(response.topkPromptLogprobs!, 1)
    assert.isAtLeast(best![1], second![1])
    assert.isAtLeast(best![1], response.promptLogprobs![1]!)
  }).pipe(Effect.provide(client())))

it.effect("submits a sample again that the server has lost", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const sampling = yield* createClient
    yield* faults.plan({ path: "retrieve_future", fault: Faults.answer(410) })
    const fiber = yield* Effect.fork(
      sampling.sample({ prompt, samplingParams: SamplingParams.make({ maxTokens: 2 }) })
    )
    yield* TestClock.adjust("1 second")
    const { sequences } = yield* Fiber.join(fiber)
    assert.strictEqual(sequences[0]?.tokens.length, 2)
    assert.strictEqual((yield* faults.requestCounts).get("asample"), 2)
  }).pipe(Effect.provide(client())))

it.effect("waits when the server wants it slower, and asks for the same sample", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const sampling = yield* createClient
    yield* faults.plan({ path: "asample", fault: Faults.answer(429), times: 2 })
    const fiber = yield* Effect.fork(
      sampling.sample({ prompt, samplingParams: SamplingParams.make({ maxTokens: 2 }) })
    )
    yield* TestClock.adjust("1 minute")
    assert.match((yield* Fiber.join(fiber)).sequences[0]!.sequenceId, /:0:0$/)
  }).pipe(Effect.provide(client())))

it.effect("refuses parameters out of range before anything is sent", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const sampling = yield* createClient
    const fields = yield* Effect.forEach([
      { prompt: ModelInput.fromTokens([]), samplingParams: SamplingParams.make() },
      { prompt, samplingParams: SamplingParams.make(), numSamples: 0 },
      { prompt, samplingParams: SamplingParams.make({ temperature: -1 }) },
      { prompt, samplingParams: SamplingParams.make({ topP: 0 }) },
      { prompt, samplingParams: SamplingParams.make({ maxTokens: 0 }) }
    ], (call) =>
      Effect.map(Effect.flip(sampling.sample(call)), (error) =>
        error._tag === "InvalidInputError" && error.field))
    assert.deepStrictEqual(fields, [
      "prompt",
      "numSamples",
      "samplingParams.temperature",
      "samplingParams.topP",
      "samplingParams.maxTokens"
    ])
    assert.strictEqual((yield* faults.requestCounts).get("asample") ?? 0, 0)
  }).pipe(Effect.provide(client())))
