/** The patterns of a `tokenizer.json`, and where they match. */
import * as Predicate from "effect/Predicate"
import { literal } from "./oniguruma/characterSets.js"
import { translate } from "./oniguruma/translate.js"
import { malformed, type Part } from "./part.js"

/** The expression for a part's `pattern`: a text that stands for itself, or a regular expression. */
export const patternOf = (part: Part): RegExp => {
  const { pattern } = part
  if (Predicate.hasProperty(pattern, "String") && typeof pattern.String === "string") {
    return new RegExp(Array.from(pattern.String, literal).join(""), "gv")
  }
  if (Predicate.hasProperty(pattern, "Regex") && typeof pattern.Regex === "string") return translate(pattern.Regex)
  throw malformed(`has a ${String(part["type"])} without a pattern`)
}

const isHigh = (code: number): boolean => code >= 0xd800 && code < 0xdc00
const isLow = (code: number): boolean => code >= 0xdc00 && code < 0xe000

/**
 * The matches of a pattern in a text, one after the other. An empty match right behind another does not count, nor one in an empty
 * text.
 */
export class Matches {
  /** Where the match that was found last begins. */
  start = 0
  /** Where it ends. */
  end = -1
  private next: number

  constructor(private readonly pattern: RegExp, private readonly text: string) {
    this.next = text === "" ? Infinity : 0
  }

  /** Whether there is another match. */
  find(): boolean {
    const { pattern, text } = this
    while (this.next <= text.length) {
      pattern.lastIndex = this.next
      const match = pattern.exec(text)
      if (match === null) break
      const start = match.index
      const end = start + match[0].length
      // V8 looks in the middle of a character too.
      if (start > 0 && isLow(text.charCodeAt(start)) && isHigh(text.charCodeAt(start - 1))) {
        this.next = start + 1
        continue
      }
      // Behind an empty match it goes on at the next character.
      this.next = end > start ? end : end + (text.codePointAt(end)! > 0xffff ? 2 : 1)
      if (end === start && start === this.end) continue
      this.start = start
      this.end = end
      return true
    }
    this.next = Infinity
    return false
  }
}

/** `text` with each match replaced. */
export const replaced = (pattern: RegExp, text: string, content: string): string => {
  const matches = new Matches(pattern, text)
  let result = ""
  let behind = 0
  while (matches.find()) {
    result += text.slice(behind, matches.start) + content
    behind = matches.end
  }
  return result + text.slice(behind)
}
