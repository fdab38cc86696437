/**
 * Tensors as JSON: elements as a list of numbers, never as bytes. Both ways throw a plain `Error` that names the field.
 */
import type { TensorData } from "../TensorData.js"
import { sparseFault } from "./sparse.js"

export interface TensorJson {
  readonly data: ReadonlyArray<number | null>
  readonly dtype: TensorData["dtype"]
  readonly shape: ReadonlyArray<number>
  readonly sparse_crow_indices?: ReadonlyArray<number>
  readonly sparse_col_indices?: ReadonlyArray<number>
}

export const tensorToJson = (tensor: TensorData, name: string): TensorJson => ({
  data: tensor.dtype === "float32" ? floatsToJson(tensor.data, name) : integers(tensor.data, name),
  dtype: tensor.dtype,
  shape: tensor.shape,
  ...(tensor.sparse === undefined ? {} : {
    sparse_crow_indices: integers(tensor.sparse.crowIndices, `${name} sparse_crow_indices`),
    sparse_col_indices: integers(tensor.sparse.colIndices, `${name} sparse_col_indices`)
  })
})

/** Null stands for NaN, which JSON lacks as it does infinities. */
export const floatsToJson = (values: Float32Array, name: string): ReadonlyArray<number | null> =>
  Array.from(values, (value, i) => {
    if (Math.abs(value) === Infinity) throw new Error(`${name} is ${value} at ${i}, which JSON lacks`)
    return Number.isNaN(value) ? null : value
  })

const integers = (values: BigInt64Array, name: string): ReadonlyArray<number> =>
  Array.from(values, (value, i) => {
    const number = Number(value)
    if (!Number.isSafeInteger(number)) throw new Error(`${name} is ${value} at ${i}, which JSON does not hold exactly`)
    return number
  })

export const tensorFromJson = (value: unknown, name: string): TensorData => {
  const json = objectOf(value, name)
  const { dtype } = json
  const elements = listOf(json.data, `${name} data`)
  const crow = json.sparse_crow_indices ?? undefined
  const col = json.sparse_col_indices ?? undefined
  if ((crow === undefined) !== (col === undefined)) throw new Error(`${name} has one list of sparse indices of two`)
  const sparse = crow === undefined ? undefined : {
    crowIndices: bigints(listOf(crow, `${name} sparse_crow_indices`), `${name} sparse_crow_indices`),
    colIndices: bigints(listOf(col, `${name} sparse_col_indices`), `${name} sparse_col_indices`)
  }
  const shape = json.shape === undefined || json.shape === null ? [elements.length] : shapeOf(json.shape, name)
  const rest = sparse === undefined ? { shape } : { shape, sparse }
  if (dtype !== "float32" && dtype !== "int64") throw new Error(`${name} has no known dtype`)
  const tensor: TensorData = dtype === "float32"
    ? { dtype, data: floatsOf(elements, `${name} data`), ...rest }
    : { dtype, data: bigints(elements, `${name} data`), ...rest }
  const fault = sparse === undefined
    ? shape.reduce((product, n) => product * n, 1) === elements.length
      ? undefined
      : `has ${elements.length} elements, and its shape [${shape}] another number`
    : sparseFault(tensor)
  if (fault !== undefined) throw new Error(`${name} ${fault}`)
  return tensor
}

const bigints = (values: ReadonlyArray<unknown>, name: string): BigInt64Array => {
  const wide = new BigInt64Array(values.length)
  for (let i = 0; i < wide.length; i++) wide[i] = BigInt(integerOf(values[i], `${name}[${i}]`))
  return wide
}

const shapeOf = (value: unknown, name: string): ReadonlyArray<number> =>
  listOf(value, `${name} shape`).map((dimension) => {
    const size = integerOf(dimension, `${name} shape`)
    if (size < 0) throw new Error(`${name} shape has a negative dimension`)
    return size
  })

/** Null stands for NaN, which JSON lacks. */
export const floatsOf = (values: ReadonlyArray<unknown>, name: string): Float32Array => {
  const floats = new Float32Array(values.length)
  for (let i = 0; i < floats.length; i++) {
    const value = values[i]
    if (typeof value !== "number" && value !== null) throw new Error(`${name}[${i}] is no number`)
    floats[i] = value ?? NaN
  }
  return floats
}

export const integerOf = (value: unknown, name: string): number => {
  if (typeof value !== "number" || !Number.isSafeInteger(value)) throw new Error(`${name} is no whole number`)
  return value
}

export const listOf = (value: unknown, name: string): ReadonlyArray<unknown> => {
  if (!Array.isArray(value)) throw new Error(`${name} is no list`)
  return value
}

export const objectOf = (value: unknown, name: string): Readonly<Record<string, unknown>> => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error(`${name} is no object`)
  return value as Readonly<Record<string, unknown>>
}

export const numberOf = (value: unknown, name: string): number => {
  if (typeof value !== "number") throw new Error(`${name} is no number`)
  return value
}

export const tokenOf = (value: unknown, name: string): number => {
  const token = integerOf(value, name)
  if ((token | 0) !== token) throw new Error(`${name} is no 32-bit integer`)
  return token
}
