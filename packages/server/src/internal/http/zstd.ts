/** Bodies that a client has compressed with zstd. */
import { decompress } from "fzstd"

/** The bytes inside may be more than is allowed. */
export class TooLarge extends Error {}

/** The bytes inside. Throws {@link TooLarge} before any memory is taken for them, and another `Error` for no zstd. */
export const inflate = (bytes: Uint8Array, maxBytes: number): Uint8Array => {
  if (bytes.length === 0) throw new Error("there is no frame")
  if (largestSize(bytes, maxBytes) > maxBytes) throw new TooLarge(`it may be more than ${maxBytes} bytes`)
  return decompress(bytes)
}

/**
 * The most that can come out, from the headers alone. The sizes that frames declare are believed only when they are too
 * large: a few bytes can claim any size, and a block can hold less than it claims.
 *
 * Source: RFC 8878, sections 3.1.1 and 3.1.2.
 */
const largestSize = (bytes: Uint8Array, maxBytes: number): number => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let total = 0
  let at = 0
  while (at < bytes.length) {
    const magic = view.getUint32(at, true)
    if (magic >>> 4 === 0x184d2a5) {
      at += 8 + view.getUint32(at + 4, true)
      continue
    }
    const descriptor = view.getUint8(at + 4)
    const isSingleSegment = (descriptor & 0x20) !== 0
    at += 5
    if (!isSingleSegment) {
      const window = view.getUint8(at)
      const base = 2 ** (10 + (window >> 3))
      if (base + (base / 8) * (window & 7) > Math.max(maxBytes, commonWindow)) return Infinity
      at += 1
    }
    at += [0, 1, 2, 4][descriptor & 3]!
    const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!
    if (sizeBytes === 8 && view.getUint32(at + 4, true) > 0) return Infinity
    if (sizeBytes >= 4 && view.getUint32(at, true) > maxBytes) return Infinity
    at += sizeBytes
    let isLast = false
    while (!isLast) {
      const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16)
      const size = header >> 3
      const kind = (header >> 1) & 3
      isLast = (header & 1) !== 0
      total += kind === compressedBlock ? maxBlockBytes : size
      at += 3 + (kind === repeatedByte ? 1 : size)
      if (total > maxBytes) return total
    }
    if ((descriptor & 4) !== 0) at += 4
  }
  return total
}

/** Decoders should take windows of so many bytes, whatever comes in them. Source: RFC 8878, section 3.1.1.1.2. */
const commonWindow = 8 * 2 ** 20

const repeatedByte = 1
const compressedBlock = 2
const maxBlockBytes = 128 * 1024
