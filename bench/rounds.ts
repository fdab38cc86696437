/**
 * What the benchmarks share: the server process, client processes that print one line of figures each, and rounds that run
 * them in turn, since other programs share the machine.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import type { Stats } from "./fastServer.js"

/** The interpreter that has the Python SDK: named by `TINKER_BENCH_PYTHON`, or the one that `npm run interop` made. */
export const python = (): string => {
  const named = process.env["TINKER_BENCH_PYTHON"]
  if (named !== undefined) return named
  const made = madePython("interop-tinker__0.38.0")
  if (existsSync(made)) return made
  throw new Error(
    "there is no Python with the SDK: `npm run interop` makes one, or name one with tinker 0.38.0 in TINKER_BENCH_PYTHON"
  )
}

const madePython = (environment: string): string =>
  join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "effect-tinker", environment, "bin", "python")

/** The interpreter that has the cookbook, and with it libraries of tokenizers: the one that `npm run interop` made. */
export const cookbookPython = (): string => {
  const made = madePython("cookbook-tinker-cookbook__0.6.1-tml-renderers__0.2.1")
  if (existsSync(made)) return made
  throw new Error("there is no Python with the cookbook: `npm run interop -- cookbook` makes one")
}

export interface Server {
  readonly url: string
  readonly stats: () => Promise<Stats>
  readonly stop: () => void
}

/** Starts the server that computes nothing, in a process of its own. */
export const startServer = async (...options: ReadonlyArray<string>): Promise<Server> => {
  const child = spawn(process.execPath, ["--import", "tsx", "bench/fastServer.ts", ...options], {
    stdio: ["ignore", "pipe", "inherit", "ipc"]
  })
  const url = await firstLine(child, "the server")
  return {
    url,
    stats: () => fetchStats(url),
    stop: () => child.disconnect()
  }
}

/** What the server at the address has seen so far. */
export const fetchStats = async (url: string): Promise<Stats> => (await fetch(`${url}/stats`)).json() as Promise<Stats>

/** Runs a client to its end and reads the figures on its last line. */
export const runClient = async <A>(
  command: string,
  args: ReadonlyArray<string>,
  environment: Readonly<Record<string, string>> = {}
): Promise<A> => {
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, TINKER_API_KEY: "tml-bench", TINKER_TELEMETRY: "0", ...environment }
  })
  let text = ""
  child.stdout.on("data", (part) => (text += String(part)))
  const code = await new Promise((resolve) => child.on("close", resolve))
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${String(code)}\n${text}`)
  return JSON.parse(text.trim().split("\n").at(-1)!) as A
}

/** A TypeScript client beside the benchmark. */
export const runOurs = <A>(file: string, args: ReadonlyArray<string>, node: ReadonlyArray<string> = []): Promise<A> =>
  runClient(process.execPath, [...node, "--import", "tsx", `bench/${file}`, ...args])

export const runPython = <A>(file: string, args: ReadonlyArray<string>): Promise<A> =>
  runClient(python(), [`bench/${file}`, ...args])

/** What a program says first, once it is ready. */
export const firstLine = (child: ChildProcess, what: string): Promise<string> =>
  new Promise((resolve, reject) => {
    let text = ""
    child.stdout!.on("data", (part) => {
      text += String(part)
      if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\n")))
    })
    child.on("exit", (code) => reject(new Error(`${what} ended with ${String(code)}`)))
  })

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Runs the two in turn, so that what else the machine does befalls both; one result of each a round. */
export const alternate = async <A, B>(
  rounds: number,
  python: () => Promise<A>,
  ours: () => Promise<B>
): Promise<{ readonly python: ReadonlyArray<A>; readonly ours: ReadonlyArray<B> }> => {
  const results = { python: new Array<A>(), ours: new Array<B>() }
  for (let round = 0; round < rounds; round++) {
    results.python.push(await python())
    results.ours.push(await ours())
  }
  return results
}

const digits = (value: number): string => value >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(3)

/** One line: the median of each side, ours as a multiple of Python's, and what is wanted. */
export const printLine = (line: {
  readonly what: string
  readonly unit: string
  readonly python?: ReadonlyArray<number>
  readonly ours: ReadonlyArray<number>
  readonly wanted?: string
}): void => {
  const ours = median(line.ours)
  const compared = line.python === undefined ? undefined : median(line.python)
  const columns = [
    line.what.padEnd(52),
    (compared === undefined ? "" : `Python ${digits(compared)} ${line.unit}`).padEnd(24),
    `ours ${digits(ours)} ${line.unit}`.padEnd(22),
    (compared === undefined ? "" : `x ${digits(ours / compared)}`).padEnd(10),
    line.wanted === undefined ? "" : `wanted ${line.wanted}`
  ]
  console.log(columns.join("  ").trimEnd())
}
