import { space } from "./oniguruma/characterSets.js"
import { malformed } from "./part.js"
import type { TokenizerFile } from "./tokenizerFile.js"
import { trie } from "./trie.js"

export type AddedToken = Pick<TokenizerFile["added_tokens"][number], "content" | "id" | "special"> & {
  readonly normalized?: boolean | undefined
  readonly single_word?: boolean | undefined
  readonly lstrip?: boolean | undefined
  readonly rstrip?: boolean | undefined
}

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

/** Gives the stretches of a text, one at each call, and then `undefined`. `isPlain` lets the names of special tokens be text. */
export type Splitter = (text: string, isPlain: boolean) => () => Stretch | undefined

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
  const finder = finderOf(tokens)
  const isAnyPlain = tokens.some(({ token }) => !token.special)
  return (text, isPlain) => {
    // The names of special tokens are looked for even so, as they hide shorter ones that they begin with.
    const find = isPlain && !isAnyPlain ? undefined : finder
    let behind = 0
    let at = 0
    let waiting: Stretch | undefined
    return () => {
      if (waiting !== undefined) {
        const stretch = waiting
        waiting = undefined
        return stretch
      }
      for (let match = find?.(text, at); match !== undefined; match = find?.(text, at)) {
        let { end, start } = match
        const { token } = match
        at = end
        if (isPlain && token.special) continue
        if (token.single_word === true && (isAt(endsWithWord, text, start) || isAt(startsWithWord, text, end))) continue
        if (token.lstrip === true) {
          while (start > behind && isAt(spaceAt, text, start - 1)) start -= 1
          start = Math.max(start, behind)
        }
        if (token.rstrip === true) { while (end < text.length && isAt(spaceAt, text, end)) end += 1 }
        const from = behind
        behind = end
        // The token before may have taken this one along with the space behind it.
        const own = start < end ? { start, end, token: token.id } : undefined
        if (from >= start) {
          if (own !== undefined) return own
          continue
        }
        waiting = own
        return { start: from, end: start, token: undefined }
      }
      const from = behind
      at = behind = text.length
      return from < text.length ? { start: from, end: text.length, token: undefined } : undefined
    }
  }
}

interface Found {
  readonly token: AddedToken
  readonly start: number
  readonly end: number
}

/** Finds the next token at a place or behind it. None where there are no tokens to be found. */
const finderOf = (
  tokens: ReadonlyArray<{ readonly name: string; readonly token: AddedToken }>
): ((text: string, from: number) => Found | undefined) | undefined => {
  if (tokens.length === 0) return undefined
  const root = trie(tokens.map(({ name, token }) => [name, token] as const))
  const firsts = Array.from(root.next.keys(), (code) => `\\u${code.toString(16).padStart(4, "0")}`)
  const first = new RegExp(`[${firsts.join("")}]`, "g")
  return (text, from) => {
    first.lastIndex = from
    while (first.test(text)) {
      const start = first.lastIndex - 1
      let found: Found | undefined
      let node = root.next.get(text.charCodeAt(start))
      for (let end = start + 1; node !== undefined; end++) {
        if (node.token !== undefined) found = { token: node.token, start, end }
        node = end < text.length ? node.next.get(text.charCodeAt(end)) : undefined
      }
      if (found !== undefined) return found
    }
    return undefined
  }
}
