/**
 * Numbers with a dtype and a shape, row-major, over a typed array. Nothing is checked per element.
 */

/**
 * @since 0.1.0
 * @category models
 */
export type TensorData = Float32Tensor | Int64Tensor

/**
 * @since 0.1.0
 * @category models
 */
export interface Float32Tensor {
  readonly dtype: "float32"
  /** Every element, or for a sparse tensor the stored ones. */
  readonly data: Float32Array
  readonly shape: ReadonlyArray<number>
  readonly sparse?: SparseIndices | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Int64Tensor {
  readonly dtype: "int64"
  /** Every element, or for a sparse tensor the stored ones. */
  readonly data: BigInt64Array
  readonly shape: ReadonlyArray<number>
  readonly sparse?: SparseIndices | undefined
}

/**
 * Compressed sparse rows of a matrix: `crowIndices` `[rows + 1] int64`, `colIndices` `[stored] int64`.
 *
 * @since 0.1.0
 * @category models
 */
export interface SparseIndices {
  readonly crowIndices: BigInt64Array
  readonly colIndices: BigInt64Array
}

/**
 * Floats. The shape is `[data.length]` unless given.
 *
 * @since 0.1.0
 * @category constructors
 */
export const float32 = (
  data: Float32Array | ReadonlyArray<number>,
  shape: ReadonlyArray<number> = [data.length]
): Float32Tensor => ({
  dtype: "float32",
  data: data instanceof Float32Array ? data : Float32Array.from(data),
  shape
})

/**
 * Integers. The shape is `[data.length]` unless given. Plain numbers and int32 arrays are copied, a `BigInt64Array` is
 * kept as it is.
 *
 * @since 0.1.0
 * @category constructors
 */
export const int64 = (
  data: BigInt64Array | Int32Array | ReadonlyArray<number>,
  shape: ReadonlyArray<number> = [data.length]
): Int64Tensor => ({
  dtype: "int64",
  data: data instanceof BigInt64Array ? data : widen(data instanceof Int32Array ? data : Int32Array.from(data)),
  shape
})

/** Sign-extends through an int32 view, an order of magnitude faster than making a bigint of each element. */
const widen = (data: Int32Array): BigInt64Array => {
  const wide = new BigInt64Array(data.length)
  const words = new Int32Array(wide.buffer)
  for (let i = 0; i < data.length; i++) {
    const value = data[i]!
    words[2 * i] = value
    words[2 * i + 1] = value >> 31
  }
  return wide
}

/**
 * The low 32 bits of each integer: the values themselves for tokens and other small numbers.
 *
 * @since 0.1.0
 * @category utils
 */
export const toInt32Array = (tensor: Int64Tensor): Int32Array => {
  const words = new Int32Array(tensor.data.buffer, tensor.data.byteOffset, 2 * tensor.data.length)
  const narrow = new Int32Array(tensor.data.length)
  for (let i = 0; i < narrow.length; i++) narrow[i] = words[2 * i]!
  return narrow
}

/**
 * Bytes that the elements and indices take.
 *
 * @since 0.1.0
 * @category utils
 */
export const byteLength = (tensor: TensorData): number =>
  tensor.data.byteLength
  + (tensor.sparse === undefined ? 0 : tensor.sparse.crowIndices.byteLength + tensor.sparse.colIndices.byteLength)
