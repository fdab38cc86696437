/**
 * Generation: a prompt is computed once, its cache is copied for each sample, and all samples then grow together, a
 * token at a time.
 */
import { EngineError } from "@effect-tinker/server/Engine"
import type * as Engine from "@effect-tinker/server/Engine"
import * as PromptScores from "@effect-tinker/server/PromptScores"
import * as Sampler from "@effect-tinker/server/Sampler"
import type { Tensor } from "onnxruntime-node"
import * as DecodingGraph from "./DecodingGraph.js"
import { weightFeeds } from "./internal/weightFeeds.js"
import * as Llama from "./Llama.js"
import * as Lora from "./Lora.js"
import type * as OnnxRuntime from "./OnnxRuntime.js"

/**
 * A base model that generates.
 *
 * @since 0.1.0
 * @category models
 */
export interface Decoder {
  readonly sample: (options: {
    /** Nothing for the base model itself. */
    readonly adapter: Adapter | undefined
    readonly request: Engine.SampleRequest
    /** The text of tokens, for stop strings; special tokens included. */
    readonly decode: (tokens: ReadonlyArray<number>) => string
    /** Ends the work before the next token, by rejecting. */
    readonly signal?: AbortSignal | undefined
  }) => Promise<Engine.SampleResult>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Adapter {
  readonly lora: Engine.LoraSpec
  /** Under PEFT names. */
  readonly weights: ReadonlyMap<string, Float32Array>
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly runtime: OnnxRuntime.OnnxRuntime
  readonly config: Llama.Config
  readonly weights: ReadonlyMap<string, Float32Array>
  readonly maxContextLength: number
  /** What the caches of samples that grow together may take, in bytes, if there is more than one. */
  readonly maxCacheBytes: number
}): Decoder => {
  const { config, runtime, weights } = options
  const base = weightFeeds(runtime, config, weights)
  const sessions = new Map<string, Promise<OnnxRuntime.Session>>()

  const session = (targets: Lora.Targets): Promise<OnnxRuntime.Session> => {
    const key = [targets.trainAttn, targets.trainMlp, targets.trainUnembed].join()
    const existing = sessions.get(key)
    if (existing !== undefined) return existing
    const created = runtime.session(DecodingGraph.make({ config, targets }))
    sessions.set(key, created)
    return created
  }

  const adapterFeeds = (adapter: Adapter | undefined): Record<string, Tensor> => {
    if (adapter === undefined) return {}
    const { lora, weights } = adapter
    const shapes = Lora.shapes(config, lora, lora.rank)
    const feeds = Object.fromEntries(
      Array.from(shapes, ([name, shape]) => [name, runtime.float32(weights.get(name)!, shape)])
    )
    return { ...feeds, scale: runtime.float32(Float32Array.of(Lora.scale(lora.rank)), []) }
  }

  return {
    sample: async ({ adapter, decode, request, signal }) => {
      const compiled = await session(adapter?.lora ?? Lora.none)
      const capacity = Math.min(request.prompt.length + request.maxTokens, options.maxContextLength)
      const tables = Llama.rotaryTables(config, capacity)
      const half = config.headDim / 2
      const constants = {
        ...base,
        ...adapterFeeds(adapter),
        cos: runtime.float32(tables.cos, [capacity, half]),
        sin: runtime.float32(tables.sin, [capacity, half])
      }
      const advance: Advance = async (cache, tokens, position, rows) => {
        signal?.throwIfAborted()
        const length = tokens.length / cache.rows
        const positions = Int32Array.from(tokens, (_, i) => position + (i % length))
        const shape = [cache.rows, config.keyValueHeads, capacity, config.headDim]
        const feeds: Record<string, Tensor> = {
          ...constants,
          tokens: runtime.int64(tokens, [cache.rows, length]),
          positions: runtime.int64(positions, [cache.rows, length]),
          rows: runtime.int64(rows, [rows.length]),
          last: runtime.int32(new Int32Array(cache.rows).fill(position + length - 1), [cache.rows]),
          total: runtime.int32(Int32Array.of(position + length), [1])
        }
        const fetches: Record<string, Tensor | null> = { logits: null }
        for (const [name, data] of cache.arrays) {
          // The same memory goes in and out: the runtime then writes the new positions in place.
          const tensor = runtime.float32(data, shape)
          feeds[name] = tensor
          fetches[`${name}:new`] = tensor
        }
        return (await compiled.run(feeds, fetches))["logits"]!.data as Float32Array
      }

      const prompt = await prefill(advance, config, request, makeCache(config, capacity))
      const bytes = cacheBytes(config, capacity)
      const group = Math.max(1, Math.floor(options.maxCacheBytes / bytes))
      const sequences: Array<Engine.SampledSequence> = []
      for (let first = 0; first < request.numSamples; first += group) {
        const count = Math.min(group, request.numSamples - first)
        sequences.push(...await generate(advance, request, decode, prompt, { first, count, capacity }))
      }
      return { sequences, ...prompt.scores }
    }
  }
}

/** Keys and values of every layer by input name, each `[rows, keyValueHeads, capacity, headDim]`. */
interface Cache {
  readonly rows: number
  readonly arrays: ReadonlyMap<string, Float32Array>
}

/** Runs new tokens `[cache.rows, length]` that stand at `position` and after; logits of the chosen rows of them. */
type Advance = (
  cache: Cache,
  tokens: ArrayLike<number>,
  position: number,
  rows: ArrayLike<number>
) => Promise<Float32Array>

interface Prompt {
  readonly cache: Cache
  /** `[V]`, of the token after the prompt. */
  readonly logits: Float32Array
  readonly scores: PromptScores.PromptScores["result"]
}

const promptChunk = 256

const prefill = async (
  advance: Advance,
  config: Llama.Config,
  request: Engine.SampleRequest,
  cache: Cache
): Promise<Prompt> => {
  const { prompt } = request
  const scores = PromptScores.make(request)
  let logits: Float32Array = new Float32Array(0)
  for (let start = 0; start < prompt.length; start += promptChunk) {
    const tokens = prompt.subarray(start, start + promptChunk)
    const rows = scores.isWanted ? Array.from(tokens, (_, i) => i) : [tokens.length - 1]
    logits = await advance(cache, tokens, start, rows)
    if (!scores.isWanted) continue
    for (let i = 0; i < tokens.length && start + i + 1 < prompt.length; i++) {
      scores.add(start + i + 1, logits.subarray(i * config.vocabularySize, (i + 1) * config.vocabularySize))
    }
  }
  return { cache, logits: logits.slice(-config.vocabularySize), scores: scores.result }
}

interface Growing {
  readonly random: () => number
  readonly tokens: Array<number>
  readonly logprobs: Array<number>
  readonly best: Array<ReturnType<typeof Sampler.topk>>
  stopReason: "stop" | "length" | undefined
}

const generate = async (
  advance: Advance,
  request: Engine.SampleRequest,
  decode: (tokens: ReadonlyArray<number>) => string,
  prompt: Prompt,
  { capacity, count, first }: { readonly first: number; readonly count: number; readonly capacity: number }
): Promise<ReadonlyArray<Engine.SampledSequence>> => {
  const stops = new Set(request.stopTokens)
  const vocabulary = prompt.logits.length
  const k = request.topkSampleLogprobs ?? 0
  const limit = capacity - request.prompt.length

  const take = (sample: Growing, logits: Float32Array): void => {
    const token = Sampler.choose(logits, request, sample.random)
    const logprob = Sampler.logprobAt(logits, token)
    if (!Number.isFinite(logprob)) {
      throw new EngineError({
        reason: "NonFinite",
        description: `the log-probability of a sampled token is ${logprob}`
      })
    }
    sample.tokens.push(token)
    sample.logprobs.push(logprob)
    if (k > 0) sample.best.push(Sampler.topk(logits, k))
    if (stops.has(token) || completesText(sample.tokens, request.stopStrings, decode)) sample.stopReason = "stop"
    else if (sample.tokens.length >= limit) sample.stopReason = "length"
  }

  const samples = Array.from({ length: count }, (_, i): Growing => ({
    random: Sampler.makeRandom(request.seed + first + i),
    tokens: [],
    logprobs: [],
    best: [],
    stopReason: limit > 0 ? undefined : "length"
  }))
  for (const sample of samples) if (sample.stopReason === undefined) take(sample, prompt.logits)

  let active = samples.filter(({ stopReason }) => stopReason === undefined)
  let rows = active
  let cache = repeatRow(prompt.cache, active.length)
  for (let position = request.prompt.length; active.length > 0; position++) {
    // Rows of finished samples are computed on until half are idle: moving a cache costs about as much as a step.
    if (active.length * 2 <= rows.length) {
      cache = selectRows(cache, active.map((sample) => rows.indexOf(sample)))
      rows = active
    }
    const tokens = rows.map(({ tokens }) => tokens.at(-1)!)
    const logits = await advance(cache, tokens, position, tokens.map((_, i) => i))
    rows.forEach((sample, i) => {
      if (sample.stopReason === undefined) take(sample, logits.subarray(i * vocabulary, (i + 1) * vocabulary))
    })
    active = active.filter(({ stopReason }) => stopReason === undefined)
  }

  return samples.map(({ best, logprobs, stopReason, tokens }) => ({
    tokens: Int32Array.from(tokens),
    logprobs: Float32Array.from(logprobs),
    topkLogprobs: k > 0 ? Sampler.joinTopk(k, best) : undefined,
    stopReason: stopReason!
  }))
}

/**
 * Whether the last token completes one of the texts. Only as many tokens are decoded as the longest text can span: a
 * token has at least a byte, a character at most four, and a few more settle a character that was cut.
 */
const completesText = (
  tokens: ReadonlyArray<number>,
  texts: ReadonlyArray<string>,
  decode: (tokens: ReadonlyArray<number>) => string
): boolean => {
  if (texts.length === 0) return false
  const span = 4 * Math.max(...texts.map((text) => text.length)) + 4
  const text = decode(tokens.slice(-span))
  return texts.some((stop) => stop !== "" && text.includes(stop))
}

const makeCache = (config: Llama.Config, capacity: number): Cache => {
  const arrays = new Map<string, Float32Array>()
  for (let layer = 0; layer < config.layers; layer++) {
    for (const name of [DecodingGraph.keyName(layer), DecodingGraph.valueName(layer)]) {
      arrays.set(name, new Float32Array(config.keyValueHeads * capacity * config.headDim))
    }
  }
  return { rows: 1, arrays }
}

/** Of one sample. */
const cacheBytes = ({ headDim, keyValueHeads, layers }: Llama.Config, capacity: number): number =>
  2 * 4 * layers * keyValueHeads * capacity * headDim

const repeatRow = (cache: Cache, times: number): Cache => selectRows(cache, new Array<number>(times).fill(0))

const selectRows = (cache: Cache, rows: ReadonlyArray<number>): Cache => ({
  rows: rows.length,
  arrays: new Map(Array.from(cache.arrays, ([name, data]) => {
    const size = data.length / cache.rows
    const chosen = new Float32Array(rows.length * size)
    rows.forEach((row, i) => chosen.set(data.subarray(row * size, (row + 1) * size), i * size))
    return [name, chosen]
  }))
})
