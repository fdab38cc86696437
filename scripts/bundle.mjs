// Makes the programs of a package: each with all that it imports, in files that are loaded as they are needed.
import { build } from "esbuild"
import { cpSync, rmSync } from "node:fs"
import { join } from "node:path"

/** What has parts in machine code comes from npm. */
const external = ["onnxruntime-node", "tsx"]

/** What is started as a process of its own, and what is read from beside a module, by where the bundle has it. */
const besides = {
  "packages/cli": {
    programs: { "internal/engineChild": "packages/llama/src/internal/engineChild.ts" },
    folders: { model: "packages/llama/model", data: "packages/cookbook/data" }
  }
}

const common = {
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20.12",
  minify: true,
  legalComments: "linked",
  external,
  // Packages that are not ES modules call `require`.
  banner: { js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);" }
}

/** What answers at once is bundled alone, without what else a program may load: parts in common with that would be larger. */
const alone = {
  name: "alone",
  setup: ({ onLoad, onResolve }) => {
    onResolve({ filter: /./ }, ({ kind, path }) => {
      if (kind !== "dynamic-import") return undefined
      return /^\.\/Command(Run|Help)\.js$/.test(path) ? { path, external: true } : { path, namespace: "left out" }
    })
    onLoad({ filter: /./, namespace: "left out" }, () => ({ contents: "" }))
  }
}

/** `out` is the folder of the package, whose programs come to `out/bin`. */
export const bundle = async (folder, programs, out = `${folder}/dist`) => {
  const { folders, programs: others } = besides[folder]
  const outdir = join(out, "bin")
  const source = (name) => `${folder}/src/${name}.ts`
  rmSync(outdir, { recursive: true, force: true })
  await build({ ...common, entryPoints: [...programs, "CommandHelp"].map(source), outdir, plugins: [alone] })
  await build({
    ...common,
    entryPoints: { CommandRun: source("CommandRun"), ...others },
    outdir,
    splitting: true,
    keepNames: true,
    chunkNames: "part-[hash]"
  })
  for (const [name, from] of Object.entries(folders)) cpSync(from, join(out, name), { recursive: true })
}
