/**
 * External weights of 1 GiB, in four files, by `CheckpointDownload` and by `curl`, which fetches the same files four at a
 * time: how fast, and what the download holds in memory. Ours also leaves the bytes on the disk, not with the system alone.
 *
 * `npm run bench:download -- --rounds 1 --mib 256`
 */
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import type { Download } from "./downloadClient.js"
import { alternate, median, printLine, runOurs } from "./rounds.js"

const options = parseArgs({
  options: { rounds: { type: "string", default: "3" }, mib: { type: "string", default: "1024" } }
}).values
const mib = Number(options.mib)

const server = spawn(process.execPath, ["--import", "tsx", "bench/downloadServer.ts", "--mib", options.mib], {
  stdio: ["ignore", "pipe", "inherit", "ipc"]
})
const lines = server.stdout!
const url = await new Promise<string>((resolve, reject) => {
  lines.once("data", (line) => resolve(String(line).trim()))
  server.once("exit", (code) => reject(new Error(`the server ended with ${String(code)}`)))
})
const folder = mkdtempSync(join(tmpdir(), "download-"))

/** Both write to files that are not there yet. */
const emptied = async <A>(run: (directory: string) => Promise<A>): Promise<A> => {
  const directory = mkdtempSync(join(folder, "round-"))
  try {
    return await run(directory)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

/** MiB a second. */
const curl = (directory: string): Promise<number> => {
  const files = [1, 2, 3, 4].flatMap((i) => ["-o", join(directory, String(i)), `${url}/files/${i}`])
  const started = performance.now()
  return new Promise((resolve, reject) => {
    spawn("curl", ["-sS", "--no-progress-meter", "-Z", "--parallel-max", "4", ...files], {
      stdio: ["ignore", "ignore", "inherit"]
    }).on("error", reject).on("exit", (code) => {
      if (code === 0) resolve(mib / ((performance.now() - started) / 1000))
      else reject(new Error(`curl ended with ${String(code)}`))
    })
  })
}

const results = await alternate(
  Number(options.rounds),
  () => emptied(curl),
  () =>
    emptied((directory) => runOurs<Download>("downloadClient.ts", [url, join(directory, "weights")], ["--expose-gc"]))
)
rmSync(folder, { recursive: true })
server.disconnect()

const rates = results.ours.map(({ rate }) => rate)
console.log(`${mib} MiB of weights: curl ${Math.round(median(results.python))} MiB/s`)
printLine({ what: "CheckpointDownload", unit: "MiB/s", ours: rates })
printLine({
  what: "as a share of curl's rate",
  unit: "%",
  ours: [(100 * median(rates)) / median(results.python)],
  wanted: "70 % at least"
})
printLine({ what: "CPU time", unit: "s", ours: results.ours.map(({ cpu }) => cpu) })
printLine({
  what: "heap and arrays, most",
  unit: "MiB",
  ours: results.ours.map(({ heap }) => heap),
  wanted: "below 32 MiB"
})
