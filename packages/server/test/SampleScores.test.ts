import { BigramEngine, Engine } from "@effect-tinker/engine"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SamplingMessages } from "effect-tinker"
import { CheckpointStore, TinkerServer } from "../src/index.js"
import * as Wire from "./wire.js"

const createSampler = Effect.map(
  Effect.flatMap(Wire.createSession, Wire.createSampler),
  ({ body }) => String(body.sampling_session_id)
)

/** A prompt of four tokens. */
const prompt = { prompt: { chunks: [{ type: "encoded_text", tokens: [104, 101, 108, 111] }] } }

const everything = { ...prompt, prompt_logprobs: true, topk_prompt_logprobs: 256, num_samples: 2 }

/** The result as clients see it, in protobuf. */
const sampled = (id: string, options: Record<string, unknown>) =>
  Effect.gen(function*() {
    const { bytes } = yield* Wire.result(yield* Wire.sample(id, options), { protobuf: true })
    return SamplingMessages.decodeSampleResponse(bytes, [])
  })

/** One answer of five tokens, without its id. */
const sampledWith = (params: Record<string, unknown>) =>
  Effect.gen(function*() {
    const { sequences: [sequence] } = yield* sampled(yield* createSampler, {
      topk_sample_logprobs: 2,
      sampling_params: { max_tokens: 5, seed: 1, ...params }
    })
    return { ...sequence!, sequenceId: "" }
  })

const inJson = (id: string, options: Record<string, unknown>) =>
  Effect.map(Effect.flatMap(Wire.sample(id, options), Wire.result), ({ body }) => body)

/** Log-probability of a token at a prompt position, from the whole vocabulary at that position. */
const lookUp = (response: Effect.Effect.Success<ReturnType<typeof sampled>>) => (position: number, token: number) => {
  const { k, logprobs, tokenIds } = response.topkPromptLogprobs!
  const row = tokenIds.subarray(position * k, (position + 1) * k)
  return logprobs[position * k + row.indexOf(token)]!
}

describe("scores of samples", () => {
  it.effect("are of what was drawn from, where the server is told so, but for greedy answers", () =>
    Effect.gen(function*() {
      const raw = yield* Effect.provide(sampledWith({ top_k: 2 }), Wire.server())
      const processed = Wire.server({ protocol: { sampleLogprobs: "processed" } })
      const drawn = yield* Effect.provide(sampledWith({ top_k: 2 }), processed)
      assert.deepStrictEqual(drawn.tokens, raw.tokens)
      const { logprobs } = drawn.topkLogprobs!
      for (let t = 0; t < drawn.tokens.length; t++) {
        assert.closeTo(Math.exp(logprobs[2 * t]!) + Math.exp(logprobs[2 * t + 1]!), 1, 1e-6)
        assert.include(Array.from(logprobs.subarray(2 * t, 2 * t + 2)), drawn.logprobs![t])
      }
      const greedy = { temperature: 0 }
      assert.deepStrictEqual(
        yield* Effect.provide(sampledWith(greedy), processed),
        yield* Effect.provide(sampledWith(greedy), Wire.server())
      )
    }))

  it.effect("name the most probable tokens where each token was chosen", () =>
    Effect.gen(function*() {
      const id = yield* createSampler
      const greedy = { max_tokens: 3, temperature: 0 }
      const { sequences: [sequence] } = yield* sampled(id, { topk_sample_logprobs: 2, sampling_params: greedy })
      const { k, length, logprobs, tokenIds } = sequence!.topkLogprobs!
      assert.deepStrictEqual([k, length], [2, 3])
      for (let t = 0; t < 3; t++) {
        assert.strictEqual(tokenIds[2 * t], sequence!.tokens[t])
        assert.strictEqual(logprobs[2 * t], sequence!.logprobs![t])
        assert.isBelow(logprobs[2 * t + 1]!, logprobs[2 * t]!)
      }
      const body = yield* inJson(id, { seq_id: 1, topk_sample_logprobs: 2, sampling_params: greedy })
      const [first] = body.sequences as ReadonlyArray<{ topk_logprobs: ReadonlyArray<unknown> }>
      assert.deepStrictEqual(first!.topk_logprobs[0], [[tokenIds[0], logprobs[0]], [tokenIds[1], logprobs[1]]])
    }).pipe(Effect.provide(Wire.server())))

  it.effect("give the log-probabilities of chosen prompt tokens in the layout of the question", () =>
    Effect.gen(function*() {
      const id = yield* createSampler
      const dense = { data: [101, 7, -1, 108, 9, -1], dtype: "int64", shape: [3, 2] }
      const response = yield* sampled(id, { ...everything, target_prompt_logprobs: dense })
      const logprob = lookUp(response)
      const { data, dtype, shape } = response.targetPromptLogprobs!
      assert.deepStrictEqual([dtype, shape], ["float32", [3, 2]])
      const expected = [logprob(1, 101), logprob(1, 7), 0, logprob(2, 108), logprob(3, 9), 0]
      assert.deepStrictEqual(Array.from(data), expected)
      assert.strictEqual(data[0], response.promptLogprobs![1])

      const csr = {
        data: [7, -1, 9],
        dtype: "int64",
        shape: [3, 4],
        sparse_crow_indices: [0, 1, 1, 3],
        sparse_col_indices: [2, 0, 3]
      }
      const sparse = yield* sampled(id, { ...everything, seq_id: 1, target_prompt_logprobs: csr })
      assert.deepStrictEqual(Array.from(sparse.targetPromptLogprobs!.data), [logprob(1, 7), 0, logprob(3, 9)])
      assert.deepStrictEqual(sparse.targetPromptLogprobs!.shape, [3, 4])
      const { colIndices, crowIndices } = sparse.targetPromptLogprobs!.sparse!
      assert.deepStrictEqual([Array.from(crowIndices, Number), Array.from(colIndices, Number)], [
        csr.sparse_crow_indices,
        csr.sparse_col_indices
      ])
      const json = yield* inJson(id, { ...everything, seq_id: 2, target_prompt_logprobs: csr })
      assert.deepStrictEqual(json.target_prompt_logprobs, {
        ...csr,
        data: [logprob(1, 7), 0, logprob(3, 9)],
        dtype: "float32"
      })
    }).pipe(Effect.provide(Wire.server())))

  it.effect("draw other tokens for each prompt position, the same ones for the same seed", () =>
    Effect.gen(function*() {
      const id = yield* createSampler
      const wanted = { ...everything, prompt_alt_tokens_k: 5 }
      const response = yield* sampled(id, wanted)
      const { logprobs, tokens } = response.promptAltTokens!
      assert.deepStrictEqual([tokens.shape, logprobs.shape], [[3, 5], [3, 5]])
      tokens.data.forEach((token, i) =>
        assert.strictEqual(logprobs.data[i], lookUp(response)(1 + Math.floor(i / 5), Number(token)))
      )
      assert.isAbove(new Set(tokens.data).size, 5)
      const again = yield* sampled(id, { ...wanted, seq_id: 1 })
      assert.deepStrictEqual(again.promptAltTokens!.tokens.data, tokens.data)
      const other = { max_tokens: 1, seed: 2 }
      const otherwise = yield* sampled(id, { ...wanted, seq_id: 2, sampling_params: other })
      assert.notDeepEqual(otherwise.promptAltTokens!.tokens.data, tokens.data)
      const cold = { max_tokens: 1, temperature: 0 }
      const greedy = yield* sampled(id, { ...wanted, seq_id: 3, sampling_params: cold })
      const { k, tokenIds } = response.topkPromptLogprobs!
      assert.deepStrictEqual(
        Array.from(greedy.promptAltTokens!.tokens.data, Number),
        [1, 2, 3].flatMap((position) => new Array<number>(5).fill(tokenIds[position * k]!))
      )
    }).pipe(Effect.provide(Wire.server())))

  it.effect("leave out what stands before the last tokens of the prompt", () =>
    Effect.gen(function*() {
      const id = yield* createSampler
      const all = yield* sampled(id, everything)
      const some = yield* inJson(id, { ...everything, seq_id: 1, prompt_logprobs_last_n: 2 })
      assert.deepStrictEqual(some.prompt_logprobs, [null, null, ...all.promptLogprobs!.slice(2)])
      const rows = some.topk_prompt_logprobs as ReadonlyArray<ReadonlyArray<unknown> | null>
      assert.deepStrictEqual(rows.map((row) => row?.length), [undefined, undefined, 256, 256])
    }).pipe(Effect.provide(Wire.server())))

  it.effect("fail when they cannot be, as the user's fault", () =>
    Effect.gen(function*() {
      const id = yield* createSampler
      let seqId = 0
      const error = (options: Record<string, unknown>) =>
        Effect.gen(function*() {
          seqId += 1
          const body = yield* inJson(id, { ...prompt, ...options, seq_id: seqId })
          assert.strictEqual(body.category, "user")
          return String(body.error)
        })
      const targets = (data: ReadonlyArray<number>, shape: ReadonlyArray<number>, dtype = "int64") =>
        error({ target_prompt_logprobs: { data, dtype, shape } })
      assert.include(yield* targets([1, 2], [2, 1]), "[3, K]")
      assert.include(yield* targets([1, 2, 3], [3, 1], "float32"), "int64")
      assert.include(yield* targets([1, 2, 300], [3, 1]), "300")
      assert.include(yield* targets([1, 2, -2], [3, 1]), "-2")
      assert.include(yield* error({ prompt_alt_tokens_k: -1 }), "prompt_alt_tokens_k")
      assert.include(yield* error({ prompt_alt_tokens_k: 1001 }), "1000")
      assert.include(yield* error({ topk_sample_logprobs: -1 }), "topk_sample_logprobs")
      assert.include(yield* error({ prompt_logprobs_last_n: 1 }), "needs prompt_logprobs")
      assert.include(yield* error({ prompt_logprobs: true, prompt_logprobs_last_n: 4 }), "from 1 to 3")
      const indices = { sparse_crow_indices: [0, 2, 1, 1], sparse_col_indices: [0] }
      for (const malformed of [{ data: [1, 2] }, { data: [1], ...indices }, { data: [1, 2, 3], dtype: "int8" }]) {
        const tensor = { dtype: "int64", shape: [3, 1], ...malformed }
        assert.strictEqual((yield* Wire.sample(id, { ...prompt, target_prompt_logprobs: tensor })).status, 422)
      }
    }).pipe(Effect.provide(Wire.server())))

  it.effect("are refused for an engine that does not know them", () =>
    Effect.gen(function*() {
      const id = yield* createSampler
      const error = (seqId: number, options: Record<string, unknown>) =>
        Effect.map(inJson(id, { ...prompt, seq_id: seqId, ...options }), (body) => [body.category, body.error])
      const refused = (field: string) => ["user", `the engine of this server does not compute ${field}`]
      const targets = { data: [1, 2, 3], dtype: "int64", shape: [3, 1] }
      assert.deepStrictEqual(yield* error(1, { topk_sample_logprobs: 1 }), refused("topk_sample_logprobs"))
      assert.deepStrictEqual(yield* error(2, { prompt_alt_tokens_k: 1 }), refused("prompt_alt_tokens_k"))
      assert.deepStrictEqual(yield* error(3, { target_prompt_logprobs: targets }), refused("target_prompt_logprobs"))
    }).pipe(Effect.provide(
      TinkerServer.layerClientWithStore().pipe(
        Layer.provide(CheckpointStore.layerMemory),
        Layer.provide(Layer.sync(Engine.Engine, simpleEngine))
      )
    )))
})

/** The bigram engine without what is new. */
const simpleEngine = (): Engine.Service => {
  const engine = BigramEngine.make()
  return {
    ...engine,
    sample: (id, request) =>
      engine.sample(id, {
        ...request,
        topkSampleLogprobs: undefined,
        targetPromptLogprobs: undefined,
        promptAltTokensK: undefined
      })
  }
}
