/**
 * The differentiable steps of a decoder except attention and the vocabulary head, each with its gradient beside it.
 *
 * Activations are matrices `[B*T, width]`: tokens of all sequences below one another.
 */
import type { Graph, Tensor } from "./Graph.js"

/**
 * A low-rank addition to a linear map, `scale·B(Ax)`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Adapter {
  /** The matrix A, `[R, in]`. */
  readonly a: Tensor
  /** The matrix B, `[out, R]`. */
  readonly b: Tensor
  /** The scale of the product, `[]`. */
  readonly scale: Tensor
}

/**
 * Rows of the embedding `[V, H]`. Its gradient goes through a one-hot matrix, which suits small vocabularies.
 *
 * @since 0.1.0
 * @category combinators
 */
export const embedding = (graph: Graph, weight: Tensor, tokens: Tensor): Tensor => {
  const output = graph.gather(weight, tokens)
  graph.record.push({
    inputs: [weight],
    output,
    backward: (dy, cotangents) => {
      const oneHot = graph.oneHot(tokens, Number(weight.shape[0]))
      const sum = cotangents.take(weight)
      cotangents.add(weight, graph.gemm(oneHot, dy, { transA: true, c: sum }))
    }
  })
  return output
}

/**
 * `a + b`, both of one shape.
 *
 * @since 0.1.0
 * @category combinators
 */
export const residual = (graph: Graph, a: Tensor, b: Tensor): Tensor => {
  const output = graph.add(a, b)
  graph.record.push({
    inputs: [a, b],
    output,
    backward: (dy, cotangents) => {
      cotangents.add(a, dy)
      cotangents.add(b, dy)
    }
  })
  return output
}

/**
 * `x Wᵀ + bias + scale·(x Aᵀ) Bᵀ` of `x [B*T, in]`, with `W [out, in]`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const linear = (graph: Graph, x: Tensor, options: {
  readonly weight: Tensor
  readonly bias?: Tensor | undefined
  readonly adapter?: Adapter | undefined
}): Tensor => {
  const { adapter, bias, weight } = options
  const base = graph.gemm(x, weight, { transB: true, c: bias })
  const low = adapter && graph.mul(graph.gemm(x, adapter.a, { transB: true }), adapter.scale)
  const output = adapter && low ? graph.gemm(low, adapter.b, { transB: true, c: base }) : base
  graph.record.push({
    inputs: [x, weight, ...(bias ? [bias] : []), ...(adapter ? [adapter.a, adapter.b] : [])],
    output,
    backward: (dy, cotangents) => {
      if (cotangents.needs(weight)) cotangents.add(weight, graph.gemm(dy, x, { transA: true }))
      if (bias && cotangents.needs(bias)) cotangents.add(bias, graph.sumFirst(dy))
      const dlow = adapter && graph.mul(graph.gemm(dy, adapter.b), adapter.scale)
      if (adapter && low && dlow) {
        cotangents.add(adapter.b, graph.gemm(dy, low, { transA: true }))
        cotangents.add(adapter.a, graph.gemm(dlow, x, { transA: true }))
      }
      if (cotangents.needs(x)) {
        const dx = graph.gemm(dy, weight, { c: cotangents.take(x) })
        cotangents.add(x, adapter && dlow ? graph.gemm(dlow, adapter.a, { c: dx }) : dx)
      }
    }
  })
  return output
}

/**
 * `weight ⊙ x / √(mean(x²) + epsilon)` over groups of `weight.length` neighbours: the whole row, or each head of it.
 *
 * @since 0.1.0
 * @category combinators
 */
export const rmsNorm = (graph: Graph, x: Tensor, weight: Tensor, epsilon: number): Tensor => {
  const width = Number(weight.shape[0])
  const groups = Number(x.shape[1]) / width
  const rows = groups === 1 ? x.shape[0]! : `${x.shape[0]}*${groups}`
  const split = (tensor: Tensor) => groups === 1 ? tensor : graph.reshape(tensor, [-1, width], [rows, width])
  const join = (tensor: Tensor) => groups === 1 ? tensor : graph.reshape(tensor, [-1, groups * width], x.shape)

  const input = split(x)
  const normalize = graph.float === "float32" ? normalizeFused : normalizePlain
  const { inverse, normed } = normalize(graph, input, weight, epsilon)
  const output = join(normed)
  graph.record.push({
    inputs: [x, weight],
    output,
    backward: (dy, cotangents) => {
      const grad = split(dy)
      if (cotangents.needs(weight)) {
        cotangents.add(weight, graph.sumFirst(graph.mul(grad, graph.mul(input, inverse))))
      }
      if (cotangents.needs(x)) {
        const g = graph.mul(grad, weight)
        const mean = graph.meanLast(graph.mul(g, input))
        const slope = graph.mul(mean, graph.mul(inverse, inverse))
        cotangents.add(x, join(graph.mul(graph.sub(g, graph.mul(input, slope)), inverse)))
      }
    }
  })
  return output
}

const normalizeFused = (graph: Graph, x: Tensor, weight: Tensor, epsilon: number) => {
  const [normed, inverse] = graph.emitMany("SimplifiedLayerNormalization", [x, weight], [
    { shape: x.shape, integers: { axis: -1 }, floats: { epsilon } },
    { shape: [x.shape[0]!, 1] }
  ])
  return { normed: normed!, inverse: inverse! }
}

/** The norm without the fused operator, which gives 1/√… in float32 even for float64. */
const normalizePlain = (graph: Graph, x: Tensor, weight: Tensor, epsilon: number) => {
  const mean = graph.add(graph.meanLast(graph.mul(x, x)), graph.scalar(epsilon))
  const inverse = graph.div(graph.scalar(1), graph.sqrt(mean))
  return { normed: graph.mul(graph.mul(x, inverse), weight), inverse }
}

/**
 * The rotation of rotary positions: tables `[C, headDim/2]` of cosines and sines, and which row each token takes:
 * `[1]` for a common first position, or `[B, T]`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Rotation {
  readonly cos: Tensor
  readonly sin: Tensor
  readonly positions: Tensor
  /** The numbers B and T, `[2] int64`. */
  readonly batch: Tensor
}

/**
 * Rotates each head of `x [B*T, heads*headDim]`; the first half of a head is paired with its second half.
 *
 * @since 0.1.0
 * @category combinators
 */
export const rope = (graph: Graph, x: Tensor, rotation: Rotation): Tensor => {
  const rotate = graph.float === "float32" ? rotateFused : rotatePlain
  const output = rotate(graph, x, rotation)
  graph.record.push({
    inputs: [x],
    output,
    backward: (dy, cotangents) => {
      cotangents.add(x, rotate(graph, dy, { ...rotation, sin: graph.neg(rotation.sin) }))
    }
  })
  return output
}

const rotateFused = (graph: Graph, x: Tensor, { batch, cos, positions, sin }: Rotation): Tensor => {
  const width = Number(x.shape[1])
  const rows = graph.reshape(x, graph.concat([batch, graph.integers([width])], 0), ["B", "T", width])
  const rotated = graph.emit("RotaryEmbedding", [rows, positions, cos, sin], {
    shape: rows.shape,
    domain: "com.microsoft"
  })
  return graph.reshape(rotated, [-1, width], x.shape)
}

/**
 * The rotation without the fused operator, which has no float64 kernel: positions count from 0 and the tables have length T.
 */
const rotatePlain = (graph: Graph, x: Tensor, { batch, cos, sin }: Rotation): Tensor => {
  const width = Number(x.shape[1])
  const half = Number(cos.shape[1])
  const heads = width / (2 * half)
  const rows = graph.reshape(x, graph.concat([batch, graph.integers([heads, 2 * half])], 0), [
    "B",
    "T",
    heads,
    2 * half
  ])
  const table = (tensor: Tensor) => graph.reshape(tensor, [-1, 1, half], ["T", 1, half])
  const [c, s] = [table(cos), table(sin)]
  const a = graph.slice(rows, 3, 0, half, half)
  const b = graph.slice(rows, 3, half, 2 * half, half)
  const rotated = graph.concat([
    graph.sub(graph.mul(a, c), graph.mul(b, s)),
    graph.add(graph.mul(b, c), graph.mul(a, s))
  ], 3)
  return graph.reshape(rotated, [-1, width], x.shape)
}

/**
 * `silu(gate) ⊙ up`
 *
 * @since 0.1.0
 * @category combinators
 */
export const swiGlu = (graph: Graph, gate: Tensor, up: Tensor): Tensor => {
  const sigmoid = graph.sigmoid(gate)
  // The runtime makes one operator of a product with its sigmoid, which has no float64 kernel.
  const silu = graph.float === "float32"
    ? graph.mul(gate, sigmoid)
    : graph.div(gate, graph.add(graph.scalar(1), graph.exp(graph.neg(gate))))
  const output = graph.mul(silu, up)
  graph.record.push({
    inputs: [gate, up],
    output,
    backward: (dy, cotangents) => {
      if (cotangents.needs(up)) cotangents.add(up, graph.mul(dy, silu))
      if (cotangents.needs(gate)) {
        // d silu = σ + silu·(1 - σ)
        const slope = graph.add(sigmoid, graph.sub(silu, graph.mul(silu, sigmoid)))
        cotangents.add(gate, graph.mul(graph.mul(dy, up), slope))
      }
    }
  })
  return output
}
