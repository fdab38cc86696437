/** What a sample request wants to know of its prompt and answers beside the answers themselves. */
import type { BaseModel, PromptTargets, SampleRequest, SampleResult } from "@effect-tinker/engine/Engine"
import type * as SamplingMessages from "@effect-tinker/protocol/SamplingMessages"
import type { Float32Tensor, Int64Tensor } from "@effect-tinker/protocol/TensorData"
import * as TensorData from "@effect-tinker/protocol/TensorData"
import * as Either from "effect/Either"
import { enumerated } from "../http/wording.js"

export type SampleScores = Pick<
  SamplingMessages.SampleRequest,
  | "promptLogprobs"
  | "topkPromptLogprobs"
  | "topkSampleLogprobs"
  | "targetPromptLogprobs"
  | "promptAltTokensK"
  | "promptLogprobsLastN"
>

/**
 * The log-probabilities that are asked for beside those of the tokens themselves, at most: the answers may be shorter than
 * `answerTokens`, which is of all answers.
 */
export const count = (
  wanted: Pick<SampleScores, "topkPromptLogprobs" | "topkSampleLogprobs" | "promptAltTokensK">,
  promptTokens: number,
  answerTokens: number
): number =>
  (wanted.topkPromptLogprobs + wanted.promptAltTokensK) * promptTokens + wanted.topkSampleLogprobs * answerTokens

/** Each takes 8 bytes, and three times that as JSON. */
export const maxScores = 2 ** 21

/**
 * The wanted scores in the terms of an engine; `answerTokens` are those of all answers at most. Left: what is wrong, for the user to read.
 */
export const forEngine = (
  wanted: SampleScores,
  prompt: Int32Array,
  answerTokens: number,
  baseModel: BaseModel
): Either.Either<
  Pick<
    SampleRequest,
    "promptLogprobs" | "topkPromptLogprobs" | "topkSampleLogprobs" | "targetPromptLogprobs" | "promptAltTokensK"
  >,
  string
> => {
  const { promptAltTokensK, promptLogprobs, promptLogprobsLastN: lastN, targetPromptLogprobs: targets } = wanted
  const counts = {
    topk_prompt_logprobs: wanted.topkPromptLogprobs,
    topk_sample_logprobs: wanted.topkSampleLogprobs,
    prompt_alt_tokens_k: promptAltTokensK
  }
  for (const [field, value] of Object.entries(counts)) {
    if (value < 0) return Either.left(`${field} is ${value}; it must not be negative`)
  }
  if (promptAltTokensK > maxAltTokens) {
    return Either.left(`prompt_alt_tokens_k is ${promptAltTokensK}; it must not exceed ${maxAltTokens}`)
  }
  if (lastN !== undefined && (!promptLogprobs || lastN < 1 || lastN >= prompt.length)) {
    return Either.left(
      promptLogprobs
        ? `prompt_logprobs_last_n is ${lastN}; it must be from 1 to ${prompt.length - 1} for this prompt`
        : "prompt_logprobs_last_n needs prompt_logprobs"
    )
  }
  const possible = {
    topkPromptLogprobs: Math.min(wanted.topkPromptLogprobs, baseModel.vocabularySize),
    topkSampleLogprobs: Math.min(wanted.topkSampleLogprobs, baseModel.vocabularySize),
    promptAltTokensK
  }
  const scores = count(possible, prompt.length, answerTokens)
  if (scores > maxScores) {
    return Either.left(
      `${enumerated(Object.keys(counts).filter((field) => counts[field as keyof typeof counts] > 0))} for `
        + `${prompt.length} tokens of prompt and up to ${answerTokens} of answers are ${scores} log-probabilities, and a `
        + `request may ask for ${maxScores}: lower them, max_tokens or num_samples`
    )
  }
  return Either.map(
    targets === undefined ? Either.right(undefined) : targetsOf(targets, prompt.length - 1, baseModel),
    (targetPromptLogprobs) => ({
      promptLogprobs,
      topkPromptLogprobs: possible.topkPromptLogprobs,
      topkSampleLogprobs: possible.topkSampleLogprobs,
      targetPromptLogprobs,
      promptAltTokensK
    })
  )
}

/** Each is drawn by itself at every position, so there must be a bound. */
const maxAltTokens = 1000

const targetsOf = (
  tensor: TensorData.TensorData,
  rows: number,
  { name, vocabularySize }: BaseModel
): Either.Either<PromptTargets, string> => {
  if (tensor.dtype !== "int64") return Either.left("target_prompt_logprobs must be int64")
  const { data, shape, sparse } = tensor
  if (shape.length !== 2 || shape[0] !== rows) {
    return Either.left(`target_prompt_logprobs has shape [${shape}]; it must be [${rows}, K] for this prompt`)
  }
  const outside = data.find((token) => token < -1n || token >= BigInt(vocabularySize))
  if (outside !== undefined) {
    return Either.left(
      `target_prompt_logprobs has ${outside}, and the vocabulary of ${name} has ${vocabularySize} tokens`
    )
  }
  const columns = shape[1]!
  const offsets = new Int32Array(rows + 1)
  for (let i = 0; i <= rows; i++) offsets[i] = sparse === undefined ? i * columns : Number(sparse.crowIndices[i])
  return Either.right({ offsets, tokens: TensorData.toInt32Array(tensor) })
}

/** What an answer says of the prompt. */
export interface PromptAnswer {
  readonly promptLogprobs: Float32Array | undefined
  readonly topkPromptLogprobs: SampleResult["topkPromptLogprobs"]
  readonly targetPromptLogprobs: Float32Tensor | undefined
  readonly promptAltTokens: { readonly tokens: Int64Tensor; readonly logprobs: Float32Tensor } | undefined
}

/** Tensors in the shape and layout of the request's, and no scores where none were wanted. */
export const answerOf = (wanted: SampleScores, promptLength: number, result: SampleResult): PromptAnswer => {
  const { promptAltTokens: drawn, promptLogprobs, targetPromptLogprobs: scores, topkPromptLogprobs } = result
  const shape = [promptLength - 1, wanted.promptAltTokensK]
  const unscored = wanted.promptLogprobsLastN === undefined ? 0 : promptLength - wanted.promptLogprobsLastN
  promptLogprobs?.fill(NaN, 0, unscored)
  topkPromptLogprobs?.tokenIds.fill(0, 0, unscored * topkPromptLogprobs.k)
  topkPromptLogprobs?.logprobs.fill(-99999, 0, unscored * topkPromptLogprobs.k)
  return {
    promptLogprobs,
    topkPromptLogprobs,
    targetPromptLogprobs: scores && wanted.targetPromptLogprobs && {
      dtype: "float32",
      data: scores,
      shape: wanted.targetPromptLogprobs.shape,
      sparse: wanted.targetPromptLogprobs.sparse
    },
    promptAltTokens: drawn && {
      tokens: TensorData.int64(drawn.tokens, shape),
      logprobs: TensorData.float32(drawn.logprobs, shape)
    }
  }
}

/** What an engine was asked for and did not compute, under the name that the user gave. */
export const missing = (wanted: SampleScores, result: SampleResult): string | undefined => {
  if (wanted.targetPromptLogprobs !== undefined && result.targetPromptLogprobs === undefined) {
    return "target_prompt_logprobs"
  }
  if (wanted.promptAltTokensK > 0 && result.promptAltTokens === undefined) return "prompt_alt_tokens_k"
  return wanted.topkSampleLogprobs > 0 && result.sequences.some(({ topkLogprobs }) => topkLogprobs === undefined)
    ? "topk_sample_logprobs"
    : undefined
}
