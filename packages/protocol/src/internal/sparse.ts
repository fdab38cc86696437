/**
 * Matrices whose zeros are left out, as compressed sparse rows.
 */
import type { SparseIndices, TensorData } from "../TensorData.js"

/** What is wrong with the indices of a sparse tensor; nothing for a dense one. */
export const sparseFault = (tensor: TensorData): string | undefined => {
  const { sparse, shape } = tensor
  if (sparse === undefined) return undefined
  const { colIndices, crowIndices } = sparse
  if (shape.length !== 2) return `is sparse with shape [${shape}]; a sparse tensor is a matrix.`
  const [rows, columns] = [shape[0]!, BigInt(shape[1]!)]
  if (crowIndices.length !== rows + 1) {
    return `has ${crowIndices.length} row offsets; its shape [${shape}] takes ${rows + 1}.`
  }
  if (colIndices.length !== tensor.data.length) {
    return `has ${colIndices.length} column indices for ${tensor.data.length} values.`
  }
  if (crowIndices[0] !== 0n || crowIndices[rows] !== BigInt(colIndices.length)) {
    return `has row offsets from ${crowIndices[0]} to ${crowIndices[rows]}; they go from 0 to ${colIndices.length}.`
  }
  for (let row = 0; row < rows; row++) {
    if (crowIndices[row + 1]! < crowIndices[row]!) return `has a row offset that falls, at ${row + 1}.`
  }
  for (let row = 0; row < rows; row++) {
    const end = Number(crowIndices[row + 1])
    for (let i = Number(crowIndices[row]), last = -1n; i < end; i++) {
      const column = colIndices[i]!
      if (column <= last || column >= columns) {
        return `has column ${column} at ${i}; a row's columns rise and are less than ${columns}.`
      }
      last = column
    }
  }
  return undefined
}

/** The indices and the positions of what is not zero, or nothing when they would take no less room than the zeros. */
export const sparsePattern = (
  data: Float32Array | BigInt64Array,
  rows: number,
  columns: number
): { readonly sparse: SparseIndices; readonly positions: Int32Array } | undefined => {
  const zero = data instanceof Float32Array ? 0 : 0n
  const stored = count(data, zero)
  if (!(rows + 1 + 2 * stored < rows * columns)) return undefined
  const crowIndices = new BigInt64Array(rows + 1)
  const colIndices = new BigInt64Array(stored)
  const positions = new Int32Array(stored)
  let next = 0
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const position = row * columns + column
      if (data[position] !== zero) {
        colIndices[next] = BigInt(column)
        positions[next++] = position
      }
    }
    crowIndices[row + 1] = BigInt(next)
  }
  return { sparse: { crowIndices, colIndices }, positions }
}

const count = (data: Float32Array | BigInt64Array, zero: number | bigint): number => {
  let stored = 0
  for (let i = 0; i < data.length; i++) if (data[i] !== zero) stored++
  return stored
}

/** Calls back with the position of each stored value in the dense matrix. The indices must be consistent. */
export const forEachStored = (
  sparse: SparseIndices,
  columns: number,
  f: (stored: number, position: number) => void
): void => {
  for (let row = 0; row + 1 < sparse.crowIndices.length; row++) {
    const end = Number(sparse.crowIndices[row + 1])
    for (let i = Number(sparse.crowIndices[row]); i < end; i++) f(i, row * columns + Number(sparse.colIndices[i]))
  }
}
