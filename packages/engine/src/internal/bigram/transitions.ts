/** What follows each token, kept for many draws. */
import * as Sampler from "../../Sampler.js"

/** What may follow one token, and the logits whose log-probabilities are told, `[vocabulary] float32`. */
export interface Following {
  readonly distribution: Sampler.Distribution
  readonly logits: Float32Array
}

/**
 * Draws wait for memory and for nothing else, so the little that one needs lies close together, ten bytes for each token and
 * each that may follow it: made for a token when it is met.
 */
export class Transitions {
  private readonly vocabulary: number
  private readonly following: (token: number) => Following
  /** How many may follow each token; 0 while it was not met. */
  private readonly counts: Int32Array
  /** The share of the probability up to and with each that may follow, in units of 2^-32, beside its log-probability. */
  private readonly shares: Uint32Array
  private readonly logprobs: Float32Array
  /** How many that may follow end before each of equal parts of the probability. */
  private readonly ended: Uint16Array
  /** The tokens that may follow, where not all may. */
  private tokens: Int32Array | undefined

  constructor(vocabulary: number, following: (token: number) => Following) {
    this.vocabulary = vocabulary
    this.following = following
    this.counts = new Int32Array(vocabulary)
    this.shares = new Uint32Array(2 * vocabulary * vocabulary)
    this.logprobs = new Float32Array(this.shares.buffer)
    this.ended = new Uint16Array(vocabulary * vocabulary)
  }

  /** The place of what follows a token, drawn by a number uniform in [0, 1). */
  draw(token: number, share: number): number {
    if (this.counts[token] === 0) this.meet(token)
    const { ended, shares } = this
    const count = this.counts[token]!
    const begin = token * this.vocabulary
    const last = begin + count - 1
    const point = share * unit
    let place = begin + ended[begin + Math.floor(share * count)]!
    while (place < last && shares[2 * place]! <= point) place++
    return place
  }

  tokenAt(place: number): number {
    return this.tokens === undefined ? place % this.vocabulary : this.tokens[place]!
  }

  logprobAt(place: number): number {
    return this.logprobs[2 * place + 1]!
  }

  private meet(token: number): void {
    const { ended, logprobs, shares, vocabulary } = this
    const { distribution: { cumulative, tokens }, logits } = this.following(token)
    const begin = token * vocabulary
    const sum = cumulative[cumulative.length - 1]!
    const total = Sampler.logSumExp(logits)
    let count = cumulative.length
    // Whatever is left over of the probability falls to the last, which must have some.
    while (count > 1 && cumulative[count - 2]! >= sum) count--
    for (let i = 0, before = 0; i < count; i++) {
      // A draw in this part may be a little lower than its bound, by rounding.
      while (before < count - 1 && unit * (cumulative[before]! / sum) <= unit * (i / count) - 1) before++
      const follows = tokens === undefined ? i : tokens[i]!
      ended[begin + i] = before
      shares[2 * (begin + i)] = unit * (cumulative[i]! / sum)
      logprobs[2 * (begin + i) + 1] = logits[follows]! - total
    }
    if (tokens !== undefined) {
      this.tokens ??= new Int32Array(vocabulary * vocabulary)
      this.tokens.set(tokens, begin)
    }
    this.counts[token] = count
  }
}

const unit = 2 ** 32
