/**
 * Training steps, each a pass over 8 x 1,024 tokens and an optimizer step, two steps ahead of the result awaited: what one
 * costs the client's process, and how many a second it gets, by the Python SDK and by ours in turn.
 *
 * `npm run bench:steps -- --rounds 1 --steps 500 --python-steps 100`
 */
import { parseArgs } from "node:util"
import type { Cost } from "./meter.js"
import { alternate, printLine, runOurs, runPython, startServer } from "./rounds.js"

const options = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    steps: { type: "string", default: "2000" },
    "python-steps": { type: "string", default: "400" }
  }
}).values

const server = await startServer()
const results = await alternate(
  Number(options.rounds),
  () => runPython<Cost>("steps.py", [server.url, "50", options["python-steps"]]),
  () => runOurs<Cost>("stepsClient.ts", [server.url, "500", options.steps])
)
const print = (what: string, unit: string, key: keyof Cost, wanted: string) =>
  printLine({
    what,
    unit,
    python: results.python.map((cost) => cost[key]),
    ours: results.ours.map((cost) => cost[key]),
    wanted
  })
print("CPU time of a training step", "ms", "cpu", "at most 2 ms")
print("training steps", "/s", "rate", "at least 500 /s")
server.stop()
