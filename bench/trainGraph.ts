/**
 * The engine's training pass alone, without server, client or process between: forward and backward on the shapes that are
 * compared with PyTorch, 4 sequences of 256 tokens, rank 16 on seven linear maps. Prints JSON; by command line:
 * `tsx bench/trainGraph.ts [steps] [tiny|135m]`.
 */
import { spawnSync } from "node:child_process"
import { isMain } from "../packages/llama/examples/isMain.js"
import * as EngineProcess from "../packages/llama/src/EngineProcess.js"
import * as Llama from "../packages/llama/src/Llama.js"
import * as Lora from "../packages/llama/src/Lora.js"
import * as OnnxRuntime from "../packages/llama/src/OnnxRuntime.js"
import * as TrainingPass from "../packages/llama/src/TrainingPass.js"

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

/** By the names that `train_torch.py` has for them too. */
export const shapes: Readonly<Record<string, Llama.Config>> = {
  tiny: config,
  "135m": {
    ...config,
    vocabularySize: 49_152,
    hiddenSize: 576,
    intermediateSize: 1536,
    layers: 30,
    heads: 9,
    keyValueHeads: 3,
    tiedEmbeddings: true
  }
}

export const rows = 4
export const length = 256
export const threads = 2
const rank = 16

/** What both this program and `train_torch.py` print. */
export interface Printed {
  readonly tokensPerSecond: number
  readonly bestStepMilliseconds: number
  readonly medianStepMilliseconds: number
  /** Of the best step. */
  readonly cpuMilliseconds: number
  readonly peakMegabytes: number
}

/** Runs `steps` steps after a warm-up and reports the best: on a shared machine the others say how busy it is. */
const measure = async (config: Llama.Config, steps: number): Promise<Printed> => {
  const random = uniform(1)
  const lora = { rank, seed: 1, trainAttn: true, trainMlp: true, trainUnembed: false }
  const small = (size: number) => {
    const array = new Float32Array(size)
    for (let i = 0; i < size; i++) array[i] = 0.1 * (random() - 0.5)
    return array
  }
  const weights = new Map(Array.from(Llama.weightShapes(config), ([name, shape]) => {
    const size = shape.reduce((product, dim) => product * dim, 1)
    return [name, shape.length === 1 ? new Float32Array(size).fill(1) : small(size)] as const
  }))
  const parameterCount = Array.from(weights.values()).reduce((sum, { length }) => sum + length, 0)
  const pass = TrainingPass.make({
    runtime: await OnnxRuntime.load({ threads }),
    config,
    weights,
    maxActivationBytes: Math.max(2 ** 28, 16 * parameterCount)
  })
  const adapter = new Map(Array.from(Lora.shapes(config, lora, rank), ([name, [a, b]]) => [name, small(a * b)]))
  const ids = () => Int32Array.from({ length }, () => Math.floor(random() * config.vocabularySize))
  const data = Array.from({ length: rows }, () => ({ tokens: ids(), targetTokens: ids() }))

  const milliseconds: Array<number> = []
  const cpu: Array<number> = []
  for (let step = 0; step < steps + 2; step++) {
    const start = performance.now()
    const busy = process.cpuUsage()
    await pass.run({ lora, adapter, data, loss: { _tag: "cross_entropy" }, gradient: true })
    if (step < 2) continue
    milliseconds.push(performance.now() - start)
    const { system, user } = process.cpuUsage(busy)
    cpu.push((user + system) / 1000)
  }
  milliseconds.sort((a, b) => a - b)
  return {
    tokensPerSecond: (1000 * rows * length) / milliseconds[0]!,
    bestStepMilliseconds: milliseconds[0]!,
    medianStepMilliseconds: milliseconds[Math.floor(milliseconds.length / 2)]!,
    cpuMilliseconds: Math.min(...cpu),
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

/** In a process of its own, set up as the engine's is: what ran before leaves no mark on it. */
export const measureApart = (steps: number, shape: string): Printed => {
  const child = spawnSync("node", ["--import", "tsx", "bench/trainGraph.ts", String(steps), shape], {
    encoding: "utf8",
    env: { ...EngineProcess.allocatorSettings, ...process.env }
  })
  if (child.status !== 0) throw new Error(child.stderr)
  return JSON.parse(child.stdout) as Printed
}

/** The same step in PyTorch; nothing where `python3`, or the program named by PYTHON, has no torch. */
export const measurePyTorch = (steps: number, shape: string): Printed | undefined => {
  const python = process.env["PYTHON"] ?? "python3"
  const child = spawnSync(python, ["bench/train_torch.py", String(steps), shape], { encoding: "utf8" })
  return child.status === 0 ? JSON.parse(child.stdout) as Printed : undefined
}

if (isMain(import.meta.url)) {
  const [steps = "20", shape = "tiny"] = process.argv.slice(2)
  console.log(JSON.stringify(await measure(shapes[shape]!, Number(steps))))
}
