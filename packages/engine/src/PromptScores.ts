/**
 * What a request wants to know of its prompt, for engines: they give the logits of one position after another.
 */
import type { SampleRequest, SampleResult } from "./Engine.js"
import * as Sampler from "./Sampler.js"

/**
 * Scores of a prompt, gathered position by position.
 *
 * @since 0.1.0
 * @category models
 */
export interface PromptScores {
  /** Whether anything is wanted, for which logits of the whole prompt are needed. */
  readonly isWanted: boolean
  /** Scores position 1, then 2, and so on. `logits` `[vocabulary] float32` are those that the tokens before it give. */
  readonly add: (position: number, logits: Float32Array) => void
  /** What was wanted, once every position is scored. */
  readonly result: Pick<
    SampleResult,
    "promptLogprobs" | "topkPromptLogprobs" | "targetPromptLogprobs" | "promptAltTokens"
  >
}

/**
 * Begins the scores that a request asks for.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (request: SampleRequest): PromptScores => {
  const { prompt, targetPromptLogprobs: targets, temperature, topkPromptLogprobs: k } = request
  const alternatives = request.promptAltTokensK ?? 0
  if (!request.promptLogprobs && k <= 0 && targets === undefined && alternatives === 0) return unwanted
  const draw = { temperature, topK: 0, topP: 1 }
  // The samples have the seeds before this one.
  const random = Sampler.makeRandom(request.seed + request.numSamples)

  const result = {
    promptLogprobs: request.promptLogprobs ? new Float32Array(prompt.length).fill(NaN) : undefined,
    topkPromptLogprobs: k > 0 ? Sampler.emptyTopk(prompt.length, k) : undefined,
    targetPromptLogprobs: targets && new Float32Array(targets.tokens.length),
    promptAltTokens: alternatives > 0
      ? {
        tokens: new Int32Array((prompt.length - 1) * alternatives),
        logprobs: new Float32Array((prompt.length - 1) * alternatives)
      }
      : undefined
  }

  const add = (position: number, logits: Float32Array): void => {
    if (result.topkPromptLogprobs !== undefined) Sampler.setTopk(result.topkPromptLogprobs, position, logits)
    if (result.promptLogprobs === undefined && targets === undefined && alternatives === 0) return
    const total = Sampler.logSumExp(logits)
    if (result.promptLogprobs !== undefined) result.promptLogprobs[position] = logits[prompt[position]!]! - total
    if (targets !== undefined) {
      const scores = result.targetPromptLogprobs!
      for (let i = targets.offsets[position - 1]!; i < targets.offsets[position]!; i++) {
        const token = targets.tokens[i]!
        if (token >= 0) scores[i] = logits[token]! - total
      }
    }
    if (alternatives === 0) return
    const drawn = Sampler.distribution(logits, draw)
    for (let i = (position - 1) * alternatives; i < position * alternatives; i++) {
      const token = Sampler.draw(drawn, random)
      result.promptAltTokens!.tokens[i] = token
      result.promptAltTokens!.logprobs[i] = logits[token]! - total
    }
  }

  return {
    isWanted: true,
    add,
    result
  }
}

/**
 * What no engine can score of a request's targets; nothing when they are in order.
 *
 * @since 0.1.0
 * @category utils
 */
export const firstInvalid = (
  { prompt, targetPromptLogprobs: targets }: SampleRequest,
  vocabulary: number
): string | undefined => {
  if (targets === undefined) return undefined
  if (targets.offsets.length !== prompt.length || targets.offsets.at(-1) !== targets.tokens.length) {
    return `the target tokens of the prompt have ${targets.offsets.length - 1} rows for ${prompt.length} tokens`
  }
  const outside = targets.tokens.find((token) => token < -1 || token >= vocabulary)
  return outside === undefined
    ? undefined
    : `the target tokens have ${outside}, and the vocabulary ${vocabulary} tokens`
}

const unwanted: PromptScores = {
  isWanted: false,
  add: () => undefined,
  result: { promptLogprobs: undefined, topkPromptLogprobs: undefined }
}
