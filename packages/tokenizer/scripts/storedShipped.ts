/**
 * What is kept of the tokenizers of `tml-renderers` for the tests: of each vocabulary the tokens that are part of a text at all, which
 * are all that its tokens depend on, and digests of what the reference makes of the texts.
 */
import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib"

/** What `shipped_tokenizers.py` writes down of one. */
export interface Expected {
  readonly name: string
  readonly patterns: ReadonlyArray<string>
  readonly composes: boolean
  readonly special: Readonly<Record<string, number>>
  readonly encoded: ReadonlyArray<ReadonlyArray<number>>
  readonly decoded: ReadonlyArray<string>
}

/** What is kept. */
export interface Stored {
  readonly texts: ReadonlyArray<string>
  readonly vocabularies: ReadonlyArray<{
    readonly patterns: ReadonlyArray<string>
    readonly composes: boolean
    /** A file of tiktoken with the tokens that are part of a text. */
    readonly ranks: string
    /** A digest of the tokens of each text, in hexadecimal. */
    readonly encoded: string
    /** A digest of each text without its first and last token. */
    readonly decoded: string
  }>
  readonly tokenizers: ReadonlyArray<{
    readonly name: string
    readonly vocabulary: number
    readonly special: Readonly<Record<string, number>>
  }>
}

/** A digest of 32 bits: FNV-1a of the numbers' bytes. */
export const digest = (numbers: ArrayLike<number>): string => {
  let hash = 0x811c9dc5
  for (let i = 0; i < numbers.length; i++) {
    for (let shift = 0; shift < 32; shift += 8) hash = Math.imul(hash ^ (numbers[i]! >>> shift & 0xff), 0x01000193)
  }
  return (hash >>> 0).toString(16).padStart(8, "0")
}

export const digestOfText = (text: string): string => digest(new TextEncoder().encode(text))

/** The lines of a file of tiktoken whose tokens are part of one of the texts, in any of its forms. */
const cutRanks = (ranks: string, texts: ReadonlyArray<string>): string => {
  const all = Buffer.from(texts.flatMap((text) => [text, text.normalize("NFC")]).join("\uffff"))
  return ranks.split("\n").filter((line) => {
    const token = Buffer.from(line.split(" ")[0]!, "base64")
    return token.length === 1 || line !== "" && all.includes(token)
  }).join("\n")
}

export const stored = (
  texts: ReadonlyArray<string>,
  tokenizers: ReadonlyArray<Expected>,
  ranksOf: (name: string) => string
): Stored => {
  const vocabularies: Array<Stored["vocabularies"][number]> = []
  const whole: Array<string> = []
  const kept: Array<Stored["tokenizers"][number]> = []
  for (const { composes, decoded, encoded, name, patterns, special } of tokenizers) {
    const ranks = ranksOf(name)
    const digests = encoded.map(digest).join("")
    let vocabulary = vocabularies.findIndex((one, i) =>
      whole[i] === ranks && one.encoded === digests && one.patterns.join() === patterns.join()
    )
    if (vocabulary < 0) {
      vocabulary = vocabularies.length
      whole.push(ranks)
      vocabularies.push({
        patterns,
        composes,
        ranks: cutRanks(ranks, texts),
        encoded: digests,
        decoded: decoded.map(digestOfText).join("")
      })
    }
    kept.push({ name, vocabulary, special })
  }
  return { texts, vocabularies, tokenizers: kept }
}

export const packed = (value: Stored): Uint8Array =>
  brotliCompressSync(JSON.stringify(value), {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 }
  })

export const unpacked = (bytes: Uint8Array): Stored => JSON.parse(brotliDecompressSync(bytes).toString()) as Stored
