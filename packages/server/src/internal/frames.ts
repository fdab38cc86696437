/**
 * Pieces of a file, each with its length and checksum, by which one that was half written is told from one that is whole.
 *
 * A frame is a line `<bytes of its text> <bytes of its payload> <checksum>`, the text, which is JSON, and the payload.
 */
export interface Frame {
  readonly text: string
  readonly payload: Uint8Array
  /** Where the next one begins. */
  readonly end: number
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const newline = 0x0a

/** No header is longer than this, in bytes: two lengths and a checksum. */
const longestHeader = 48

export const encode = (text: string, payloads: ReadonlyArray<Uint8Array> = []): Uint8Array => {
  const json = encoder.encode(text)
  const payloadBytes = payloads.reduce((sum, { byteLength }) => sum + byteLength, 0)
  const bytes = new Uint8Array(longestHeader + json.byteLength + payloadBytes + 1)
  bytes.set(json, longestHeader)
  let end = longestHeader + json.byteLength
  for (const payload of payloads) {
    bytes.set(payload, end)
    end += payload.byteLength
  }
  bytes[end] = newline
  // The header, which knows what comes behind it, ends where that begins.
  const header = encoder.encode(`${json.byteLength} ${payloadBytes} ${checksum(bytes.subarray(longestHeader))}\n`)
  const begin = longestHeader - header.byteLength
  bytes.set(header, begin)
  return bytes.subarray(begin)
}

/** The frame that begins at an offset; none when it is not whole. */
export const decode = (bytes: Uint8Array, offset = 0): Frame | undefined => {
  const header = bytes.subarray(offset, offset + longestHeader)
  const length = header.indexOf(newline)
  if (length < 0) return undefined
  const [textBytes, payloadBytes, sum] = decoder.decode(header.subarray(0, length)).split(" ").map(Number)
  if (!isLength(textBytes) || !isLength(payloadBytes)) return undefined
  const begin = offset + length + 1
  const end = begin + textBytes + payloadBytes + 1
  if (end > bytes.byteLength || checksum(bytes.subarray(begin, end)) !== sum) return undefined
  return {
    text: decoder.decode(bytes.subarray(begin, begin + textBytes)),
    payload: bytes.subarray(begin + textBytes, end - 1),
    end
  }
}

const isLength = (value: number | undefined): value is number =>
  value !== undefined && Number.isSafeInteger(value) && value >= 0

/**
 * 32-bit FNV-1a, four bytes at a time: as good at what was cut short, in a quarter of the time. Source of the constants:
 * the FNV draft, http://www.isthe.com/chongo/tech/comp/fnv.
 */
const checksum = (bytes: Uint8Array): number => {
  let hash = 0x811c9dc5
  const whole = bytes.length - bytes.length % 4
  for (let i = 0; i < whole; i += 4) {
    const word = bytes[i]! | bytes[i + 1]! << 8 | bytes[i + 2]! << 16 | bytes[i + 3]! << 24
    hash = Math.imul(hash ^ word, 0x01000193)
    // The high bits of a word would otherwise never reach the low ones of the sum.
    hash ^= hash >>> 15
  }
  for (let i = whole; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
  return hash >>> 0
}
