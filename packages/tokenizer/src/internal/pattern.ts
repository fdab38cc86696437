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
