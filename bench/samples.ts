/**
 * Samples of 512 tokens of prompt and 64 of answer, so many in flight: what one costs the client's process, and how many a
 * second it gets, by the Python SDK and by ours in turn.
 *
 * `npm run bench:samples -- --in-flight 64,512 --rounds 1 --samples 2000 --python-samples 500 --delay 100`; `--floor` shows
 * before what the same requests cost without the SDK.
 */
import { parseArgs } from "node:util"
import type { Cost } from "./meter.js"
import { alternate, printLine, runOurs, runPython, startServer } from "./rounds.js"

const options = parseArgs({
  options: {
    "in-flight": { type: "string", default: "64,512,2000" },
    rounds: { type: "string", default: "3" },
    samples: { type: "string", default: "10000" },
    "python-samples": { type: "string", default: "3000" },
    /** Milliseconds for which the server holds a result back. */
    delay: { type: "string", default: "0" },
    floor: { type: "boolean", default: false }
  }
}).values

const server = await startServer("--delay", options.delay)
for (const inFlight of options["in-flight"].split(",")) {
  const warmUp = String(Math.max(2000, 2 * Number(inFlight)))
  for (const way of options.floor ? ["dispatch", "request", "platform"] : []) {
    const cost = await runOurs<Cost>("floor.ts", [server.url, way, inFlight, warmUp, options.samples])
    printLine({ what: `${inFlight} in flight: CPU time by ${way} alone`, unit: "ms", ours: [cost.cpu] })
  }
  const results = await alternate(
    Number(options.rounds),
    () => runPython<Cost>("samples.py", [server.url, inFlight, inFlight, options["python-samples"]]),
    () => runOurs<Cost>("samplesClient.ts", [server.url, inFlight, warmUp, options.samples])
  )
  const print = (what: string, unit: string, key: keyof Cost, wanted: string) =>
    printLine({
      what: `${inFlight} in flight: ${what}`,
      unit,
      python: results.python.map((cost) => cost[key]),
      ours: results.ours.map((cost) => cost[key]),
      wanted
    })
  print("CPU time of a sample", "ms", "cpu", "x 0.1")
  print("rate", "/s", "rate", "x 10")
}
server.stop()
