import type { Engine } from "@effect-tinker/engine"
import type * as Llama from "../../src/Llama.js"
import * as LocalEngine from "../../src/LocalEngine.js"
import * as Lora from "../../src/Lora.js"
import * as OnnxRuntime from "../../src/OnnxRuntime.js"
import { hashedArray, hashedTokens } from "./numbers.js"

/** Of a model that is computed in no time; tests of other kinds change what they are about. */
export const smallLlama: Llama.Config = {
  vocabularySize: 40,
  hiddenSize: 16,
  intermediateSize: 24,
  layers: 2,
  heads: 4,
  keyValueHeads: 2,
  headDim: 8,
  normEpsilon: 1e-5,
  ropeTheta: 10_000,
  tiedEmbeddings: false,
  attentionBias: false,
  queryKeyNorm: false
}

/** A request for one answer of it, as it comes. */
export const smallRequest: Engine.SampleRequest = {
  prompt: hashedTokens(9, 6, smallLlama.vocabularySize),
  numSamples: 1,
  maxTokens: 12,
  temperature: 1,
  topK: -1,
  topP: 1,
  seed: 3,
  stopTokens: [],
  stopStrings: [],
  promptLogprobs: false,
  topkPromptLogprobs: 0
}

const runtime = OnnxRuntime.load({ threads: 2 })

/** An engine in this process, over weights given as arrays; its base model is called `base`. */
export const localEngine = async (
  config: Llama.Config,
  weights: ReadonlyMap<string, Float32Array>,
  options: {
    readonly maxContextLength?: number
    readonly maxActivationBytes?: number
    readonly decode?: (tokens: ReadonlyArray<number>) => string
  } = {}
): Promise<LocalEngine.LocalEngine> =>
  LocalEngine.make({
    runtime: await runtime,
    description: {
      folder: "/nowhere",
      name: "base",
      architecture: "LlamaForCausalLM",
      config,
      parameterCount: 0,
      maxContextLength: options.maxContextLength ?? 512,
      eosTokens: [],
      proposedSampling: {},
      hasTokenizer: options.decode !== undefined,
      clientFiles: []
    },
    weights,
    decode: options.decode,
    maxActivationBytes: options.maxActivationBytes ?? 64 * 2 ** 20
  })

export const everything = { trainAttn: true, trainMlp: true, trainUnembed: true }

/** An adapter whose both halves are hashes of their place, so that it changes the output. */
export const hashedSnapshot = (config: Llama.Config, rank: number): Engine.Snapshot => ({
  baseModel: "base",
  lora: { rank, seed: 0, ...everything },
  step: 0,
  weights: new Map(
    Array.from(Lora.shapes(config, everything, rank), ([name, shape], k) => {
      const bound = name.includes("lora_A") ? 1 / Math.sqrt(shape[1]) : 0.02
      return [name, { shape, data: hashedArray(1000 + k, shape[0] * shape[1], bound) }]
    })
  ),
  expAvg: new Map(),
  expAvgSq: new Map()
})

export const adam: Engine.AdamWParams = {
  learningRate: 1e-2,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-8,
  weightDecay: 0.01,
  gradClipNorm: 0
}

export const maxDifference = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  if (a.length !== b.length) return Infinity
  let worst = 0
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!)
    if (!(difference <= worst)) worst = difference
  }
  return worst
}
