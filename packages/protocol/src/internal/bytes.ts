/** Numbers as the wire has them: raw little-endian arrays. Copies, because a view into a message need not be aligned. */

const aligned = (bytes: Uint8Array, itemSize: number, what: string): ArrayBufferLike => {
  if (bytes.byteLength % itemSize !== 0) {
    throw new Error(`${what} has ${bytes.byteLength} bytes, no multiple of ${itemSize}`)
  }
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)
}

export const toFloat32Array = (bytes: Uint8Array, what: string) => new Float32Array(aligned(bytes, 4, what))

export const toInt32Array = (bytes: Uint8Array, what: string) => new Int32Array(aligned(bytes, 4, what))

export const toUint16Array = (bytes: Uint8Array, what: string) => new Uint16Array(aligned(bytes, 2, what))

export const toBigInt64Array = (bytes: Uint8Array, what: string) => new BigInt64Array(aligned(bytes, 8, what))

export const fromArray = (array: Float32Array | Int32Array | BigInt64Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength)

export const noBytes: Uint8Array = new Uint8Array(0)
