/**
 * 131,072 prompts of 512 tokens: as a stream that is answered, and submitted all at once while the server answers none, by the
 * Python SDK and by ours. Memory is counted beyond the prompts.
 *
 * `npm run bench:queued -- --prompts 16384`; `--trace` also counts the allocations of Python itself.
 */
import { parseArgs } from "node:util"
import type { Memory } from "./queuedClient.js"
import { printLine, runOurs, runPython, startServer } from "./rounds.js"

const options = parseArgs({
  options: { prompts: { type: "string", default: "131072" }, trace: { type: "boolean", default: false } }
}).values
const { prompts } = options

const withServer = async <A>(delay: string, run: (url: string) => Promise<A>): Promise<A> => {
  const server = await startServer("--delay", delay)
  const result = await run(server.url)
  server.stop()
  return result
}
const ours = (url: string, form: string, concurrency = "64") =>
  runOurs<Memory>("queuedClient.ts", [url, form, prompts, concurrency], ["--expose-gc", "--max-old-space-size=8192"])

/** Longer than the measurement: no sample is answered. */
const never = "3600000"
const kibibytesEach = (mebibytes: number) => [(1024 * mebibytes) / Number(prompts)]

for (const concurrency of ["64", "2000"]) {
  const stream = await withServer("0", (url) => ours(url, "stream", concurrency))
  const what = `as a stream, ${concurrency} at once`
  printLine({ what: `${what}: heap and arrays, live`, unit: "MiB", ours: [stream.live], wanted: "at most 64 MiB" })
  printLine({ what: `${what}: heap and arrays, with garbage`, unit: "MiB", ours: [stream.raw] })
  printLine({ what: `${what}: resident`, unit: "MiB", ours: [stream.rss] })
  printLine({ what: `${what}: rate`, unit: "/s", ours: [stream.prompts / stream.seconds] })
}

const eager = await withServer(never, (url) => ours(url, "eager"))
const python = await withServer(never, (url) => runPython<Memory>("queued.py", [url, prompts]))
printLine({
  what: "all at once: heap and arrays of a prompt",
  unit: "KiB",
  ...(options.trace
    ? {
      python: kibibytesEach(
        (await withServer(never, (url) => runPython<Memory>("queued.py", [url, prompts, "trace"]))).live
      )
    }
    : {}),
  ours: kibibytesEach(eager.live),
  wanted: "at most 8 KiB"
})
printLine({
  what: "all at once: resident memory of a prompt",
  unit: "KiB",
  python: kibibytesEach(python.rss),
  ours: kibibytesEach(eager.rss)
})
printLine({
  what: "all at once: until all wait",
  unit: "s",
  python: [python.seconds],
  ours: [eager.seconds]
})
