import * as Either from "effect/Either"

/** A constant tensor has this byte before its dtype. */
const constant = 254

const mostDtype = 7

/** A dimension has at most 64 bits, seven a byte. */
const mostVarintBytes = 10

/**
 * The shape in the header of serialized audio: an optional marker, a byte of dtype, the number of dimensions, and each
 * dimension, as varints. Left: what is wrong.
 */
export const dmelShape = (bytes: Uint8Array): Either.Either<ReadonlyArray<number>, string> => {
  if (bytes.length === 0) return Either.left("is empty audio.")
  let position = bytes[0] === constant ? 1 : 0
  const dtype = bytes[position++]
  if (dtype === undefined) return Either.left("is audio whose header ends early.")
  if (dtype > mostDtype) return Either.left(`is audio of the unknown dtype ${dtype}.`)
  const varint = (): number | string => {
    let value = 0
    for (let i = 0; i < mostVarintBytes; i++) {
      const byte = bytes[position++]
      if (byte === undefined) return "is audio whose header ends early."
      value += (byte & 0x7f) * 2 ** (7 * i)
      if (byte < 0x80) {
        return Number.isSafeInteger(value) ? value : "is audio with a dimension beyond any size."
      }
    }
    return "is audio with a dimension of more than 64 bits."
  }
  const dimensions = varint()
  if (typeof dimensions === "string") return Either.left(dimensions)
  const shape: Array<number> = []
  for (let i = 0; i < dimensions; i++) {
    const dimension = varint()
    if (typeof dimension === "string") return Either.left(dimension)
    shape.push(dimension)
  }
  return Either.right(shape)
}
