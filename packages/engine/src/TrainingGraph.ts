/**
 * One pass of LoRA training as a graph: log-probabilities, the loss of each token, and the gradient of every adapter.
 *
 * The derivative of the loss by each log-probability is computed between the forward and the backward half, so that one
 * run does both. One formula serves all losses, by its inputs:
 *
 * `ℓ = -weights·(likelihood·lp + min(r·advantages, clip(r, low, high)·advantages))` with `r = exp(lp - sampling)`
 *
 * Cross entropy is likelihood 1 without advantages, the others are likelihood 0, importance sampling without bounds.
 */
import * as Gradient from "./Gradient.js"
import { Graph } from "./Graph.js"
import type { Tensor } from "./Graph.js"
import * as Llama from "./Llama.js"
import * as Lora from "./Lora.js"
import * as VocabularyHead from "./VocabularyHead.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly config: Llama.Config
  readonly targets: Lora.Targets
  /** Without it the graph ends at the losses. */
  readonly gradient: boolean
  readonly float?: "float32" | "float64" | undefined
}

/**
 * The graph with these inputs and outputs:
 *
 * - `tokens [B, T] int64`, `targets [B*T] int64`, `cos` and `sin [T, headDim/2]`, the base weights
 * - the adapters under their PEFT names, `scale []`
 * - `weights`, `sampling`, `advantages [B*T]`, `likelihood []`, `low []`, `high []`
 * - outputs `logprobs` and `losses [B*T]`, and `gradient:<name>` for each adapter
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Uint8Array => {
  const { config, targets } = options
  const graph = new Graph(options.float ?? "float32")
  const parameters = Lora.parameters(graph, config, targets)
  const hidden = Llama.sequences(graph, config, parameters)
  const target = graph.input("targets", ["B*T"], "int64")
  const logprobs = VocabularyHead.logprobs(graph, hidden, Llama.head(config, parameters), target)
  const loss = lossOf(graph, logprobs)
  graph.output("logprobs", logprobs)
  graph.output("losses", loss.losses)
  if (options.gradient) {
    const wanted = parameters.trainable
    const gradients = Gradient.append(graph, [{ output: logprobs, cotangent: loss.cotangent }], wanted)
    wanted.forEach((tensor, i) => graph.output(`gradient:${tensor.name}`, gradients[i]!))
  }
  return graph.encode()
}

const lossOf = (graph: Graph, logprobs: Tensor): { readonly losses: Tensor; readonly cotangent: Tensor } => {
  const weights = graph.input("weights", ["B*T"])
  const sampling = graph.input("sampling", ["B*T"])
  const advantages = graph.input("advantages", ["B*T"])
  const likelihood = graph.input("likelihood", [])
  const low = graph.input("low", [])
  const high = graph.input("high", [])
  const zero = graph.scalar(0)
  // Where nothing is at stake the ratio may be anything, infinite and not a number included.
  const masked = graph.equal(graph.mul(advantages, weights), zero)
  const ratio = graph.exp(graph.sub(logprobs, sampling))
  const unclipped = graph.mul(ratio, advantages)
  const clipped = graph.mul(graph.min(graph.max(ratio, low), high), advantages)
  const isClipped = graph.less(clipped, unclipped)
  const value = graph.where(masked, zero, graph.where(isClipped, clipped, unclipped))
  const slope = graph.where(masked, zero, graph.where(isClipped, zero, unclipped))
  const factor = graph.neg(weights)
  return {
    losses: graph.mul(factor, graph.add(graph.mul(likelihood, logprobs), value)),
    cotangent: graph.mul(factor, graph.add(likelihood, slope))
  }
}
