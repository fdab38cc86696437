import { unknownOf } from "./bpe.js"
import type { Model } from "./model.js"
import { countOf, malformed, type Part, textOf } from "./part.js"

/** Takes the longest token that a word begins with, and so on behind it; a word that does not go up in tokens is unknown. */
export const wordPiece = (part: Part, vocabulary: ReadonlyMap<string, number>): Model => {
  const prefix = textOf(part, "continuing_subword_prefix", "##")
  const most = countOf(part, "max_input_chars_per_word", 100)
  const unknown = unknownOf(part, vocabulary)
  if (unknown === undefined) throw malformed("has a model of the type WordPiece without an unk_token")
  // Words beyond `most` are unknown, so that there is nothing long to stop in.

  return function*(text) {
    const characters = Array.from(text)
    if (characters.length > most) return [unknown]
    const tokens: Array<number> = []
    for (let start = 0; start < characters.length;) {
      let end = characters.length
      let token: number | undefined
      for (; end > start; end--) {
        token = vocabulary.get((start === 0 ? "" : prefix) + characters.slice(start, end).join(""))
        if (token !== undefined) break
      }
      if (token === undefined) return [unknown]
      tokens.push(token)
      start = end
    }
    return tokens
  }
}
