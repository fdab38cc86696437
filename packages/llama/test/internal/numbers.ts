/**
 * Numbers that Python and TypeScript make alike, so that reference values need no weights beside them: entry `index` of
 * stream `stream` is a hash of both, uniform in [-1, 1). `scripts/torch_reference.py` has the same function.
 */
export const hashed = (stream: number, index: number): number => {
  let x = (Math.imul(stream + 1, 0x9e3779b9) + index) >>> 0
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return ((x ^ (x >>> 16)) >>> 0) / 2 ** 31 - 1
}

/** `size` numbers of a stream, within ±`bound` of `center`. */
export const hashedArray = (stream: number, size: number, bound = 1, center = 0): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => center + bound * hashed(stream, i))

/** `size` tokens of a stream, below `vocabulary`. */
export const hashedTokens = (stream: number, size: number, vocabulary: number): Int32Array =>
  Int32Array.from({ length: size }, (_, i) => Math.floor(((hashed(stream, i) + 1) / 2) * vocabulary))

/** Tensors in order, each from a stream of its own: matrices of variance 1/columns, norms near 1, biases near 0. */
export const hashedWeights = (shapes: ReadonlyMap<string, ReadonlyArray<number>>): Map<string, Float32Array> =>
  new Map(Array.from(shapes, ([name, shape], stream) => {
    const size = shape.reduce((product, dim) => product * dim, 1)
    const bound = shape.length === 2 ? Math.sqrt(3 / shape[1]!) : 0.1
    return [name, hashedArray(stream, size, bound, shape.length === 1 && !name.endsWith("bias") ? 1 : 0)]
  }))
