/**
 * What the names and escapes of Oniguruma stand for, in the terms of JavaScript.
 *
 * Source: the documentation of Oniguruma (doc/RE), and its answers for every character.
 */
import { unsupported } from "../part.js"

/** White space, as Rust and Oniguruma understand it: U+0085 is, U+FEFF is not. */
export const space = "\\p{White_Space}"

const word = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
/** A few characters of Latin-1 belong to a word only where they do not stand in a class. */
export const wordAlone = `[${word}\\u00B2\\u00B3\\u00B9\\u00BC-\\u00BE]`
const hex = "0-9A-Fa-f"

export const literal = (character: string): string =>
  /^[A-Za-z0-9]$/.test(character) ? character : `\\u{${character.codePointAt(0)!.toString(16)}}`

/** Escapes that stand for a set, as the inside of a class. */
export const escapedSets: Readonly<Record<string, string>> = {
  d: "\\p{Nd}",
  D: "\\P{Nd}",
  s: space,
  S: "\\P{White_Space}",
  w: word,
  W: `[^${word}]`,
  h: hex,
  H: `[^${hex}]`
}

export const controlCharacters: Readonly<Record<string, string>> = {
  t: "\t",
  n: "\n",
  r: "\r",
  f: "\f",
  v: "\v",
  a: "\x07",
  e: "\x1b"
}

/** The ends of the text alone, as long as the expression has not the flag m. */
export const startOfText = "^"
export const endOfText = "$"

export const assertions: Readonly<Record<string, string>> = {
  A: startOfText,
  z: endOfText,
  Z: `(?=\\n?${endOfText})`,
  b: `(?:(?<=${wordAlone})(?!${wordAlone})|(?<!${wordAlone})(?=${wordAlone}))`,
  B: `(?:(?<=${wordAlone})(?=${wordAlone})|(?<!${wordAlone})(?!${wordAlone}))`
}

/** The names of sets in `[[:name:]]`. */
export const posixSets: Readonly<Record<string, string>> = {
  alnum: "\\p{Alphabetic}\\p{Nd}",
  alpha: "\\p{Alphabetic}",
  ascii: "\\x00-\\x7f",
  blank: "\\p{Zs}\\t",
  cntrl: "\\p{Cc}",
  digit: "\\p{Nd}",
  lower: "\\p{Lowercase}",
  punct: "\\p{P}\\p{S}",
  space,
  upper: "\\p{Uppercase}",
  word,
  xdigit: hex
}

/** Letters which are one more letter's other case, beside their own. */
export const otherCases: Readonly<Record<string, string>> = { s: "\u017f", k: "\u212a" }

/** What, in either case, also fits one character, which JavaScript does not know. */
export const ligatures = ["ss", "ff", "fi", "fl", "st"]

export const compiles = (source: string): boolean => {
  try {
    new RegExp(source, "v")
    return true
  } catch {
    return false
  }
}

/** Names in `\p{name}` that are not those of JavaScript. */
const otherNames: Readonly<Record<string, string>> = {
  alnum: posixSets["alnum"]!,
  blank: posixSets["blank"]!,
  cntrl: posixSets["cntrl"]!,
  digit: posixSets["digit"]!,
  space: posixSets["space"]!,
  xdigit: posixSets["xdigit"]!
}

export const property = (name: string): string => {
  const known = otherNames[name.toLowerCase()]
  if (known !== undefined) return known
  const ways = [name, `Script=${name}`, name.replace(/ /g, "_"), `Script=${name.replace(/ /g, "_")}`]
  const way = ways.find((way) => /^[A-Za-z_=]+$/.test(way) && compiles(`\\p{${way}}`))
  if (way === undefined) throw unsupported(`a pattern with \\p{${name}}`)
  return `\\p{${way}}`
}
