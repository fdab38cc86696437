/** Whether a value is a list or a typed array of plain numbers; what is in a list may be anything. */
export const isNumbers = (value: unknown): value is ArrayLike<number> & object =>
  Array.isArray(value)
  || (ArrayBuffer.isView(value) && !(value instanceof DataView || value instanceof BigInt64Array
    || value instanceof BigUint64Array))
