import { toByteLevel } from "./byteLevel.js"
import { space } from "./oniguruma/characterSets.js"
import { booleanOf, characterOf, countOf, malformed, type Part, partsOf, textOf, unsupported } from "./part.js"
import { Matches, patternOf } from "./pattern.js"

/** A stretch of a text, which no token goes beyond. */
export interface Piece {
  readonly text: string
  /** Whether it begins where the whole text does. */
  readonly isFirst: boolean
}

/** Gives pieces, one at each call, and then `undefined`. */
export type Pieces = () => Piece | undefined

export type PreTokenizer = (piece: Piece) => Pieces

export const preTokenizerOf = (part: Part | undefined): PreTokenizer => {
  if (part === undefined) return one
  switch (part["type"]) {
    case "Sequence":
      return sequence(partsOf(part, "pretokenizers").map(preTokenizerOf))
    case "Split":
      return splitter(patternOf(part), behaviorOf(part), booleanOf(part, "invert", false))
    case "ByteLevel": {
      const pieces = byteLevelPieces(part)
      return (piece) => each(pieces(piece), toByteLevel)
    }
    case "Metaspace":
      return metaspace(part)
    case "Digits":
      return splitter(digit, booleanOf(part, "individual_digits", false) ? "Isolated" : "Contiguous")
    case "Punctuation":
      return splitter(punctuation, behaviorOf(part))
    case "Whitespace":
      return splitter(wordsAndSigns, "Removed", true)
    case "WhitespaceSplit":
      return splitter(spaces, "Removed")
    case "CharDelimiterSplit": {
      const delimiter = characterOf(part, "delimiter")
      return splitter(patternOf({ pattern: { String: delimiter } }), "Removed")
    }
    case "BertPreTokenizer":
      return sequence([splitter(spaces, "Removed"), splitter(punctuation, "Isolated")])
    case "FixedLength": {
      const length = countOf(part, "length")
      if (length === 0) throw malformed("has a FixedLength of 0")
      const pattern = new RegExp(`[\\s\\S]{1,${length}}`, "gv")
      return splitter(pattern, "Isolated")
    }
    default:
      throw unsupported(`a pre_tokenizer of the type ${String(part["type"])}`)
  }
}

/**
 * The same, where the last thing that is done to a piece is to write its bytes as letters, with that left undone: pieces that have come
 * before are then known as they are.
 */
export const unspelledOf = (part: Part | undefined): PreTokenizer | undefined => {
  if (part?.["type"] === "ByteLevel") return byteLevelPieces(part)
  if (part?.["type"] !== "Sequence") return undefined
  const parts = partsOf(part, "pretokenizers")
  const last = unspelledOf(parts.at(-1))
  return last === undefined ? undefined : sequence([...parts.slice(0, -1).map(preTokenizerOf), last])
}

const one: PreTokenizer = (piece) => {
  let rest: Piece | undefined = piece
  return () => {
    const given = rest
    rest = undefined
    return given
  }
}

const each = (pieces: Pieces, change: (text: string) => string): Pieces => () => {
  const piece = pieces()
  return piece === undefined ? undefined : { isFirst: piece.isFirst, text: change(piece.text) }
}

const none: Pieces = () => undefined

const sequence = (steps: ReadonlyArray<PreTokenizer>): PreTokenizer =>
  steps.length === 0 ? one : steps.reduce((first, second) => (piece) => {
    const outer = first(piece)
    let inner = none
    return () => {
      for (;;) {
        const found = inner()
        if (found !== undefined) return found
        const next = outer()
        if (next === undefined) return undefined
        inner = second(next)
      }
    }
  })

const digit = /\p{N}/gu
const spaces = new RegExp(space, "gv")
const punctuation = /[\p{P}\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e]/gu
const letter = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}"
const wordsAndSigns = new RegExp(`[${letter}]+|[^${letter}${space}]+`, "gv")

/** What becomes of a match: a piece of its own, nothing, one piece with its neighbours of the same kind, or part of a neighbour. */
type Behavior = typeof behaviors[number]

const behaviors = ["Isolated", "Removed", "Contiguous", "MergedWithPrevious", "MergedWithNext"] as const

const behaviorOf = (part: Part): Behavior => {
  const name = textOf(part, "behavior", "Isolated")
  const behavior = behaviors.find((behavior) => behavior === name)
  if (behavior === undefined) throw unsupported(`a ${String(part["type"])} of the behavior ${name}`)
  return behavior
}

interface Span {
  readonly start: number
  readonly end: number
  readonly isMatch: boolean
}

/** Cuts at the matches of a pattern. */
export const splitter =
  (pattern: RegExp, behavior: Behavior, isInverted = false): PreTokenizer => ({ isFirst, text }) => {
    const spans = joined(spansOf(pattern, text, isInverted), behavior)
    return () => {
      for (let span = spans(); span !== undefined; span = spans()) {
        if (span.end > span.start) {
          return { text: text.slice(span.start, span.end), isFirst: isFirst && span.start === 0 }
        }
      }
      return undefined
    }
  }

/** What matches, and what is between. */
const spansOf = (pattern: RegExp, text: string, isInverted: boolean): () => Span | undefined => {
  const matches = new Matches(pattern, text)
  let behind = 0
  let waiting: Span | undefined
  return () => {
    if (waiting !== undefined) {
      const span = waiting
      waiting = undefined
      return span
    }
    const from = behind
    if (!matches.find()) {
      behind = text.length
      return from < text.length ? { start: from, end: text.length, isMatch: isInverted } : undefined
    }
    const span = { start: matches.start, end: matches.end, isMatch: !isInverted }
    behind = span.end
    if (span.start === from) return span
    waiting = span
    return { start: from, end: span.start, isMatch: isInverted }
  }
}

const joined = (spans: () => Span | undefined, behavior: Behavior): () => Span | undefined => {
  if (behavior === "Isolated") return spans
  if (behavior === "Removed") {
    return () => {
      let span = spans()
      while (span?.isMatch === true) span = spans()
      return span
    }
  }
  let last = spans()
  return () => {
    for (;;) {
      const span = spans()
      const whole = last
      if (whole === undefined || span === undefined) {
        last = undefined
        return whole
      }
      const isJoined = behavior === "Contiguous"
        ? span.isMatch === whole.isMatch
        : behavior === "MergedWithPrevious"
        ? span.isMatch && !whole.isMatch
        : !span.isMatch && whole.isMatch
      // Its kind is that of what it was joined with last, so that a second match begins anew.
      last = isJoined ? { start: whole.start, end: span.end, isMatch: span.isMatch } : span
      if (!isJoined) return whole
    }
  }
}

/** GPT-2's pattern. */
const words = patternOf({
  pattern: { Regex: "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+" }
})

const byteLevelPieces = (part: Part): PreTokenizer => {
  const addsSpace = booleanOf(part, "add_prefix_space", false)
  const split = booleanOf(part, "use_regex", true) ? splitter(words, "Isolated") : one
  return (piece) => split(addsSpace && !piece.text.startsWith(" ") ? { ...piece, text: ` ${piece.text}` } : piece)
}

/** Where a mark for a space is put though there is none: before every piece, before the first, or before none. */
export const prependSchemeOf = (part: Part): "always" | "first" | "never" => {
  const addsSpace = part["add_prefix_space"] === undefined ? undefined : booleanOf(part, "add_prefix_space", true)
  const scheme = textOf(part, "prepend_scheme", addsSpace === false ? "never" : "always")
  if (scheme !== "always" && scheme !== "first" && scheme !== "never") {
    throw unsupported(`a Metaspace of the prepend_scheme ${scheme}`)
  }
  if (addsSpace === false && scheme !== "never") {
    throw malformed(`has a Metaspace of the prepend_scheme ${scheme} whose add_prefix_space is false`)
  }
  return scheme
}

export const metaspaceMark = (part: Part): string => characterOf(part, "replacement", "\u2581")

const metaspace = (part: Part): PreTokenizer => {
  const mark = metaspaceMark(part)
  const scheme = prependSchemeOf(part)
  const split: PreTokenizer = booleanOf(part, "split", true)
    ? splitter(patternOf({ pattern: { String: mark } }), "MergedWithNext")
    : one
  return ({ isFirst, text }) => {
    const marked = text.replaceAll(" ", () => mark)
    const needsMark = !marked.startsWith(mark) && (scheme === "always" || scheme === "first" && isFirst)
    return split({ isFirst, text: needsMark ? mark + marked : marked })
  }
}
