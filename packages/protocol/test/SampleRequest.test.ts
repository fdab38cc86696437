import { assert, it } from "@effect/vitest"
import { Schema } from "effect"
import { ModelInput, SamplingMessages, SamplingParams, TensorData } from "../src/index.js"
import type { Identifiers } from "../src/index.js"

const request = (options: Partial<SamplingMessages.SampleRequest>): SamplingMessages.SampleRequest => ({
  numSamples: 1,
  prompt: ModelInput.fromTokens([1, 2, 3]),
  samplingParams: SamplingParams.make({ maxTokens: 1 }),
  samplingSessionId: "S:sample:1" as Identifiers.SamplingSessionId,
  seqId: 0,
  promptLogprobs: false,
  topkPromptLogprobs: 0,
  topkSampleLogprobs: 0,
  promptAltTokensK: 0,
  recordStabilityInfo: false,
  type: "sample",
  ...options
})

const text = (options: Partial<SamplingMessages.SampleRequest>) =>
  new TextDecoder().decode(SamplingMessages.encodeSampleRequest(request(options)).bytes)

it("writes a sample request as the service reads it", () => {
  const targetPromptLogprobs = TensorData.int64([5, -1, 6, 7], [2, 2])
  assert.deepStrictEqual(
    JSON.parse(text({ targetPromptLogprobs, promptAltTokensK: 2, recordStabilityInfo: true })),
    {
      num_samples: 1,
      prompt: { chunks: [{ tokens: [1, 2, 3], type: "encoded_text" }] },
      sampling_params: { max_tokens: 1, temperature: 1, top_k: -1, top_p: 1 },
      sampling_session_id: "S:sample:1",
      seq_id: 0,
      prompt_logprobs: false,
      topk_prompt_logprobs: 0,
      topk_sample_logprobs: 0,
      target_prompt_logprobs: { data: [5, -1, 6, 7], dtype: "int64", shape: [2, 2] },
      prompt_alt_tokens_k: 2,
      record_stability_info: true,
      type: "sample"
    }
  )
})

it("writes every token as it is, however many digits it has", () => {
  const tokens = [0, 9, 10, 99, 100, 999, 1000, 9999, 10000, 99999, 100000, 999999, 1000000, 9999999, 10000000]
  tokens.push(99999999, 100000000, 999999999, 1000000000, 2147483647, -1, -10, -2147483648)
  const { prompt } = JSON.parse(text({ prompt: ModelInput.fromTokens(tokens) }))
  assert.deepStrictEqual(prompt.chunks[0].tokens, tokens)
})

it("keeps numbers exact that JavaScript does not hold, and texts of any script", () => {
  const body = text({
    seqId: 123_456_789_000_000_000_001n,
    samplingParams: SamplingParams.make({ stop: ["\"ende\"\n", "終わり", "🙂"] })
  })
  assert.include(body, "\"seq_id\":123456789000000000001,")
  assert.deepStrictEqual(JSON.parse(body).sampling_params.stop, ["\"ende\"\n", "終わり", "🙂"])
})

it("writes images between tokens", () => {
  const image = { type: "image", data: Uint8Array.of(137, 80), format: "png", expectedTokens: 4 } as const
  const prompt = ModelInput.appendTokens(ModelInput.append(ModelInput.fromTokens([1]), image), [2])
  assert.deepStrictEqual(JSON.parse(text({ prompt })).prompt.chunks, [
    { tokens: [1], type: "encoded_text" },
    { type: "image", data: "iVA=", format: "png", expected_tokens: 4 },
    { tokens: [2], type: "encoded_text" }
  ])
})

it("reads back what it writes", () => {
  const original = request({ samplingParams: SamplingParams.make({ stop: [5, 6], seed: 3 }), promptLogprobsLastN: 2 })
  const json = JSON.parse(new TextDecoder().decode(SamplingMessages.encodeSampleRequest(original).bytes))
  assert.deepStrictEqual(Schema.decodeSync(SamplingMessages.SampleRequest)(json), original)
})
