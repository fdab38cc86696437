/**
 * One pass of LoRA training as a graph: log-probabilities, the loss of each target, and the gradient of every adapter.
 *
 * The derivatives of the losses by the log-probabilities are computed between the forward and the backward half, so that
 * one run does both. One graph serves all losses of which each position's needs nothing of the others, and an input chooses;
 * their formulas are those of `@effect-tinker/losses`.
 */
import type * as Engine from "@effect-tinker/engine/Engine"
import * as Gradient from "./Gradient.js"
import { Graph } from "./Graph.js"
import * as Llama from "./Llama.js"
import * as Lora from "./Lora.js"
import * as VocabularyHead from "./VocabularyHead.js"

/**
 * What the graph computes, and how it divides the work.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly config: Llama.Config
  readonly targets: Lora.Targets
  /** Whether the graph has the gradients; else it ends at the losses. */
  readonly gradient: boolean
  /** Whether the graph keeps the inputs of each layer alone for the backward half, which computes the layer again. Default false. */
  readonly recompute?: boolean | undefined
  /** Parts in which the rows go through the vocabulary's projection. Default 1; at most as many as there are tokens. */
  readonly headChunks?: number | undefined
  readonly float?: "float32" | "float64" | undefined
}

/**
 * The graph with these inputs and outputs, for K targets a token:
 *
 * - `tokens [B, T] int64`, `targets [B*T, K] int64`, `cos` and `sin [T, headDim/2]`, the base weights
 * - the adapters under their PEFT names, `scale []`
 * - `loss [] int64`, an index into {@link losses}; `weights [B*T, K]`, `sampling` and `advantages [B*T, 1]`, `low`, `high`
 *   and `beta []`
 * - outputs `logprobs` and `losses [B*T, K]`, and `gradient:<name>` for each adapter
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Uint8Array => {
  const { config, gradient, headChunks = 1, recompute = false, targets } = options
  const graph = new Graph(options.float ?? "float32")
  const parameters = Lora.parameters(graph, config, targets)
  const hidden = Llama.sequences(graph, config, parameters, { recompute: gradient && recompute })
  const head = Llama.head(config, parameters)
  const scores = VocabularyHead.losses(graph, hidden, head, {
    targets: graph.input("targets", ["B*T", "K"], "int64"),
    loss: lossOf(graph),
    chunks: headChunks,
    gradient
  })
  graph.output("logprobs", scores.logprobs)
  graph.output("losses", scores.losses)
  if (scores.gradients) {
    const { adapter, x } = scores.gradients
    if (adapter && head.adapter) {
      graph.output(`gradient:${head.adapter.a.name}`, adapter.a)
      graph.output(`gradient:${head.adapter.b.name}`, adapter.b)
    }
    const wanted = parameters.trainable.filter((tensor) => tensor !== head.adapter?.a && tensor !== head.adapter?.b)
    const gradients = Gradient.append(graph, [{ output: hidden, cotangent: x }], wanted)
    wanted.forEach((tensor, i) => graph.output(`gradient:${tensor.name}`, gradients[i]!))
  }
  return graph.encode()
}

/**
 * Losses that the graph computes.
 *
 * @since 0.1.0
 * @category models
 */
export type Loss = Exclude<Engine.Loss, { readonly _tag: "gspo" }>

/**
 * Names of the losses, in the order that the input `loss` counts.
 *
 * @since 0.1.0
 * @category config
 */
export const losses = ["cross_entropy", "importance_sampling", "ppo", "cispo", "dro"] as const satisfies ReadonlyArray<
  Loss["_tag"]
>

/** Importance sampling is PPO without bounds. */
const lossOf = (graph: Graph): VocabularyHead.Loss => {
  const weights = graph.input("weights", ["B*T", "K"])
  const sampling = graph.input("sampling", ["B*T", 1])
  const advantages = graph.input("advantages", ["B*T", 1])
  const kind = graph.input("loss", [], "int64")
  const low = graph.input("low", [])
  const high = graph.input("high", [])
  const beta = graph.input("beta", [])
  const zero = graph.scalar(0)
  const is = (name: Loss["_tag"]) => graph.equal(kind, graph.integer(losses.indexOf(name)))
  const [isLikelihood, isCispo, isDro] = [is("cross_entropy"), is("cispo"), is("dro")]

  return (logprobs, part) => {
    const [w, q, a] = [part(weights), part(sampling), part(advantages)]
    const ratio = graph.exp(graph.sub(logprobs, q))
    const plain = graph.mul(ratio, a)
    const bounded = graph.mul(graph.min(graph.max(ratio, low), high), a)
    const isClipped = graph.less(bounded, plain)
    const distance = graph.sub(logprobs, q)
    const pull = graph.mul(beta, distance)
    const half = graph.mul(graph.scalar(0.5), graph.mul(pull, distance))

    let value = graph.where(isClipped, bounded, plain)
    let slope = graph.where(isClipped, zero, plain)
    value = graph.where(isCispo, graph.mul(bounded, logprobs), value)
    slope = graph.where(isCispo, bounded, slope)
    value = graph.where(isDro, graph.sub(graph.mul(logprobs, a), half), value)
    slope = graph.where(isDro, graph.sub(a, pull), slope)
    value = graph.where(isLikelihood, logprobs, value)
    slope = graph.where(isLikelihood, graph.scalar(1), slope)

    // Where nothing is at stake the inputs may be anything, infinite and not a number included.
    const finite = graph.equal(graph.sub(q, q), zero)
    const counts = graph.or(isLikelihood, graph.and(isDro, finite))
    const idle = graph.and(graph.equal(a, zero), graph.not(counts))
    const masked = graph.or(graph.equal(w, zero), idle)
    const factor = graph.where(masked, zero, graph.neg(w))
    return {
      losses: graph.mul(factor, graph.where(masked, zero, value)),
      cotangent: graph.mul(factor, graph.where(masked, zero, slope))
    }
  }
}
