/**
 * Forward and backward passes over any number of sequences: sorted by length, padded on the right into batches that fit
 * a memory budget, and put back in order.
 */
import { EngineError } from "@effect-tinker/server/Engine"
import type * as Engine from "@effect-tinker/server/Engine"
import { weightFeeds } from "./internal/weightFeeds.js"
import * as Llama from "./Llama.js"
import * as Lora from "./Lora.js"
import type * as OnnxRuntime from "./OnnxRuntime.js"
import * as TrainingGraph from "./TrainingGraph.js"

/**
 * A base model ready to be computed with: its weights, and the graphs that were compiled for it so far.
 *
 * @since 0.1.0
 * @category models
 */
export interface TrainingPass {
  /**
   * The losses of `data` and, with `gradient`, the sum of their gradients by adapter tensor. Throws an `EngineError`
   * with reason `NonFinite` when a loss or a gradient is no finite number.
   */
  readonly run: (options: {
    readonly lora: Engine.LoraSpec
    /** Under PEFT names; read, not changed. */
    readonly adapter: ReadonlyMap<string, Float32Array>
    readonly data: ReadonlyArray<Engine.TrainingDatum>
    readonly loss: Engine.Loss
    readonly gradient: boolean
    /** Ends the work before the next batch, by rejecting. */
    readonly signal?: AbortSignal | undefined
  }) => Promise<Engine.LossResult & { readonly gradients: ReadonlyMap<string, Float32Array> }>
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly runtime: OnnxRuntime.OnnxRuntime
  readonly config: Llama.Config
  readonly weights: ReadonlyMap<string, Float32Array>
  /** What activations of one batch may take, in bytes, as far as its sequences can be divided. */
  readonly maxActivationBytes: number
}): TrainingPass => {
  const { config, runtime, weights } = options
  const base = weightFeeds(runtime, config, weights)
  const sessions = new Map<string, Promise<OnnxRuntime.Session>>()

  const session = (lora: Lora.Targets, gradient: boolean): Promise<OnnxRuntime.Session> => {
    const key = [lora.trainAttn, lora.trainMlp, lora.trainUnembed, gradient].join()
    const existing = sessions.get(key)
    if (existing !== undefined) return existing
    const created = runtime.session(TrainingGraph.make({ config, targets: lora, gradient }))
    sessions.set(key, created)
    return created
  }

  return {
    run: async ({ adapter, data, gradient, loss, lora, signal }) => {
      const compiled = await session(lora, gradient)
      const shapes = Lora.shapes(config, lora, lora.rank)
      const adapters = Object.fromEntries(
        Array.from(shapes, ([name, shape]) => [name, runtime.float32(adapter.get(name)!, shape)])
      )
      const constants = { ...base, ...adapters, ...scalars(runtime, loss, lora.rank) }
      const outputs = new Array<Engine.LossOutput>(data.length)
      const gradients = new Map<string, Float32Array>()

      for (const batch of batches(data, (length) => options.maxActivationBytes / bytesPerToken(config, length))) {
        signal?.throwIfAborted()
        const results = await compiled.run({ ...constants, ...inputs(runtime, config, data, batch, loss) })
        const logprobs = results["logprobs"]!.data as Float32Array
        const losses = results["losses"]!.data as Float32Array
        batch.rows.forEach((index, row) => {
          const start = row * batch.length
          const end = start + data[index]!.tokens.length
          outputs[index] = { logprobs: logprobs.slice(start, end), elementwiseLoss: losses.slice(start, end) }
        })
        if (gradient) {
          for (const name of shapes.keys()) {
            accumulate(gradients, name, results[`gradient:${name}`]!.data as Float32Array)
          }
        }
      }

      let total = 0
      for (const { elementwiseLoss } of outputs) {
        for (let t = 0; t < elementwiseLoss.length; t++) total += elementwiseLoss[t]!
      }
      if (!Number.isFinite(total)) throw nonFinite(`the loss is ${total}`)
      for (const [name, array] of gradients) {
        if (!isFinite(array)) throw nonFinite(`the gradient of ${name} is not finite`)
      }
      return { outputs, loss: total, gradients }
    }
  }
}

/**
 * Adds `gradient` to the sum under `name`.
 *
 * @since 0.1.0
 * @category utils
 */
export const accumulate = (sums: Map<string, Float32Array>, name: string, gradient: Float32Array): void => {
  const sum = sums.get(name)
  if (sum === undefined) {
    sums.set(name, gradient.slice())
    return
  }
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + gradient[i]!
}

/**
 * Whether every element is a finite number.
 *
 * @since 0.1.0
 * @category utils
 */
export const isFinite = (array: Float32Array): boolean => {
  for (let i = 0; i < array.length; i++) if (!Number.isFinite(array[i]!)) return false
  return true
}

interface Batch {
  /** Indices into the data. */
  readonly rows: Array<number>
  /** Of the longest. */
  readonly length: number
}

/** Longest first, so that neighbours differ little in length and little is padded. */
const batches = (
  data: ReadonlyArray<Engine.TrainingDatum>,
  maxTokens: (length: number) => number
): ReadonlyArray<Batch> => {
  const order = data.map((_, i) => i)
  order.sort((a, b) => data[b]!.tokens.length - data[a]!.tokens.length || a - b)
  const batches: Array<Batch> = []
  for (const index of order) {
    const last = batches.at(-1)
    if (last !== undefined && (last.rows.length + 1) * last.length <= maxTokens(last.length)) last.rows.push(index)
    else batches.push({ rows: [index], length: data[index]!.tokens.length })
  }
  return batches
}

/**
 * What the graph keeps for the backward half, per token of a sequence of `length`: an estimate from the tensors that the
 * operators hold, which measured peaks confirm within a third.
 */
const bytesPerToken = (config: Llama.Config, length: number): number => {
  const { headDim, heads, hiddenSize, intermediateSize, keyValueHeads, layers, vocabularySize } = config
  const attention = 4 * heads * headDim + 4 * keyValueHeads * headDim + heads * length
  const layer = 6 * hiddenSize + attention + 5 * intermediateSize
  const transient = 2 * heads * length + 4 * intermediateSize + 3 * vocabularySize
  return 4 * (layers * layer + transient)
}

const inputs = (
  runtime: OnnxRuntime.OnnxRuntime,
  config: Llama.Config,
  data: ReadonlyArray<Engine.TrainingDatum>,
  { length, rows }: Batch,
  loss: Engine.Loss
) => {
  const size = rows.length * length
  const tokens = new Int32Array(size)
  const targets = new Int32Array(size)
  const weights = new Float32Array(size)
  const sampling = new Float32Array(size)
  const advantages = new Float32Array(size)
  rows.forEach((index, row) => {
    const datum = data[index]!
    const start = row * length
    tokens.set(datum.tokens, start)
    targets.set(datum.targetTokens, start)
    if (datum.weights) weights.set(datum.weights, start)
    else weights.fill(1, start, start + datum.tokens.length)
    if (loss._tag === "cross_entropy") return
    if (datum.logprobs) sampling.set(datum.logprobs, start)
    if (datum.advantages) advantages.set(datum.advantages, start)
  })
  const { cos, sin } = Llama.rotaryTables(config, length)
  const half = config.headDim / 2
  return {
    tokens: runtime.int64(tokens, [rows.length, length]),
    targets: runtime.int64(targets, [size]),
    weights: runtime.float32(weights, [size]),
    sampling: runtime.float32(sampling, [size]),
    advantages: runtime.float32(advantages, [size]),
    cos: runtime.float32(cos, [length, half]),
    sin: runtime.float32(sin, [length, half])
  }
}

const scalars = (runtime: OnnxRuntime.OnnxRuntime, loss: Engine.Loss, rank: number) => {
  const scalar = (value: number) => runtime.float32(Float32Array.of(value), [])
  return {
    scale: scalar(Lora.scale(rank)),
    likelihood: scalar(loss._tag === "cross_entropy" ? 1 : 0),
    low: scalar(loss._tag === "ppo" ? loss.clipLowThreshold : -Infinity),
    high: scalar(loss._tag === "ppo" ? loss.clipHighThreshold : Infinity)
  }
}

const nonFinite = (description: string) => new EngineError({ reason: "NonFinite", description })
