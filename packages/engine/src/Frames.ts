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
  const header = headerAt(bytes, offset)
  if (header === undefined) return undefined
  const { begin, end, sum, textBytes } = header
  if (end > bytes.byteLength || checksum(bytes.subarray(begin, end)) !== sum) return undefined
  return {
    text: decoder.decode(bytes.subarray(begin, begin + textBytes)),
    payload: bytes.subarray(begin + textBytes, end - 1),
    end
  }
}

/** Where the next whole frame begins, behind an offset at which there is none; the end when there is no other. */
export const nextWhole = (bytes: Uint8Array, offset: number): number => {
  // What is damaged is nearly always not the header, which says where the next one is.
  const end = headerAt(bytes, offset)?.end
  if (end !== undefined && (end === bytes.byteLength || decode(bytes, end) !== undefined)) return end
  let next = offset + 1
  while (next < bytes.byteLength && decode(bytes, next) === undefined) next++
  return next
}

/** Whether all that is there from an offset on is the beginning of a frame, as a process leaves it that dies while writing. */
export const isBeginning = (bytes: Uint8Array, offset: number): boolean => {
  const header = headerAt(bytes, offset)
  if (header === undefined) {
    const rest = decoder.decode(bytes.subarray(offset, offset + longestHeader))
    return bytes.byteLength - offset < longestHeader && /^\d+( \d*){0,2}$/.test(rest)
  }
  // One that is as long as the file, and right but for its length, has been written to its end.
  return header.end > bytes.byteLength && checksum(bytes.subarray(header.begin)) !== header.sum
}

interface Header {
  readonly textBytes: number
  readonly sum: number
  /** Where the text begins, and where the next frame does. */
  readonly begin: number
  readonly end: number
}

/** Read by hand, for to find a frame it is looked for at every byte. */
const headerAt = (bytes: Uint8Array, offset: number): Header | undefined => {
  const numbers = [0, 0, 0]
  let place = 0
  let digits = 0
  for (let i = offset; i < offset + longestHeader; i++) {
    const byte = bytes[i]
    if (byte !== undefined && byte >= zero && byte <= zero + 9) {
      numbers[place] = numbers[place]! * 10 + byte - zero
      digits++
    } else if (byte === (place < 2 ? space : newline) && digits > 0 && digits <= maxDigits) {
      if (place < 2) {
        place++
        digits = 0
        continue
      }
      const [textBytes, payloadBytes, sum] = numbers as [number, number, number]
      const begin = i + 1
      return { textBytes, sum, begin, end: begin + textBytes + payloadBytes + 1 }
    } else return undefined
  }
  return undefined
}

const zero = 0x30
const space = 0x20
/** The most digits that a number of bytes of a file has. */
const maxDigits = 15

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
