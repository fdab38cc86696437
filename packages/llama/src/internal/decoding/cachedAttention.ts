/** Grouped-query attention of new tokens over a cache of keys and values and over one another. */
import type * as Attention from "../../Attention.js"
import type { Graph, Tensor } from "../../Graph.js"

/** What all layers share, for B sequences, S new tokens of each and a cache of C positions. */
export interface Layout extends Attention.Heads {
  /** The new tokens, `[B, S] int64`. */
  readonly tokens: Tensor
  /** The positions of the new tokens, `[B, S] int64`. */
  readonly positions: Tensor
  /** The mask, `[B, 1, 1, S, C + S]`: 0 where a new token may look, -∞ where not. */
  readonly mask: Tensor
  /** The cosines of the rotary angles, `[P, headDim/2]`, with P above every position. */
  readonly cos: Tensor
  /** The sines of the rotary angles, `[P, headDim/2]`, with P above every position. */
  readonly sin: Tensor
  /** The numbers B and S, `[2] int64`. */
  readonly batch: Tensor
  /** The numbers C and S, `[2] int64`. */
  readonly lengths: Tensor
  /** The shape `[B, keyValueHeads, group, S, C + S]`. */
  readonly groupShape: Tensor
  /** The shape `[B, keyValueHeads, group*S, C + S]`. */
  readonly stackedShape: Tensor
  /** The shapes that {@link wide} has made, by their widths. */
  readonly wideShapes: Map<string, Tensor>
}

/** The layout, with the inputs that it is made of. */
export const layout = (graph: Graph, { headDim, heads, keyValueHeads }: Attention.Heads): Layout => {
  const tokens = graph.input("tokens", ["B", "S"], "int64")
  const positions = graph.input("positions", ["B", "S"], "int64")
  const mask = graph.input("mask", ["B", 1, 1, "S", "C+S"])
  const cos = graph.input("cos", ["P", headDim / 2])
  const sin = graph.input("sin", ["P", headDim / 2])
  const batch = graph.shapeOf(tokens)
  const newLength = graph.slice(batch, 0, 1, 2, 1)
  const length = graph.slice(graph.shapeOf(mask), 0, 4, 5, 1)
  const lengths = graph.concat([graph.sub(length, newLength), newLength], 0)
  const group = heads / keyValueHeads
  const groupShape = graph.concat([graph.integers([0, keyValueHeads, group]), newLength, length], 0)
  const stackedShape = graph.concat([graph.integers([0, keyValueHeads, -1]), length], 0)
  return {
    headDim,
    heads,
    keyValueHeads,
    tokens,
    positions,
    mask,
    cos,
    sin,
    batch,
    lengths,
    groupShape,
    stackedShape,
    wideShapes: new Map()
  }
}

/** The same numbers as `[B, S, …widths]`. */
export const wide = (graph: Graph, layout: Layout, x: Tensor, ...widths: ReadonlyArray<number>): Tensor => {
  const key = widths.join()
  const shape = layout.wideShapes.get(key) ?? graph.concat([layout.batch, graph.integers(widths)], 0)
  layout.wideShapes.set(key, shape)
  return graph.reshape(x, shape, ["B", "S", ...widths])
}

/** The heads of `x [B, S, heads*headDim]` turned by their positions. */
export const rotate = (graph: Graph, { cos, positions, sin }: Layout, x: Tensor): Tensor =>
  graph.emit("RotaryEmbedding", [x, positions, cos, sin], { shape: x.shape, domain: "com.microsoft" })

/** The shape of a layer's cached keys or values. */
export const cacheShape = ({ headDim, keyValueHeads }: Attention.Heads) => ["B", keyValueHeads, "C", headDim] as const

/**
 * `softmax(q [keys, k]ᵀ/√headDim + mask) [values, v]` with the cached keys and values, which are not joined with the new
 * ones: that would copy them. Query heads that share keys lie below one another.
 *
 * `q [B, S, heads*headDim]`, `k` and `v [B, S, keyValueHeads*headDim]`; the result is `[B*S, heads*headDim]`.
 */
export const attention = (
  graph: Graph,
  layout: Layout,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  cached: { readonly keys: Tensor; readonly values: Tensor }
): Tensor => {
  const { groupShape, headDim, heads, keyValueHeads, lengths, mask, stackedShape } = layout
  const group = heads / keyValueHeads
  const byHead = (x: Tensor, count: number): Tensor =>
    graph.transpose(wide(graph, layout, x, count, headDim), [0, 2, 1, 3])
  const alpha = 1 / Math.sqrt(headDim)
  const queries = graph.reshape(byHead(q, heads), [0, keyValueHeads, -1, headDim], [
    "B",
    keyValueHeads,
    `${group}S`,
    headDim
  ])
  const scores = graph.concat([
    graph.matMul(queries, cached.keys, { transB: true, alpha }),
    graph.matMul(queries, byHead(k, keyValueHeads), { transB: true, alpha })
  ], 3)
  const grouped = graph.reshape(scores, groupShape, ["B", keyValueHeads, group, "S", "C+S"])
  const weights = graph.reshape(graph.softmax(graph.add(grouped, mask)), stackedShape, scores.shape)
  const [onCache, onNew] = graph.split(weights, lengths, ["C", "S"])
  const mixed = graph.add(graph.matMul(onCache!, cached.values), graph.matMul(onNew!, byHead(v, keyValueHeads)))
  const unstacked = graph.reshape(mixed, [0, heads, -1, headDim], ["B", heads, "S", headDim])
  return graph.reshape(graph.transpose(unstacked, [0, 2, 1, 3]), [-1, heads * headDim], ["B*S", heads * headDim])
}
