import type { Steps } from "./steps.js"

/** Makes tokens of a piece of a text. */
export type Model = (text: string) => Steps<ArrayLike<number>>

const encoder = new TextEncoder()

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
