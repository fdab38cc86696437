/**
 * Answers of a model to a prompt.
 */
import * as Schema from "effect/Schema"
import { Floats } from "./internal/floats.js"
import { Float32FromJson, Int64FromJson } from "./internal/tensorSchema.js"
import { Tokens } from "./internal/tokens.js"
import * as TopkRows from "./internal/topkRows.js"
import type { Float32Tensor, Int64Tensor } from "./TensorData.js"
import { field, missable, orUndefined } from "./WireField.js"

/**
 * The schema of one answer, whose JSON is the service's beside its id.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SampledSequence = Schema.Struct({
  sequenceId: field(Schema.String, "sequence_id"),
  tokens: Tokens,
  logprobs: orUndefined(Floats, "logprobs"),
  topkLogprobs: orUndefined(TopkRows.TopkFromRows, "topk_logprobs"),
  stopReason: field(Schema.Literal("stop", "length"), "stop_reason")
})

/**
 * The schema of a response, for programs that keep samples, or pass them on in an `HttpApi`, an rpc or a workflow. Its JSON is the
 * service's, with the ids of sequences; the most probable tokens are rows of pairs, of which `k` is the length of the longest.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SampleResponse = Schema.Struct({
  sequences: Schema.Array(SampledSequence),
  promptLogprobs: orUndefined(Floats, "prompt_logprobs"),
  topkPromptLogprobs: orUndefined(TopkRows.TopkFromRows, "topk_prompt_logprobs"),
  promptLogprobsOffset: missable(Schema.Int, "prompt_logprobs_offset"),
  targetPromptLogprobs: missable(Float32FromJson, "target_prompt_logprobs"),
  promptAltTokens: missable(Schema.Struct({ tokens: Int64FromJson, logprobs: Float32FromJson }), "prompt_alt_tokens"),
  promptCacheHitTokens: field(Schema.Int, "prompt_cache_hit_tokens")
})

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
  /** The prompt position of the first entry of both. 0, unless only the last ones were asked for. */
  readonly promptLogprobsOffset?: number | undefined
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
export const noLogprob = TopkRows.noLogprob

/**
 * @since 0.1.0
 * @category models
 */
export type TopkRow = ReadonlyArray<readonly [token: number, logprob: number]>

/**
 * The tokens at one position with their log-probabilities, without the empty cells at the end; none where the first cell
 * is empty.
 *
 * @since 0.1.0
 * @category utils
 */
export const topkAt: (topk: TopkLogprobs, position: number) => TopkRow = TopkRows.rowAt

/**
 * A row for each position, null where the server had none.
 *
 * @since 0.1.0
 * @category utils
 */
export const topkRows: (topk: TopkLogprobs) => ReadonlyArray<TopkRow | null> = TopkRows.rowsOf

const lists = new WeakMap<Int32Array | Float32Array, ReadonlyArray<number>>()

const nullableLists = new WeakMap<Float32Array, ReadonlyArray<number | null>>()

const keptWith = <K extends object, V>(kept: WeakMap<K, V>, key: K, make: () => V): V => {
  const value = kept.get(key) ?? make()
  kept.set(key, value)
  return value
}

/**
 * The numbers of `tokens` or `logprobs` as a plain list, made when it is first asked for and kept with the array.
 *
 * @since 0.1.0
 * @category utils
 */
export const toNumbers = (array: Int32Array | Float32Array): ReadonlyArray<number> =>
  keptWith(lists, array, () => Array.from(array))

/**
 * Prompt log-probabilities as a plain list with null instead of NaN, made when it is first asked for and kept with the
 * array.
 *
 * @since 0.1.0
 * @category utils
 */
export const toNullableNumbers = (logprobs: Float32Array): ReadonlyArray<number | null> =>
  keptWith(
    nullableLists,
    logprobs,
    () => Array.from(logprobs, (logprob) => Number.isNaN(logprob) ? null : logprob)
  )

/**
 * Prompt log-probabilities with one entry a prompt token. Some servers leave out the first token, which has none; then it
 * gets NaN. Nothing for any other number of entries.
 *
 * @since 0.1.0
 * @category utils
 */
export const alignPromptLogprobs = (logprobs: Float32Array, promptLength: number): Float32Array | undefined => {
  if (logprobs.length === promptLength) return logprobs
  if (logprobs.length !== promptLength - 1) return undefined
  const aligned = new Float32Array(promptLength)
  aligned[0] = NaN
  aligned.set(logprobs, 1)
  return aligned
}

/**
 * The response with prompt log-probabilities of the last `count` positions alone, in memory of their own. `ignored` says
 * that the server sent earlier ones as well, which was not asked of it.
 *
 * @since 0.1.0
 * @category utils
 */
export const lastPromptLogprobs = (
  response: SampleResponse,
  count: number
): { readonly response: SampleResponse; readonly ignored: boolean } => {
  const { promptLogprobs, topkPromptLogprobs: topk } = response
  const length = promptLogprobs?.length ?? topk?.length ?? 0
  const first = Math.max(0, length - count)
  if (first === 0) return { response, ignored: false }
  // The first token of a prompt never has one.
  const sentLogprobs = promptLogprobs !== undefined
    && promptLogprobs.subarray(0, first).some((logprob) => !Number.isNaN(logprob))
  const trimmed = topk === undefined ? undefined : lastRows(topk, count)
  return {
    response: {
      ...response,
      promptLogprobs: promptLogprobs?.slice(first),
      topkPromptLogprobs: trimmed?.topk,
      promptLogprobsOffset: (response.promptLogprobsOffset ?? 0) + first
    },
    ignored: sentLogprobs || trimmed?.ignored === true
  }
}

const lastRows = (topk: TopkLogprobs, count: number) => {
  const length = Math.min(count, topk.length)
  const cells = (topk.length - length) * topk.k
  let ignored = false
  for (let cell = 0; cell < cells; cell++) if (!TopkRows.isEmptyCell(topk, cell)) ignored = true
  return {
    topk: { k: topk.k, length, tokenIds: topk.tokenIds.slice(cells), logprobs: topk.logprobs.slice(cells) },
    ignored
  }
}
