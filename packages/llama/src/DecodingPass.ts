/** Runs of the decoding graph: new tokens of neighbouring rows of a cache, which is extended by them. */
import type { Tensor } from "onnxruntime-node"
import * as DecodingGraph from "./DecodingGraph.js"
import * as DecodingWeights from "./DecodingWeights.js"
import { isFinite } from "./internal/finite.js"
import { weightFeeds } from "./internal/weightFeeds.js"
import type * as KeyValueCache from "./KeyValueCache.js"
import * as Llama from "./Llama.js"
import * as Lora from "./Lora.js"
import type * as OnnxRuntime from "./OnnxRuntime.js"

/**
 * A base model ready to generate, with the graphs that were compiled for it so far.
 *
 * @since 0.1.0
 * @category models
 */
export interface DecodingPass {
  /** The base model with this adapter, or alone. */
  readonly compile: (adapter: Adapter | undefined) => Promise<Compiled>
}

/**
 * An adapter of the base model, with the parts that it adapts.
 *
 * @since 0.1.0
 * @category models
 */
export interface Adapter extends Lora.Targets {
  readonly rank: number
  /** The matrices of the adapter, by their names in PEFT. */
  readonly weights: ReadonlyMap<string, Float32Array>
}

/**
 * A base model with an adapter, or alone, whose graph is compiled.
 *
 * @since 0.1.0
 * @category models
 */
export interface Compiled {
  /**
   * Runs `tokens [starts.length, length]`, the next ones of the rows from `first` on, of which row `first + i` has
   * `starts[i]` positions. The answer is of those of them that `chosen` lists, counted through all.
   */
  readonly advance: (cache: KeyValueCache.KeyValueCache, options: {
    readonly first: number
    readonly starts: ReadonlyArray<number>
    readonly tokens: ArrayLike<number>
    readonly chosen: ReadonlyArray<number>
  }) => Promise<Logits>
}

/**
 * Both arrays are `[chosen, vocabulary] float32`; the probabilities are at temperature 1.
 *
 * @since 0.1.0
 * @category models
 */
export interface Logits {
  readonly logits: Float32Array
  readonly probabilities: Float32Array
  /** The rows whose new keys or values are not all finite numbers, counted from 0 among those that were run. */
  readonly brokenRows: ReadonlySet<number>
}

/**
 * Weights up to this size, in bytes, become constants of the graph. Beyond, a second copy of them is too much to hold.
 *
 * @since 0.1.0
 * @category config
 */
export const maxConstantBytes: number = 2 ** 30

/**
 * Models up to this size, in bytes, have a graph for each choice of adapted parts. Larger ones have one, in which missing
 * adapters are zeros: they cost little beside the weights, and compiling takes seconds.
 *
 * @since 0.1.0
 * @category config
 */
export const maxGraphBytes: number = 2 ** 26

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
  /** The largest weights that become constants of the graph, in bytes. Default: {@link maxConstantBytes}. */
  readonly maxConstantBytes?: number | undefined
  /** The largest model that has a graph for each choice of adapted parts, in bytes. Default: {@link maxGraphBytes}. */
  readonly maxGraphBytes?: number | undefined
}): DecodingPass => {
  const { config, runtime, weights } = options
  const bytes = Array.from(weights.values()).reduce((sum, { byteLength }) => sum + byteLength, 0)
  const isConstant = bytes <= (options.maxConstantBytes ?? maxConstantBytes)
  const sessions = new Map<string, Promise<OnnxRuntime.Session>>()
  const inputs = isConstant ? {} : weightFeeds(runtime, config, weights)

  const session = (targets: Lora.Targets): Promise<OnnxRuntime.Session> => {
    const key = [targets.trainAttn, targets.trainMlp, targets.trainUnembed].join()
    const existing = sessions.get(key)
    if (existing !== undefined) return existing
    const constants = isConstant ? DecodingWeights.fuse(config, weights) : undefined
    const created = runtime.session(...DecodingGraph.make({ config, targets, constants }))
    sessions.set(key, created)
    return created
  }

  let angles = { length: 0, feeds: {} as Feeds }
  const rotation = (length: number): Feeds => {
    if (length > angles.length) {
      const doubled = Math.max(256, 2 ** Math.ceil(Math.log2(length)))
      const { cos, sin } = Llama.rotaryTables(config, doubled)
      const shape = [doubled, config.headDim / 2]
      angles = { length: doubled, feeds: { cos: runtime.float32(cos, shape), sin: runtime.float32(sin, shape) } }
    }
    return angles.feeds
  }

  return {
    compile: async (adapter) => {
      const targets = bytes > (options.maxGraphBytes ?? maxGraphBytes) ? everything : adapter ?? Lora.none
      const compiled = await session(targets)
      const fused = DecodingWeights.fuseAdapter(config, targets, adapter ?? { rank: 1, weights: new Map() })
      const parameters = { ...inputs, ...feedsOf(runtime, fused) }

      return {
        advance: async (cache, { chosen, first, starts, tokens }) => {
          const { capacity } = cache
          const rows = starts.length
          const length = tokens.length / rows
          const shape = [rows, length]
          const positions = new Int32Array(tokens.length)
          for (let i = 0; i < positions.length; i++) positions[i] = starts[Math.floor(i / length)]! + (i % length)
          const feeds: Record<string, Tensor> = {
            ...parameters,
            ...rotation(capacity),
            tokens: runtime.int64(tokens, shape),
            positions: runtime.int64(positions, shape),
            rows: runtime.int64(chosen, [chosen.length]),
            mask: runtime.float32(mask(starts, length, capacity), [rows, 1, 1, length, capacity + length])
          }
          const cacheShape = [rows, config.keyValueHeads, capacity, config.headDim]
          cache.view(first, rows).forEach((array, i) => {
            const name = i % 2 === 0 ? DecodingGraph.keyName(i / 2) : DecodingGraph.valueName((i - 1) / 2)
            feeds[name] = runtime.float32(array, cacheShape)
          })
          const outputs = await compiled.run(feeds)
          const fresh = outputs["fresh"]!.data as Float32Array
          cache.write(fresh, first, starts, length)
          return {
            logits: outputs["logits"]!.data as Float32Array,
            probabilities: outputs["probabilities"]!.data as Float32Array,
            brokenRows: brokenRows(fresh, rows, length * config.keyValueHeads * config.headDim)
          }
        }
      }
    }
  }
}

type Feeds = Readonly<Record<string, Tensor>>

const everything: Lora.Targets = { trainAttn: true, trainMlp: true, trainUnembed: true }

const feedsOf = (
  runtime: OnnxRuntime.OnnxRuntime,
  matrices: ReadonlyMap<string, DecodingWeights.Matrix>
): Feeds => Object.fromEntries(Array.from(matrices, ([name, { data, shape }]) => [name, runtime.float32(data, shape)]))

/** The rows of `fresh [arrays, rows, size]` that are not finite in one of the arrays. */
const brokenRows = (fresh: Float32Array, rows: number, size: number): ReadonlySet<number> => {
  const broken = new Set<number>()
  if (isFinite(fresh)) return broken
  for (let start = 0; start < fresh.length; start += size) {
    if (!isFinite(fresh.subarray(start, start + size))) broken.add((start / size) % rows)
  }
  return broken
}

/** Each new token sees what its row has in the cache, the new tokens before it and itself. */
const mask = (starts: ReadonlyArray<number>, length: number, capacity: number): Float32Array => {
  const width = capacity + length
  const mask = new Float32Array(starts.length * length * width)
  starts.forEach((start, row) => {
    for (let s = 0; s < length; s++) {
      const offset = (row * length + s) * width
      mask.fill(-Infinity, offset + start, offset + capacity)
      mask.fill(-Infinity, offset + capacity + s + 1, offset + width)
    }
  })
  return mask
}
