/** Texts that end an answer, found while it grows: they may begin in one token and end in another, or inside of one. */

/**
 * @since 0.1.0
 * @category models
 */
export interface StopTexts {
  /** Adds the answer's next token; whether one of the texts is now complete. */
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

  return {
    completes: (token) => {
      pending = [...pending, token]
      const added = decode([...context, ...pending]).slice(contextLength)
      const text = before + withoutCut(added)
      const isComplete = wanted.some((stop) => text.includes(stop))
      if (!added.endsWith(replacement) || pending.length > maxPending) {
        before = (before + added).slice(overlap === 0 ? Infinity : -overlap)
        context = pending.slice(-maxPending)
        contextLength = decode(context).length
        pending = []
      }
      return isComplete
    }
  }
}

const replacement = "\uFFFD"

/** Without the bytes of a character whose others are still to come. */
const withoutCut = (text: string): string => {
  let end = text.length
  while (end > 0 && text[end - 1] === replacement) end--
  return text.slice(0, end)
}

/** A character has at most four bytes, and a token at least one. */
const maxPending = 4
