/** Log-probabilities of target tokens from hidden states, and their gradient. */
import type { Graph, Tensor } from "./Graph.js"
import type { Adapter } from "./Operators.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Head {
  /** `[V, H]` */
  readonly weight: Tensor
  readonly adapter?: Adapter | undefined
}

/**
 * `z = x Wᵀ`, with the adapter if there is one: `[rows, V]`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const logits = (graph: Graph, x: Tensor, { adapter, weight }: Head): Tensor => {
  const base = graph.gemm(x, weight, { transB: true })
  return adapter ? graph.gemm(lowRank(graph, x, adapter), adapter.b, { transB: true, c: base }) : base
}

/**
 * `log softmax(z)[target]` in nats, `[rows]`, of `x [rows, H]` and `targets [rows] int64`.
 *
 * With e the cotangent, dz = e·(onehot(target) - softmax(z)); where nothing but `x` is wanted, it is never formed:
 * dx = e·(W[target] - softmax(z)·W).
 *
 * @since 0.1.0
 * @category combinators
 */
export const logprobs = (graph: Graph, x: Tensor, head: Head, targets: Tensor): Tensor => {
  const { adapter, weight } = head
  const column = (tensor: Tensor) => graph.reshape(tensor, [-1, 1], [tensor.shape[0]!, 1])
  const indices = column(targets)
  const distribution = graph.logSoftmax(logits(graph, x, head))
  const output = graph.reshape(graph.gatherLast(distribution, indices), [-1], targets.shape)

  graph.record.push({
    inputs: [x, weight, ...(adapter ? [adapter.a, adapter.b] : [])],
    output,
    backward: (dy, cotangents) => {
      const e = column(dy)
      const probabilities = graph.exp(distribution)
      if (!adapter && !cotangents.needs(weight)) {
        const expected = graph.gemm(probabilities, weight)
        cotangents.add(x, graph.mul(graph.sub(graph.gather(weight, targets), expected), e))
        return
      }
      const dz = graph.scatterAddLast(graph.mul(probabilities, graph.neg(e)), indices, e)
      if (cotangents.needs(weight)) cotangents.add(weight, graph.gemm(dz, x, { transA: true }))
      const dlow = adapter && graph.mul(graph.gemm(dz, adapter.b), adapter.scale)
      if (adapter && dlow) {
        cotangents.add(adapter.b, graph.gemm(dz, lowRank(graph, x, adapter), { transA: true }))
        cotangents.add(adapter.a, graph.gemm(dlow, x, { transA: true }))
      }
      if (cotangents.needs(x)) {
        const dx = graph.gemm(dz, weight)
        cotangents.add(x, adapter && dlow ? graph.gemm(dlow, adapter.a, { c: dx }) : dx)
      }
    }
  })
  return output
}

const lowRank = (graph: Graph, x: Tensor, adapter: Adapter): Tensor =>
  graph.mul(graph.gemm(x, adapter.a, { transB: true }), adapter.scale)
