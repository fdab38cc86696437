import { mergeFew, mergeMany, type Merges, mostLookedThrough } from "./merging.js"
import { byteTokens, type Model } from "./model.js"
import { PairTable } from "./pairTable.js"
import { booleanOf, malformed, type Part, textOf, unsupported } from "./part.js"
import type { Steps } from "./steps.js"
import { TokenList } from "./tokenList.js"

const encoder = new TextEncoder()

/** So many characters are looked up between two stops. */
const between = 4096

/** Byte pair encoding: characters, joined two by two in the order of the merges. */
export const bpe = (part: Part, vocabulary: ReadonlyMap<string, number>): Model => {
  if (typeof part["dropout"] === "number" && part["dropout"] > 0) {
    throw unsupported("random drops of merges (model.dropout), which are for training a tokenizer and")
  }
  const prefix = textOf(part, "continuing_subword_prefix", "")
  const suffix = textOf(part, "end_of_word_suffix", "")
  const usesBytes = booleanOf(part, "byte_fallback", false)
  const fusesUnknown = booleanOf(part, "fuse_unk", false)
  const takesWhole = booleanOf(part, "ignore_merges", false)
  const unknown = unknownOf(part, vocabulary)
  const merges = mergesOf(part, vocabulary, prefix)

  function* symbols(text: string): Steps<TokenList> {
    const tokens = new TokenList()
    // What is unknown waits, to be joined to more of it.
    let waiting: number | undefined
    for (let at = 0, end = 0, done = 0; at < text.length; at = end) {
      if (++done % between === 0) yield
      const character = String.fromCodePoint(text.codePointAt(at)!)
      end = at + character.length
      const symbol = (at === 0 ? "" : prefix) + character + (end === text.length ? suffix : "")
      const token = vocabulary.get(symbol)
      if (token !== undefined) {
        if (waiting !== undefined) tokens.push(waiting)
        waiting = undefined
        tokens.push(token)
        continue
      }
      const bytes = usesBytes ? byteTokens(vocabulary, symbol) : undefined
      if (bytes !== undefined) {
        tokens.pushAll(bytes)
        continue
      }
      if (waiting !== undefined && !fusesUnknown) tokens.push(waiting)
      waiting = unknown
    }
    if (waiting !== undefined) tokens.push(waiting)
    return tokens
  }

  return function*(text) {
    const whole = takesWhole ? vocabulary.get(text) : undefined
    if (whole !== undefined) return [whole]
    const tokens = (yield* symbols(text)).toArray()
    if (tokens.length > mostLookedThrough) return yield* mergeMany(tokens, merges)
    const few = Array.from(tokens)
    mergeFew(few, merges)
    return few
  }
}

/** The token for what has none. */
export const unknownOf = (part: Part, vocabulary: ReadonlyMap<string, number>): number | undefined => {
  const name = part["unk_token"]
  if (name === undefined || name === null) return undefined
  const token = typeof name === "string" ? vocabulary.get(name) : undefined
  if (token === undefined) {
    throw malformed(`has the model.unk_token ${JSON.stringify(name)}, which its vocabulary lacks`)
  }
  return token
}

const mergesOf = (part: Part, vocabulary: ReadonlyMap<string, number>, prefix: string): Merges => {
  const { merges } = part
  if (!Array.isArray(merges)) throw malformed("has a model of the type BPE without merges")
  const prefixLength = encoder.encode(prefix).length
  const ranks = new PairTable(merges.length)
  const results = new Int32Array(merges.length)
  const tokenOf = (name: string, rank: number): number => {
    const token = vocabulary.get(name)
    if (token === undefined) {
      throw malformed(`has an entry ${rank} in model.merges with ${JSON.stringify(name)}, which its vocabulary lacks`)
    }
    return token
  }
  for (const [rank, merge] of merges.entries()) {
    // Older files write the two with a space between them.
    const pair: unknown = typeof merge === "string" ? merge.split(" ") : merge
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string" || typeof pair[1] !== "string") {
      throw malformed(`has an entry ${rank} in model.merges that is no pair of tokens`)
    }
    const [left, right] = pair as [string, string]
    const joined = left + (prefixLength === 0 ? right : withoutBytes(right, prefixLength))
    ranks.set(tokenOf(left, rank), tokenOf(right, rank), rank)
    results[rank] = tokenOf(joined, rank)
  }
  return { rankOf: (left, right) => ranks.get(left, right), resultOf: (rank) => results[rank]! }
}

/** A prefix is cut off by its length, whether the token has it or not. */
const withoutBytes = (name: string, count: number): string => {
  const bytes = encoder.encode(name)
  if (bytes.length < count) throw malformed("has merges of tokens without the continuing_subword_prefix")
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(count))
}

/**
 * Byte pair encoding as tiktoken has it: any two tokens are joined that are one together, in the order of its ids. `names` are those of
 * the tokens by their ids.
 */
export const rankedBpe = (vocabulary: ReadonlyMap<string, number>, names: ReadonlyMap<number, string>): Model => {
  const named: Array<string> = []
  for (const [id, name] of names) named[id] = name
  const merges: Merges = {
    rankOf: (left, right) => vocabulary.get(named[left]! + named[right]!) ?? -1,
    resultOf: (rank) => rank
  }
  return function*(text) {
    const whole = vocabulary.get(text)
    if (whole !== undefined) return [whole]
    const tokens = new Int32Array(text.length)
    for (let i = 0; i < text.length; i++) {
      if (i % between === between - 1) yield
      tokens[i] = vocabulary.get(text[i]!)!
    }
    if (tokens.length > mostLookedThrough) return yield* mergeMany(tokens, merges)
    const few = Array.from(tokens)
    mergeFew(few, merges)
    return few
  }
}
