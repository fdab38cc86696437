/**
 * From the start of a process to its first answer from the server: CPU time, time and peak memory, by the Python SDK, by ours
 * bundled into one file, and by ours with its packages read from `node_modules` (its own sources stripped of their types).
 *
 * `npm run bench:start -- --rounds 3`
 */
import { build, type BuildOptions } from "esbuild"
import { mkdtempSync, rmSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { alternate, printLine, runClient, runPython, startServer } from "./rounds.js"

interface Figures {
  readonly cpu: number
  readonly time: number
  readonly peak: number
}

const options = parseArgs({ options: { rounds: { type: "string", default: "7" } } }).values

// Within the repository, so that what is not bundled is found.
const folder = mkdtempSync(join("bench", ".start-"))
process.on("exit", () => rmSync(folder, { recursive: true }))
const bundled = join(folder, "bundled.mjs")
const unbundled = join(folder, "unbundled.mjs")
const common: BuildOptions = { bundle: true, entryPoints: ["bench/startClient.ts"], format: "esm", platform: "node" }
await build({
  ...common,
  outfile: bundled,
  minify: true,
  // Packages that are not ES modules call `require`.
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" }
})
await build({
  ...common,
  outfile: unbundled,
  plugins: [{
    name: "packages stay outside",
    setup: ({ onResolve }) => {
      onResolve(
        { filter: /^[^./]/ },
        ({ kind, path }) =>
          kind === "entry-point" || /^(@effect-tinker\/|effect-tinker)/.test(path)
            ? undefined
            : { path, external: true }
      )
    }
  }]
})

const server = await startServer()
const run = (file: string) => runClient<Figures>(process.execPath, [file, server.url])
const { ours, python } = await alternate(
  Number(options.rounds),
  () => runPython<Figures>("start.py", [server.url]),
  async () => ({ bundled: await run(bundled), unbundled: await run(unbundled) })
)
for (
  const [what, unit, key, wanted] of [
    ["CPU time to the first answer", "ms", "cpu", "x 0.5 bundled"],
    ["time to the first answer", "ms", "time"],
    ["peak memory (RSS)", "MiB", "peak"]
  ] as const
) {
  for (const form of ["bundled", "unbundled"] as const) {
    printLine({
      what: `${what}, ${form}`,
      unit,
      python: python.map((figures) => figures[key]),
      ours: ours.map((figures) => figures[form][key]),
      ...(wanted !== undefined && form === "bundled" ? { wanted } : {})
    })
  }
}
server.stop()
