import { booleanOf, malformed, type Part, textOf, unsupported } from "./part.js"

const encoder = new TextEncoder()

/** The tokens of one piece of a text. */
export type Model = (text: string) => ReadonlyArray<number>

/** The tokens of the bytes of `text`, if the vocabulary has one for each. */
export const byteTokens = (
  vocabulary: ReadonlyMap<string, number>,
  text: string
): ReadonlyArray<number> | undefined => {
  const tokens: Array<number> = []
  for (const byte of encoder.encode(text)) {
    const token = vocabulary.get(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`)
    if (token === undefined) return undefined
    tokens.push(token)
  }
  return tokens
}

/** Pieces of more characters than these are not kept, as they are seldom the same again. */
const mostCached = 256
const cacheSize = 10_000

/** Byte pair encoding: characters, joined two by two in the order of the merges. */
export const bpe = (part: Part, vocabulary: ReadonlyMap<string, number>, vocabularySize: number): Model => {
  if (typeof part["dropout"] === "number" && part["dropout"] > 0) {
    throw unsupported("random drops of merges (model.dropout), which are for training a tokenizer and")
  }
  const prefix = textOf(part, "continuing_subword_prefix", "")
  const suffix = textOf(part, "end_of_word_suffix", "")
  const usesBytes = booleanOf(part, "byte_fallback", false)
  const fusesUnknown = booleanOf(part, "fuse_unk", false)
  const takesWhole = booleanOf(part, "ignore_merges", false)
  const unknown = unknownOf(part, vocabulary)
  const merges = mergesOf(part, vocabulary, vocabularySize, prefix)

  const symbols = (text: string): Array<number> => {
    const characters = Array.from(text)
    const tokens: Array<number> = []
    // What is unknown waits, to be joined to more of it.
    let waiting: number | undefined
    for (const [i, character] of characters.entries()) {
      const symbol = (i === 0 ? "" : prefix) + character + (i === characters.length - 1 ? suffix : "")
      const token = vocabulary.get(symbol)
      if (token !== undefined) {
        if (waiting !== undefined) tokens.push(waiting)
        waiting = undefined
        tokens.push(token)
        continue
      }
      const bytes = usesBytes ? byteTokens(vocabulary, symbol) : undefined
      if (bytes !== undefined) {
        for (const byte of bytes) tokens.push(byte)
        continue
      }
      if (waiting !== undefined && !fusesUnknown) tokens.push(waiting)
      waiting = unknown
    }
    if (waiting !== undefined) tokens.push(waiting)
    return tokens
  }

  const cache = new Map<string, ReadonlyArray<number>>()
  return (text) => {
    const whole = takesWhole ? vocabulary.get(text) : undefined
    if (whole !== undefined) return [whole]
    const cached = cache.get(text)
    if (cached !== undefined) return cached
    const tokens = merged(symbols(text), merges)
    if (text.length <= mostCached) {
      if (cache.size >= cacheSize) cache.clear()
      cache.set(text, tokens)
    }
    return tokens
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

interface Merges {
  /** The rank of two tokens side by side, by `left * size + right`. The lowest is joined first. */
  readonly ranks: ReadonlyMap<number, number>
  /** What the two of each rank become. */
  readonly results: ReadonlyArray<number>
  readonly size: number
}

/** The most tokens for which the keys of pairs stay exact. */
const mostTokens = 2 ** 26

const mergesOf = (
  part: Part,
  vocabulary: ReadonlyMap<string, number>,
  size: number,
  prefix: string
): Merges => {
  const { merges } = part
  if (!Array.isArray(merges)) throw malformed("has a model of the type BPE without merges")
  if (size > mostTokens) throw malformed(`has ids up to ${size - 1}, of which most are of no token`)
  const prefixLength = encoder.encode(prefix).length
  const ranks = new Map<number, number>()
  const results: Array<number> = []
  for (const [rank, merge] of merges.entries()) {
    // Older files write the two with a space between them.
    const pair: unknown = typeof merge === "string" ? merge.split(" ") : merge
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string" || typeof pair[1] !== "string") {
      throw malformed(`has an entry ${rank} in model.merges that is no pair of tokens`)
    }
    const [left, right] = pair as [string, string]
    const joined = left + (prefixLength === 0 ? right : withoutBytes(right, prefixLength))
    const tokens = [left, right, joined].map((name) => {
      const token = vocabulary.get(name)
      if (token === undefined) {
        throw malformed(`has an entry ${rank} in model.merges with ${JSON.stringify(name)}, which its vocabulary lacks`)
      }
      return token
    })
    ranks.set(tokens[0]! * size + tokens[1]!, rank)
    results.push(tokens[2]!)
  }
  return { ranks, results, size }
}

/** A prefix is cut off by its length, whether the token has it or not. */
const withoutBytes = (name: string, count: number): string => {
  const bytes = encoder.encode(name)
  if (bytes.length < count) throw malformed("has merges of tokens without the continuing_subword_prefix")
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(count))
}

/** Joins the pair of the lowest rank, of those the first, until there is none. `tokens` is used up. */
const merged = (tokens: Array<number>, { ranks, results, size }: Merges): ReadonlyArray<number> => {
  const count = tokens.length
  if (count < 2) return tokens
  const before = Int32Array.from({ length: count }, (_, i) => i - 1)
  const behind = Int32Array.from({ length: count }, (_, i) => i + 1)
  const isGone = new Uint8Array(count)
  const queue: Array<number> = []
  const rankAt = (at: number): number | undefined =>
    behind[at]! < count ? ranks.get(tokens[at]! * size + tokens[behind[at]!]!) : undefined
  const offer = (at: number) => {
    const rank = rankAt(at)
    if (rank !== undefined) push(queue, rank * count + at)
  }
  for (let at = 0; at < count - 1; at++) offer(at)
  while (queue.length > 0) {
    const next = pop(queue)
    const at = next % count
    const result = results[(next - at) / count]!
    if (isGone[at] === 1) continue
    const rank = rankAt(at)
    if (rank === undefined || results[rank] !== result) continue
    const right = behind[at]!
    tokens[at] = result
    isGone[right] = 1
    behind[at] = behind[right]!
    if (behind[at]! < count) before[behind[at]!] = at
    if (before[at]! >= 0) offer(before[at]!)
    offer(at)
  }
  return tokens.filter((_, i) => isGone[i] === 0)
}

/** A heap, the least first. */
const push = (heap: Array<number>, value: number): void => {
  let at = heap.length
  heap.push(value)
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (heap[parent]! <= value) break
    heap[at] = heap[parent]!
    at = parent
  }
  heap[at] = value
}

const pop = (heap: Array<number>): number => {
  const least = heap[0]!
  const value = heap.pop()!
  if (heap.length === 0) return least
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child += 1
    if (heap[child]! >= value) break
    heap[at] = heap[child]!
    at = child
  }
  heap[at] = value
  return least
}
