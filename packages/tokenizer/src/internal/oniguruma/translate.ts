/**
 * Expressions of Oniguruma as those of JavaScript. They look alike and often mean something else: white space and letters of words
 * are those of Unicode, `$` and `^` are at every line, a `+` behind a repetition gives nothing back, a character class has others in
 * it. Each is written anew so that it means the same, or refused.
 *
 * Source: the documentation of Oniguruma (doc/RE), and its answers for every character.
 */
import { unsupported } from "../part.js"
import {
  assertions,
  compiles,
  controlCharacters,
  endOfText,
  escapedSets,
  ligatures,
  literal,
  otherCases,
  posixSets,
  property,
  startOfText,
  wordAlone
} from "./characterSets.js"

/**
 * The expression that means what `source` means to Oniguruma, or to the Rust library fancy-regex, of which only what is written
 * and meant alike is understood, with ends of the text and repetitions that give nothing back.
 */
export const translate = (source: string, dialect: "oniguruma" | "rust" = "oniguruma"): RegExp => {
  const expression = new Translator(source, dialect === "rust").whole()
  if (!compiles(expression)) throw unsupported("a pattern with something unknown in it")
  return new RegExp(expression, "gv")
}

/** One member of a character class. */
interface Member {
  readonly set: string
  /** The character, where it is one. */
  readonly character: string | undefined
}

/** The letters that mean the same behind a backslash to both. */
const alike = "dDsSpPtnrfv"

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

  constructor(source: string, private readonly isRust: boolean) {
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
      if (!this.isRust && ligatures.some((ligature) => letters.endsWith(ligature))) {
        throw this.unknown(`${letters.slice(-2)} of either case, which one character fits`)
      }
      result += this.repeated(atom)
    }
    this.isCaseless = isCaseless
    this.isDotAll = isDotAll
    this.depth -= 1
    return result
  }

  /** Reads `(?i)`, which holds up to the end of its group, and is taken at the beginning only. */
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
      if (this.take("?")) result = isFixed && !this.isRust ? `(?:${inner})?` : `${inner}?`
      else if ((!isCounted || this.isRust) && this.take("+")) result = this.atomic(inner)
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

  /** An expression that gives nothing back once it has matched: JavaScript does not go back into what lies ahead. */
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
        return this.isRust ? startOfText : `(?:${startOfText}|(?<=\\n)(?=[\\s\\S]))`
      case "$":
        return this.isRust ? endOfText : `(?:(?=\\n)|${endOfText})`
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
    const known = this.isRust ? /^\(\?(i):/ : /^\(\?([im]*)(?:-([im]+))?:/
    const options = known.exec(this.source.slice(this.at, this.at + 8).join(""))
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

  /** What a backslash outside of a class begins. */
  private escape(): string {
    const character = this.source[this.at]
    if (!this.isRust && character !== undefined && assertions[character] !== undefined) {
      this.at += 1
      return assertions[character]
    }
    if (!this.isRust && (character === "w" || character === "W")) {
      this.at += 1
      return character === "w" ? wordAlone : `(?:(?!${wordAlone})[\\s\\S])`
    }
    const { character: one, set } = this.escaped()
    return one === undefined ? `[${set}]` : this.letter(one)
  }

  /** What a backslash begins that means the same in a class and outside of one. */
  private escaped(): Member {
    const character = this.source[this.at]
    if (character === undefined) throw this.unknown("a \\ at the end")
    if (this.isRust && /^[A-Za-z]$/.test(character) && !alike.includes(character)) throw this.unknown(`\\${character}`)
    this.at += 1
    const set = escapedSets[character]
    if (set !== undefined) return { set, character: undefined }
    if ((character === "p" || character === "P") && this.take("{")) {
      const isOther = this.take("^") !== (character === "P")
      const found = property(this.until("}"))
      if (this.isCaseless && /^(?:L[ult]|Lower|Upper)/i.test(found.slice(3))) throw this.unknown("a case in (?i")
      return { set: isOther ? `[^${found}]` : found, character: undefined }
    }
    const sign = controlCharacters[character]
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
      for (const sign of this.isRust ? ["--", "~~"] : []) if (this.follows(sign)) throw this.unknown(sign)
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
      if (this.isRust && posix !== null) throw this.unknown(posix[0])
      if (posix === null) return { set: this.characterClass(), character: undefined }
      const set = posixSets[posix[2]!]
      if (set === undefined) throw this.unknown(posix[0])
      this.at += posix[0].length
      return { set: posix[1] === "" ? set : `[^${set}]`, character: undefined }
    }
    this.at += 1
    return character === "\\" ? this.escaped() : { set: this.cases(character), character }
  }
}
