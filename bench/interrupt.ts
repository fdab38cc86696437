/**
 * How long the server has open requests after all samples in flight were interrupted, by the Python SDK and by ours.
 *
 * `npm run bench:interrupt -- --in-flight 500 --rounds 1`
 */
import { parseArgs } from "node:util"
import { alternate, printLine, runOurs, runPython, startServer } from "./rounds.js"

const options = parseArgs({
  options: { rounds: { type: "string", default: "3" }, "in-flight": { type: "string", default: "500" } }
}).values

/** Longer than any client of this benchmark lives: no request ends by an answer. */
const hold = "600000"
/** After so many milliseconds requests that a client left open are no longer waited for. */
const patience = "5000"
const inFlight = options["in-flight"]

const { ours, python } = await alternate(
  Number(options.rounds),
  async () => {
    const server = await startServer("--delay", hold)
    const milliseconds = await runPython<ReadonlyArray<number>>("interrupt.py", [server.url, inFlight, "3", patience])
    server.stop()
    return milliseconds
  },
  async () => {
    const server = await startServer("--delay", hold)
    const milliseconds = await runOurs<ReadonlyArray<number>>("interruptClient.ts", [server.url, inFlight, "5"])
    server.stop()
    return milliseconds
  }
)
printLine({
  what: `interrupting ${inFlight} samples: until none is open`,
  unit: "ms",
  python: python.flat(),
  ours: ours.flat(),
  wanted: "at most 50 ms"
})
printLine({
  what: "the slowest time",
  unit: "ms",
  python: python.map((one) => Math.max(...one)),
  ours: ours.map((one) => Math.max(...one)),
  wanted: "at most 50 ms"
})
if (python.flat().some((one) => one >= Number(patience))) {
  console.log(`Python leaves requests open: ${patience} ms stands for "longer than that"`)
}
