/**
 * How late a timer of 10 ms is with 2,000 samples in flight, by the Python SDK (whose requests run on a thread of their own)
 * and by ours: with a server that answers at once, so that the client is never idle, and with one that takes its time.
 *
 * `npm run bench:lag -- --rounds 1 --seconds 6 --delays 0`
 */
import { parseArgs } from "node:util"
import type { Lag } from "./lagClient.js"
import { alternate, printLine, runOurs, runPython, startServer } from "./rounds.js"

const options = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    "in-flight": { type: "string", default: "2000" },
    seconds: { type: "string", default: "15" },
    /** Milliseconds for which the server holds a result back. */
    delays: { type: "string", default: "0,2000" }
  }
}).values

for (const delay of options.delays.split(",")) {
  const server = await startServer("--delay", delay)
  const args = [server.url, options["in-flight"], options.seconds]
  const results = await alternate(
    Number(options.rounds),
    () => runPython<Lag>("lag.py", args),
    () => runOurs<Lag>("lagClient.ts", args)
  )
  const print = (what: string, unit: string, key: keyof Lag, wanted?: string) =>
    printLine({
      what: `answers after ${delay} ms: ${what}`,
      unit,
      python: results.python.map((lag) => lag[key]),
      ours: results.ours.map((lag) => lag[key]),
      ...(wanted === undefined ? {} : { wanted })
    })
  print("lateness, p99", "ms", "p99", "at most 10 ms")
  print("the longest lateness", "ms", "worst")
  print("samples meanwhile", "/s", "rate")
  server.stop()
}
