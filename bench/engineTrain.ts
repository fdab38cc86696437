/**
 * A training step of the engine beside PyTorch eager: forward and backward of 4 sequences of 256 tokens, adapters of rank 16
 * on seven linear maps, two threads, on the tiny shape (4 layers, width 256, vocabulary 512) and that of a model of 135
 * million parameters (30 layers, width 576, vocabulary 49,152). Both in turn, each in a process of its own.
 *
 * Rows report the best step and the best round's median step, CPU time at best, and the largest peak of memory; on a busy
 * machine CPU time says most. `npm run bench:engine-train -- --rounds 1 --shapes tiny`; PYTHON names a Python with torch.
 */
import { parseArgs } from "node:util"
import { length, measureApart, measurePyTorch, rows, shapes } from "./trainGraph.js"
import type { Printed } from "./trainGraph.js"

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    shapes: { type: "string", default: Object.keys(shapes).join() }
  }
})
const steps: Readonly<Record<string, number>> = { tiny: 20, "135m": 4 }

const better = (a: Printed | undefined, b: Printed): Printed =>
  a === undefined ? b : {
    tokensPerSecond: Math.max(a.tokensPerSecond, b.tokensPerSecond),
    bestStepMilliseconds: Math.min(a.bestStepMilliseconds, b.bestStepMilliseconds),
    medianStepMilliseconds: Math.min(a.medianStepMilliseconds, b.medianStepMilliseconds),
    cpuMilliseconds: Math.min(a.cpuMilliseconds, b.cpuMilliseconds),
    peakMegabytes: Math.max(a.peakMegabytes, b.peakMegabytes)
  }

const found = new Map<string, Printed>()
for (let round = 0; round < Number(values.rounds); round++) {
  for (const shape of values.shapes.split(",")) {
    const count = steps[shape] ?? 4
    const both = [["engine", measureApart(count, shape)], ["PyTorch eager", measurePyTorch(count, shape)]] as const
    for (const [what, printed] of both) {
      if (printed === undefined) continue
      const row = `${shape.padEnd(5)} ${what}`
      found.set(row, better(found.get(row), printed))
      console.log(`round ${round + 1}  ${row.padEnd(20)} ${printed.tokensPerSecond.toFixed(0)} tokens/s`)
    }
  }
}

const perSecond = (milliseconds: number) => ((1000 * rows * length) / milliseconds).toFixed(0)
console.log(`\n${"".padEnd(20)}  tokens/s, best step   median step   CPU ms a step   peak MB`)
for (const [row, printed] of found) {
  const columns = [
    [perSecond(printed.bestStepMilliseconds), 19],
    [perSecond(printed.medianStepMilliseconds), 11],
    [printed.cpuMilliseconds.toFixed(0), 13],
    [printed.peakMegabytes.toFixed(0), 7]
  ] as const
  console.log(`${row.padEnd(20)}  ${columns.map(([text, width]) => text.padStart(width)).join("   ")}`)
}
if (found.size === values.shapes.split(",").length) {
  console.log("PyTorch: no torch found; name a Python that has it in PYTHON")
}
