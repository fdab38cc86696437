/** Float32 to IEEE half precision and the safetensors file that holds it. */

const float = new Float32Array(1)
const bits = new Uint32Array(float.buffer)

/** Rounds to the nearest half, ties to even. Beyond its range comes infinity. */
export const toFloat16 = (value: number): number => {
  float[0] = value
  const word = bits[0]!
  const sign = (word >>> 16) & 0x8000
  const exponent = ((word >>> 23) & 0xff) - 112
  let mantissa = word & 0x7fffff
  if (exponent >= 31) return exponent === 143 && mantissa !== 0 ? sign | 0x7e00 : sign | 0x7c00
  if (exponent <= 0) {
    if (exponent < -10) return sign
    mantissa |= 0x800000
    return sign | roundShift(mantissa, 14 - exponent)
  }
  // A mantissa that rounds up to the next power of two carries into the exponent, as it should.
  return sign | ((exponent << 10) + roundShift(mantissa, 13))
}

const roundShift = (value: number, shift: number): number => {
  const kept = value >>> shift
  const rest = value & ((1 << shift) - 1)
  const half = 1 << (shift - 1)
  return rest > half || (rest === half && (kept & 1) === 1) ? kept + 1 : kept
}

/** A safetensors file of half-precision tensors. */
export const encodeFloat16 = (
  tensors: Iterable<readonly [name: string, shape: ReadonlyArray<number>, data: Float32Array]>
): Uint8Array => {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } }
  const parts: Array<Uint16Array> = []
  let length = 0
  for (const [name, shape, data] of tensors) {
    const half = new Uint16Array(data.length)
    for (let i = 0; i < data.length; i++) half[i] = toFloat16(data[i]!)
    parts.push(half)
    header[name] = { dtype: "F16", shape, data_offsets: [length, length + half.byteLength] }
    length += half.byteLength
  }
  const text = new TextEncoder().encode(JSON.stringify(header))
  const headerLength = Math.ceil(text.length / 8) * 8
  const file = new Uint8Array(8 + headerLength + length)
  new DataView(file.buffer).setBigUint64(0, BigInt(headerLength), true)
  file.fill(0x20, 8, 8 + headerLength)
  file.set(text, 8)
  let offset = 8 + headerLength
  for (const part of parts) {
    file.set(new Uint8Array(part.buffer), offset)
    offset += part.byteLength
  }
  return file
}
