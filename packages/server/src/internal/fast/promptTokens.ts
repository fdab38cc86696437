/**
 * The tokens of a prompt, read from the digits of a request in JSON: nearly all of its bytes, which take several times as
 * long to become numbers in an array first.
 */
export interface Extracted {
  readonly tokens: Int32Array
  /** The request with an empty list in their place. */
  readonly rest: Uint8Array
}

/**
 * Lifts the one list of tokens out of a request that names none but it. Nothing for any other request, or when the list is not
 * written as plain numbers that fit into 32 bits.
 */
export const extract = (body: Uint8Array): Extracted | undefined => {
  const start = listAfterKey(body, 0)
  if (start < 0) return undefined
  const end = body.indexOf(closeBracket, start)
  if (end < 0 || listAfterKey(body, end) !== noKey) return undefined
  const tokens = read(body, start, end)
  if (tokens === undefined) return undefined
  const rest = new Uint8Array(body.length - (end - start))
  rest.set(body.subarray(0, start))
  rest.set(body.subarray(end), start)
  return { tokens, rest }
}

const quote = 0x22
const backslash = 0x5c
const openBracket = 0x5b
const closeBracket = 0x5d
const colon = 0x3a
const comma = 0x2c
const space = 0x20
const zero = 0x30
const letterU = 0x75

const key = new TextEncoder().encode("\"tokens\"")

const noKey = -1
const otherwiseWritten = -2

/**
 * The place of the first token after the key, from a place on. A key may also be written with escapes: then nothing is certain.
 */
const listAfterKey = (body: Uint8Array, from: number): number => {
  for (let i = from; i < body.length; i++) {
    const byte = body[i]
    if (byte === backslash) {
      if (body[++i] === letterU) return otherwiseWritten
    } else if (byte === quote && isKey(body, i)) return placeInList(body, i + key.length)
  }
  return noKey
}

const isKey = (body: Uint8Array, at: number): boolean => {
  for (let i = 1; i < key.length; i++) if (body[at + i] !== key[i]) return false
  return true
}

const placeInList = (body: Uint8Array, afterKey: number): number => {
  const atColon = pastSpaces(body, afterKey)
  const atList = pastSpaces(body, atColon + 1)
  return body[atColon] === colon && body[atList] === openBracket ? atList + 1 : otherwiseWritten
}

const pastSpaces = (body: Uint8Array, from: number): number => {
  let at = from
  while (body[at] === space) at++
  return at
}

const read = (body: Uint8Array, start: number, end: number): Int32Array | undefined => {
  const most = (end - start + 1) >> 1
  const tokens = most <= room.length ? room : new Int32Array(most)
  let count = 0
  let at = start
  for (;;) {
    while (body[at] === space) at++
    let token = (body[at++]! - zero) | 0
    if (token < 0 || token > 9) return undefined
    let digits = 1
    let byte = body[at]!
    for (; byte >= zero && byte < zero + 10; byte = body[++at]!) {
      // None begins with a zero.
      if (token === 0 || ++digits > mostDigits) return undefined
      token = (10 * token + byte - zero) | 0
    }
    tokens[count++] = token
    while (byte === space) byte = body[++at]!
    if (at === end) return tokens.slice(0, count)
    if (byte !== comma) return undefined
    at++
  }
}

/** Room for the tokens of all but very long prompts: nobody knows how many tokens a prompt has before it is read. */
const room = new Int32Array(16_384)

/** Whatever they are, they fit into 32 bits. */
const mostDigits = 9
