/**
 * Numbers of any kind as the elements of a tensor. What does not fit is a sentence that says where; nothing throws.
 */
import type { NestedNumbers, TypedArray } from "../TensorData.js"

const isBigInts = (values: object): values is BigInt64Array | BigUint64Array =>
  values instanceof BigInt64Array || values instanceof BigUint64Array

/**
 * Writes the low halves through an int32 view, an order of magnitude faster than making a bigint of each element. New
 * memory is zero, and so are the high halves of all but negative numbers, which tokens are not.
 */
export const widen = (data: Int32Array): BigInt64Array => {
  const wide = new BigInt64Array(data.length)
  const words = new Int32Array(wide.buffer)
  let signs = 0
  for (let i = 0; i < data.length; i++) {
    const value = data[i]!
    words[2 * i] = value
    signs |= value
  }
  if (signs < 0) { for (let i = 0; i < data.length; i++) words[2 * i + 1] = data[i]! >> 31 }
  return wide
}

/** Plain numbers, whose fractions are dropped; what has no whole part that is exact becomes -1, which is no token. */
export const truncate = (data: ArrayLike<unknown>): BigInt64Array => {
  const wide = new BigInt64Array(data.length)
  const words = new Int32Array(wide.buffer)
  for (let i = 0; i < data.length; i++) {
    const value = data[i]
    const whole = typeof value === "number" ? Math.trunc(value) : NaN
    writeInt64(words, i, Number.isSafeInteger(whole) ? whole : -1)
  }
  return wide
}

/** Plain numbers; what is none becomes NaN. */
export const floats = (data: ArrayLike<unknown>): Float32Array => {
  const narrow = new Float32Array(data.length)
  for (let i = 0; i < data.length; i++) {
    const value = data[i]
    narrow[i] = typeof value === "number" ? value : NaN
  }
  return narrow
}

const writeInt64 = (words: Int32Array, i: number, value: number): void => {
  words[2 * i] = value
  words[2 * i + 1] = Math.floor(value / 0x1_0000_0000)
}

/** The upper halves of float32 bits. */
export const widenBfloat16 = (halves: Uint16Array): Float32Array => {
  const bits = new Uint32Array(halves.length)
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16
  return new Float32Array(bits.buffer)
}

/** Rounded to the nearest float32; a number beyond the largest is an error, an infinity itself is not. */
export const toFloat32 = (values: TypedArray | ReadonlyArray<number>): Float32Array | string => {
  if (values instanceof Float32Array) return values
  if (isBigInts(values)) return Float32Array.from(values, Number)
  const floats = new Float32Array(values.length)
  for (let i = 0; i < floats.length; i++) {
    const value: unknown = values[i]
    if (typeof value !== "number") return `is no number at ${i}.`
    floats[i] = value
    if (floats[i] !== value && Math.abs(floats[i]!) === Infinity) {
      return `is ${value} at ${i}, beyond the largest float32.`
    }
  }
  return floats
}

/** Whole numbers alone. */
export const toInt64 = (values: TypedArray | ReadonlyArray<number>): BigInt64Array | string => {
  if (values instanceof BigInt64Array) return values
  if (values instanceof BigUint64Array) {
    for (let i = 0; i < values.length; i++) {
      if (values[i]! >= 0x8000_0000_0000_0000n) return `is ${values[i]} at ${i}, beyond the largest int64.`
    }
    return new BigInt64Array(values)
  }
  if (values instanceof Int32Array) return widen(values)
  const wide = new BigInt64Array(values.length)
  const words = new Int32Array(wide.buffer)
  for (let i = 0; i < wide.length; i++) {
    const value: unknown = values[i]
    if (typeof value !== "number") return `is no number at ${i}.`
    if (!Number.isSafeInteger(value)) return `is ${value} at ${i}; it must be a whole number, at most 2^53 - 1.`
    writeInt64(words, i, value)
  }
  return wide
}

/** The numbers of nested arrays in order, and the shape; every array of a level must be as long as its neighbours. */
export const flatten = (
  values: NestedNumbers
): { readonly values: ReadonlyArray<number>; readonly shape: ReadonlyArray<number> } | string => {
  const shape: Array<number> = []
  for (let level: unknown = values; Array.isArray(level); level = level[0]) shape.push(level.length)
  if (shape.length === 1) {
    return values.some(Array.isArray)
      ? ragged
      : { values: values as ReadonlyArray<number>, shape }
  }
  const flat: Array<number> = []
  return collect(values, shape, 0, flat) ? { values: flat, shape } : ragged
}

const ragged = "is ragged: the arrays inside differ in length or depth."

const collect = (
  values: NestedNumbers,
  shape: ReadonlyArray<number>,
  depth: number,
  into: Array<number>
): boolean => {
  if (values.length !== shape[depth]) return false
  const leaves = depth === shape.length - 1
  for (const value of values) {
    if (Array.isArray(value) === leaves) return false
    if (leaves) into.push(value as number)
    else if (!collect(value as NestedNumbers, shape, depth + 1, into)) return false
  }
  return true
}
