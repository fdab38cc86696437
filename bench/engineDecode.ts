/**
 * Tokens a second of sampling from random models with adapters of rank 16 on seven linear maps, beside PyTorch eager with a
 * cache of keys and values: answers of 64 tokens to a prompt of 32, at temperature 1, with their log-probabilities, one
 * alone and 16 together, on two threads. Ours is the whole decoder of the engine, in a process of its own; its first answer,
 * for which the graph is compiled, is not counted, as PyTorch's is not.
 *
 * Each round runs all cases of both in turn. `npm run bench:engine-decode -- --rounds 1 --shapes tiny`.
 */
import { spawnSync } from "node:child_process"
import { parseArgs } from "node:util"
import { isMain } from "../packages/llama/examples/isMain.js"
import * as Decoder from "../packages/llama/src/Decoder.js"
import * as Llama from "../packages/llama/src/Llama.js"
import * as Lora from "../packages/llama/src/Lora.js"
import * as OnnxRuntime from "../packages/llama/src/OnnxRuntime.js"
import { shapes } from "./trainGraph.js"

const promptLength = 32
const newTokens = 64
const repeats = 3
const rank = 16

interface Printed {
  readonly seconds: ReadonlyArray<number>
  readonly cpuSeconds: ReadonlyArray<number>
  readonly peakMegabytes: number
}

const measure = async (config: Llama.Config, rows: number): Promise<Printed> => {
  const random = uniform(1)
  const array = (size: number, next: () => number) => {
    const filled = new Float32Array(size)
    for (let i = 0; i < size; i++) filled[i] = next()
    return filled
  }
  const small = () => 0.1 * (random() - 0.5)
  const weights = new Map(
    Array.from(Llama.weightShapes(config), ([name, shape]) => {
      const size = shape.reduce((product, dim) => product * dim, 1)
      return [name, array(size, shape.length === 1 ? () => 1 : small)] as const
    })
  )
  const targets: Lora.Targets = { trainAttn: true, trainMlp: true, trainUnembed: false }
  const adapter = new Map(
    Array.from(Lora.shapes(config, targets, rank), ([name, [a, b]]) => [name, array(a * b, small)])
  )
  const decoder = Decoder.make({
    runtime: await OnnxRuntime.load({ threads: 2 }),
    config,
    weights,
    maxContextLength: 2048,
    maxCacheBytes: 2 ** 28
  })
  const sampler = decoder.sampler({ ...targets, rank, weights: adapter })
  const seconds: Array<number> = []
  const cpuSeconds: Array<number> = []
  for (let repeat = 0; repeat <= repeats; repeat++) {
    const prompt = Int32Array.from({ length: promptLength }, () => Math.floor(random() * config.vocabularySize))
    const start = performance.now()
    const before = process.cpuUsage()
    const { sequences } = await sampler.sample({
      request: {
        prompt,
        numSamples: rows,
        maxTokens: newTokens,
        temperature: 1,
        topK: -1,
        topP: 1,
        seed: repeat,
        stopTokens: [],
        stopStrings: [],
        promptLogprobs: false,
        topkPromptLogprobs: 0
      },
      decode: () => ""
    })
    if (sequences.some(({ logprobs, tokens }) => tokens.length !== newTokens || logprobs.some((x) => !(x <= 0)))) {
      throw new Error("an answer is not what was asked for")
    }
    if (repeat === 0) continue
    const { system, user } = process.cpuUsage(before)
    seconds.push((performance.now() - start) / 1000)
    cpuSeconds.push((user + system) / 1e6)
  }
  return { seconds, cpuSeconds, peakMegabytes: process.resourceUsage().maxRSS / 1024 }
}

const uniform = (seed: number) => {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

const compare = (rounds: number, names: ReadonlyArray<string>): void => {
  const found = new Map<string, Array<Printed>>()
  const programs = {
    ours: (name: string, rows: number) =>
      spawnSync("node", ["--import", "tsx", "bench/engineDecode.ts", "--measure", name, "--rows", String(rows)], {
        encoding: "utf8"
      }),
    PyTorch: (name: string, rows: number) =>
      spawnSync(
        process.env["PYTHON"] ?? "python3",
        ["bench/engine_decode_torch.py", name, String(rows), String(newTokens), String(repeats)],
        { encoding: "utf8" }
      )
  }
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      for (const rows of [1, 16]) {
        for (const [whose, run] of Object.entries(programs)) {
          const child = run(name, rows)
          if (child.status !== 0) {
            if (whose === "ours") throw new Error(child.stderr)
            continue
          }
          const key = `${name.padEnd(5)} ${String(rows).padStart(2)}  ${whose.padEnd(8)}`
          found.set(key, [...found.get(key) ?? [], JSON.parse(child.stdout) as Printed])
        }
      }
    }
  }
  console.log("shape rows whose    tokens/s: best   median   CPU ms a token   peak MB")
  for (const [key, printed] of found) {
    const tokens = newTokens * Number(key.slice(5, 8))
    const seconds = printed.flatMap((each) => each.seconds).sort((a, b) => a - b)
    const cpu = printed.flatMap((each) => each.cpuSeconds).sort((a, b) => a - b)
    const columns = [
      (tokens / seconds[0]!).toFixed(0).padStart(14),
      (tokens / seconds[seconds.length >> 1]!).toFixed(0).padStart(8),
      (1000 * cpu[cpu.length >> 1]! / tokens).toFixed(2).padStart(16),
      Math.max(...printed.map(({ peakMegabytes }) => peakMegabytes)).toFixed(0).padStart(9)
    ]
    console.log(`${key} ${columns.join(" ")}`)
  }
  if (!Array.from(found.keys()).some((key) => key.includes("PyTorch"))) {
    console.log("PyTorch: no torch found; name a Python that has it in PYTHON")
  }
}

if (isMain(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "3" },
      shapes: { type: "string", default: "tiny,135m" },
      measure: { type: "string" },
      rows: { type: "string", default: "1" }
    }
  })
  if (values.measure === undefined) compare(Number(values.rounds), values.shapes.split(","))
  else console.log(JSON.stringify(await measure(shapes[values.measure]!, Number(values.rows))))
}
