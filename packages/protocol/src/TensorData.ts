/**
 * Numbers with a dtype and a shape, row-major, over a typed array. Nothing is checked per element unless it has to be
 * converted.
 */
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import { kindOf, named, notOptions, optionIssues } from "./CallOptions.js"
import { tensor as tensorIssues } from "./InputShape.js"
import { isNumbers } from "./internal/isNumbers.js"
import { forEachStored, sparseFault, sparsePattern } from "./internal/sparse.js"
import type { TensorJson as Json } from "./internal/tensorJson.js"
import { TensorFromJson } from "./internal/tensorSchema.js"
import { flatten, floats, toFloat32, toInt64, truncate, widen, widenBfloat16 } from "./internal/tensorValues.js"
import type { Issue } from "./TinkerError.js"

/**
 * The schema of a tensor, whose JSON is the service's: `{ data, dtype, shape, sparse_crow_indices, sparse_col_indices }`, with null for NaN.
 * Encoding fails for what JSON lacks: infinities, and integers beyond 2^53 - 1. JSON has one zero, so -0 becomes 0.
 *
 * @since 0.1.0
 * @category schemas
 */
export const TensorData: Schema.Schema<TensorData, TensorJson> = TensorFromJson

/**
 * @since 0.1.0
 * @category models
 */
export type TensorData = Float32Tensor | Int64Tensor

/**
 * A tensor in JSON.
 *
 * @since 0.1.0
 * @category models
 */
export type TensorJson = Json

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
 * Compressed sparse rows of a matrix: `crowIndices` `[rows + 1] int64`, `colIndices` `[stored] int64`. The columns of a
 * row rise.
 *
 * @since 0.1.0
 * @category models
 */
export interface SparseIndices {
  readonly crowIndices: BigInt64Array
  readonly colIndices: BigInt64Array
}

/**
 * @since 0.1.0
 * @category models
 */
export type DType = TensorData["dtype"]

/**
 * @since 0.1.0
 * @category models
 */
export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint8Array
  | Uint8ClampedArray
  | Uint16Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array

/**
 * Numbers in arrays, as deep as the tensor has dimensions.
 *
 * @since 0.1.0
 * @category models
 */
export type NestedNumbers = ReadonlyArray<number | NestedNumbers>

/**
 * Floats. The shape is `[data.length]` unless given. A `Float32Array` is kept as it is. A plain number beyond the largest
 * float32 becomes infinite, and what is no number NaN, which no training request accepts; {@link fromArray} says so at once.
 * Nothing throws: what is no list of numbers is kept too, and refused by name where it is used.
 *
 * @since 0.1.0
 * @category constructors
 */
export const float32 = (
  data: Float32Array | ReadonlyArray<number>,
  shape: ReadonlyArray<number> = row(data)
): Float32Tensor => ({
  dtype: "float32",
  data: data instanceof Float32Array || !isNumbers(data) ? data : floats(data),
  shape
})

const row = (data: unknown): ReadonlyArray<number> => [
  Predicate.hasProperty(data, "length") ? Number(data.length) : 0
]

/**
 * Integers. The shape is `[data.length]` unless given. A `BigInt64Array` is kept as it is, the others are copied. The
 * fractions of plain numbers are dropped, and what is no number, or too large to be exact, becomes -1; {@link fromArray} refuses
 * them. Nothing throws: what is no list of numbers is kept too, and refused by name where it is used.
 *
 * @since 0.1.0
 * @category constructors
 */
export const int64 = (
  data: BigInt64Array | Int32Array | ReadonlyArray<number>,
  shape: ReadonlyArray<number> = row(data)
): Int64Tensor => ({
  dtype: "int64",
  data: data instanceof BigInt64Array || !isNumbers(data)
    ? data
    : data instanceof Int32Array
    ? widen(data)
    : truncate(data),
  shape
})

/**
 * Floats from the bits of bfloat16 numbers, `[elements] uint16`. Widening them loses nothing.
 *
 * @since 0.1.0
 * @category constructors
 */
export const bfloat16 = (bits: Uint16Array, shape: ReadonlyArray<number> = row(bits)): Float32Tensor => ({
  dtype: "float32",
  data: bits instanceof Uint16Array ? widenBfloat16(bits) : bits,
  shape
})

/**
 * A tensor from numbers of any kind. An array of the dtype's own kind is kept as it is.
 *
 * Left, when an element does not fit the dtype (a float beyond float32, a fraction or an unsigned number beyond int64
 * among integers), when nested arrays are ragged, or when a plain list comes without a dtype.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromArray = (
  values: TypedArray | NestedNumbers,
  options: {
    /** Default: `float32` for typed arrays of floats, `int64` for those of integers. Plain lists need it. */
    readonly dtype?: DType | undefined
    /** Default: `[values.length]`, or that of the nested arrays. */
    readonly shape?: ReadonlyArray<number> | undefined
    /** What an issue calls the values. Default `values`. */
    readonly field?: string | undefined
  } = {}
): Either.Either<TensorData, Issue> => {
  const [unfit] = notOptions(options, optionNames) ?? optionIssues(options, optionNames)
  if (unfit !== undefined) return Either.left(unfit)
  const wrong = (description: string) => Either.left({ field: options.field ?? "values", description })
  if (!Array.isArray(values) && (!ArrayBuffer.isView(values) || values instanceof DataView)) {
    return wrong(`is ${kindOf(values)}; pass numbers in a list or a typed array.`)
  }
  const nested = ArrayBuffer.isView(values) ? { values, shape: [values.length] } : flatten(values)
  if (typeof nested === "string") return wrong(nested)
  const dtype = options.dtype === undefined && ArrayBuffer.isView(values) ? naturalDtype(values) : options.dtype
  if (dtype === undefined) return wrong("is a plain list; say whether it is float32 or int64.")
  if (dtype !== "float32" && dtype !== "int64") return wrong(`cannot be of ${named(dtype)}; pass float32 or int64.`)
  const { shape = nested.shape } = options
  if (!Array.isArray(shape)) return wrong(`cannot have ${kindOf(shape)} as shape; pass a list of numbers.`)
  if (elementCount(shape) !== nested.values.length) {
    return wrong(`has ${nested.values.length} elements, and its shape [${shape}] says ${elementCount(shape)}.`)
  }
  if (dtype === "float32") {
    const data = toFloat32(nested.values)
    return typeof data === "string" ? wrong(data) : Either.right({ dtype, data, shape })
  }
  const data = toInt64(nested.values)
  return typeof data === "string" ? wrong(data) : Either.right({ dtype, data, shape })
}

const optionNames = ["dtype", "shape", "field"]

const naturalDtype = (values: TypedArray): DType =>
  values instanceof Float32Array || values instanceof Float64Array ? "float32" : "int64"

/**
 * The same matrix without its zeros, if that is smaller: when `rows + 1 + 2 stored < rows columns`. Every other tensor is
 * given back as it is.
 *
 * Source of the rule: the Python SDK 0.38.0.
 *
 * @example
 * ```ts
 * import { TensorData } from "effect-tinker"
 *
 * // One row of four, in which one number counts.
 * const dense = TensorData.float32(Float32Array.of(0, 0, 2.5, 0), [1, 4])
 * console.log(TensorData.toNested(TensorData.toSparse(dense)))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const toSparse = (tensor: TensorData): TensorData => {
  // What is no tensor is given back too: it is refused where it is used.
  if (tensorIssues(tensor, "tensor").length > 0 || tensor.sparse !== undefined || tensor.shape.length !== 2) {
    return tensor
  }
  const [rows, columns] = [tensor.shape[0]!, tensor.shape[1]!]
  if (rows * columns !== tensor.data.length) return tensor
  const pattern = sparsePattern(tensor.data, rows, columns)
  if (pattern === undefined) return tensor
  const { positions, sparse } = pattern
  const { shape } = tensor
  if (tensor.dtype === "float32") {
    const data = new Float32Array(positions.length)
    for (let i = 0; i < data.length; i++) data[i] = tensor.data[positions[i]!]!
    return { dtype: "float32", data, shape, sparse }
  }
  const data = new BigInt64Array(positions.length)
  for (let i = 0; i < data.length; i++) data[i] = tensor.data[positions[i]!]!
  return { dtype: "int64", data, shape, sparse }
}

/**
 * The same tensor with all its elements; those that a sparse one leaves out are `padValue`, 0 by default. Left, when the
 * indices of a sparse tensor contradict each other, or when it is too large.
 *
 * @since 0.1.0
 * @category combinators
 */
export const toDense = (tensor: TensorData, padValue: number = 0): Either.Either<TensorData, Issue> => {
  const [unfit] = tensorIssues(tensor, "tensor")
  if (unfit !== undefined) return Either.left(unfit)
  const { sparse, shape } = tensor
  if (sparse === undefined) return Either.right(tensor)
  const fault = sparseFault(tensor)
  if (fault !== undefined) return Either.left({ field: "tensor", description: fault })
  const [rows, columns] = [shape[0]!, shape[1]!]
  if (rows * columns > mostElements) {
    return Either.left({ field: "tensor", description: `has shape [${shape}], too large to have all its elements.` })
  }
  if (tensor.dtype === "float32") {
    const data = new Float32Array(rows * columns).fill(padValue)
    forEachStored(sparse, columns, (stored, position) => data[position] = tensor.data[stored]!)
    return Either.right({ dtype: "float32", data, shape })
  }
  if (!Number.isSafeInteger(padValue)) {
    return Either.left({ field: "padValue", description: `is ${padValue}; it must be a whole number.` })
  }
  const data = new BigInt64Array(rows * columns).fill(BigInt(padValue))
  forEachStored(sparse, columns, (stored, position) => data[position] = tensor.data[stored]!)
  return Either.right({ dtype: "int64", data, shape })
}

/** The most elements that one typed array has in every JavaScript engine. */
const mostElements = 2 ** 31 - 1

/**
 * The elements in arrays, as deep as the shape is long; a number alone for shape `[]`. Left, when an integer is beyond
 * 2^53 - 1 and would change as a number, or when shape, indices and elements contradict each other.
 *
 * @since 0.1.0
 * @category combinators
 */
export const toNested = (
  tensor: TensorData,
  options: { readonly padValue?: number | undefined } = {}
): Either.Either<NestedNumbers | number, Issue> =>
  Either.flatMap(denseWith(tensor, options), ({ data, shape }) => {
    if (elementCount(shape) !== data.length) {
      return Either.left({
        field: "tensor",
        description: `has ${data.length} elements, and its shape [${shape}] says ${elementCount(shape)}.`
      })
    }
    const numbers = Array.from<number | bigint, number>(data, Number)
    const unsafe = data instanceof BigInt64Array ? numbers.findIndex((n) => !Number.isSafeInteger(n)) : -1
    return unsafe < 0 ? Either.right(nest(numbers, shape, 0, 0)) : Either.left({
      field: "tensor",
      description: `is ${data[unsafe]} at ${unsafe}, which no number holds exactly; read its data.`
    })
  })

const denseWith = (tensor: TensorData, options: { readonly padValue?: number | undefined }) => {
  const [unfit] = optionIssues(options, ["padValue"])
  return unfit === undefined ? toDense(tensor, options.padValue) : Either.left(unfit)
}

const nest = (
  numbers: ReadonlyArray<number>,
  shape: ReadonlyArray<number>,
  depth: number,
  offset: number
): NestedNumbers | number => {
  if (depth === shape.length) return numbers[offset]!
  const stride = elementCount(shape.slice(depth + 1))
  return Array.from({ length: shape[depth]! }, (_, i) => nest(numbers, shape, depth + 1, offset + i * stride))
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
 * Elements of a dense tensor of this shape; 1 for `[]`.
 *
 * @since 0.1.0
 * @category utils
 */
export const elementCount = (shape: ReadonlyArray<number>): number => {
  let count = 1
  for (const dimension of shape) count *= dimension
  return count
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
