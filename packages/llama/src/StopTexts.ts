/** Texts that end an answer, found while it grows: they may begin in one token and end in another, or inside of one. */

/**
 * What finds the texts that end one answer.
 *
 * @since 0.1.0
 * @category models
 */
export interface StopTexts {
  /** Adds the answer's next token, and says whether one of the texts is now complete. */
  readonly completes: (token: number) => boolean
}

/**
 * Looks for `texts`, of which the empty ones count for nothing. `decode` gives the text of some neighbouring tokens, with
 * U+FFFD for bytes that are no character yet.
 *
 * Each token is decoded with a few before it, since the text of a token may depend on those (a character's first bytes, a
 * space that is left out at the beginning), so that the cost does not grow with the answer.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  texts: ReadonlyArray<string>,
  decode: (tokens: ReadonlyArray<number>) => string
): StopTexts => {
  const wanted = texts.filter((text) => text !== "")
  if (wanted.length === 0) return { completes: () => false }
  const overlap = Math.max(...wanted.map((text) => text.length)) - 1
  // Tokens whose text is known and still serves as context, then those whose text is not settled.
  let context: ReadonlyArray<number> = []
  let contextLength = 0
  let pending: ReadonlyArray<number> = []
  let before = ""

  /** How many of the pending tokens have a text that none to come can change, and that text. */
  const settled = (added: string): { readonly count: number; readonly text: string } => {
    if (!added.endsWith(replacement)) return { count: pending.length, text: added }
    const none = { count: 0, text: "" }
    if (pending.length <= maxBytes) return none
    // So many are not all of one character. Where two parts have the same text apart, no character has bytes of both.
    for (let count = pending.length - 1; count >= pending.length - maxBytes; count--) {
      const text = decode([...context, ...pending.slice(0, count)]).slice(contextLength)
      const rest = decode(pending.slice(count))
      if (rest !== "" && text + rest === added) return { count, text }
    }
    return none
  }

  return {
    completes: (token) => {
      pending = [...pending, token]
      const added = decode([...context, ...pending]).slice(contextLength)
      const { count, text } = settled(added)
      const known = before + text
      const visible = known + withoutCut(added.slice(text.length))
      if (count > 0) {
        before = overlap === 0 ? "" : known.slice(-overlap)
        context = pending.slice(Math.max(0, count - maxBytes), count)
        contextLength = decode(context).length
        pending = pending.slice(count)
      }
      return wanted.some((stop) => visible.includes(stop))
    }
  }
}

const replacement = "\uFFFD"

/** The text without the bytes of a character whose others are still to come. */
const withoutCut = (text: string): string => {
  let end = text.length
  while (end > 0 && text[end - 1] === replacement) end--
  return text.slice(0, end)
}

/** The most bytes that a character has; a token has at least one. */
const maxBytes = 4
