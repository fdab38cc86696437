/**
 * Forward and backward passes over any number of sequences: sorted by length, padded on the right into batches that fit
 * a memory budget and take little more than the sequences alone would, and put back in order. Where not even one sequence would fit, the backward half computes layers again
 * instead of keeping what was in them.
 */
import type * as Engine from "@effect-tinker/engine/Engine"
import { TokenLoss } from "@effect-tinker/losses"
import { isFinite, nonFinite } from "./internal/finite.js"
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
  readonly run: (options: RunOptions) => Promise<Results>
}

/**
 * The data of a pass, with the adapter and the loss that it is computed by.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunOptions {
  readonly lora: Engine.LoraSpec
  /** The matrices of the adapter, by their names in PEFT; they are read, not changed. */
  readonly adapter: ReadonlyMap<string, Float32Array>
  readonly data: ReadonlyArray<Engine.TrainingDatum>
  readonly loss: Engine.Loss
  readonly gradient: boolean
  /** Ends the work before the next batch, by rejecting. */
  readonly signal?: AbortSignal | undefined
}

/**
 * The losses of a pass and, where they were asked for, the gradients.
 *
 * @since 0.1.0
 * @category models
 */
export interface Results extends Engine.LossResult {
  readonly gradients: ReadonlyMap<string, Float32Array>
}

/**
 * Makes the passes of a base model over its weights, without any graph yet.
 *
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

  const session = (
    lora: Lora.Targets,
    form: Omit<TrainingGraph.Options, "config" | "targets">
  ): Promise<OnnxRuntime.Session> => {
    const key = [lora.trainAttn, lora.trainMlp, lora.trainUnembed, form.gradient, form.recompute, form.headChunks]
      .join()
    const existing = sessions.get(key)
    if (existing !== undefined) return existing
    const created = runtime.session(TrainingGraph.make({ config, targets: lora, ...form }))
    sessions.set(key, created)
    return created
  }

  const run = async (
    { adapter, data, gradient, loss, lora, signal }: RunOptions & { readonly loss: TrainingGraph.Loss }
  ): Promise<Results> => {
    const shapes = Lora.shapes(config, lora, lora.rank)
    const adapters = Object.fromEntries(
      Array.from(shapes, ([name, shape]) => [name, runtime.float32(adapter.get(name)!, shape)])
    )
    const constants = { ...base, ...adapters, ...scalars(runtime, loss, lora.rank) }
    const outputs = new Array<Engine.LossOutput>(data.length)
    const gradients = new Map<string, Float32Array>()

    for (const batch of batches(data, config, gradient, options.maxActivationBytes)) {
      signal?.throwIfAborted()
      const compiled = await session(lora, {
        gradient,
        recompute: batch.recompute,
        headChunks: headChunks(config, batch.rows.length * batch.length, batch.targetsPerToken)
      })
      const results = await compiled.run({ ...constants, ...inputs(runtime, config, data, batch, loss) })
      const logprobs = results["logprobs"]!.data as Float32Array
      const losses = results["losses"]!.data as Float32Array
      batch.rows.forEach((index, row) => {
        const start = row * batch.length * batch.targetsPerToken
        const end = start + data[index]!.targetTokens.length
        outputs[index] = { logprobs: logprobs.slice(start, end), elementwiseLoss: losses.slice(start, end) }
      })
      if (gradient) {
        for (const name of shapes.keys()) {
          accumulate(gradients, name, results[`gradient:${name}`]!.data as Float32Array)
        }
      }
    }

    const total = sum(outputs)
    for (const [name, array] of gradients) {
      if (!isFinite(array)) throw nonFinite(`the gradient of ${name} is not finite`)
    }
    return { outputs, loss: total, gradients }
  }

  /**
   * A loss whose terms need the log-probabilities of the whole sequence, of which a graph has parts at a time. So they are
   * computed first; then the gradient is that of cross entropy whose weights are the derivatives.
   */
  const runInTwo = async (options: RunOptions): Promise<Results> => {
    const { data, loss } = options
    const likelihood = { _tag: "cross_entropy" } as const
    const unweighted = data.map(({ targetTokens, tokens }) => ({ targetTokens, tokens }))
    const scored = await run({ ...options, data: unweighted, loss: likelihood, gradient: false })
    const computed = data.map((datum, i) =>
      TokenLoss.compute(loss, {
        logprobs: scored.outputs[i]!.logprobs,
        weights: datum.weights,
        samplingLogprobs: datum.logprobs,
        advantages: datum.advantages,
        sequenceRatioMask: datum.sequenceRatioMask
      })
    )
    const outputs = computed.map(({ elementwiseLoss }, i) => ({
      logprobs: scored.outputs[i]!.logprobs,
      elementwiseLoss
    }))
    const total = sum(outputs)
    if (!options.gradient) return { outputs, loss: total, gradients: new Map() }
    const weighted = computed.map(({ gradient }, i) => ({
      ...unweighted[i]!,
      weights: gradient.map((slope) => -slope)
    }))
    const { gradients } = await run({ ...options, data: weighted, loss: likelihood })
    return { outputs, loss: total, gradients }
  }

  return {
    run: (options) => {
      const { loss } = options
      return loss._tag === "gspo" ? runInTwo(options) : run({ ...options, loss })
    }
  }
}

/** The sum of all losses; throws when it is no finite number. */
const sum = (outputs: ReadonlyArray<Engine.LossOutput>): number => {
  let total = 0
  for (const { elementwiseLoss } of outputs) {
    for (let t = 0; t < elementwiseLoss.length; t++) total += elementwiseLoss[t]!
  }
  if (!Number.isFinite(total)) throw nonFinite(`the loss is ${total}`)
  return total
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
 * Sequences that are computed together.
 *
 * @since 0.1.0
 * @category models
 */
export interface Batch {
  /** Indices into the data. */
  readonly rows: ReadonlyArray<number>
  /** The length of the longest sequence, in tokens. */
  readonly length: number
  readonly targetsPerToken: number
  /** Whether layers are computed again for the backward half. */
  readonly recompute: boolean
}

/**
 * Divides sequences into batches whose activations take at most `maxBytes`, as far as that goes, so that all together take the least
 * work: the longest first, as neighbours differ little in length then and little is padded, and a new batch where padding
 * would take more than what a run of its own costs.
 *
 * @since 0.1.0
 * @category utils
 */
export const batches = (
  data: ReadonlyArray<Pick<Engine.TrainingDatum, "tokens" | "targetsPerToken">>,
  config: Llama.Config,
  gradient: boolean,
  maxBytes: number
): ReadonlyArray<Batch> => {
  const perToken = data.map(({ targetsPerToken = 1 }) => targetsPerToken)
  const lengths = data.map(({ tokens }) => tokens.length)
  const order = data.map((_, i) => i)
  order.sort((a, b) => perToken[a]! - perToken[b]! || lengths[b]! - lengths[a]! || a - b)

  /** The batch of the sequences in order from one place up to another, as far as they fit: the first one does. */
  const formOf = (start: number) => {
    const length = lengths[order[start]!]!
    const recompute = gradient && length * bytesPerToken(config, length, true) > maxBytes
    const most = Math.floor(maxBytes / (length * bytesPerToken(config, length, gradient && !recompute)))
    let end = start + 1
    const last = Math.min(order.length, start + Math.max(1, Math.min(most, mostRows)))
    while (end < last && perToken[order[end]!] === perToken[order[start]!]) end++
    return { length, recompute, end }
  }

  // The least work for the first so many sequences, and where the last of their batches begins. Of equal work, the fullest first.
  const least = new Float64Array(order.length + 1).fill(Infinity)
  const begin = new Int32Array(order.length + 1)
  least[0] = 0
  for (let start = 0; start < order.length; start++) {
    const { end, length, recompute } = formOf(start)
    const each = length * work(config, length) * (recompute ? 3 : 2)
    const run = 2 * tokensOfRun * work(config, 0)
    for (let to = start + 1; to <= end; to++) {
      const total = least[start]! + run + (to - start) * each
      if (total > least[to]!) continue
      least[to] = total
      begin[to] = start
    }
  }

  const batches: Array<Batch> = []
  for (let to = order.length; to > 0; to = begin[to]!) {
    const start = begin[to]!
    const { length, recompute } = formOf(start)
    batches.push({
      rows: order.slice(start, to),
      length,
      targetsPerToken: perToken[order[start]!]!,
      recompute
    })
  }
  return batches.reverse()
}

/**
 * What a run of the graph takes whatever is in its batch, as so many tokens: it reads all weights, and makes the gradients of all
 * adapters. Measured with 3 and with 135 million parameters: 23 and 30.
 */
const tokensOfRun = 32

/** The most sequences of a batch: more of them make no run quicker by the token. */
const mostRows = 4096

/** Multiplications for a token of a sequence of `length` in the forward half; those of the backward half are in proportion. */
const work = (config: Llama.Config, length: number): number => {
  const { headDim, heads, hiddenSize, intermediateSize, keyValueHeads, layers, vocabularySize } = config
  const projections = 2 * hiddenSize * headDim * (heads + keyValueHeads) + 3 * hiddenSize * intermediateSize
  const attention = 2 * heads * headDim * length
  return layers * (projections + attention) + hiddenSize * vocabularySize
}

/**
 * What the graph holds per token of a sequence of `length`, without the vocabulary head: an estimate from the tensors
 * that the operators keep for the backward half, or that one layer alone has at a time; measured peaks confirm it within
 * a third.
 */
const bytesPerToken = (config: Llama.Config, length: number, keepsLayers: boolean): number => {
  const { headDim, heads, hiddenSize, intermediateSize, keyValueHeads, layers } = config
  const attention = 4 * heads * headDim + 4 * keyValueHeads * headDim + heads * length
  const layer = 6 * hiddenSize + attention + 5 * intermediateSize
  const transient = 2 * heads * length + 4 * intermediateSize
  return 4 * (transient + (keepsLayers ? layers * layer : layers * hiddenSize + layer))
}

/**
 * Parts in which the rows of a batch, a token each, go through the vocabulary head: a power of two, so that few graphs are
 * compiled.
 *
 * @since 0.1.0
 * @category utils
 */
export const headChunks = (config: Llama.Config, rows: number, targetsPerToken: number): number => {
  const bytesPerRow = 4 * Math.max(config.vocabularySize, config.hiddenSize * targetsPerToken)
  let chunks = 1
  while (chunks * maxHeadBytes < rows * bytesPerRow && 2 * chunks <= rows) chunks *= 2
  return chunks
}

/**
 * What one matrix of logits may take, in bytes; there are three at a time. It is as much as the allocator gives again without
 * the system.
 */
const maxHeadBytes = 2 ** 25

const inputs = (
  runtime: OnnxRuntime.OnnxRuntime,
  config: Llama.Config,
  data: ReadonlyArray<Engine.TrainingDatum>,
  { length, rows, targetsPerToken }: Batch,
  loss: TrainingGraph.Loss
) => {
  const size = rows.length * length
  const tokens = new Int32Array(size)
  const targets = new Int32Array(size * targetsPerToken)
  const weights = new Float32Array(size * targetsPerToken)
  const sampling = new Float32Array(size)
  const advantages = new Float32Array(size)
  rows.forEach((index, row) => {
    const datum = data[index]!
    const start = row * length
    const first = start * targetsPerToken
    tokens.set(datum.tokens, start)
    targets.set(datum.targetTokens, first)
    if (datum.weights) weights.set(datum.weights, first)
    else weights.fill(1, first, first + datum.targetTokens.length)
    if (loss._tag === "cross_entropy") return
    if (datum.logprobs) sampling.set(datum.logprobs, start)
    if (datum.advantages) advantages.set(datum.advantages, start)
  })
  const { cos, sin } = Llama.rotaryTables(config, length)
  const half = config.headDim / 2
  return {
    tokens: runtime.int64(tokens, [rows.length, length]),
    targets: runtime.int64(targets, [size, targetsPerToken]),
    weights: runtime.float32(weights, [size, targetsPerToken]),
    sampling: runtime.float32(sampling, [size, 1]),
    advantages: runtime.float32(advantages, [size, 1]),
    cos: runtime.float32(cos, [length, half]),
    sin: runtime.float32(sin, [length, half])
  }
}

const scalars = (runtime: OnnxRuntime.OnnxRuntime, loss: TrainingGraph.Loss, rank: number) => {
  const scalar = (value: number) => runtime.float32(Float32Array.of(value), [])
  const bounds = "clipLowThreshold" in loss ? [loss.clipLowThreshold, loss.clipHighThreshold] : [-Infinity, Infinity]
  return {
    scale: scalar(Lora.scale(rank)),
    loss: runtime.int64([TrainingGraph.losses.indexOf(loss._tag)], []),
    low: scalar(bounds[0]!),
    high: scalar(bounds[1]!),
    beta: scalar("beta" in loss ? loss.beta : 0)
  }
}
