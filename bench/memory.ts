/**
 * Peak memory of `npm start`, all its processes together, sampled from /proc (Linux only). `--` passes options on, e.g.
 * `npm run bench:memory -- --steps 20`. RSS counts pages that processes share once in each; PSS shares them out.
 */
import { spawn } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"

const child = spawn("npm", ["start", "--", ...process.argv.slice(2)], { stdio: ["ignore", "ignore", "inherit"] })

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return ""
  }
}

/** The process and everything it started, by the parents that /proc names. */
const family = (root: number): ReadonlyArray<number> => {
  const children = new Map<number, Array<number>>()
  for (const entry of readdirSync("/proc")) {
    const parent = Number(/^PPid:\s+(\d+)/m.exec(read(`/proc/${entry}/status`))?.[1] ?? NaN)
    if (Number.isNaN(parent)) continue
    children.set(parent, [...(children.get(parent) ?? []), Number(entry)])
  }
  const found = [root]
  for (let i = 0; i < found.length; i++) found.push(...(children.get(found[i]!) ?? []))
  return found
}

const megabytes = (pid: number, field: "Rss" | "Pss"): number =>
  Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0) / 1024

const peak = { rss: 0, pss: 0, processes: new Map<string, number>() }
const timer = setInterval(() => {
  const processes = family(child.pid!).map((pid) => ({
    name: read(`/proc/${pid}/cmdline`).split("\0").slice(0, 6).join(" ").slice(0, 90),
    rss: megabytes(pid, "Rss"),
    pss: megabytes(pid, "Pss")
  }))
  const total = (field: "rss" | "pss") => processes.reduce((sum, one) => sum + one[field], 0)
  peak.rss = Math.max(peak.rss, total("rss"))
  peak.pss = Math.max(peak.pss, total("pss"))
  for (const { name, rss } of processes) peak.processes.set(name, Math.max(peak.processes.get(name) ?? 0, rss))
}, 100)

child.on("exit", (code) => {
  clearInterval(timer)
  for (const [name, rss] of peak.processes) console.log(`${rss.toFixed(0).padStart(6)} MB peak RSS  ${name}`)
  console.log(`${peak.rss.toFixed(0).padStart(6)} MB RSS, ${peak.pss.toFixed(0)} MB PSS at the peak of all together`)
  process.exit(code ?? 1)
})
