import { toByteLevel } from "./byteLevel.js"
import { space } from "./oniguruma/characterSets.js"
import { booleanOf, characterOf, countOf, malformed, type Part, partsOf, textOf, unsupported } from "./part.js"
import { eachMatch, patternOf } from "./pattern.js"

/** A stretch of a text, which no token goes beyond. */
export interface Piece {
  readonly text: string
  /** Whether it begins where the whole text does. */
  readonly isFirst: boolean
}

export type PreTokenizer = (piece: Piece) => ReadonlyArray<Piece>

export const preTokenizerOf = (part: Part | undefined): PreTokenizer => {
  if (part === undefined) return (piece) => [piece]
  switch (part["type"]) {
    case "Sequence": {
      const steps = partsOf(part, "pretokenizers").map(preTokenizerOf)
      return (piece) => steps.reduce<ReadonlyArray<Piece>>((pieces, step) => pieces.flatMap(step), [piece])
    }
    case "Split":
      return splitter(patternOf(part), behaviorOf(part), booleanOf(part, "invert", false))
    case "ByteLevel":
      return byteLevel(part)
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
    case "BertPreTokenizer": {
      const [atSpaces, atPunctuation] = [splitter(spaces, "Removed"), splitter(punctuation, "Isolated")]
      return (piece) => atSpaces(piece).flatMap(atPunctuation)
    }
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
  end: number
  readonly isMatch: boolean
}

const splitter = (pattern: RegExp, behavior: Behavior, isInverted = false): PreTokenizer => ({ isFirst, text }) => {
  const spans: Array<Span> = []
  let behind = 0
  eachMatch(pattern, text, (start, end) => {
    if (start > behind) spans.push({ start: behind, end: start, isMatch: isInverted })
    spans.push({ start, end, isMatch: !isInverted })
    behind = end
  })
  if (behind < text.length) spans.push({ start: behind, end: text.length, isMatch: isInverted })
  const pieces: Array<Piece> = []
  for (const { end, start } of joined(spans, behavior)) {
    if (end > start) pieces.push({ text: text.slice(start, end), isFirst: isFirst && start === 0 })
  }
  return pieces
}

const joined = (spans: ReadonlyArray<Span>, behavior: Behavior): ReadonlyArray<Span> => {
  if (behavior === "Isolated") return spans
  if (behavior === "Removed") return spans.filter((span) => !span.isMatch)
  const result: Array<Span> = []
  for (const span of spans) {
    const last = result.at(-1)
    const isJoined = last !== undefined && (
      behavior === "Contiguous"
        ? span.isMatch === last.isMatch
        : behavior === "MergedWithPrevious"
        ? span.isMatch && !last.isMatch
        : !span.isMatch && last.isMatch
    )
    // Its kind is that of what it was joined with last, so that a second match begins anew.
    if (isJoined) result[result.length - 1] = { start: last.start, end: span.end, isMatch: span.isMatch }
    else result.push({ ...span })
  }
  return result
}

/** GPT-2's pattern. */
const words = patternOf({
  pattern: { Regex: "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+" }
})

const byteLevel = (part: Part): PreTokenizer => {
  const addsSpace = booleanOf(part, "add_prefix_space", false)
  const split: PreTokenizer = booleanOf(part, "use_regex", true) ? splitter(words, "Isolated") : (piece) => [piece]
  return (piece) => {
    const spaced = addsSpace && !piece.text.startsWith(" ") ? { ...piece, text: ` ${piece.text}` } : piece
    return split(spaced).map(({ isFirst, text }) => ({ isFirst, text: toByteLevel(text) }))
  }
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
    : (piece) => [piece]
  return ({ isFirst, text }) => {
    const marked = text.replaceAll(" ", () => mark)
    const needsMark = !marked.startsWith(mark) && (scheme === "always" || scheme === "first" && isFirst)
    return split({ isFirst, text: needsMark ? mark + marked : marked })
  }
}
