/** What a sample request wants to know of its prompt and answers beside the answers themselves. */
import type { Float32Tensor, Int64Tensor } from "effect-tinker/TensorData"
import * as TensorData from "effect-tinker/TensorData"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { BaseModel, PromptTargets, SampleRequest, SampleResult } from "../Engine.js"
import * as Http from "./http.js"
import * as TrainingJson from "./trainingJson.js"

export interface SampleScores {
  readonly promptLogprobs: boolean
  readonly topkPromptLogprobs: number
  readonly topkSampleLogprobs: number
  readonly promptAltTokensK: number
  /** How many prompt positions, from the end, are scored at all. All when absent. */
  readonly promptLogprobsLastN: number | undefined
  readonly targets: Int64Tensor | undefined
}

const count = Schema.optionalWith(Schema.Int, { default: () => 0, nullable: true })

const Wanted = Schema.Struct({
  prompt_logprobs: Schema.optionalWith(Schema.Boolean, { default: () => false, nullable: true }),
  topk_prompt_logprobs: count,
  topk_sample_logprobs: count,
  prompt_alt_tokens_k: count,
  prompt_logprobs_last_n: Schema.optionalWith(Schema.Int, { nullable: true }),
  target_prompt_logprobs: Schema.optionalWith(TrainingJson.Tensor, { nullable: true })
})

/** The part of a sample request in JSON. */
export const decode = (value: unknown): Effect.Effect<SampleScores, Http.Refusal> =>
  Effect.gen(function*() {
    const wanted = yield* Http.decode(Wanted, value)
    const targets = wanted.target_prompt_logprobs
    const tensor = targets && (yield* Effect.try({
      try: () => TrainingJson.tensorOf(targets, "target_prompt_logprobs"),
      catch: (error) => Http.refuse(422, error instanceof Error ? error.message : String(error))
    }))
    if (tensor !== undefined && tensor.dtype !== "int64") {
      return yield* Http.refuse(422, "target_prompt_logprobs must be int64")
    }
    return {
      promptLogprobs: wanted.prompt_logprobs,
      topkPromptLogprobs: wanted.topk_prompt_logprobs,
      topkSampleLogprobs: wanted.topk_sample_logprobs,
      promptAltTokensK: wanted.prompt_alt_tokens_k,
      promptLogprobsLastN: wanted.prompt_logprobs_last_n,
      targets: tensor
    }
  })

/** In the terms of an engine. Left: what is wrong, for the user to read. */
export const forEngine = (
  wanted: SampleScores,
  prompt: Int32Array,
  { name, vocabularySize }: BaseModel
): Either.Either<
  Pick<
    SampleRequest,
    "promptLogprobs" | "topkPromptLogprobs" | "topkSampleLogprobs" | "targetPromptLogprobs" | "promptAltTokensK"
  >,
  string
> =>
  Either.gen(function*() {
    const { promptAltTokensK, promptLogprobs, promptLogprobsLastN: lastN, targets } = wanted
    const counts = {
      topk_prompt_logprobs: wanted.topkPromptLogprobs,
      topk_sample_logprobs: wanted.topkSampleLogprobs,
      prompt_alt_tokens_k: promptAltTokensK
    }
    for (const [field, value] of Object.entries(counts)) {
      if (value < 0) return yield* Either.left(`${field} is ${value}; it must not be negative`)
    }
    if (promptAltTokensK > maxAltTokens) {
      return yield* Either.left(`prompt_alt_tokens_k is ${promptAltTokensK}; it must not exceed ${maxAltTokens}`)
    }
    if (lastN !== undefined && (!promptLogprobs || lastN < 1 || lastN >= prompt.length)) {
      return yield* Either.left(
        promptLogprobs
          ? `prompt_logprobs_last_n is ${lastN}; it must be from 1 to ${prompt.length - 1} for this prompt`
          : "prompt_logprobs_last_n needs prompt_logprobs"
      )
    }
    const outside = targets?.data.find((token) => token < -1n || token >= BigInt(vocabularySize))
    if (outside !== undefined) {
      return yield* Either.left(
        `target_prompt_logprobs has ${outside}, and the vocabulary of ${name} has ${vocabularySize} tokens`
      )
    }
    return {
      promptLogprobs,
      topkPromptLogprobs: Math.min(wanted.topkPromptLogprobs, vocabularySize),
      topkSampleLogprobs: Math.min(wanted.topkSampleLogprobs, vocabularySize),
      targetPromptLogprobs: targets && (yield* targetsOf(targets, prompt.length - 1)),
      promptAltTokensK
    }
  })

/** Each is drawn by itself at every position, so there must be a bound. */
const maxAltTokens = 1000

const targetsOf = (tensor: Int64Tensor, rows: number): Either.Either<PromptTargets, string> => {
  const { data, shape, sparse } = tensor
  if (shape.length !== 2 || shape[0] !== rows) {
    return Either.left(`target_prompt_logprobs has shape [${shape}]; it must be [${rows}, K] for this prompt`)
  }
  const columns = shape[1]!
  const offsets = new Int32Array(rows + 1)
  for (let i = 0; i <= rows; i++) offsets[i] = sparse === undefined ? i * columns : Number(sparse.crowIndices[i] ?? -1)
  const rises = offsets.every((offset, i) => offset >= (i === 0 ? 0 : offsets[i - 1]!))
  if (offsets[0] !== 0 || offsets[rows] !== data.length || !rises) {
    return Either.left(
      `target_prompt_logprobs has ${data.length} elements, which its shape and rows do not account for`
    )
  }
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
    targetPromptLogprobs: scores && wanted.targets && {
      dtype: "float32",
      data: scores,
      shape: wanted.targets.shape,
      sparse: wanted.targets.sparse
    },
    promptAltTokens: drawn && {
      tokens: TensorData.int64(drawn.tokens, shape),
      logprobs: TensorData.float32(drawn.logprobs, shape)
    }
  }
}

/** What an engine was asked for and did not compute, under the name that the user gave. */
export const missing = (wanted: SampleScores, result: SampleResult): string | undefined => {
  if (wanted.targets !== undefined && result.targetPromptLogprobs === undefined) return "target_prompt_logprobs"
  if (wanted.promptAltTokensK > 0 && result.promptAltTokens === undefined) return "prompt_alt_tokens_k"
  return wanted.topkSampleLogprobs > 0 && result.sequences.some(({ topkLogprobs }) => topkLogprobs === undefined)
    ? "topk_sample_logprobs"
    : undefined
}
