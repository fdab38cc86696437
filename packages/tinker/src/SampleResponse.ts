/**
 * Answers of a model to a prompt.
 */
import type { Float32Tensor, Int64Tensor } from "./TensorData.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface SampleResponse {
  readonly sequences: ReadonlyArray<SampledSequence>
  /** `[prompt] float32`, nats; NaN where there is none, as at the first token. Only if asked for. */
  readonly promptLogprobs: Float32Array | undefined
  /** The most probable tokens at each prompt position. Only if asked for. */
  readonly topkPromptLogprobs: TopkLogprobs | undefined
  /** Log-probabilities of tokens that the request named for each prompt position, in the request's shape; 0 where none. */
  readonly targetPromptLogprobs?: Float32Tensor | undefined
  /** Other tokens drawn for each prompt position, `[prompt - 1, k]`: row i belongs to position i + 1. */
  readonly promptAltTokens?: { readonly tokens: Int64Tensor; readonly logprobs: Float32Tensor } | undefined
  /** Prompt tokens that the server did not have to compute again. */
  readonly promptCacheHitTokens: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface SampledSequence {
  /** Unique in the session. */
  readonly sequenceId: string
  /** `[tokens] int32`; a stop token is kept as the last one. */
  readonly tokens: Int32Array
  /** `[tokens] float32`, nats. */
  readonly logprobs: Float32Array | undefined
  readonly topkLogprobs: TopkLogprobs | undefined
  /** `stop` at a stop text or token, `length` at the longest allowed. */
  readonly stopReason: "stop" | "length"
}

/**
 * The `k` most probable tokens at each of `length` positions, best first. Empty cells hold token 0 with the
 * log-probability {@link noLogprob}.
 *
 * @since 0.1.0
 * @category models
 */
export interface TopkLogprobs {
  readonly k: number
  readonly length: number
  /** `[length, k] int32`. */
  readonly tokenIds: Int32Array
  /** `[length, k] float32`, nats. */
  readonly logprobs: Float32Array
}

/**
 * Marks an empty cell. Source: the Python SDK 0.38.0.
 *
 * @since 0.1.0
 * @category models
 */
export const noLogprob = -99999

/**
 * The tokens at one position with their log-probabilities; empty where the server had none.
 *
 * @since 0.1.0
 * @category utils
 */
export const topkAt = (
  topk: TopkLogprobs,
  position: number
): ReadonlyArray<readonly [token: number, logprob: number]> => {
  const row: Array<readonly [number, number]> = []
  for (let i = position * topk.k; i < (position + 1) * topk.k; i++) {
    if (topk.logprobs[i] === noLogprob) break
    row.push([topk.tokenIds[i]!, topk.logprobs[i]!])
  }
  return row
}
