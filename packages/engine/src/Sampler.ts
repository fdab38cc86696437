/**
 * Choosing tokens from logits, and their log-probabilities. All logits are `[vocabulary] float32`; all log-probabilities
 * are natural logarithms at temperature 1 over the whole vocabulary.
 */
import type { TopkLogprobs } from "./Engine.js"

/**
 * How a token is chosen.
 *
 * @since 0.1.0
 * @category models
 */
export interface ChooseOptions {
  /** The temperature of the draw; 0 takes the most probable token. */
  readonly temperature: number
  /** Number of most probable tokens to choose from; 0 or less for all. */
  readonly topK: number
  /** Tokens are kept, best first, while the probability of those before is below this; 1 for all. */
  readonly topP: number
}

/**
 * What is wrong with how tokens are to be chosen, by the name of the field; `undefined` if nothing is.
 *
 * @since 0.1.0
 * @category guards
 */
export const firstInvalid = (
  { seed, temperature, topK, topP }: ChooseOptions & { readonly seed: number }
): string | undefined => {
  if (!(temperature >= 0 && temperature < Infinity)) {
    return `temperature is ${temperature}; it must be a finite number, 0 or more`
  }
  if (!Number.isInteger(topK)) return `topK is ${topK}; it must be a whole number`
  if (!(topP >= 0 && topP <= 1)) return `topP is ${topP}; it must be from 0 to 1`
  if (!Number.isSafeInteger(seed)) return `seed is ${seed}; it must be a whole number of at most 53 bits`
  return undefined
}

/**
 * A generator of numbers uniform in [0, 1) with 53 random bits: xoshiro128**, seeded through splitmix32. The same seed
 * gives the same numbers on every machine; `seed` is an integer of at most 53 bits.
 *
 * Source: Blackman and Vigna 2021, "Scrambled linear pseudorandom number generators".
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeRandom = (seed: number): () => number => {
  let mix = (seed ^ Math.imul(Math.floor(seed / 4294967296), 0x85ebca6b)) | 0
  const splitmix = (): number => {
    mix = (mix + 0x9e3779b9) | 0
    let z = mix
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return z ^ (z >>> 15)
  }
  let a = splitmix()
  let b = splitmix()
  let c = splitmix()
  // The one state that the generator must not have is all zeros.
  let d = splitmix() | 1
  const next = (): number => {
    const product = Math.imul(b, 5)
    const result = Math.imul((product << 7) | (product >>> 25), 9)
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = (d << 11) | (d >>> 21)
    return result >>> 0
  }
  return () => ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992
}

/**
 * Chooses a token: logits are divided by the temperature, then cut to the top k, then to the top p of what remains, then
 * one is drawn. Among equal logits the lower token comes first.
 *
 * @since 0.1.0
 * @category utils
 */
export const choose = (logits: Float32Array, options: ChooseOptions, random: () => number): number =>
  isGreedy(options) ? argmax(logits) : draw(distribution(logits, options), random)

/**
 * The tokens that may be chosen, as {@link choose} would, for drawing more than once.
 *
 * @since 0.1.0
 * @category models
 */
export interface Distribution {
  /** The tokens that may be chosen; undefined where each token is its index. */
  readonly tokens: Int32Array | undefined
  /** Sums of the weights, `[tokens] float64`, up to and with each token; their total need not be 1. */
  readonly cumulative: Float64Array
}

/**
 * The distribution that {@link choose} draws from, with these logits and options.
 *
 * @since 0.1.0
 * @category constructors
 */
export const distribution = (logits: Float32Array, options: ChooseOptions): Distribution => {
  const { temperature, topK, topP } = options
  if (isGreedy(options)) return { tokens: Int32Array.of(argmax(logits)), cumulative: Float64Array.of(1) }
  const bounded = topK > 0 && topK < logits.length
  if (!bounded && topP >= 1) return { tokens: undefined, cumulative: cumulate(logits, undefined, temperature) }
  const tokens = topP >= 1
    ? best(logits, topK)
    : bounded
    ? nucleus(logits, best(logits, topK), temperature, topP)
    : widening(logits, temperature, topP)
  return { tokens, cumulative: cumulate(logits, tokens, temperature) }
}

/**
 * Draws a token in proportion to its weight.
 *
 * @since 0.1.0
 * @category utils
 */
export const draw = ({ cumulative, tokens }: Distribution, random: () => number): number => {
  const point = random() * cumulative[cumulative.length - 1]!
  // The first token whose sum is above the point: one without weight has the sum of its neighbour and is never it.
  let low = 0
  let high = cumulative.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if (cumulative[middle]! > point) high = middle
    else low = middle + 1
  }
  return tokens === undefined ? low : tokens[low]!
}

/**
 * Draws from probabilities, `[vocabulary] float32`, that sum to 1: what {@link choose} does at temperature 1 with all tokens,
 * for engines whose runtime computes the exponentials.
 *
 * @since 0.1.0
 * @category utils
 */
export const drawProbable = (probabilities: Float32Array, random: () => number): number => {
  let remaining = random()
  let token = 0
  for (let i = 0; i < probabilities.length; i++) {
    const probability = probabilities[i]!
    if (probability === 0) continue
    token = i
    remaining -= probability
    if (remaining < 0) break
  }
  return token
}

/**
 * Logits at temperature 1 that give the probabilities of `distribution`, which was made of these `logits` and `options`: of
 * tokens that cannot be drawn, minus infinity. Those of a greedy choice stay as they are.
 *
 * @since 0.1.0
 * @category utils
 */
export const processed = (
  logits: Float32Array,
  { cumulative, tokens }: Distribution,
  options: ChooseOptions
): Float32Array => {
  if (isGreedy(options)) return logits
  const { temperature } = options
  // Rounded once, as log-probabilities: a logit divided by a low temperature has no digits left for them.
  const max = largest(logits, tokens)
  const total = Math.log(cumulative[cumulative.length - 1]!)
  const kept = new Float32Array(logits.length)
  if (tokens === undefined) {
    for (let i = 0; i < logits.length; i++) kept[i] = (logits[i]! - max) / temperature - total
    return kept
  }
  kept.fill(-Infinity)
  for (const token of tokens) kept[token] = (logits[token]! - max) / temperature - total
  return kept
}

const isGreedy = ({ temperature, topK }: ChooseOptions): boolean => temperature === 0 || topK === 1

/**
 * The most probable token; the lowest of several.
 *
 * @since 0.1.0
 * @category utils
 */
export const argmax = (logits: Float32Array): number => {
  let token = 0
  for (let i = 1; i < logits.length; i++) {
    if (logits[i]! > logits[token]!) token = i
  }
  return token
}

/**
 * Logarithm of the sum of exponentials, in float64.
 *
 * @since 0.1.0
 * @category utils
 */
export const logSumExp = (logits: Float32Array): number => {
  let max = -Infinity
  for (let i = 0; i < logits.length; i++) {
    if (logits[i]! > max) max = logits[i]!
  }
  if (!Number.isFinite(max)) return max
  let sum = 0
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - max)
  return max + Math.log(sum)
}

/**
 * Log-probability of one token, in nats, computed in float64 and rounded to float32.
 *
 * @since 0.1.0
 * @category utils
 */
export const logprobAt = (logits: Float32Array, token: number): number =>
  Math.fround(logits[token]! - logSumExp(logits))

/**
 * The `k` most probable tokens, best first, with their log-probabilities in nats. Both arrays are `[min(k, vocabulary)]`.
 *
 * @since 0.1.0
 * @category utils
 */
export const topk = (
  logits: Float32Array,
  k: number
): { readonly tokenIds: Int32Array; readonly logprobs: Float32Array } => {
  const tokenIds = best(logits, Math.min(k, logits.length))
  const total = logSumExp(logits)
  const logprobs = new Float32Array(tokenIds.length)
  for (let i = 0; i < tokenIds.length; i++) logprobs[i] = logits[tokenIds[i]!]! - total
  return { tokenIds, logprobs }
}

/**
 * Room for the `k` most probable tokens of `length` positions, without any yet.
 *
 * @since 0.1.0
 * @category utils
 */
export const emptyTopk = (length: number, k: number): TopkLogprobs => ({
  k,
  length,
  tokenIds: new Int32Array(length * k),
  logprobs: new Float32Array(length * k).fill(-99999)
})

/**
 * Puts the most probable tokens of a position into their row.
 *
 * @since 0.1.0
 * @category utils
 */
export const setTopk = ({ k, logprobs, tokenIds }: TopkLogprobs, position: number, logits: Float32Array): void => {
  const best = topk(logits, k)
  tokenIds.set(best.tokenIds, position * k)
  logprobs.set(best.logprobs, position * k)
}

/**
 * Rows collected while a sequence of unknown length grew, each from {@link topk} with the same `k`.
 *
 * @since 0.1.0
 * @category utils
 */
export const joinTopk = (k: number, rows: ReadonlyArray<ReturnType<typeof topk>>): TopkLogprobs => {
  const joined = emptyTopk(rows.length, k)
  rows.forEach((row, i) => {
    // What could not be drawn comes last, and is left out.
    const impossible = row.logprobs.indexOf(-Infinity)
    const length = impossible < 0 ? row.logprobs.length : impossible
    joined.tokenIds.set(row.tokenIds.subarray(0, length), i * k)
    joined.logprobs.set(row.logprobs.subarray(0, length), i * k)
  })
  return joined
}

/** The largest logit of the given tokens, best first, or of all. */
const largest = (logits: Float32Array, tokens: Int32Array | undefined): number =>
  logits[tokens === undefined ? argmax(logits) : tokens[0]!]!

/** The `k` tokens with the largest logits, best first. */
const best = (logits: Float32Array, k: number): Int32Array => {
  // A whole sort costs V log V comparisons; for a few tokens out of many a heap of k costs about V.
  if (k * 8 > logits.length) return sorted(logits, k)
  const heap = new Int32Array(k)
  for (let i = 0; i < k; i++) heap[i] = i
  const worse = (x: number, y: number): boolean => {
    const difference = logits[x]! - logits[y]!
    return difference < 0 || (difference === 0 && x > y)
  }
  const sink = (from: number): void => {
    let parent = from
    for (;;) {
      let child = 2 * parent + 1
      if (child >= k) return
      if (child + 1 < k && worse(heap[child + 1]!, heap[child]!)) child += 1
      if (!worse(heap[child]!, heap[parent]!)) return
      const moved = heap[parent]!
      heap[parent] = heap[child]!
      heap[child] = moved
      parent = child
    }
  }
  for (let i = (k >> 1) - 1; i >= 0; i--) sink(i)
  for (let token = k; token < logits.length; token++) {
    if (worse(heap[0]!, token)) {
      heap[0] = token
      sink(0)
    }
  }
  return heap.sort((x, y) => logits[y]! - logits[x]! || x - y)
}

/**
 * The first `k` of all tokens, sorted by their logits. Numbers sort several times as quickly as by a comparison, so each logit is
 * made one: the bits of a float32 are in its order once those of the negative are turned round. Its token stands behind it.
 */
const sorted = (logits: Float32Array, k: number): Int32Array => {
  const size = logits.length
  const values = new Float32Array(size)
  // So that both zeros are one.
  for (let i = 0; i < size; i++) values[i] = logits[i]! + 0
  const bits = new Int32Array(values.buffer)
  const keys = new Float64Array(size)
  for (let i = 0; i < size; i++) {
    const rising = bits[i]! < 0 ? ~bits[i]! : bits[i]! | 0x80000000
    keys[i] = (0xffffffff - (rising >>> 0)) * size + i
  }
  keys.sort()
  const tokens = new Int32Array(k)
  for (let i = 0; i < k; i++) tokens[i] = keys[i]! % size
  return tokens
}

/** The shortest beginning of `order` such that every token in it has less than `topP` of the order's probability before it. */
const nucleus = (logits: Float32Array, order: Int32Array, temperature: number, topP: number): Int32Array => {
  const max = logits[order[0]!]!
  let total = 0
  for (let i = 0; i < order.length; i++) total += Math.exp((logits[order[i]!]! - max) / temperature)
  return beginning(logits, order, temperature, topP * total) ?? order
}

/** The nucleus of all tokens. Most hold few, so the best of them are sorted first, and more only if those do not do. */
const widening = (logits: Float32Array, temperature: number, topP: number): Int32Array => {
  const max = logits[argmax(logits)]!
  let total = 0
  for (let i = 0; i < logits.length; i++) total += Math.exp((logits[i]! - max) / temperature)
  for (let count = 128; count < logits.length; count *= 8) {
    const found = beginning(logits, best(logits, count), temperature, topP * total)
    if (found !== undefined) return found
  }
  const order = best(logits, logits.length)
  return beginning(logits, order, temperature, topP * total) ?? order
}

/** The shortest beginning of `order`, never empty, whose weights reach `wanted`; undefined if all of them do not. */
const beginning = (
  logits: Float32Array,
  order: Int32Array,
  temperature: number,
  wanted: number
): Int32Array | undefined => {
  const max = logits[order[0]!]!
  let before = 0
  for (let kept = 0; kept < order.length; kept++) {
    if (kept > 0 && before >= wanted) return order.subarray(0, kept)
    before += Math.exp((logits[order[kept]!]! - max) / temperature)
  }
  return before >= wanted ? order : undefined
}

/** Sums of the weights of the given tokens, best first, or of all; the best token has the weight 1. */
const cumulate = (logits: Float32Array, tokens: Int32Array | undefined, temperature: number): Float64Array => {
  const length = tokens === undefined ? logits.length : tokens.length
  const max = largest(logits, tokens)
  const cumulative = new Float64Array(length)
  let total = 0
  for (let i = 0; i < length; i++) {
    total += Math.exp((logits[tokens === undefined ? i : tokens[i]!]! - max) / temperature)
    cumulative[i] = total
  }
  return cumulative
}
