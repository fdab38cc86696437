/**
 * Byte-level byte-pair encoding: learns merges from pieces of text, encodes with them, and writes the `tokenizer.json`
 * that other tools read.
 */

/** How GPT-2 cuts text before merging, so that no token crosses from one word into the next. */
const pretokens = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu

export const endOfText = "<|endoftext|>"

/** The printable character that stands for each byte in the vocabulary, as GPT-2 chose them. */
export const byteCharacters: ReadonlyArray<string> = (() => {
  const characters: Array<string> = []
  let spare = 256
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
    characters.push(String.fromCodePoint(printable ? byte : spare++))
  }
  return characters
})()

const utf8 = new TextEncoder()

const toCharacters = (pretoken: string): Array<string> =>
  Array.from(utf8.encode(pretoken), (byte) => byteCharacters[byte]!)

export interface Vocabulary {
  /** In order of their ids: {@link endOfText} and the bytes, then a token a merge. */
  readonly tokens: ReadonlyArray<string>
  readonly merges: ReadonlyArray<readonly [left: string, right: string]>
}

interface Word {
  parts: Array<string>
  readonly count: number
}

const mergePair = (parts: ReadonlyArray<string>, left: string, right: string): Array<string> => {
  const merged: Array<string> = []
  for (let i = 0; i < parts.length; i++) {
    if (parts[i] === left && parts[i + 1] === right) {
      merged.push(left + right)
      i++
    } else merged.push(parts[i]!)
  }
  return merged
}

/** Learns a vocabulary of `size` tokens. Equal counts go to the pair that sorts first, so the result is determined. */
export const learn = (pieces: Iterable<string>, size: number): Vocabulary => {
  const counts = new Map<string, number>()
  for (const piece of pieces) {
    for (const pretoken of piece.match(pretokens) ?? []) counts.set(pretoken, (counts.get(pretoken) ?? 0) + 1)
  }
  const words: Array<Word> = []
  for (const [pretoken, count] of counts) if (count > 1) words.push({ parts: toCharacters(pretoken), count })

  const tokens = [endOfText, ...byteCharacters]
  const merges: Array<readonly [string, string]> = []
  while (tokens.length < size) {
    const pairs = new Map<string, number>()
    for (const { count, parts } of words) {
      for (let i = 1; i < parts.length; i++) {
        const pair = `${parts[i - 1]} ${parts[i]}`
        pairs.set(pair, (pairs.get(pair) ?? 0) + count)
      }
    }
    let best = ""
    let most = 0
    for (const [pair, count] of pairs) {
      if (count > most || (count === most && pair < best)) {
        best = pair
        most = count
      }
    }
    if (most === 0) break
    const [left, right] = best.split(" ") as [string, string]
    for (const word of words) {
      if (word.parts.length > 1) word.parts = mergePair(word.parts, left, right)
    }
    merges.push([left, right])
    tokens.push(left + right)
  }
  return { tokens, merges }
}

/** Makes a function from a piece of text to token ids. It remembers every word it has met. */
export const makeEncoder = (vocabulary: Vocabulary): (piece: string) => ReadonlyArray<number> => {
  const ids = new Map(vocabulary.tokens.map((token, id) => [token, id]))
  const ranks = new Map(vocabulary.merges.map(([left, right], rank) => [`${left} ${right}`, rank]))
  const known = new Map<string, ReadonlyArray<number>>()
  const encodeWord = (pretoken: string): ReadonlyArray<number> => {
    let parts = toCharacters(pretoken)
    while (parts.length > 1) {
      let lowest = Infinity
      let at = -1
      for (let i = 1; i < parts.length; i++) {
        const rank = ranks.get(`${parts[i - 1]} ${parts[i]}`)
        if (rank !== undefined && rank < lowest) {
          lowest = rank
          at = i - 1
        }
      }
      if (at < 0) break
      parts = mergePair(parts, parts[at]!, parts[at + 1]!)
    }
    return parts.map((part) => ids.get(part)!)
  }
  return (piece) => {
    const encoded: Array<number> = []
    for (const pretoken of piece.match(pretokens) ?? []) {
      let word = known.get(pretoken)
      if (word === undefined) {
        word = encodeWord(pretoken)
        known.set(pretoken, word)
      }
      for (const id of word) encoded.push(id)
    }
    return encoded
  }
}

const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true }

/** The contents of `tokenizer.json`. */
export const toTokenizerJson = (vocabulary: Vocabulary) => ({
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: [{
    id: vocabulary.tokens.indexOf(endOfText),
    content: endOfText,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true
  }],
  normalizer: null,
  pre_tokenizer: byteLevel,
  post_processor: null,
  decoder: byteLevel,
  model: {
    type: "BPE",
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: false,
    vocab: Object.fromEntries(vocabulary.tokens.map((token, id) => [token, id])),
    merges: vocabulary.merges.map(([left, right]) => `${left} ${right}`)
  }
})
