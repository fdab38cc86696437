/** Causal grouped-query attention over whole sequences, and its gradient. */
import type { Graph, Tensor } from "./Graph.js"

/**
 * The heads of attention, and their width.
 *
 * @since 0.1.0
 * @category models
 */
export interface Heads {
  readonly heads: number
  /** The heads of keys and values, whose number divides `heads`; each serves `heads / keyValueHeads` neighbouring query heads. */
  readonly keyValueHeads: number
  readonly headDim: number
}

/**
 * What all layers share: the batch's lengths and the causal mask.
 *
 * @since 0.1.0
 * @category models
 */
export interface Layout extends Heads {
  /** The numbers B and T, `[2] int64`. */
  readonly batch: Tensor
  /** The mask, `[group*T, T]`: 0 where a query may look, -∞ where it may not. */
  readonly mask: Tensor
}

/**
 * The layout of `tokens [B, T]`. Rows may be padded on the right: no earlier position sees the padding.
 *
 * @since 0.1.0
 * @category constructors
 */
export const layout = (graph: Graph, tokens: Tensor, heads: Heads): Layout => {
  const batch = graph.shapeOf(tokens)
  const length = graph.reshape(graph.slice(batch, 0, 1, 2, 1), graph.integers([]), [])
  const position = graph.range(length, "T")
  const row = graph.reshape(position, [1, -1], [1, "T"])
  const column = graph.reshape(position, [-1, 1], ["T", 1])
  const allowed = graph.where(graph.less(column, row), graph.scalar(-Infinity), graph.scalar(0))
  const group = heads.heads / heads.keyValueHeads
  const mask = group === 1 ? allowed : graph.tile(allowed, [group, 1], [groupRows(group), "T"])
  return { ...heads, batch, mask }
}

/**
 * `softmax(q kᵀ/√headDim + mask) v` per head: `q [B*T, heads*headDim]`, `k` and `v [B*T, keyValueHeads*headDim]`.
 *
 * The query heads that share keys are laid below one another, so that no key is copied and the sum of their gradients
 * falls out of the product.
 *
 * @since 0.1.0
 * @category combinators
 */
export const attention = (graph: Graph, q: Tensor, k: Tensor, v: Tensor, layout: Layout): Tensor => {
  const { headDim, heads, keyValueHeads } = layout
  const group = heads / keyValueHeads
  const alpha = 1 / Math.sqrt(headDim)

  const split = (x: Tensor, count: number): Tensor => {
    const shape = graph.concat([layout.batch, graph.integers([count, headDim])], 0)
    return graph.transpose(graph.reshape(x, shape, ["B", "T", count, headDim]), [0, 2, 1, 3])
  }
  const stack = (x: Tensor): Tensor =>
    group === 1
      ? x
      : graph.reshape(x, [0, keyValueHeads, -1, headDim], ["B", keyValueHeads, groupRows(group), headDim])
  const join = (x: Tensor, count: number, like: Tensor): Tensor =>
    graph.reshape(graph.transpose(x, [0, 2, 1, 3]), [-1, count * headDim], like.shape)
  const unstack = (x: Tensor): Tensor =>
    group === 1 ? x : graph.reshape(x, [0, heads, -1, headDim], ["B", heads, "T", headDim])

  const queries = stack(split(q, heads))
  const keys = split(k, keyValueHeads)
  const values = split(v, keyValueHeads)
  const weights = graph.softmax(graph.add(graph.matMul(queries, keys, { transB: true, alpha }), layout.mask))
  const mixed = graph.matMul(weights, values)
  const output = join(unstack(mixed), heads, q)

  graph.record.push({
    inputs: [q, k, v],
    output,
    backward: (dy, cotangents) => {
      const dMixed = stack(split(dy, heads))
      if (cotangents.needs(v)) {
        cotangents.add(v, join(graph.matMul(weights, dMixed, { transA: true }), keyValueHeads, v))
      }
      if (!cotangents.needs(q) && !cotangents.needs(k)) return
      // The sum over a row of dWeights ⊙ weights is that of dMixed ⊙ mixed, which is headDim wide instead of T.
      const dot = graph.sumLast(graph.mul(dMixed, mixed))
      const dScores = graph.mul(weights, graph.sub(graph.matMul(dMixed, values, { transB: true }), dot))
      cotangents.add(q, join(unstack(graph.matMul(dScores, keys, { alpha })), heads, q))
      cotangents.add(k, join(graph.matMul(dScores, queries, { transA: true, alpha }), keyValueHeads, k))
    }
  })
  return output
}

const groupRows = (group: number): string => group === 1 ? "T" : `${group}*T`
