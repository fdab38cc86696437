/**
 * Our own server, with the engine that computes next to nothing: samples over so many connections, and what a request costs
 * its process, in turn with a server of Node alone that answers the same; one of these again with a server that keeps what it
 * knows in a folder; then many samples from 400 clients, a third of whose questions for results are abandoned, and its memory.
 *
 * `npm run bench:server -- --connections 64 --samples 5000 --rounds 1 --many 16384`
 */
import { spawn } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { firstLine, printLine, runOurs } from "./rounds.js"
import type { Used } from "./used.js"

const options = parseArgs({
  options: {
    connections: { type: "string", default: "64,512,2000" },
    samples: { type: "string", default: "20000" },
    rounds: { type: "string", default: "3" },
    /** Samples of the run with abandoned questions; 0 leaves it out. */
    many: { type: "string", default: "131072" }
  }
}).values

const start = async (file: string, ...args: ReadonlyArray<string>) => {
  const child = spawn(process.execPath, ["--expose-gc", "--import", "tsx", `bench/${file}`, ...args], {
    stdio: ["ignore", "pipe", "inherit", "ipc"]
  })
  const url = await firstLine(child, "the server")
  const used = () =>
    new Promise<Used>((resolve) => {
      child.once("message", (message) => resolve(message as Used))
      child.send("used")
    })
  return { url, used, stop: () => child.disconnect() }
}

interface Load {
  readonly seconds: number
  readonly done: number
  readonly median: number
  readonly slowest: number
}

const load = (url: string, ...numbers: ReadonlyArray<number>) =>
  runOurs<Load>("loadClient.ts", [url, ...numbers.map(String)])

const samples = Number(options.samples)

interface Shape {
  readonly prompt: number
  readonly answer: number
  readonly connections: number
}

const measure = async ({ answer, connections, prompt }: Shape, folder?: string) => {
  const isKept = folder !== undefined
  const ours = await start("bigramServer.ts", "{}", ...isKept ? [folder] : [])
  const bare = await start("bareServer.ts", String(answer))
  const costs = { ours: new Array<number>(), bare: new Array<number>() }
  const rates = { ours: new Array<number>(), bare: new Array<number>() }
  const waits: Array<number> = []
  const once = async (server: typeof ours, costs: Array<number>, rates: Array<number>) => {
    const before = await server.used()
    const { median, seconds } = await load(server.url, connections, samples, prompt, answer)
    // Two requests a sample: one asks for it, one fetches its result.
    costs.push((1000 * ((await server.used()).cpu - before.cpu)) / (2 * samples))
    rates.push((2 * samples) / seconds)
    return median
  }
  for (const { url } of [ours, bare]) await load(url, connections, Math.max(10_000, 2 * connections), prompt, answer)
  for (let round = 0; round < Number(options.rounds); round++) {
    await once(bare, costs.bare, rates.bare)
    waits.push(await once(ours, costs.ours, rates.ours))
  }
  ours.stop()
  bare.stop()
  const what = `${connections} connections, ${prompt} tokens in, ${answer} out${isKept ? ", kept in a folder" : ""}`
  const wanted = (value: string) => isKept ? {} : { wanted: value }
  const best = (values: ReadonlyArray<number>) => values.reduce((a, b) => Math.max(a, b)).toFixed(0)
  printLine({ what: `${what}: CPU time of a request`, unit: "µs", ours: costs.ours, ...wanted("125") })
  printLine({ what: `  of Node's server alone`, unit: "µs", ours: costs.bare })
  printLine({ what: `  requests, at best ${best(rates.ours)}`, unit: "/s", ours: rates.ours, ...wanted("8,000") })
  printLine({ what: `  of Node's server alone, at best ${best(rates.bare)}`, unit: "/s", ours: rates.bare })
  printLine({ what: "  a sample's median", unit: "ms", ours: waits })
}

const connections = options.connections.split(",").map(Number)
const long = { prompt: 512, answer: 64 }
for (const shape of [long, { prompt: 16, answer: 512 }]) {
  for (const count of connections) await measure({ ...shape, connections: count })
}
const folder = await mkdtemp(join(tmpdir(), "effect-tinker-"))
await measure({ ...long, connections: connections[0]! }, folder)
await rm(folder, { recursive: true })

const many = Number(options.many)
if (many > 0) {
  // Results are kept for a minute here instead of an hour, so that what is forgotten shows within the run.
  const server = await start("bigramServer.ts", JSON.stringify({ retention: "1 minute" }))
  let lost = 0
  for (let part = 1; part <= 4; part++) {
    const { done, slowest } = await load(server.url, 400, many / 4, 512, 64, 3)
    lost += many / 4 - done
    const { live, rss } = await server.used()
    console.log(
      `${(part * many / 4).toLocaleString("en")} samples, a third of the questions abandoned: ${lost} lost, `
        + `slowest ${Math.round(slowest)} ms, live ${Math.round(live / 2 ** 20)} MiB, process ${
          Math.round(rss / 2 ** 20)
        } MiB`
    )
  }
  server.stop()
}
