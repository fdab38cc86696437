import { byteTokens, type Model } from "./model.js"
import { booleanOf, malformed, type Part } from "./part.js"
import { type Node, trie } from "./trie.js"

/** The score of what is unknown, below that of every token. Source: `kUnkPenalty` of SentencePiece. */
const unknownPenalty = 10

/** So many characters are gone through between two stops. */
const between = 1024

/** The way through a text whose tokens have the highest sum of scores. Neighbours that are unknown are one. */
export const unigram = (part: Part, vocabulary: ReadonlyMap<string, number>): Model => {
  const vocab = part["vocab"] as ReadonlyArray<readonly [string, number]>
  const entries = vocab.map(([name, score]) => [name, asRead(score)] as const)
  const unknown = part["unk_id"]
  if (typeof unknown !== "number" || entries[unknown] === undefined) {
    throw malformed("has a model of the type Unigram whose unk_id is of no token")
  }
  const usesBytes = booleanOf(part, "byte_fallback", false)
  const unknownScore = entries.reduce((least, [, score]) => Math.min(least, score), Infinity) - unknownPenalty
  const root = trie(vocabulary)

  return function*(text) {
    const size = text.length
    const scores = new Float64Array(size + 1)
    const starts = new Int32Array(size + 1).fill(-1)
    const tokens = new Int32Array(size + 1)
    const offer = (start: number, end: number, token: number, score: number) => {
      const sum = score + scores[start]!
      if (starts[end] !== -1 && !(sum > scores[end]!)) return
      scores[end] = sum
      starts[end] = start
      tokens[end] = token
    }
    for (let start = 0, done = 1; start < size; done++) {
      if (done % between === 0) yield
      const one = start + (text.codePointAt(start)! > 0xffff ? 2 : 1)
      let node = root.next.get(text.charCodeAt(start))
      let isKnown = false
      for (let end = start + 1; node !== undefined; node = step(node, text, end), end++) {
        if (node.token === undefined) continue
        offer(start, end, node.token, entries[node.token]![1])
        if (end === one) isKnown = true
      }
      if (!isKnown) offer(start, one, unknown, unknownScore)
      start = one
    }
    const pieces: Array<{ readonly start: number; readonly end: number; readonly isUnknown: boolean }> = []
    for (let end = size; end > 0;) {
      const start = starts[end]!
      const isUnknown = tokens[end] === unknown
      const last = pieces.at(-1)
      if (isUnknown && last?.isUnknown === true) pieces[pieces.length - 1] = { start, end: last.end, isUnknown }
      else pieces.push({ start, end, isUnknown })
      end = start
    }
    return pieces.reverse().flatMap(({ end, start }) => {
      const name = text.slice(start, end)
      const token = vocabulary.get(name)
      if (token !== undefined) return [token]
      return (usesBytes ? byteTokens(vocabulary, name) : undefined) ?? [unknown]
    })
  }
}

/**
 * The score as the reference reads it: its digits as a whole number, then divided by a power of ten, which can be off in the last bit.
 * Ways of the same tokens in another order differ by no more.
 */
const asRead = (score: number): number => {
  const [mantissa, exponent] = Math.abs(score).toExponential().split("e") as [string, string]
  const digits = mantissa.replace(".", "")
  const power = Number(exponent) - (digits.length - 1)
  const size = power < 0 ? Number(digits) / Number(`1e${-power}`) : Number(digits) * Number(`1e${power}`)
  return score < 0 ? -size : size
}

const step = (node: Node<number>, text: string, end: number): Node<number> | undefined =>
  end < text.length ? node.next.get(text.charCodeAt(end)) : undefined
