/**
 * The patterns of a `tokenizer.json`. They are written for Oniguruma, whose expressions look like those of JavaScript and often mean
 * something else: white space and letters of words are those of Unicode, `$` and `^` are at every line, a `+` behind a repetition
 * gives nothing back, a character class has others in it. Each is written anew so that it means the same, or refused.
 *
 * Source: the documentation of Oniguruma (doc/RE), and its answers for every character.
 */
import * as Predicate from "effect/Predicate"
import { malformed, type Part, unsupported } from "./part.js"

/** The expression for a part's `pattern`: a text that stands for itself, or a regular expression. */
export const patternOf = (part: Part): RegExp => {
  const { pattern } = part
  if (Predicate.hasProperty(pattern, "String") && typeof pattern.String === "string") {
    return new RegExp(Array.from(pattern.String, literal).join(""), "gv")
  }
  if (Predicate.hasProperty(pattern, "Regex") && typeof pattern.Regex === "string") return translated(pattern.Regex)
  throw malformed(`has a ${String(part["type"])} without a pattern`)
}

/**
 * Calls `found` with the start and end of each match of `pattern` in `text`, in order. An empty match right behind another does not
 * count, nor one in an empty text.
 */
export const eachMatch = (pattern: RegExp, text: string, found: (start: number, end: number) => void): void => {
  if (text === "") return
  let last = -1
  pattern.lastIndex = 0
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    const start = match.index
    const end = start + match[0].length
    // V8 looks in the middle of a character too.
    if (/[\ud800-\udbff]/.test(text[start - 1] ?? "") && /[\udc00-\udfff]/.test(text[start] ?? "")) {
      pattern.lastIndex = start + 1
      continue
    }
    if (end > start || start !== last) {
      found(start, end)
      last = end
      if (end > start) continue
    }
    if (end >= text.length) break
    // At the same place again, where the match may be one that does not begin there.
    pattern.lastIndex = end + (text.codePointAt(end)! > 0xffff ? 2 : 1)
  }
}

/** `text` with each match replaced. */
export const replaced = (pattern: RegExp, text: string, content: string): string => {
  let result = ""
  let behind = 0
  eachMatch(pattern, text, (start, end) => {
    result += text.slice(behind, start) + content
    behind = end
  })
  return result + text.slice(behind)
}

/** White space, as Rust and Oniguruma understand it: U+0085 is, U+FEFF is not. */
export const space = "\\p{White_Space}"

const word = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
/** A few characters of Latin-1 belong to a word only where they do not stand in a class. */
const wordAlone = `[${word}\\u00B2\\u00B3\\u00B9\\u00BC-\\u00BE]`
const hex = "0-9A-Fa-f"

const literal = (character: string): string =>
  /^[A-Za-z0-9]$/.test(character) ? character : `\\u{${character.codePointAt(0)!.toString(16)}}`

/** Escapes that stand for a set, as the inside of a class. */
const sets: Readonly<Record<string, string>> = {
  d: "\\p{Nd}",
  D: "\\P{Nd}",
  s: space,
  S: "\\P{White_Space}",
  w: word,
  W: `[^${word}]`,
  h: hex,
  H: `[^${hex}]`
}

const characters: Readonly<Record<string, string>> = {
  t: "\t",
  n: "\n",
  r: "\r",
  f: "\f",
  v: "\v",
  a: "\x07",
  e: "\x1b"
}

/** Without the flag m these are the ends of the text alone. */
const nowhereBefore = "^"
const nothingBehind = "$"

const places: Readonly<Record<string, string>> = {
  A: nowhereBefore,
  z: nothingBehind,
  Z: `(?=\\n?${nothingBehind})`,
  b: `(?:(?<=${wordAlone})(?!${wordAlone})|(?<!${wordAlone})(?=${wordAlone}))`,
  B: `(?:(?<=${wordAlone})(?=${wordAlone})|(?<!${wordAlone})(?!${wordAlone}))`
}

/** Names of sets in `[[:name:]]`. */
const named: Readonly<Record<string, string>> = {
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
const otherCases: Readonly<Record<string, string>> = { s: "\u017f", k: "\u212a" }

/** What, in either case, also fits one character, which JavaScript does not know. */
const ligatures = ["ss", "ff", "fi", "fl", "st"]

const compiles = (source: string): boolean => {
  try {
    new RegExp(source, "v")
    return true
  } catch {
    return false
  }
}

/** Names in `\p{name}` that are not those of JavaScript. */
const otherNames: Readonly<Record<string, string>> = {
  alnum: named["alnum"]!,
  blank: named["blank"]!,
  cntrl: named["cntrl"]!,
  digit: named["digit"]!,
  space: named["space"]!,
  xdigit: named["xdigit"]!
}

const property = (name: string): string => {
  const known = otherNames[name.toLowerCase()]
  if (known !== undefined) return known
  const ways = [name, `Script=${name}`, name.replace(/ /g, "_"), `Script=${name.replace(/ /g, "_")}`]
  const way = ways.find((way) => /^[A-Za-z_=]+$/.test(way) && compiles(`\\p{${way}}`))
  if (way === undefined) throw unsupported(`a pattern with \\p{${name}}`)
  return `\\p{${way}}`
}

const translated = (source: string): RegExp => {
  const expression = new Translator(source).whole()
  if (!compiles(expression)) throw unsupported("a pattern with something unknown in it")
  return new RegExp(expression, "gv")
}

/** One member of a character class. */
interface Member {
  readonly set: string
  /** The character, where it is one. */
  readonly character: string | undefined
}

class Translator {
  private at = 0
  private readonly source: ReadonlyArray<string>
  /** Whether letters fit either case. */
  private isCaseless = false
  /** Whether `.` fits the end of a line. */
  private isDotAll = false
  private lookbehinds = 0
  private atoms = 0
  private depth = 0

  constructor(source: string) {
    this.source = Array.from(source)
  }

  whole(): string {
    const expression = this.alternatives()
    if (this.at < this.source.length) throw this.unknown(")")
    return expression
  }

  private unknown(what: string) {
    return unsupported(`a pattern with ${what} at character ${this.at}`)
  }

  private follows(text: string): boolean {
    return Array.from(text).every((character, i) => this.source[this.at + i] === character)
  }

  private take(text: string): boolean {
    if (!this.follows(text)) return false
    this.at += text.length
    return true
  }

  private until(end: string): string {
    const start = this.at
    while (this.source[this.at] !== end) {
      if (this.at >= this.source.length) throw this.unknown(`no ${end}`)
      this.at += 1
    }
    this.at += 1
    return this.source.slice(start, this.at - 1).join("")
  }

  private alternatives(): string {
    if (++this.depth > 50) throw this.unknown("groups that are too deep")
    const isCaseless = this.isCaseless
    const isDotAll = this.isDotAll
    let result = ""
    let letters = ""
    while (this.at < this.source.length && this.source[this.at] !== ")") {
      if (this.take("|")) {
        result += "|"
        letters = ""
        continue
      }
      if (this.take("(?#")) {
        this.until(")")
        continue
      }
      if (this.takeOptions()) continue
      const before = this.at
      const atom = this.atom()
      const isLetter = this.at === before + 1 && /^[A-Za-z]$/.test(this.source[before]!)
      letters = isLetter && this.isCaseless ? letters + this.source[before]!.toLowerCase() : ""
      if (ligatures.some((ligature) => letters.endsWith(ligature))) {
        throw this.unknown(`${letters.slice(-2)} of either case, which one character fits`)
      }
      result += this.repeated(atom)
    }
    this.isCaseless = isCaseless
    this.isDotAll = isDotAll
    this.depth -= 1
    return result
  }

  /** `(?i)`, which holds up to the end of its group, and is taken at the beginning only. */
  private takeOptions(): boolean {
    if (!this.follows("(?i)")) return false
    if (this.at > 0) throw this.unknown("(?i) in the middle")
    this.take("(?i)")
    this.isCaseless = true
    return true
  }

  private repeated(atom: string): string {
    let result = atom
    for (;;) {
      const counts = this.counts()
      if (counts === undefined) return result
      const [text, isCounted, isFixed] = counts
      // What was repeated already, or is a place, needs a group.
      const inner = `(?:${result})${text}`
      if (this.take("?")) result = isFixed ? `(?:${inner})?` : `${inner}?`
      else if (!isCounted && this.take("+")) result = this.atomic(inner)
      else result = inner
    }
  }

  /** The repetition that follows, whether it is one of numbers, and whether of one number. */
  private counts(): readonly [text: string, isCounted: boolean, isFixed: boolean] | undefined {
    for (const sign of ["*", "+", "?"]) if (this.take(sign)) return [sign, false, false]
    const numbers = /^\{(\d*)(,?)(\d*)\}/.exec(this.source.slice(this.at, this.at + 24).join(""))
    if (numbers === null || numbers[1] === "" && numbers[3] === "") return undefined
    const [whole, least, comma, most] = numbers
    if (least !== "" && most !== "" && Number(least) > Number(most)) throw this.unknown(whole!)
    this.at += whole!.length
    return [`{${least === "" ? "0" : least}${comma}${most}}`, true, comma === ""]
  }

  /** What gives nothing back once it has matched: JavaScript does not go back into what lies ahead. */
  private atomic(inner: string): string {
    if (this.lookbehinds > 0) throw this.unknown("a part that gives nothing back, inside of (?<=")
    const name = `atom${this.atoms++}`
    return `(?:(?=(?<${name}>${inner}))\\k<${name}>)`
  }

  private atom(): string {
    const character = this.source[this.at]!
    if (character === "(") return this.group()
    if (character === "[") return this.characterClass()
    this.at += 1
    switch (character) {
      case "\\":
        return this.escape()
      case ".":
        return this.isDotAll ? "[\\s\\S]" : "[^\\n]"
      case "^":
        return `(?:${nowhereBefore}|(?<=\\n)(?=[\\s\\S]))`
      case "$":
        return `(?:(?=\\n)|${nothingBehind})`
      case "*":
      case "+":
      case "?":
        this.at -= 1
        throw this.unknown(`a ${character} behind nothing`)
      default:
        return this.letter(character)
    }
  }

  private letter(character: string): string {
    return this.isCaseless ? `[${this.cases(character)}]` : literal(character)
  }

  /** A character in each of its cases, as the inside of a class. */
  private cases(character: string): string {
    if (!this.isCaseless) return literal(character)
    const lower = character.toLowerCase()
    if (character.codePointAt(0)! > 127) {
      if (lower !== character || character.toUpperCase() !== character) {
        throw this.unknown(`${character} of either case`)
      }
      return literal(character)
    }
    return [...new Set([lower, character.toUpperCase()]), otherCases[lower] ?? ""].filter((one) => one !== "").map(
      literal
    ).join("")
  }

  private group(): string {
    const isCaseless = this.isCaseless
    const isDotAll = this.isDotAll
    const close = () => {
      if (!this.take(")")) throw this.unknown("no )")
      this.isCaseless = isCaseless
      this.isDotAll = isDotAll
    }
    const inside = (): string => {
      const inner = this.alternatives()
      close()
      return inner
    }
    if (!this.follows("(?")) {
      this.at += 1
      return `(?:${inside()})`
    }
    if (this.take("(?:")) return `(?:${inside()})`
    if (this.take("(?>")) return this.atomic(inside())
    for (const sign of ["(?=", "(?!"]) if (this.take(sign)) return `(?:${sign}${inside()}))`
    for (const sign of ["(?<=", "(?<!"]) {
      if (!this.take(sign)) continue
      this.lookbehinds += 1
      const inner = inside()
      this.lookbehinds -= 1
      return `(?:${sign}${inner}))`
    }
    const options = /^\(\?([im]*)(?:-([im]+))?:/.exec(this.source.slice(this.at, this.at + 8).join(""))
    if (options !== null) {
      this.at += options[0].length
      const [, on, off] = options
      if (on!.includes("i")) this.isCaseless = true
      if (on!.includes("m")) this.isDotAll = true
      if (off?.includes("i") === true) this.isCaseless = false
      if (off?.includes("m") === true) this.isDotAll = false
      return `(?:${inside()})`
    }
    if (this.take("(?<")) {
      this.until(">")
      return `(?:${inside()})`
    }
    throw this.unknown(this.source.slice(this.at, this.at + 4).join(""))
  }

  /** Behind a backslash, outside of a class. */
  private escape(): string {
    const character = this.source[this.at]
    if (character !== undefined && places[character] !== undefined) {
      this.at += 1
      return places[character]
    }
    if (character === "w" || character === "W") {
      this.at += 1
      return character === "w" ? wordAlone : `(?:(?!${wordAlone})[\\s\\S])`
    }
    const { character: one, set } = this.escaped()
    return one === undefined ? `[${set}]` : this.letter(one)
  }

  /** Behind a backslash, what means the same in a class and outside of one. */
  private escaped(): Member {
    const character = this.source[this.at]
    if (character === undefined) throw this.unknown("a \\ at the end")
    this.at += 1
    const set = sets[character]
    if (set !== undefined) return { set, character: undefined }
    if ((character === "p" || character === "P") && this.take("{")) {
      const isOther = this.take("^") !== (character === "P")
      const found = property(this.until("}"))
      if (this.isCaseless && /^(?:L[ult]|Lower|Upper)/i.test(found.slice(3))) throw this.unknown("a case in (?i")
      return { set: isOther ? `[^${found}]` : found, character: undefined }
    }
    const sign = characters[character]
    if (sign !== undefined) return { set: literal(sign), character: sign }
    const digits = character === "u"
      ? /^[0-9A-Fa-f]{4}/
      : character === "x" && this.follows("{")
      ? /^\{[0-9A-Fa-f]{1,8}\}/
      : character === "x"
      ? /^[0-7][0-9A-Fa-f]/
      : undefined
    if (digits !== undefined) {
      const number = digits.exec(this.source.slice(this.at, this.at + 10).join(""))?.[0]
      const code = number === undefined ? NaN : Number.parseInt(number.replace(/[{}]/g, ""), 16)
      if (number === undefined || code > 0x10ffff || code >= 0xd800 && code < 0xe000) {
        throw this.unknown("\\" + character)
      }
      this.at += number.length
      const one = String.fromCodePoint(code)
      return { set: this.cases(one), character: one }
    }
    if (/^[A-Za-z0-9]$/.test(character)) throw this.unknown(`\\${character}`)
    return { set: this.cases(character), character }
  }

  private characterClass(): string {
    if (++this.depth > 50) throw this.unknown("classes that are too deep")
    this.at += 1
    const isOther = this.take("^")
    const operands: Array<Array<string>> = [[]]
    for (let isFirst = true;; isFirst = false) {
      if (this.at >= this.source.length) throw this.unknown("no ]")
      if (!isFirst && this.take("]")) break
      if (this.take("&&")) {
        operands.push([])
        continue
      }
      operands.at(-1)!.push(this.span())
    }
    this.depth -= 1
    if (operands.some((members) => members.length === 0)) throw this.unknown("an empty class")
    const inside = operands.length === 1
      ? operands[0]!.join("")
      : operands.map((members) => `[${members.join("")}]`).join("&&")
    return `[${isOther ? "^" : ""}${inside}]`
  }

  /** One member of a class, or all from one to another. */
  private span(): string {
    const first = this.member()
    if (first.character === undefined || !this.follows("-") || this.source[this.at + 1] === "]") return first.set
    this.at += 1
    const last = this.member()
    if (last.character === undefined || last.character.codePointAt(0)! < first.character.codePointAt(0)!) {
      throw this.unknown("a range without an end")
    }
    if (!this.isCaseless) return `${literal(first.character)}-${literal(last.character)}`
    const [from, to] = [first.character.codePointAt(0)!, last.character.codePointAt(0)!]
    if (to > 127) throw this.unknown("a range of either case")
    let all = ""
    for (let code = from; code <= to; code++) all += this.cases(String.fromCodePoint(code))
    return all
  }

  private member(): Member {
    const character = this.source[this.at]
    if (character === undefined) throw this.unknown("no ]")
    if (character === "[") {
      const posix = /^\[:(\^?)([A-Za-z]+):\]/.exec(this.source.slice(this.at, this.at + 14).join(""))
      if (posix === null) return { set: this.characterClass(), character: undefined }
      const set = named[posix[2]!]
      if (set === undefined) throw this.unknown(posix[0])
      this.at += posix[0].length
      return { set: posix[1] === "" ? set : `[^${set}]`, character: undefined }
    }
    this.at += 1
    return character === "\\" ? this.escaped() : { set: this.cases(character), character }
  }
}
