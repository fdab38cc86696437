/**
 * One look at each number of an array, for what no request may hold. The position of the first that does not fit, or -1.
 * The plain loop only asks whether there is one; where it is, is looked up after.
 */

/** Infinite or not a number: the difference to itself is not zero. Four sums, so that they do not wait for each other. */
export const firstNonFinite = (data: Float32Array): number => {
  const whole = data.length & ~3
  let a = 0
  let b = 0
  let c = 0
  let d = 0
  for (let i = 0; i < whole; i += 4) {
    a += data[i]! - data[i]!
    b += data[i + 1]! - data[i + 1]!
    c += data[i + 2]! - data[i + 2]!
    d += data[i + 3]! - data[i + 3]!
  }
  for (let i = whole; i < data.length; i++) a += data[i]! - data[i]!
  return a + b + c + d === 0 ? -1 : data.findIndex((value) => !Number.isFinite(value))
}

/** Negative, or not less than `limit`, which is at most 2^31. */
export const firstOutside = (tokens: Int32Array, limit: number): number => {
  // As an unsigned number a negative one is larger than every limit.
  for (let i = 0; i < tokens.length; i++) if ((tokens[i]! >>> 0) >= limit) return i
  return -1
}

/** The same for 64 bits. */
export const firstOutsideInt64 = (tokens: BigInt64Array, limit: number): number => {
  const words = new Uint32Array(tokens.buffer, tokens.byteOffset, 2 * tokens.length)
  for (let i = 0; i < words.length; i += 2) if (words[i]! >= limit || words[i + 1] !== 0) return i / 2
  return -1
}
