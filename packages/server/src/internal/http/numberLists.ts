/**
 * What a body in JSON is made of, told before any of it is decoded: each of its parts becomes something many times as large as its
 * bytes. Lists of plain numbers, nearly all of a training request, are lifted out of it and never become arrays of JavaScript.
 */

export type Numbers = Int32Array | Float64Array

export interface Scan {
  /** Keys, commas, arrays and objects, without what is in lists that were lifted. */
  readonly parts: number
  readonly depth: number
  /** The number of keys of the object with the most. */
  readonly keys: number
  /** The number of numbers in lists that were lifted. */
  readonly numbers: number
  readonly lists: ReadonlyArray<Place>
}

/** A list of plain numbers: from behind its opening bracket to its closing one. */
export interface Place {
  readonly start: number
  readonly end: number
  readonly count: number
  /** Whether there is nothing in it but digits, commas and blanks. */
  readonly isWhole: boolean
  /** The index of the key that it is behind, among those of lists to be lifted. */
  readonly key: number
}

/** Looks through a body, whether or not it is JSON, without making anything of it. `lift` are the keys of lists to be lifted. */
export const scan = (body: Uint8Array, lift: ReadonlyArray<Uint8Array> = []): Scan => {
  const lists: Array<Place> = []
  /** Keys of the objects that are open. */
  const open: Array<number> = []
  let parts = 0
  let depth = 0
  let keys = 0
  let numbers = 0
  /** The last text, without its quotes, and whether a colon is all that has come since. */
  let textStart = 0
  let textEnd = 0
  let isValue = false
  for (let i = 0; i < body.length; i++) {
    const byte = body[i]!
    if (byte <= space) continue
    switch (byte) {
      case quote:
        textStart = i + 1
        i = endOfText(body, textStart)
        textEnd = i
        isValue = false
        continue
      case colon:
        parts++
        if (open.length > 0) keys = Math.max(keys, ++open[open.length - 1]!)
        isValue = true
        continue
      case comma:
        parts++
        break
      case openBracket:
      case openBrace:
        parts++
        if (byte === openBracket && isValue) {
          const key = lift.findIndex((key) => isText(body, textStart, textEnd, key))
          const place = key < 0 ? undefined : listAt(body, i + 1, key)
          if (place !== undefined) {
            if (place.count >= shortest) lists.push(place)
            numbers += place.count
            i = place.end
            break
          }
        }
        open.push(0)
        depth = Math.max(depth, open.length)
        break
      case closeBracket:
      case closeBrace:
        open.pop()
        break
    }
    isValue = false
  }
  return { parts, depth, keys, numbers, lists }
}

/** The body with a text in the place of each of the lists, which is `mark` and its number. */
export const withoutLists = (body: Uint8Array, lists: ReadonlyArray<Place>, mark: string): Uint8Array => {
  const texts = lists.map((_, i) => encoder.encode(`"${mark}${i}"`))
  const taken = lists.reduce((sum, { end, start }, i) => sum + end - start + 2 - texts[i]!.length, 0)
  const rest = new Uint8Array(body.length - taken)
  let from = 0
  let to = 0
  const copy = (bytes: Uint8Array) => {
    rest.set(bytes, to)
    to += bytes.length
  }
  lists.forEach(({ end, start }, i) => {
    copy(body.subarray(from, start - 1))
    copy(texts[i]!)
    from = end + 1
  })
  copy(body.subarray(from))
  return rest
}

/**
 * What JSON makes of the list; `isWide` makes 64 bits of each number, also where there is none with a fraction or more than nine
 * digits. Throws a `SyntaxError` when it is none.
 */
export const read = (body: Uint8Array, place: Place, isWide: boolean): Numbers => {
  const whole = place.isWhole
    ? wholeNumbers(body, place, isWide ? new Float64Array(place.count) : new Int32Array(place.count))
    : undefined
  return whole ?? anyNumbers(body, place)
}

/** Lists of fewer numbers stay where they are: lifting one costs as much as to read so many. */
const shortest = 32

const encoder = new TextEncoder()
const decoder = new TextDecoder()

const space = 0x20
const quote = 0x22
const comma = 0x2c
const zero = 0x30
const nine = 0x39
const colon = 0x3a
const openBracket = 0x5b
const backslash = 0x5c
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d

const endOfText = (body: Uint8Array, start: number): number => {
  let at = start
  while (at < body.length && body[at] !== quote) at += body[at] === backslash ? 2 : 1
  return at
}

const isText = (body: Uint8Array, start: number, end: number, text: Uint8Array): boolean => {
  if (end - start !== text.length) return false
  for (let i = 0; i < text.length; i++) if (body[start + i] !== text[i]) return false
  return true
}

/** A list of what numbers, commas and blanks are made of, with at least one number; there is nothing else in it. */
const listAt = (body: Uint8Array, start: number, key: number): Place | undefined => {
  let count = 1
  let isEmpty = true
  let isWhole = true
  for (let at = start; at < body.length; at++) {
    const byte = body[at]!
    if (byte === comma) count++
    else if (byte === closeBracket) return isEmpty ? undefined : { start, end: at, count, isWhole, key }
    else if (byte > space) {
      if (!isOfNumbers[byte]) return undefined
      isEmpty = false
      if (byte < zero || byte > nine) isWhole = false
    } else if (!isBlank(byte)) return undefined
  }
  return undefined
}

/** What JSON has for blank. */
const isBlank = (byte: number): boolean => byte === space || byte === 0x09 || byte === 0x0a || byte === 0x0d

const isOfNumbers: ReadonlyArray<boolean> = Array.from(
  { length: 256 },
  (_, byte) => "0123456789+-.eE".includes(String.fromCharCode(byte))
)

const wholeNumbers = (body: Uint8Array, { count, end, start }: Place, numbers: Numbers): Numbers | undefined => {
  let at = start
  for (let i = 0; i < count; i++) {
    while (body[at]! <= space) at++
    let number = (body[at]! - zero) | 0
    if (number < 0 || number > 9) return undefined
    let digits = 1
    let byte = body[++at]!
    for (; byte >= zero && byte <= nine; byte = body[++at]!) {
      // None begins with a zero.
      if (number === 0 || ++digits > mostDigits) return undefined
      number = (10 * number + byte - zero) | 0
    }
    numbers[i] = number
    while (byte <= space) byte = body[++at]!
    if (byte !== (i === count - 1 ? closeBracket : comma)) return undefined
    at++
  }
  return at === end + 1 ? numbers : undefined
}

/** Whatever they are, they fit into 32 bits. */
const mostDigits = 9

/** A part of the list at a time, so that few of its numbers are in an array of JavaScript at once. */
const anyNumbers = (body: Uint8Array, { count, end, start }: Place): Float64Array => {
  const numbers = new Float64Array(count)
  let filled = 0
  let from = start
  while (from <= end) {
    let to = Math.min(from + bytesAtATime, end)
    while (to < end && body[to] !== comma) to++
    const part = JSON.parse(`[${decoder.decode(body.subarray(from, to))}]`) as ReadonlyArray<number>
    // A comma too many is no list either.
    if (part.length === 0) throw new SyntaxError("there is a comma without a number")
    for (const number of part) numbers[filled++] = number
    from = to + 1
  }
  if (filled !== count) throw new SyntaxError("there is a comma without a number")
  return numbers
}

const bytesAtATime = 8 * 1024
