/**
 * The endpoint of sampling.
 */
import * as Schema from "effect/Schema"
import { SamplingSessionId } from "./Identifiers.js"
import * as LegacyJson from "./internal/legacyJson.js"
import * as Protobuf from "./internal/protobuf.js"
import { tensorToJson } from "./internal/tensorJson.js"
import { TensorFromJson } from "./internal/tensorSchema.js"
import { widestToken, writeTokens } from "./internal/tokenDigits.js"
import { ModelInput, ModelInputChunk } from "./ModelInput.js"
import { SamplingParams } from "./SamplingParams.js"
import { field, literal, optional, optionalDefaulted } from "./WireField.js"

const count = (key: string, value: number) => optionalDefaulted(Schema.Int, key, () => value)

/**
 * @since 0.1.0
 * @category schemas
 */
export const SampleRequest = Schema.Struct({
  numSamples: count("num_samples", 1),
  prompt: ModelInput,
  samplingParams: field(SamplingParams, "sampling_params"),
  baseModel: optional(Schema.String, "base_model"),
  modelPath: optional(Schema.String, "model_path"),
  samplingSessionId: optional(SamplingSessionId, "sampling_session_id"),
  /** Needed with a sampling session. Sending the same number again asks for the same samples. */
  seqId: optional(Schema.Union(Schema.Number, Schema.BigIntFromSelf), "seq_id"),
  promptLogprobs: optionalDefaulted(Schema.Boolean, "prompt_logprobs", () => false),
  topkPromptLogprobs: count("topk_prompt_logprobs", 0),
  topkSampleLogprobs: count("topk_sample_logprobs", 0),
  /** Tokens whose log-probabilities are wanted, `[prompt - 1, K] int64`; -1 for none. */
  targetPromptLogprobs: optional(TensorFromJson, "target_prompt_logprobs"),
  promptAltTokensK: count("prompt_alt_tokens_k", 0),
  promptLogprobsLastN: optional(Schema.Int, "prompt_logprobs_last_n"),
  recordStabilityInfo: optionalDefaulted(Schema.Boolean, "record_stability_info", () => false),
  type: literal("sample")
})

/**
 * @since 0.1.0
 * @category models
 */
export type SampleRequest = typeof SampleRequest.Type

/**
 * A request as it is sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface EncodedBody {
  readonly contentType: string
  readonly bytes: Uint8Array
}

/**
 * Writes a request as JSON. Tokens, most of it, are written straight from their array, and a number larger than JavaScript's
 * numbers stays exact.
 *
 * @since 0.1.0
 * @category schemas
 */
export const encodeSampleRequest = (request: SampleRequest): EncodedBody => {
  const { prompt, seqId, targetPromptLogprobs: targets } = request
  const params = request.samplingParams
  const rest = JSON.stringify({
    num_samples: request.numSamples,
    sampling_params: {
      max_tokens: params.maxTokens,
      seed: params.seed,
      // Some servers refuse a bare text.
      stop: typeof params.stop === "string" ? [params.stop] : params.stop,
      temperature: params.temperature,
      top_k: params.topK,
      top_p: params.topP
    },
    base_model: request.baseModel,
    model_path: request.modelPath,
    sampling_session_id: request.samplingSessionId,
    prompt_logprobs: request.promptLogprobs,
    topk_prompt_logprobs: request.topkPromptLogprobs,
    topk_sample_logprobs: request.topkSampleLogprobs,
    target_prompt_logprobs: targets && tensorToJson(targets, "targetPromptLogprobs"),
    prompt_alt_tokens_k: request.promptAltTokensK,
    prompt_logprobs_last_n: request.promptLogprobsLastN,
    record_stability_info: request.recordStabilityInfo,
    type: request.type
  })
  const number = seqId === undefined ? "" : `"seq_id":${seqId},`
  return {
    contentType: "application/json",
    bytes: joinParts([`{${number}"prompt":`, ...promptParts(prompt), `,${rest.slice(1)}`])
  }
}

const encodeChunk = Schema.encodeSync(ModelInputChunk)

/** Texts of JSON, and tokens to be written between them. */
const promptParts = (prompt: ModelInput): ReadonlyArray<string | Int32Array> => {
  const parts: Array<string | Int32Array> = ["{\"chunks\":["]
  for (const [i, chunk] of prompt.chunks.entries()) {
    const separator = i === 0 ? "" : ","
    if (chunk.type === "encoded_text") {
      parts.push(`${separator}{"tokens":[`, chunk.tokens, "],\"type\":\"encoded_text\"}")
    } else parts.push(separator + JSON.stringify(encodeChunk(chunk)))
  }
  parts.push("]}")
  return parts
}

const encoder = new TextEncoder()

const joinParts = (parts: ReadonlyArray<string | Int32Array>): Uint8Array => {
  let most = 0
  // A character takes three bytes at most.
  for (const part of parts) most += part.length * (typeof part === "string" ? 3 : widestToken)
  const bytes = new Uint8Array(most)
  let at = 0
  for (const part of parts) {
    at = typeof part === "string"
      ? at + encoder.encodeInto(part, bytes.subarray(at)).written
      : writeTokens(part, bytes, at)
  }
  // Copied to its size: what is sent stays in memory until it is answered.
  return bytes.slice(0, at)
}

/**
 * @since 0.1.0
 * @category schemas
 */
export const encodeSampleResponse = Protobuf.encodeSampleResponse

/**
 * Decodes what {@link decodeSampleResponse} does, from the JSON of servers without protobuf.
 *
 * @since 0.1.0
 * @category schemas
 */
export const decodeSampleResponseJson = LegacyJson.decodeSampleResponseJson

/**
 * The ids of the sequences come with the answer to the submission. Throws an `Error` that names the field when the bytes
 * are no such response.
 *
 * @since 0.1.0
 * @category schemas
 */
export const decodeSampleResponse = Protobuf.decodeSampleResponse
