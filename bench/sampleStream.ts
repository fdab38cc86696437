/**
 * Answers to a stream of prompts beside the same by `Effect.forEach` and by `Stream.mapEffect` over `sample`: what one costs the
 * client's process, so many at once.
 *
 * `npm run bench:sample-stream -- --in-flight 64 --rounds 1 --samples 2000`
 */
import { parseArgs } from "node:util"
import type { Cost } from "./meter.js"
import { printLine, runOurs, startServer } from "./rounds.js"

const options = parseArgs({
  options: {
    "in-flight": { type: "string", default: "64,512" },
    rounds: { type: "string", default: "3" },
    samples: { type: "string", default: "10000" }
  }
}).values

const ways = {
  forEach: "Effect.forEach over sample",
  mapEffect: "Stream.mapEffect over sample",
  stream: "sampleStream in order",
  unordered: "sampleStream as they finish"
}

const server = await startServer("--delay", "0")
for (const inFlight of options["in-flight"].split(",")) {
  const costs = new Map<string, Array<number>>()
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const way of Object.keys(ways)) {
      const { cpu } = await runOurs<Cost>("sampleStreamClient.ts", [server.url, way, inFlight, "2000", options.samples])
      costs.set(way, [...costs.get(way) ?? [], cpu])
    }
  }
  for (const [way, what] of Object.entries(ways)) {
    printLine({ what: `${inFlight} at once: CPU time of an answer, ${what}`, unit: "ms", ours: costs.get(way)! })
  }
}
server.stop()
