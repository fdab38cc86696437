/**
 * As much protobuf as the server of the benchmarks needs: fields with a length, and small numbers.
 */
import { endianness } from "node:os"

if (endianness() !== "LE") {
  throw new Error("the benchmarks pack numbers as they lie in memory, which must be little-endian")
}

const varint = (value: number): Buffer => {
  const bytes: Array<number> = []
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128)
  bytes.push(value)
  return Buffer.from(bytes)
}

export const bytesField = (field: number, value: Uint8Array | string): Buffer => {
  const bytes = typeof value === "string" ? Buffer.from(value) : value
  return Buffer.concat([varint((field << 3) | 2), varint(bytes.length), bytes])
}

export const numberField = (field: number, value: number): Buffer => Buffer.concat([varint(field << 3), varint(value)])

export const doubleField = (field: number, value: number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return Buffer.concat([varint((field << 3) | 1), bytes])
}

export const rawBytes = (array: ArrayBufferView): Buffer =>
  Buffer.from(array.buffer, array.byteOffset, array.byteLength)

/** Calls `f` with each field that has a length; the others are passed over. */
export const readFields = (message: Buffer, f: (field: number, value: Buffer) => void): void => {
  let at = 0
  const number = (): number => {
    let value = 0
    for (let scale = 1;; scale *= 128) {
      const byte = message[at++]!
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
  }
  while (at < message.length) {
    const tag = number()
    switch (tag & 7) {
      case 0:
        number()
        break
      case 1:
        at += 8
        break
      case 5:
        at += 4
        break
      default: {
        const length = number()
        f(tag >> 3, message.subarray(at, at + length))
        at += length
      }
    }
  }
}
