/** One answer as it grows: what was chosen so far, and why it ended. */
import type * as Engine from "@effect-tinker/engine/Engine"
import * as Sampler from "@effect-tinker/engine/Sampler"
import { nonFinite } from "./internal/finite.js"
import * as StopTexts from "./StopTexts.js"

/**
 * A prompt with its answer so far.
 *
 * @since 0.1.0
 * @category models
 */
export interface Sequence {
  /** The prompt and the answer so far. */
  readonly tokens: ReadonlyArray<number>
  readonly promptLength: number
  /** The most tokens that prompt and answer may have. */
  readonly maxLength: number
  /** Whether it ended. */
  readonly isDone: boolean
  /**
   * Chooses the next token; both arrays are `[vocabulary] float32`, the probabilities at temperature 1. Throws an
   * `EngineError` with reason `NonFinite` where they are no numbers.
   */
  readonly take: (logits: Float32Array, probabilities: Float32Array) => void
  readonly result: () => Engine.SampledSequence
}

/**
 * Sample `index` of a request, which may have at most `maxLength` tokens with the prompt.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly request: Engine.SampleRequest
  readonly index: number
  readonly maxLength: number
  /** The text of tokens, special tokens included. */
  readonly decode: (tokens: ReadonlyArray<number>) => string
}): Sequence => {
  const { maxLength, request } = options
  const { prompt, stopTokens } = request
  const k = request.topkSampleLogprobs ?? 0
  const isProcessed = request.logprobs === "processed"
  const random = Sampler.makeRandom(request.seed + options.index)
  const texts = StopTexts.make(request.stopStrings, options.decode)
  // Copied when it is read, for most of very many samples wait for long.
  let tokens: Array<number> | undefined
  const logprobs: Array<number> = []
  const best: Array<ReturnType<typeof Sampler.topk>> = []
  let stopReason: "stop" | "length" | undefined = maxLength > prompt.length ? undefined : "length"

  return {
    get tokens() {
      return tokens ??= Array.from(prompt)
    },
    promptLength: prompt.length,
    maxLength,
    get isDone() {
      return stopReason !== undefined
    },

    take: (logits, probabilities) => {
      const isPlain = request.temperature === 1 && request.topP >= 1 && request.topK <= 0
      const distribution = isProcessed && !isPlain ? Sampler.distribution(logits, request) : undefined
      const token = isPlain
        ? Sampler.drawProbable(probabilities, random)
        : distribution === undefined
        ? Sampler.choose(logits, request, random)
        : Sampler.draw(distribution, random)
      const told = distribution === undefined ? logits : Sampler.processed(logits, distribution, request)
      // The logarithm of what the runtime computed saves a pass over the vocabulary, except where it is close to nothing.
      const probability = probabilities[token]!
      const logprob = k === 0 && told === logits && probability > 1e-30
        ? Math.fround(Math.log(probability))
        : Sampler.logprobAt(told, token)
      if (!Number.isFinite(logprob)) throw nonFinite(`the log-probability of a sampled token is ${logprob}`)
      tokens ??= Array.from(prompt)
      tokens.push(token)
      logprobs.push(logprob)
      if (k > 0) best.push(Sampler.topk(told, k))
      if (stopTokens.includes(token) || texts.completes(token)) stopReason = "stop"
      else if (tokens.length >= maxLength) stopReason = "length"
    },

    result: () => ({
      tokens: Int32Array.from((tokens ?? []).slice(prompt.length)),
      logprobs: Float32Array.from(logprobs),
      topkLogprobs: k > 0 ? Sampler.joinTopk(k, best) : undefined,
      stopReason: stopReason ?? "length"
    })
  }
}
