/**
 * What keeps a text that a person wrote from being JSON, and where.
 */

/**
 * The first thing that is wrong, with its line; nothing when the text is JSON in which no object has a key twice, of which parsers
 * keep the last in silence.
 *
 * @since 0.1.0
 * @category utils
 */
export const issueOf = (text: string): string | undefined => {
  try {
    read(text)
    return undefined
  } catch (error) {
    if (!(error instanceof Issue)) throw error
    return `line ${text.slice(0, error.at).split("\n").length}: ${error.description}`
  }
}

class Issue extends Error {
  constructor(readonly at: number, readonly description: string) {
    super(description)
  }
}

const deepest = 100

const string = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"/y
const scalar = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])/y

/** Throws an {@link Issue}. */
const read = (text: string): void => {
  let at = 0
  const blanks = () => {
    while (at < text.length && " \t\r\n".includes(text[at]!)) at += 1
  }
  const fail = (wanted: string): never => {
    throw new Issue(
      at,
      at === text.length ? `the file ends where ${wanted} must follow` : `${sign()} stands where ${wanted} must`
    )
  }
  const sign = () => {
    const word = /[\w.+-]{1,20}|[^]/uy
    word.lastIndex = at
    return JSON.stringify(word.exec(text)![0])
  }
  const match = (pattern: RegExp) => {
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0]
    if (found !== undefined) at += found.length
    return found
  }
  const take = (character: string) => {
    blanks()
    if (text[at] !== character) return false
    at += 1
    return true
  }
  const items = (close: string, item: () => void) => {
    if (take(close)) return
    do item()
    while (take(","))
    if (!take(close)) fail(`a comma or ${close}`)
  }
  const value = (depth: number) => {
    blanks()
    if (depth > deepest) throw new Issue(at, `values are more than ${deepest} deep in each other`)
    if (take("[")) return items("]", () => value(depth + 1))
    if (!take("{")) {
      if (match(string) === undefined && match(scalar) === undefined) fail("a value")
      return
    }
    const keys = new Set<string>()
    items("}", () => {
      blanks()
      const from = at
      const key = String(JSON.parse(match(string) ?? fail("a key in double quotes")))
      if (keys.has(key)) {
        throw new Issue(from, `${JSON.stringify(key)} is there twice in one object. Leave one of the two.`)
      }
      keys.add(key)
      if (!take(":")) fail("a colon")
      value(depth + 1)
    })
  }
  value(0)
  blanks()
  if (at < text.length) fail("the end of the file")
}
