import { space } from "./oniguruma/characterSets.js"
import { malformed } from "./part.js"
import type { TokenizerFile } from "./tokenizerFile.js"
import { trie } from "./trie.js"

export type AddedToken = TokenizerFile["added_tokens"][number]

/**
 * Refuses tokens with another id than the reference gives them, which does not look at the file's: a token that the model has
 * keeps its id, the others are counted on from the number of the model's tokens.
 */
export const checkIds = (
  added: ReadonlyArray<AddedToken>,
  vocabulary: ReadonlyMap<string, number>,
  modelTokens: number
): void => {
  const ids = new Map<string, number>()
  let next = modelTokens
  for (const { content, id } of added) {
    if (content === "") continue
    const right = ids.get(content) ?? vocabulary.get(content) ?? next
    if (id !== right) {
      throw malformed(
        `gives the token ${JSON.stringify(content)} the id ${id}, which is ${right} for the Python library tokenizers, `
          + "by the tokens before it"
      )
    }
    ids.set(content, id)
    next = Math.max(next, id + 1)
  }
}

/** A stretch of a text: an added token, or what is between two. */
export interface Stretch {
  readonly start: number
  readonly end: number
  readonly token: number | undefined
}

export interface Splitter {
  /** `isPlain` lets the names of special tokens be text. */
  readonly split: (text: string, isPlain: boolean) => ReadonlyArray<Stretch>
}

const word = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]"
const startsWithWord = new RegExp(word, "vy")
const endsWithWord = new RegExp(`(?<=${word})`, "vy")
const spaceAt = new RegExp(space, "vy")

const isAt = (pattern: RegExp, text: string, at: number): boolean => {
  pattern.lastIndex = at
  return pattern.test(text)
}

/** Finds added tokens in a text: from the left, the longest of those that begin at the same place. */
export const splitterOf = (tokens: ReadonlyArray<{ readonly name: string; readonly token: AddedToken }>): Splitter => {
  const root = trie(tokens.map(({ name, token }) => [name, token] as const))

  const longest = (text: string, start: number) => {
    let found: { readonly token: AddedToken; readonly end: number } | undefined
    let node = root.next.get(text.charCodeAt(start))
    for (let end = start + 1; node !== undefined; end++) {
      if (node.token !== undefined) found = { token: node.token, end }
      node = end < text.length ? node.next.get(text.charCodeAt(end)) : undefined
    }
    return found
  }

  const split = (text: string, isPlain: boolean): ReadonlyArray<Stretch> => {
    const stretches: Array<Stretch> = []
    let behind = 0
    for (let at = 0; at < text.length;) {
      const match = longest(text, at)
      if (match === undefined) {
        at += 1
        continue
      }
      let start = at
      let { end } = match
      const { token } = match
      at = end
      if (isPlain && token.special) continue
      if (token.single_word && (isAt(endsWithWord, text, start) || isAt(startsWithWord, text, end))) continue
      if (token.lstrip) {
        while (start > behind && isAt(spaceAt, text, start - 1)) start -= 1
        start = Math.max(start, behind)
      }
      if (token.rstrip) { while (end < text.length && isAt(spaceAt, text, end)) end += 1 }
      if (behind < start) stretches.push({ start: behind, end: start, token: undefined })
      // The token before may have taken this one along with the space behind it.
      if (start < end) stretches.push({ start, end, token: token.id })
      behind = end
    }
    if (behind < text.length) stretches.push({ start: behind, end: text.length, token: undefined })
    return stretches
  }
  return { split }
}
