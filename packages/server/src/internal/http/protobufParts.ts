/**
 * How many parts a forward_backward request in protobuf has, told before any of them is decoded: each becomes an object many times as
 * large as the two bytes that it may take.
 */

/** What is inside a field of this number, unless it is bytes, a text or a number. */
interface Inside {
  readonly [field: number]: Inside
}

const tensor: Inside = { 2: {} }

const request: Inside = {
  3: { 1: { 1: {}, 2: { 4: {} }, 3: {} }, 2: { 2: tensor }, 3: { 1: {}, 2: {} }, 4: { 1: {}, 2: {} } },
  5: {},
  7: { 2: {} }
}

/** A datum takes as much as so many of its parts. */
const datumParts = 16

/** Counts up to `most`, and of bytes that are no message those that come before this shows. */
export const count = (bytes: Uint8Array, most: number): number => {
  let parts = 0
  let at = 0

  const varint = (end: number): number => {
    let value = 0
    let scale = 1
    while (at < end) {
      const byte = bytes[at++]!
      value += (byte & 0x7f) * scale
      if (byte < 0x80) break
      scale *= 0x80
    }
    return value
  }

  const walk = (end: number, inside: Inside): void => {
    while (at < end && parts <= most) {
      const tag = varint(end)
      const field = Math.floor(tag / 8)
      parts += inside === request && field === 3 ? datumParts : 1
      switch (tag & 7) {
        case 0:
          varint(end)
          break
        case 1:
          at += 8
          break
        case 2: {
          const length = varint(end)
          const next = Math.min(at + length, end)
          // Numbers of a shape take a byte or more each, and eight or more then.
          if (inside === tensor && field === 4) parts += length
          const within = inside[field]
          if (within !== undefined) walk(next, within)
          at = next
          break
        }
        case 5:
          at += 4
          break
        default:
          at = end
      }
    }
  }
  walk(bytes.length, request)
  return parts
}
