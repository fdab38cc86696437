import { assert, it } from "@effect/vitest"
import { SampleResponse } from "../src/index.js"

const none = SampleResponse.noLogprob

const topk: SampleResponse.TopkLogprobs = {
  k: 2,
  length: 3,
  tokenIds: Int32Array.of(0, 0, 5, 0, 7, 8),
  logprobs: Float32Array.of(none, none, -0.5, none, -0.25, -1)
}

const response = (
  promptLogprobs: Float32Array | undefined,
  topkPromptLogprobs?: SampleResponse.TopkLogprobs
): SampleResponse.SampleResponse => ({
  sequences: [],
  promptLogprobs,
  topkPromptLogprobs,
  promptCacheHitTokens: 0
})

it("gives rows of the most probable tokens: null where the first cell is empty, without empty cells at the end", () => {
  assert.deepStrictEqual(SampleResponse.topkRows(topk), [null, [[5, -0.5]], [[7, -0.25], [8, -1]]])
  assert.deepStrictEqual(SampleResponse.topkAt(topk, 0), [])
  assert.deepStrictEqual(SampleResponse.topkAt(topk, 1), [[5, -0.5]])
})

it("drops a row whose first cell is empty, and keeps an empty cell between others", () => {
  const holes: SampleResponse.TopkLogprobs = {
    k: 3,
    length: 2,
    tokenIds: Int32Array.of(0, 4, 5, 4, 0, 5),
    logprobs: Float32Array.of(none, -1, -2, -1, none, -2)
  }
  assert.deepStrictEqual(SampleResponse.topkRows(holes), [null, [[4, -1], [0, none], [5, -2]]])
})

it("keeps token 0 when it has a log-probability, and another token with the mark of none", () => {
  const cells: SampleResponse.TopkLogprobs = {
    k: 1,
    length: 2,
    tokenIds: Int32Array.of(0, 3),
    logprobs: Float32Array.of(-1, none)
  }
  assert.deepStrictEqual(SampleResponse.topkRows(cells), [[[0, -1]], [[3, none]]])
})

it("gives tokens and log-probabilities as plain lists, once", () => {
  const tokens = Int32Array.of(1, 2)
  const list = SampleResponse.toNumbers(tokens)
  assert.deepStrictEqual(list, [1, 2])
  assert.strictEqual(SampleResponse.toNumbers(tokens), list)
  const logprobs = Float32Array.of(NaN, -1)
  const nullable = SampleResponse.toNullableNumbers(logprobs)
  assert.deepStrictEqual(nullable, [null, -1])
  assert.strictEqual(SampleResponse.toNullableNumbers(logprobs), nullable)
  assert.deepStrictEqual(SampleResponse.toNumbers(logprobs), [NaN, -1])
})

it("puts NaN before prompt log-probabilities that are one short, and refuses any other number", () => {
  const logprobs = Float32Array.of(-1, -2)
  assert.deepStrictEqual(SampleResponse.alignPromptLogprobs(logprobs, 3), Float32Array.of(NaN, -1, -2))
  assert.strictEqual(SampleResponse.alignPromptLogprobs(logprobs, 2), logprobs)
  assert.isUndefined(SampleResponse.alignPromptLogprobs(logprobs, 4))
  assert.isUndefined(SampleResponse.alignPromptLogprobs(logprobs, 1))
})

it("keeps the last prompt log-probabilities alone, in memory of their own, with the position of the first", () => {
  const whole = Float32Array.of(NaN, NaN, NaN, -1)
  const { ignored, response: trimmed } = SampleResponse.lastPromptLogprobs(response(whole), 1)
  assert.isFalse(ignored)
  assert.deepStrictEqual(trimmed.promptLogprobs, Float32Array.of(-1))
  assert.strictEqual(trimmed.promptLogprobs?.buffer.byteLength, 4)
  assert.strictEqual(trimmed.promptLogprobsOffset, 3)
})

it("says when the server sent earlier entries that it was not asked for", () => {
  const all = SampleResponse.lastPromptLogprobs(response(Float32Array.of(NaN, -3, -2, -1)), 2)
  assert.isTrue(all.ignored)
  assert.deepStrictEqual(all.response.promptLogprobs, Float32Array.of(-2, -1))
  assert.isTrue(SampleResponse.lastPromptLogprobs(response(undefined, topk), 1).ignored)
  assert.isFalse(SampleResponse.lastPromptLogprobs(response(undefined, topk), 2).ignored)
})

it("keeps the last rows of the most probable prompt tokens", () => {
  const { response: trimmed } = SampleResponse.lastPromptLogprobs(response(Float32Array.of(NaN, NaN, -1), topk), 1)
  assert.deepStrictEqual(SampleResponse.topkRows(trimmed.topkPromptLogprobs!), [[[7, -0.25], [8, -1]]])
})

it("leaves a response alone that has no more than was asked for", () => {
  const short = response(Float32Array.of(-2, -1))
  assert.strictEqual(SampleResponse.lastPromptLogprobs(short, 2).response, short)
})
