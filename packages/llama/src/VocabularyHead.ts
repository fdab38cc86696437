/** Log-probabilities of target tokens from hidden states, losses of them, and their gradients. */
import type { Graph, Tensor } from "./Graph.js"
import type { Adapter } from "./Operators.js"

/**
 * The projection onto the vocabulary, with its adapter if it has one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Head {
  /** The matrix of the projection, `[V, H]`. */
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
 * `log softmax(x Wᵀ)[target]` in nats, `[rows]`, of `x [rows, H]` and `targets [rows] int64`. All logits are held: for
 * small vocabularies, or where the gradient by `weight` is wanted.
 *
 * @since 0.1.0
 * @category combinators
 */
export const logprobs = (graph: Graph, x: Tensor, weight: Tensor, targets: Tensor): Tensor => {
  const column = (tensor: Tensor) => graph.reshape(tensor, [-1, 1], [tensor.shape[0]!, 1])
  const indices = column(targets)
  const z = logits(graph, x, { weight })
  const output = graph.reshape(graph.gatherLast(graph.logSoftmax(z), indices), [-1], targets.shape)

  graph.record.push({
    inputs: [x, weight],
    output,
    backward: (dy, cotangents) => {
      // dz = e·(onehot(target) - softmax(z))
      const e = column(dy)
      const dz = graph.scatterAddLast(graph.mul(graph.softmax(z), graph.neg(e)), indices, e)
      if (cotangents.needs(weight)) cotangents.add(weight, graph.gemm(dz, x, { transA: true }))
      if (cotangents.needs(x)) cotangents.add(x, graph.gemm(dz, weight))
    }
  })
  return output
}

/**
 * Losses of log-probabilities, both `[rows, K]`, and the derivatives of each by its own. `part` takes the same rows of a
 * tensor as those that the log-probabilities are of.
 *
 * @since 0.1.0
 * @category models
 */
export type Loss = (
  logprobs: Tensor,
  part: (tensor: Tensor) => Tensor
) => { readonly losses: Tensor; readonly cotangent: Tensor }

/**
 * What is known of the targets, with gradients where they were asked for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Scores {
  /** The log-probabilities of the targets, `[rows, K]`, in nats. */
  readonly logprobs: Tensor
  /** The loss of each target, `[rows, K]`, in nats. */
  readonly losses: Tensor
  /** The gradients of the sum of the losses, only if asked for. */
  readonly gradients?: {
    /** The gradient of the hidden states, `[rows, H]`. */
    readonly x: Tensor
    readonly adapter?: { readonly a: Tensor; readonly b: Tensor } | undefined
  }
}

/**
 * Log-probabilities of `targets [rows, K] int64` after `x [rows, H]`, their losses and the gradient of the sum, over a
 * frozen projection. The rows are taken in `chunks` parts, so that the logits of one part at a time are held.
 *
 * With e the derivatives of the losses by the K log-probabilities of a row, and p = softmax(z), the cotangent of z is
 * `Σ e·onehot(target) - (Σe)·p`. It is never formed: what it is multiplied with, a matrix of V rows, is averaged by p and
 * looked up at the targets, `dx = Σ e·W[target] - (Σe)·(p W)`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const losses = (graph: Graph, x: Tensor, head: Head, options: {
  readonly targets: Tensor
  readonly loss: Loss
  readonly chunks: number
  readonly gradient: boolean
}): Scores => {
  const { adapter, weight } = head
  const { chunks, gradient } = options
  const low = adapter && lowRank(graph, x, adapter)
  const scored: Array<{ readonly logprobs: Tensor; readonly losses: Tensor; readonly cotangent: Tensor }> = []
  const dx: Array<Tensor> = []
  const dlow: Array<Tensor> = []
  let db: Tensor | undefined

  for (const part of parts(graph, x, chunks)) {
    const targets = part(options.targets)
    const lowPart = low && part(low)
    const base = graph.gemm(part(x), weight, { transB: true })
    const z = adapter && lowPart ? graph.gemm(lowPart, adapter.b, { transB: true, c: base }) : base
    const logprobs = graph.gatherLast(graph.logSoftmax(z), targets)
    const { cotangent, losses } = options.loss(logprobs, part)
    scored.push({ logprobs, losses, cotangent })
    if (!gradient) continue

    const p = graph.softmax(z)
    const total = graph.sumLast(cotangent)
    const through = (matrix: Tensor): Tensor => {
      const looked = graph.mul(graph.gather(matrix, targets), lastAxis(graph, cotangent))
      return graph.sub(graph.sum(looked, 1), graph.mul(graph.gemm(p, matrix), total))
    }
    const dxBase = through(weight)
    if (!adapter || !lowPart) {
      dx.push(dxBase)
      continue
    }
    const dlowPart = graph.mul(through(adapter.b), adapter.scale)
    dlow.push(dlowPart)
    dx.push(graph.gemm(dlowPart, adapter.a, { c: dxBase }))
    db = graph.gemm(p, graph.mul(lowPart, graph.neg(total)), { transA: true, c: db })
  }

  const whole = (tensors: ReadonlyArray<Tensor>, like: Tensor): Tensor =>
    tensors.length === 1 ? tensors[0]! : { ...graph.concat(tensors, 0), shape: like.shape }
  const scores = {
    logprobs: whole(scored.map(({ logprobs }) => logprobs), options.targets),
    losses: whole(scored.map(({ losses }) => losses), options.targets)
  }
  if (!gradient) return scores
  if (!adapter || !low || !db) return { ...scores, gradients: { x: whole(dx, x) } }
  const cotangent = whole(scored.map((each) => each.cotangent), options.targets)
  const rank = low.shape[1]!
  const looked = graph.mul(
    lastAxis(graph, cotangent),
    graph.reshape(low, graph.concat([firstLength(graph, low), graph.integers([1, -1])], 0), [low.shape[0]!, 1, rank])
  )
  const flat = `${low.shape[0]}*K`
  const b = graph.scatterAddRows(
    db,
    graph.reshape(options.targets, [-1], [flat]),
    graph.reshape(looked, graph.concat([graph.integers([-1]), lastLength(graph, low)], 0), [flat, rank])
  )
  const a = graph.gemm(whole(dlow, low), x, { transA: true })
  return { ...scores, gradients: { x: whole(dx, x), adapter: { a, b } } }
}

const lowRank = (graph: Graph, x: Tensor, adapter: Adapter): Tensor =>
  graph.mul(graph.gemm(x, adapter.a, { transB: true }), adapter.scale)

/** How to take each of `count` parts of about as many rows from a tensor that has as many rows as `x`. */
const parts = (graph: Graph, x: Tensor, count: number): ReadonlyArray<(tensor: Tensor) => Tensor> => {
  if (count === 1) return [(tensor) => tensor]
  const rows = firstLength(graph, x)
  const bound = (i: number) => graph.div(graph.mul(rows, graph.integers([i])), graph.integers([count]))
  return Array.from({ length: count }, (_, i) => {
    const [start, end] = [bound(i), bound(i + 1)]
    return (tensor: Tensor) => graph.slice(tensor, 0, start, end, `${x.shape[0]}/${count}:${i}`)
  })
}

/** The tensor as `[rows, K, 1]`. */
const lastAxis = (graph: Graph, x: Tensor): Tensor =>
  graph.reshape(x, graph.concat([graph.shapeOf(x), graph.integers([1])], 0), [...x.shape, 1])

const firstLength = (graph: Graph, x: Tensor): Tensor => graph.slice(graph.shapeOf(x), 0, 0, 1, 1)

const lastLength = (graph: Graph, x: Tensor): Tensor => graph.slice(graph.shapeOf(x), 0, -1, 2 ** 31, 1)
