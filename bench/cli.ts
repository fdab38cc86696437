/**
 * The command `tinker`, as it is published, beside Python's: CPU time and time of a whole process that says how it is used, which
 * version it is, and which checkpoints there are at a server that has none.
 *
 * `npm run bench:cli -- --rounds 3`
 */
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { dirname, join } from "node:path"
import { parseArgs } from "node:util"
import { alternate, firstLine, printLine, python } from "./rounds.js"

const options = parseArgs({ options: { rounds: { type: "string", default: "7" } } }).values

/** The time of a process and what it started, by the shell, in milliseconds. */
const timed = (command: ReadonlyArray<string>, environment: Readonly<Record<string, string>>) =>
  new Promise<{ readonly cpu: number; readonly time: number }>((resolve, reject) => {
    const child = spawn("bash", [
      "-c",
      "TIMEFORMAT='%U %S %R'; time \"$@\" > /dev/null 2> /dev/null",
      "bash",
      ...command
    ], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, TINKER_API_KEY: "tml-bench", TINKER_TELEMETRY: "0", LC_ALL: "C", ...environment }
    })
    let text = ""
    child.stderr.on("data", (part) => text += String(part))
    child.on("close", (code) => {
      const [user = NaN, system = NaN, time = NaN] = text.trim().split(" ").map(Number)
      if (code === 0) resolve({ cpu: 1000 * (user + system), time: 1000 * time })
      else reject(new Error(`${command.join(" ")} ended with ${String(code)}`))
    })
  })

const folder = mkdtempSync(join("bench", ".cli-"))
process.on("exit", () => rmSync(folder, { recursive: true }))
const { bundle } = await import("../scripts/bundle.mjs" as string) as {
  readonly bundle: (folder: string, programs: ReadonlyArray<string>, out: string) => Promise<void>
}
await bundle("packages/cli", ["tinker"], folder)

const server = spawn(process.execPath, ["--import", "tsx", "bench/bigramServer.ts", "{}"], {
  stdio: ["ignore", "pipe", "inherit", "ipc"]
})
const environment = { TINKER_BASE_URL: await firstLine(server, "the server") }
const ours = (words: ReadonlyArray<string>) =>
  timed([process.execPath, join(folder, "bin", "tinker.js"), ...words], environment)
const theirs = (words: ReadonlyArray<string>) => timed([join(dirname(python()), "tinker"), ...words], environment)
const node = await Promise.all([timed([process.execPath, "-e", "0"], {})])

for (
  const [words, wanted] of [
    [["--help"], "x 0.25, 150 ms"],
    [["version"], undefined],
    [["checkpoint", "list"], undefined]
  ] as const
) {
  const { ours: us, python: them } = await alternate(Number(options.rounds), () => theirs(words), () => ours(words))
  printLine({
    what: `tinker ${words.join(" ")}: CPU time`,
    unit: "ms",
    python: them.map(({ cpu }) => cpu),
    ours: us.map(({ cpu }) => cpu),
    ...(wanted === undefined ? {} : { wanted })
  })
  printLine({
    what: `tinker ${words.join(" ")}: time`,
    unit: "ms",
    python: them.map(({ time }) => time),
    ours: us.map(({ time }) => time)
  })
}
printLine({ what: "Node itself: CPU time", unit: "ms", ours: node.map(({ cpu }) => cpu) })
server.disconnect()
