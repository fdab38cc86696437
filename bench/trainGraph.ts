/**
 * The training graph alone, without server or client: tokens per second of forward and backward on the shape that is
 * compared with PyTorch (4 layers, width 256, vocabulary 512; 4 sequences of 256 tokens; rank 16 on seven linear maps).
 */
import * as Llama from "../packages/engine/src/Llama.js"
import * as Lora from "../packages/engine/src/Lora.js"
import * as OnnxRuntime from "../packages/engine/src/OnnxRuntime.js"
import * as TrainingGraph from "../packages/engine/src/TrainingGraph.js"

export const config: Llama.Config = {
  vocabularySize: 512,
  hiddenSize: 256,
  intermediateSize: 704,
  layers: 4,
  heads: 4,
  keyValueHeads: 4,
  headDim: 64,
  normEpsilon: 1e-5,
  ropeTheta: 10000,
  tiedEmbeddings: false,
  attentionBias: false,
  queryKeyNorm: false
}

const rank = 16
const rows = 4
const length = 256

export interface Figures {
  readonly tokensPerSecond: number
  readonly bestStepMilliseconds: number
  readonly medianStepMilliseconds: number
  readonly peakMegabytes: number
}

/** Runs `steps` steps after a warm-up and reports the best: on a shared machine the others say how busy it is. */
export const measure = async (options: { readonly steps: number; readonly threads: number }): Promise<Figures> => {
  const random = uniform(1)
  const targets: Lora.Targets = { trainAttn: true, trainMlp: true, trainUnembed: false }
  const runtime = await OnnxRuntime.load({ threads: options.threads })
  const session = await runtime.session(TrainingGraph.make({ config, targets, gradient: true }))

  const weights = Array.from(Llama.weightShapes(config), ([name, shape]) => {
    const size = shape.reduce((product, dim) => product * dim, 1)
    const next = () => shape.length === 1 ? 1 : 0.1 * (random() - 0.5)
    return [name, runtime.float32(Float32Array.from({ length: size }, next), shape)] as const
  })
  const tokens = rows * length
  const ids = () => Int32Array.from({ length: tokens }, () => Math.floor(random() * config.vocabularySize))
  const { cos, sin } = Llama.rotaryTables(config, length)
  const feeds = {
    ...Object.fromEntries(weights),
    tokens: runtime.int64(ids(), [rows, length]),
    targets: runtime.int64(ids(), [tokens]),
    cos: runtime.float32(cos, [length, config.headDim / 2]),
    sin: runtime.float32(sin, [length, config.headDim / 2]),
    scale: runtime.float32(Float32Array.of(Lora.scale(rank)), []),
    weights: runtime.float32(new Float32Array(tokens).fill(1), [tokens]),
    sampling: runtime.float32(new Float32Array(tokens), [tokens]),
    advantages: runtime.float32(new Float32Array(tokens), [tokens]),
    likelihood: runtime.float32(Float32Array.of(1), []),
    low: runtime.float32(Float32Array.of(0), []),
    high: runtime.float32(Float32Array.of(Infinity), []),
    ...Object.fromEntries(
      Array.from(Lora.shapes(config, targets, rank), ([name, shape]) => [
        name,
        runtime.float32(Float32Array.from({ length: shape[0] * shape[1] }, () => 0.1 * (random() - 0.5)), shape)
      ])
    )
  }

  const milliseconds: Array<number> = []
  for (let step = 0; step < options.steps + 2; step++) {
    const start = performance.now()
    await session.run(feeds)
    if (step >= 2) milliseconds.push(performance.now() - start)
  }
  await session.release()
  milliseconds.sort((a, b) => a - b)
  return {
    tokensPerSecond: (1000 * tokens) / milliseconds[0]!,
    bestStepMilliseconds: milliseconds[0]!,
    medianStepMilliseconds: milliseconds[Math.floor(milliseconds.length / 2)]!,
    peakMegabytes: process.resourceUsage().maxRSS / 1024
  }
}

const uniform = (seed: number) => {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

if (import.meta.url === `file://${process.argv[1]}`) {
  console.log(JSON.stringify(await measure({ steps: 20, threads: 2 })))
}
