/** Pieces of what is told to users. */

/** Says what is wrong with something without repeating all of it. */
export const brief = (text: string): string =>
  text.length <= maxTextLength
    ? text
    : `${text.slice(0, maxTextLength)}… (and ${text.length - maxTextLength} characters more)`

/** The length up to which a text is repeated in a message, in characters. */
export const maxTextLength = 1000

export const enumerated = (names: ReadonlyArray<string>): string =>
  names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`

/** A field as users of the wire know it, `max_tokens` for `maxTokens`. */
export const wireName = (field: string): string => field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
