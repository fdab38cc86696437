import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Logger, Redacted, TestClock } from "effect"
import { Identifiers, ModelInput, SampleResponse, SamplingParams, ServiceClient, TensorData } from "effect-tinker"
import type { SamplingClient } from "effect-tinker"
import { type Answer, answer, json, protobuf, stub } from "./stub.js"

const prompt = ModelInput.fromTokens([1, 2, 3])
const samplingParams = SamplingParams.make({ maxTokens: 1 })

const createClient = (options: { readonly recordStabilityInfo?: boolean } = {}) =>
  Effect.flatMap(
    ServiceClient.ServiceClient,
    (service) => service.createSamplingClient({ baseModel: "b", ...options })
  )

/** Asks a server that answers each question with one of these, and gives what was asked and what came of it. */
const ask = <A, E>(
  answers: ReadonlyArray<Answer>,
  use: (sampling: SamplingClient.Service) => Effect.Effect<A, E>,
  options?: { readonly recordStabilityInfo?: boolean }
) => {
  let asked = 0
  const warnings: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel._tag === "Warning") warnings.push(String(message))
  })
  const { layer, to } = stub({ retrieve_future: () => answers[Math.min(asked++, answers.length - 1)]! })
  return Effect.flatMap(createClient(options), use).pipe(
    Effect.map((result) => ({ result, submitted: to("asample"), warnings })),
    Effect.provide(layer),
    Effect.provide(Logger.replace(Logger.defaultLogger, logger))
  )
}

const topk = (k: number, cells: ReadonlyArray<readonly [number, number]>): SampleResponse.TopkLogprobs => ({
  k,
  length: cells.length / k,
  tokenIds: Int32Array.from(cells, ([token]) => token),
  logprobs: Float32Array.from(cells, ([, logprob]) => logprob)
})

it.effect("asks for a sample in the service's words, announcing that it can be told to slow down", () =>
  Effect.gen(function*() {
    const { submitted } = yield* ask([protobuf(answer())], (sampling) =>
      Effect.zip(
        sampling.sample({ prompt, samplingParams }),
        sampling.sample({
          prompt,
          samplingParams,
          includePromptLogprobs: true,
          topkPromptLogprobs: 2,
          topkSampleLogprobs: 3,
          promptLogprobsLastN: 1
        })
      ))
    assert.deepStrictEqual(submitted[0]!.body, {
      num_samples: 1,
      prompt: { chunks: [{ tokens: [1, 2, 3], type: "encoded_text" }] },
      sampling_params: { max_tokens: 1, temperature: 1, top_k: -1, top_p: 1 },
      sampling_session_id: "S:sample:0",
      seq_id: 0,
      prompt_logprobs: false,
      topk_prompt_logprobs: 0,
      topk_sample_logprobs: 0,
      prompt_alt_tokens_k: 0,
      record_stability_info: false,
      type: "sample"
    })
    assert.strictEqual(submitted[0]!.headers["x-tinker-sampling-backpressure"], "1")
    const { body } = submitted[1]!
    assert.deepStrictEqual(
      [body.seq_id, body.prompt_logprobs, body.topk_prompt_logprobs, body.topk_sample_logprobs],
      [1, true, 2, 3]
    )
    assert.strictEqual(body.prompt_logprobs_last_n, 1)
  }))

it.effect("labels the answers in order with the ids that came when the sample was accepted, also when it was re-sent", () => {
  let attempts = 0
  const { layer, to } = stub({
    asample: () =>
      attempts++ === 0
        ? json({ detail: "slow down" }, 408, { "retry-after": "0" })
        : json({ request_id: "r", sample_sequence_ids: ["x", "y", "z"] }),
    retrieve_future: () => protobuf(answer({}, 3))
  })
  return Effect.gen(function*() {
    const sampling = yield* createClient()
    const fiber = yield* Effect.fork(sampling.sample({ prompt, samplingParams, numSamples: 3 }))
    yield* TestClock.adjust("2 seconds")
    const { sequences } = yield* Fiber.join(fiber)
    assert.deepStrictEqual(sequences.map(({ sequenceId }) => sequenceId), ["x", "y", "z"])
    assert.deepStrictEqual(to("asample").map(({ body }) => [body.seq_id, body.num_samples]), [[0, 3], [0, 3]])
  }).pipe(Effect.provide(layer))
})

it.effect("names the answers of a server that sends no ids, each otherwise, and loses none", () => {
  let requests = 0
  const { layer } = stub({
    asample: () => json({ request_id: `r${requests++}` }),
    retrieve_future: () => protobuf(answer({}, 2))
  })
  return Effect.gen(function*() {
    const sampling = yield* createClient()
    const call = { prompt, samplingParams, numSamples: 2 }
    const [one, two] = yield* Effect.all([sampling.sample(call), sampling.sample(call)])
    const ids = [...one.sequences, ...two.sequences].map(({ sequenceId }) => sequenceId)
    assert.strictEqual(new Set(ids).size, 4)
    assert.isTrue(ids.every((id) => id.length > 0))
  }).pipe(Effect.provide(layer))
})

it.effect("gives prompt log-probabilities to those alone who asked, and the tokens that were not computed again", () =>
  Effect.gen(function*() {
    const full = answer({ promptLogprobs: Float32Array.of(NaN, -1, -2), promptCacheHitTokens: 2 })
    const { result } = yield* ask(
      [protobuf(full), protobuf(answer())],
      (sampling) =>
        Effect.zip(
          sampling.sample({ prompt, samplingParams, includePromptLogprobs: true }),
          sampling.sample({ prompt, samplingParams })
        )
    )
    const [asked, not] = result
    assert.deepStrictEqual(asked.promptLogprobs, Float32Array.of(NaN, -1, -2))
    assert.strictEqual(asked.promptCacheHitTokens, 2)
    assert.isUndefined(not.promptLogprobs)
    assert.isUndefined(not.topkPromptLogprobs)
    assert.strictEqual(not.promptCacheHitTokens, 0)
  }))

it.effect("scores each token of a text by drawing one token, and puts NaN first where a server left that out", () =>
  Effect.gen(function*() {
    const { result, submitted } = yield* ask([
      protobuf(answer({ promptLogprobs: Float32Array.of(NaN, -1, -2) })),
      protobuf(answer({ promptLogprobs: Float32Array.of(-1, -2) }))
    ], (sampling) => Effect.zip(sampling.computeLogprobs(prompt), sampling.computeLogprobs(prompt)))
    assert.deepStrictEqual(result, [Float32Array.of(NaN, -1, -2), Float32Array.of(NaN, -1, -2)])
    const { num_samples, prompt_logprobs, sampling_params } = submitted[0]!.body
    assert.deepStrictEqual([num_samples, prompt_logprobs], [1, true])
    assert.strictEqual((sampling_params as { max_tokens: number }).max_tokens, 1)
  }))

it.effect("says that a server sent no scores", () =>
  Effect.gen(function*() {
    const { result } = yield* ask([protobuf(answer())], (sampling) => Effect.flip(sampling.computeLogprobs(prompt)))
    assert.strictEqual(result._tag, "ApiResponseValidationError")
    assert.include(result.message, "SamplingClient.computeLogprobs")
  }))

it.effect("gives the most probable tokens of the prompt and of the answer, best first", () =>
  Effect.gen(function*() {
    const none = [0, SampleResponse.noLogprob] as const
    const full = answer({ topkPromptLogprobs: topk(2, [none, none, [7, -0.5], [8, -1], [9, -0.25], none]) })
    const { result } = yield* ask(
      [
        protobuf({
          ...full,
          sequences: [{ ...full.sequences[0]!, topkLogprobs: topk(2, [[5, -0.5], [6, -1], [6, -0.25], [5, -2]]) }]
        }),
        protobuf(answer())
      ],
      (sampling) =>
        Effect.zip(
          sampling.sample({ prompt, samplingParams, topkPromptLogprobs: 2, topkSampleLogprobs: 2 }),
          sampling.sample({ prompt, samplingParams })
        )
    )
    const [asked, not] = result
    assert.deepStrictEqual(SampleResponse.topkRows(asked.topkPromptLogprobs!), [
      null,
      [[7, -0.5], [8, -1]],
      [[9, -0.25]]
    ])
    assert.deepStrictEqual(SampleResponse.topkRows(asked.sequences[0]!.topkLogprobs!), [
      [[5, -0.5], [6, -1]],
      [[6, -0.25], [5, -2]]
    ])
    assert.isUndefined(not.sequences[0]!.topkLogprobs)
  }))

it.effect("gives the scores of named prompt tokens in the layout of the question", () =>
  Effect.gen(function*() {
    const targets = TensorData.int64([5, -1, 6, 7], [2, 2])
    const scores = TensorData.float32([-1, 0, -2, -3], [2, 2])
    const { result, submitted } = yield* ask(
      [protobuf(answer({ targetPromptLogprobs: scores }))],
      (sampling) => sampling.sample({ prompt, samplingParams, targetPromptLogprobs: targets })
    )
    assert.deepStrictEqual(submitted[0]!.body.target_prompt_logprobs, {
      data: [5, -1, 6, 7],
      dtype: "int64",
      shape: [2, 2]
    })
    assert.deepStrictEqual(result.targetPromptLogprobs?.data, Float32Array.of(-1, 0, -2, -3))
    assert.deepStrictEqual(result.targetPromptLogprobs?.shape, [2, 2])
  }))

it.effect("gives other tokens for each prompt position, and says when a server sent none, keeping the rest of its answer", () =>
  Effect.gen(function*() {
    const promptAltTokens = {
      tokens: TensorData.int64([4, 5, 6, 7], [2, 2]),
      logprobs: TensorData.float32([-1, -2, -3, -4], [2, 2])
    }
    const { result } = yield* ask(
      [protobuf(answer({ promptAltTokens })), protobuf(answer({ promptCacheHitTokens: 3 }))],
      (sampling) => {
        const call = { prompt, samplingParams, promptAltTokensK: 2 }
        return Effect.zip(sampling.sample(call), Effect.flip(sampling.sample(call)))
      }
    )
    const [given, error] = result
    assert.deepStrictEqual(given.promptAltTokens?.tokens.data, BigInt64Array.of(4n, 5n, 6n, 7n))
    assert.deepStrictEqual(given.promptAltTokens?.logprobs.data, Float32Array.of(-1, -2, -3, -4))
    if (error._tag !== "ApiResponseValidationError") return assert.fail(error._tag)
    assert.include(error.message, "promptAltTokensK")
    assert.isTrue(Redacted.isRedacted(error.cause))
    const rest = Redacted.value(error.cause as Redacted.Redacted<SampleResponse.SampleResponse>)
    assert.strictEqual(rest.promptCacheHitTokens, 3)
    assert.strictEqual(rest.sequences.length, 1)
  }))

it.effect("gives the scores of the last tokens alone, and warns once of a server that sends all", () =>
  Effect.gen(function*() {
    const { result, submitted, warnings } = yield* ask([
      protobuf(answer({ promptLogprobs: Float32Array.of(NaN, NaN, -2) })),
      protobuf(answer({ promptLogprobs: Float32Array.of(NaN, -1, -2) }))
    ], (sampling) =>
      Effect.all([
        Effect.map(
          sampling.sample({ prompt, samplingParams, includePromptLogprobs: true, promptLogprobsLastN: 1 }),
          (response) => [response.promptLogprobs, response.promptLogprobsOffset] as const
        ),
        sampling.computeLogprobs(prompt, { lastN: 1 }),
        sampling.computeLogprobs(prompt, { lastN: 1 })
      ]))
    assert.deepStrictEqual(result, [[Float32Array.of(-2), 2], Float32Array.of(-2), Float32Array.of(-2)])
    assert.deepStrictEqual(submitted.map(({ body }) => body.prompt_logprobs_last_n), [1, 1, 1])
    assert.lengthOf(warnings, 1)
    assert.include(warnings[0], "promptLogprobsLastN")
    assert.strictEqual((result[1] as Float32Array).buffer.byteLength, 4)
  }))

it.effect("names every question for scores that cannot be answered, before anything is sent", () =>
  Effect.gen(function*() {
    const bad: ReadonlyArray<readonly [string, Partial<SamplingClient.SampleOptions>]> = [
      ["targetPromptLogprobs", { targetPromptLogprobs: TensorData.int64([1, 2, 3], [3, 1]) }],
      ["targetPromptLogprobs", { targetPromptLogprobs: TensorData.int64([1, 2]) }],
      [
        "targetPromptLogprobs",
        { targetPromptLogprobs: TensorData.float32([1, 2], [2, 1]) as unknown as TensorData.Int64Tensor }
      ],
      ["promptAltTokensK", { promptAltTokensK: -1 }],
      ["topkPromptLogprobs", { topkPromptLogprobs: 1.5 }],
      ["topkSampleLogprobs", { topkSampleLogprobs: -1 }],
      ["promptLogprobsLastN", { promptLogprobsLastN: 0, includePromptLogprobs: true }],
      ["promptLogprobsLastN", { promptLogprobsLastN: 3, includePromptLogprobs: true }],
      ["promptLogprobsLastN", { promptLogprobsLastN: 1 }]
    ]
    const { result, submitted } = yield* ask(
      [protobuf(answer())],
      (sampling) =>
        Effect.forEach(bad, ([, options]) =>
          Effect.map(
            Effect.flip(sampling.sample({ prompt, samplingParams, ...options })),
            (error) => error._tag === "InvalidInputError" && error.field
          ))
    )
    assert.deepStrictEqual(result, bad.map(([field]) => field))
    assert.lengthOf(submitted, 0)
  }))

it.effect("lets the server record what stabilizes losses, with every sample of a client that asks for it", () =>
  Effect.gen(function*() {
    const { submitted } = yield* ask(
      [protobuf(answer({ promptLogprobs: Float32Array.of(NaN, -1, -2) }))],
      (sampling) => Effect.zip(sampling.sample({ prompt, samplingParams }), sampling.computeLogprobs(prompt)),
      { recordStabilityInfo: true }
    )
    assert.deepStrictEqual(submitted.map(({ body }) => body.record_stability_info), [true, true])
  }))

it.effect("knows the base model from its making, and otherwise asks once, with the id's colons as they are", () => {
  const { layer, seen } = stub({
    "samplers/S:sample:7": () => json({ sampler_id: "S:sample:7", base_model: "the base" }),
    "samplers/S:sample:8": () => json({ detail: "not here" }, 404)
  })
  return Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const asked = () => seen.filter(({ path }) => path.startsWith("samplers/")).length
    assert.strictEqual((yield* service.createSamplingClient({ baseModel: "b" })).baseModel, "b")
    assert.strictEqual(asked(), 0)
    const id = Identifiers.SamplingSessionId.make("S:sample:7")
    assert.strictEqual((yield* service.getSamplingClient(id)).baseModel, "the base")
    assert.strictEqual(asked(), 1)
    assert.strictEqual(
      (yield* service.getSamplingClient(Identifiers.SamplingSessionId.make("S:sample:8"))).baseModel,
      ""
    )
    assert.strictEqual((yield* service.getSamplingClient(id, { baseModel: "c" })).baseModel, "c")
    assert.strictEqual(asked(), 2)
    assert.lengthOf(seen.filter(({ path }) => path === "create_sampling_session"), 1)
  }).pipe(Effect.provide(layer))
})
