/**
 * What is wrong with the keys of a text that is JSON: one that an object has twice, of which parsers keep the last, silently, or
 * objects and lists within each other without end.
 */
export const keysIssue = (text: string): string | undefined => {
  const open: Array<Set<string> | undefined> = []
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === leftBrace || code === leftBracket) {
      if (open.length === mostOpen) {
        return `nests objects and lists more than ${mostOpen} deep. Leave out what is within.`
      }
      open.push(code === leftBrace ? new Set() : undefined)
    } else if (code === rightBrace || code === rightBracket) open.pop()
    else if (code === quote) {
      const end = textEnd(text, at) ?? text.length
      const keys = open[open.length - 1]
      if (keys !== undefined && text.charCodeAt(afterBlanks(text, end)) === colon) {
        const raw = text.slice(at + 1, end - 1)
        const key = raw.includes("\\") ? String(JSON.parse(text.slice(at, end))) : raw
        if (keys.has(key)) {
          return `has the key ${
            JSON.stringify(key.slice(0, 40))
          } twice in one object, of which only one can be meant. Remove the other.`
        }
        keys.add(key)
      }
      at = end - 1
    }
  }
  return undefined
}

const [leftBrace, rightBrace, leftBracket, rightBracket, quote, colon] = Array.from("{}[]\":", (c) => c.charCodeAt(0))

const mostOpen = 500

/** What NULs in a line that is no JSON tell of its file; nothing if there are none. */
export const nulIssue = (text: string): string | undefined => {
  const at = text.indexOf("\0")
  if (at < 0) return undefined
  return `holds NUL bytes from character ${at + 1} on, which no JSON has: ` + (
    /(?:[^\0]\0){8}/.test(text)
      ? "it is UTF-16, perhaps put behind lines of UTF-8. Save it as UTF-8."
      : "the file is damaged, as by a disk that was full or a copy that broke off. Get it again, or remove the line."
  )
}

/** Whether a text ends within an object or a list. */
export const isUnfinished = (text: string): boolean => {
  let open = 0
  for (const { kind } of tokens(text)) {
    if (kind === "{" || kind === "[") open += 1
    if (kind === "}" || kind === "]") open -= 1
  }
  return open > 0
}

/** Where a text stops being JSON, and what stands there. */
export interface JsonIssue {
  /** The place in the text, from 0. */
  readonly at: number
  readonly description: string
}

/**
 * What keeps a text from being JSON, of what people and programs write instead of it; nothing if it is none of that.
 * `isLast`: nothing follows in the file.
 */
export const jsonIssue = (text: string, isLast: boolean): JsonIssue | undefined => {
  let open = 0
  let previous = ""
  for (const { from, kind, to } of tokens(text)) {
    const issue = (description: string): JsonIssue => ({ at: from, description })
    if (previous !== "" && open === 0) {
      return issue(
        kind === "," && afterBlanks(text, to) === text.length
          ? "a comma follows the object and ends the line, and each line is an object by itself. Remove it, e.g. by "
            + "sed 's/,$//'."
          : "something follows the object. Write each object on a line of its own."
      )
    }
    if (previous === "text" && (kind === "text" || kind === "word")) {
      return issue("a text has ended, and more follows. A quote within a text has a backslash before it.")
    }
    if (kind === "unclosed") return unfinished(text, isLast)
    if (kind === "/" || kind === "#") return issue("a comment begins, and JSON has none. Remove it.")
    if (kind === "'") {
      return issue("a text or key stands in single quotes, as Python prints them. Write the line by json.dumps.")
    }
    if ("\u201c\u201d\u2018\u2019".includes(kind)) {
      return issue("a curly quote stands there. Write straight double quotes.")
    }
    if (kind === "text") {
      const control = text.slice(from, to).search(controlCharacter)
      if (control >= 0) {
        return {
          at: from + control,
          description: "a text holds a control character, such as a tab, as it is. Write it with a backslash, as \\t."
        }
      }
    }
    if (kind === "word") {
      const word = text.slice(from, to)
      const meant = wordIssue(word)
      if (meant !== undefined) return issue(meant)
    }
    if ((kind === "}" || kind === "]") && previous === ",") {
      return issue("a comma stands behind the last value. Remove it.")
    }
    if (kind === "{" || kind === "[") open += 1
    if (kind === "}" || kind === "]") open -= 1
    previous = kind
  }
  return open > 0 ? unfinished(text, isLast) : undefined
}

const unfinished = (text: string, isLast: boolean): JsonIssue => ({
  at: text.length,
  description: isLast
    ? "the file ends within the object: it was cut short, perhaps by a copy or a download that broke off. Get it again."
    : "the line ends within the object. Write each object on one line, with line breaks in texts as \\n."
})

const wordIssue = (word: string): string | undefined => {
  if (/^[-+]?(NaN|Infinity|nan|inf)$/.test(word)) {
    return "a number is NaN or infinite, which JSON cannot say. Write null, or leave the key out."
  }
  if (/^(None|True|False)$/.test(word)) return "a value is written as Python prints it. Write the line by json.dumps."
  if (word === "undefined") return "a value is undefined, which JSON cannot say. Write null, or leave the key out."
  if (/^(true|false|null)$/.test(word) || /^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/.test(word)) return undefined
  return /^[-+]?\.?\d/.test(word)
    ? "a number is written as JSON does not write them. Write it as 12, 0.5, -3 or 2e-4, or in double quotes if it is a text."
    : "a text or key stands without quotes. Put it in double quotes."
}

const controlCharacter = /[\u0000-\u001f]/

interface Token {
  /** The character itself where it is one alone; `unclosed` is a text that does not end. */
  readonly kind: string
  readonly from: number
  readonly to: number
}

/** The parts of a text that is JSON, or was meant to be. */
function* tokens(text: string): Generator<Token> {
  let from = afterBlanks(text, 0)
  while (from < text.length) {
    const first = text[from]!
    let kind = first
    let to = from + 1
    if (first === "\"") {
      const end = textEnd(text, from)
      kind = end === undefined ? "unclosed" : "text"
      to = end ?? text.length
    } else if (wordLetter.test(first)) {
      while (to < text.length && wordLetter.test(text[to]!)) to += 1
      kind = "word"
    }
    yield { kind, from, to }
    from = afterBlanks(text, to)
  }
}

const wordLetter = /[\w.+-]/

const isBlank = (code: number): boolean => code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d

const afterBlanks = (text: string, from: number): number => {
  let at = from
  while (isBlank(text.charCodeAt(at))) at += 1
  return at
}

/** The place behind the closing quote of the text that begins at `from`. */
const textEnd = (text: string, from: number): number | undefined => {
  for (let at = text.indexOf("\"", from + 1); at >= 0; at = text.indexOf("\"", at + 1)) {
    let slashes = 0
    while (text[at - 1 - slashes] === "\\") slashes += 1
    if (slashes % 2 === 0) return at + 1
  }
  return undefined
}
