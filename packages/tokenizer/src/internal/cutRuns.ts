/** The most characters of one part. */
const mostTogether = 400_000
/** The most characters in a row that are all white space, or all something else. */
const mostAlike = 25_000

/** What Python's `str.isspace` takes for white space. */
const isSpace = (code: number): boolean =>
  code <= 0x20
    ? code === 0x20 || code >= 0x1c || code >= 0x09 && code <= 0x0d
    : code === 0x85 || code >= 0xa0 && code <= 0x3000 && /^\p{Z}$/u.test(String.fromCharCode(code))

/**
 * A text in the parts that Kimi's own code makes tokens of one by one.
 *
 * Source: `tokenization_kimi.py` of moonshotai/Kimi-K2-Thinking.
 */
export function* cutRuns(text: string): Generator<string, void, undefined> {
  let start = 0
  let together = 0
  let alike = 0
  let wasSpace: boolean | undefined
  for (let at = 0; at < text.length;) {
    const code = text.codePointAt(at)!
    const isNowSpace = isSpace(code)
    const isFull = together === mostTogether
    alike = wasSpace === isNowSpace && !isFull ? alike + 1 : 1
    if (isFull || alike > mostAlike) {
      yield text.slice(start, at)
      start = at
      alike = 1
      if (isFull) together = 0
    }
    wasSpace = isNowSpace
    together += 1
    at += code > 0xffff ? 2 : 1
  }
  yield text.slice(start)
}
