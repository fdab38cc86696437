/**
 * What watching costs: runs of 200 training steps (8 x 1,024 tokens, two steps ahead of the result awaited) with every span kept
 * in memory and metrics on, and with both off, in turn.
 *
 * `npm run bench:trace -- --rounds 3 --steps 200`
 */
import { parseArgs } from "node:util"
import { median, runOurs, startServer } from "./rounds.js"

const options = parseArgs({
  options: {
    rounds: { type: "string", default: "25" },
    steps: { type: "string", default: "200" }
  }
}).values

const server = await startServer()
const { off, on, spans } = await runOurs<{
  readonly off: ReadonlyArray<number>
  readonly on: ReadonlyArray<number>
  readonly spans: number
}>("traceClient.ts", [server.url, options.steps, options.rounds])
server.stop()

const line = (what: string, value: string) => console.log(`${what.padEnd(52)}  ${value}`)
line("CPU time of a training step, unwatched", `${median(off).toPrecision(3)} ms`)
line("with spans and metrics", `${median(on).toPrecision(3)} ms`)
line("spans a step", String(Math.round(spans)))
const ratios = on.map((cost, i) => cost / off[i]!)
line("ratio, the median of the rounds", `x ${median(ratios).toPrecision(3)}  wanted at most 1.10`)
