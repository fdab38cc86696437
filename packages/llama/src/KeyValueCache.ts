/** Keys and values of sequences that grow together: one array a layer and kind, each sequence a row of it. */
import type * as Attention from "./Attention.js"

/**
 * Arrays are `[rows, keyValueHeads, capacity, headDim]`, in the order keys of layer 0, values of layer 0, keys of layer 1.
 *
 * @since 0.1.0
 * @category models
 */
export interface KeyValueCache {
  readonly rows: number
  /** The number of positions that a row has room for. */
  readonly capacity: number
  /** Changes the number of rows and of positions; what fits stays. */
  readonly resize: (rows: number, capacity: number) => void
  /** The arrays of neighbouring rows, not copied. */
  readonly view: (first: number, count: number) => ReadonlyArray<Float32Array>
  /**
   * Writes new positions of neighbouring rows: `fresh [arrays * count, length, keyValueHeads * headDim]`, where row
   * `first + i` begins at `starts[i]`.
   */
  readonly write: (fresh: Float32Array, first: number, starts: ReadonlyArray<number>, length: number) => void
  /** Copies the first positions of a row over another. */
  readonly copy: (from: number, to: number, length: number) => void
  /** The first positions of a row, by array, `[keyValueHeads, length, headDim]`. */
  readonly extract: (row: number, length: number) => ReadonlyArray<Float32Array>
  /** Puts the first `length` positions of what was extracted with `of` positions into a row. */
  readonly insert: (row: number, extracted: ReadonlyArray<Float32Array>, of: number, length: number) => void
  /** Fills a row with zeros, so that no NaN of this row reaches the next that has its place: 0 times NaN is NaN. */
  readonly clear: (row: number) => void
}

/**
 * What a position of one sequence takes.
 *
 * @since 0.1.0
 * @category utils
 */
export const bytesPerPosition = (config: Attention.Heads & { readonly layers: number }): number =>
  2 * 4 * config.layers * config.keyValueHeads * config.headDim

/**
 * A cache without rows.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (config: Attention.Heads & { readonly layers: number }): KeyValueCache => {
  const { headDim, keyValueHeads, layers } = config
  let rows = 0
  let capacity = 0
  let arrays: Array<Float32Array> = Array.from({ length: 2 * layers }, () => new Float32Array(0))

  return {
    get rows() {
      return rows
    },
    get capacity() {
      return capacity
    },

    resize: (newRows, newCapacity) => {
      if (newRows === rows && newCapacity === capacity) return
      const kept = Math.min(rows, newRows) * keyValueHeads
      const width = Math.min(capacity, newCapacity) * headDim
      arrays = arrays.map((array) => {
        const resized = new Float32Array(newRows * keyValueHeads * newCapacity * headDim)
        for (let head = 0; head < kept; head++) {
          const start = head * capacity * headDim
          resized.set(array.subarray(start, start + width), head * newCapacity * headDim)
        }
        return resized
      })
      rows = newRows
      capacity = newCapacity
    },

    view: (first, count) => {
      const size = keyValueHeads * capacity * headDim
      return arrays.map((array) => array.subarray(first * size, (first + count) * size))
    },

    write: (fresh, first, starts, length) => {
      let from = 0
      for (const array of arrays) {
        for (let i = 0; i < starts.length; i++) {
          for (let s = 0; s < length; s++) {
            for (let head = 0; head < keyValueHeads; head++) {
              const to = (((first + i) * keyValueHeads + head) * capacity + starts[i]! + s) * headDim
              array.set(fresh.subarray(from, from + headDim), to)
              from += headDim
            }
          }
        }
      }
    },

    copy: (from, to, length) => {
      for (const array of arrays) {
        for (let head = 0; head < keyValueHeads; head++) {
          const start = (from * keyValueHeads + head) * capacity * headDim
          array.copyWithin((to * keyValueHeads + head) * capacity * headDim, start, start + length * headDim)
        }
      }
    },

    extract: (row, length) =>
      arrays.map((array) => {
        const extracted = new Float32Array(keyValueHeads * length * headDim)
        for (let head = 0; head < keyValueHeads; head++) {
          const start = (row * keyValueHeads + head) * capacity * headDim
          extracted.set(array.subarray(start, start + length * headDim), head * length * headDim)
        }
        return extracted
      }),

    insert: (row, extracted, of, length) => {
      arrays.forEach((array, i) => {
        for (let head = 0; head < keyValueHeads; head++) {
          const start = head * of * headDim
          const part = extracted[i]!.subarray(start, start + length * headDim)
          array.set(part, (row * keyValueHeads + head) * capacity * headDim)
        }
      })
    },

    clear: (row) => {
      const size = keyValueHeads * capacity * headDim
      for (const array of arrays) array.fill(0, row * size, (row + 1) * size)
    }
  }
}
