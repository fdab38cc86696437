/**
 * How much of an answer is read. What is beyond belongs to no answer of this protocol, and would take the memory or the thread of
 * the whole program: an answer that is endless, or that a few bytes unpack to gigabytes, or that is nested without end.
 */
import { RefusedAnswer } from "../../HttpRuntime.js"
import type { ResponseLimits } from "../../TinkerConfig.js"

export const defaults: ResponseLimits = { results: 1024 ** 3, others: 64 * 1024 ** 2 }

/** How deep the JSON of an answer may be nested. */
export const mostNesting = 100

/**
 * The value of a JSON text. Throws a `RefusedAnswer` before the text is read when it is nested too deep, and a `SyntaxError`
 * when it is no JSON.
 */
export const parseJson = (bytes: Uint8Array): unknown => {
  if (isTooDeep(bytes)) throw new RefusedAnswer({ reason: "TooDeep", limit: mostNesting })
  return JSON.parse(decoder.decode(bytes))
}

const decoder = new TextDecoder()

const isTooDeep = (bytes: Uint8Array): boolean => {
  if (bytes.length <= mostNesting) return false
  let depth = 0
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]
    if (byte === quote) {
      i = endOfText(bytes, i)
      if (i < 0) return false
    } else if (byte === openList || byte === openObject) {
      if (++depth > mostNesting) return true
    } else if (byte === closeList || byte === closeObject) depth -= 1
  }
  return false
}

/** Where a text ends that begins here; -1 if it does not. */
const endOfText = (bytes: Uint8Array, start: number): number => {
  for (let end = bytes.indexOf(quote, start + 1); end >= 0; end = bytes.indexOf(quote, end + 1)) {
    let escapes = end
    while (bytes[escapes - 1] === backslash) escapes -= 1
    if ((end - escapes) % 2 === 0) return end
  }
  return -1
}

const quote = 0x22
const backslash = 0x5c
const openList = 0x5b
const closeList = 0x5d
const openObject = 0x7b
const closeObject = 0x7d
