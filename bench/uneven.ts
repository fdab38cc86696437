/**
 * A pass over sequences of uneven lengths, beside what those of each length cost apart: one of 256 tokens with 31 of 8, and lengths
 * as in a conversation. CPU time of forward and backward, best of many. `npm run bench:uneven -- --shapes tiny`
 */
import { parseArgs } from "node:util"
import * as Llama from "../packages/llama/src/Llama.js"
import * as Lora from "../packages/llama/src/Lora.js"
import * as OnnxRuntime from "../packages/llama/src/OnnxRuntime.js"
import * as TrainingPass from "../packages/llama/src/TrainingPass.js"
import { shapes, threads } from "./trainGraph.js"

const { values } = parseArgs({
  options: { shapes: { type: "string", default: Object.keys(shapes).join() }, steps: { type: "string", default: "8" } }
})

const mixes: Readonly<Record<string, ReadonlyArray<readonly [length: number, count: number]>>> = {
  "one of 256 with 31 of 8": [[256, 1], [8, 31]],
  "16 of 128 to 38": Array.from({ length: 16 }, (_, i) => [128 - 6 * i, 1] as const),
  "16 of 64": [[64, 16]]
}

let state = 1
const random = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return state / 2 ** 32
}

for (const shape of values.shapes.split(",")) {
  const config = shapes[shape]!
  const small = (size: number) => Float32Array.from({ length: size }, () => 0.1 * (random() - 0.5))
  const weights = new Map(Array.from(Llama.weightShapes(config), ([name, dims]) => {
    const size = dims.reduce((product, dim) => product * dim, 1)
    return [name, dims.length === 1 ? new Float32Array(size).fill(1) : small(size)] as const
  }))
  const lora = { rank: 16, seed: 1, trainAttn: true, trainMlp: true, trainUnembed: false }
  const adapter = new Map(Array.from(Lora.shapes(config, lora, lora.rank), ([name, [a, b]]) => [name, small(a * b)]))
  const pass = TrainingPass.make({
    runtime: await OnnxRuntime.load({ threads }),
    config,
    weights,
    maxActivationBytes: 2 ** 30
  })
  const datum = (length: number) => {
    const ids = () => Int32Array.from({ length }, () => Math.floor(random() * config.vocabularySize))
    return { tokens: ids(), targetTokens: ids() }
  }
  const cost = async (data: ReadonlyArray<ReturnType<typeof datum>>): Promise<number> => {
    let best = Infinity
    for (let step = 0; step < Number(values.steps) + 2; step++) {
      const before = process.cpuUsage()
      await pass.run({ lora, adapter, data, loss: { _tag: "cross_entropy" }, gradient: true })
      const { system, user } = process.cpuUsage(before)
      if (step >= 2) best = Math.min(best, (user + system) / 1000)
    }
    return best
  }
  for (const [name, mix] of Object.entries(mixes)) {
    const groups = mix.map(([length, count]) => Array.from({ length: count }, () => datum(length)))
    let apart = 0
    for (const group of groups) apart += await cost(group)
    const together = await cost(groups.flat())
    console.log(
      `${shape.padEnd(6)}${name.padEnd(26)}together ${together.toFixed(0).padStart(6)} ms   apart ${
        apart.toFixed(0).padStart(6)
      } ms   ratio ${(together / apart).toFixed(2)}`
    )
  }
}
