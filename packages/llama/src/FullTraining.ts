/** Training of every weight of a model, which is how a base model is made. */
import * as Gradient from "./Gradient.js"
import { Graph } from "./Graph.js"
import type { Tensor } from "./Graph.js"
import { weightFeeds } from "./internal/weightFeeds.js"
import * as Llama from "./Llama.js"
import * as OnnxRuntime from "./OnnxRuntime.js"
import * as VocabularyHead from "./VocabularyHead.js"

/**
 * Sequences of one length, padded on the right; padding has weight 0.
 *
 * @since 0.1.0
 * @category models
 */
export interface Batch {
  readonly rows: number
  readonly length: number
  /** The tokens, `[rows, length]`. */
  readonly tokens: ArrayLike<number>
  /** The token that each position is scored on, `[rows, length]`. */
  readonly targets: ArrayLike<number>
  /** The factor of each position's loss, `[rows, length]`. */
  readonly weights: Float32Array
}

/**
 * What a batch scores under the weights as they are.
 *
 * @since 0.1.0
 * @category models
 */
export interface Evaluation {
  /** The loss `-Σ weights·logprobs`, in nats. */
  readonly loss: number
  /** The log-probabilities of the targets, `[rows, length] float32`, in nats. */
  readonly logprobs: Float32Array
}

/**
 * A model all of whose weights are trained.
 *
 * @since 0.1.0
 * @category models
 */
export interface FullTraining {
  /** The loss and its gradient with respect to every weight, under the weights' names. */
  readonly step: (batch: Batch) => Promise<Evaluation & { readonly gradients: ReadonlyMap<string, Float32Array> }>
  readonly evaluate: (batch: Batch) => Promise<Evaluation>
  readonly release: () => Promise<void>
}

/**
 * Weights are read from `weights` at every call, so an optimizer may change its arrays in place. Weight names and shapes
 * are those of {@link Llama.weightShapes}.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = async (options: {
  readonly config: Llama.Config
  readonly weights: ReadonlyMap<string, Float32Array>
  readonly threads?: number | undefined
}): Promise<FullTraining> => {
  const { config, weights } = options
  const runtime = await OnnxRuntime.load({ threads: options.threads })
  const base = weightFeeds(runtime, config, weights)
  const forward = await runtime.session(model(config, false))
  const training = await runtime.session(model(config, true))

  const run = async (session: OnnxRuntime.Session, batch: Batch) => {
    const { length, rows } = batch
    const tables = Llama.rotaryTables(config, length)
    const half = config.headDim / 2
    const feeds = {
      ...base,
      tokens: runtime.int64(batch.tokens, [rows, length]),
      targets: runtime.int64(batch.targets, [rows * length]),
      cos: runtime.float32(tables.cos, [length, half]),
      sin: runtime.float32(tables.sin, [length, half]),
      ...(session === training ? { weights: runtime.float32(batch.weights, [rows * length]) } : {})
    }
    const results = await session.run(feeds)
    const logprobs = results["logprobs"]!.data as Float32Array
    let loss = 0
    for (let i = 0; i < logprobs.length; i++) loss -= batch.weights[i]! * logprobs[i]!
    return { results, loss, logprobs }
  }

  return {
    evaluate: async (batch) => {
      const { logprobs, loss } = await run(forward, batch)
      return { logprobs, loss }
    },
    step: async (batch) => {
      const { logprobs, loss, results } = await run(training, batch)
      const gradients = new Map<string, Float32Array>()
      for (const name of Llama.weightShapes(config).keys()) {
        gradients.set(name, results[`gradient:${name}`]!.data as Float32Array)
      }
      return { logprobs, loss, gradients }
    },
    release: async () => {
      await forward.release()
      await training.release()
    }
  }
}

const model = (config: Llama.Config, gradient: boolean): Uint8Array => {
  const graph = new Graph("float32")
  const inputs = new Map<string, Tensor>()
  for (const [name, shape] of Llama.weightShapes(config)) inputs.set(name, graph.input(name, shape))
  const parameters: Llama.Parameters = { weight: (name) => inputs.get(name)!, adapter: () => undefined }
  const hidden = Llama.sequences(graph, config, parameters)
  const targets = graph.input("targets", ["B*T"], "int64")
  const output = VocabularyHead.logprobs(graph, hidden, Llama.head(config, parameters).weight, targets)
  graph.output("logprobs", output)
  if (gradient) {
    const cotangent = graph.neg(graph.input("weights", ["B*T"]))
    const gradients = Gradient.append(graph, [{ output, cotangent }], Array.from(inputs.values()))
    Array.from(inputs.keys(), (name, i) => graph.output(`gradient:${name}`, gradients[i]!))
  }
  return graph.encode()
}
