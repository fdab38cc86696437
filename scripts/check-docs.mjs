// Compiles every example of every docstring, and runs those that are programs: the ones that begin with an import of what they run.
import { execFileSync } from "node:child_process"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"

const folder = "build/docs"
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })

const sources = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "packages/*/src/*.ts"], {
  encoding: "utf8"
}).trim().split("\n")

const examples = []
for (const source of sources) {
  const text = readFileSync(source, "utf8")
  let count = 0
  for (const [, block] of text.matchAll(/\* @example\n((?: \*.*\n)+?) \* @/g)) {
    const lines = block.split("\n").map((line) => line.replace(/^ \* ?/, ""))
    const code = /```ts\n([^]*?)```/.exec(lines.join("\n"))?.[1]
    if (code === undefined) throw new Error(`${source}: an @example without a block of ts`)
    count += 1
    const file = `${source.replace(/^packages\//, "").replaceAll("/", "-").replace(/\.ts$/, "")}-${count}.ts`
    writeFileSync(join(folder, file), code)
    examples.push({ source, file })
  }
}
if (examples.length === 0) throw new Error("no docstring has an example")

writeFileSync(
  join(folder, "tsconfig.json"),
  JSON.stringify({
    extends: "../../tsconfig.base.json",
    include: ["*.ts"],
    compilerOptions: { composite: false, declaration: false, declarationMap: false, noEmit: true, types: ["node"] }
  })
)
execFileSync("node_modules/.bin/tsc", ["-p", folder], { stdio: "inherit" })

// All in one process: what takes long is reading Effect.
writeFileSync(join(folder, "all.mjs"), examples.map(({ file }) => `await import("./${file}")\n`).join(""))
execFileSync(process.execPath, ["--import", "tsx", join(folder, "all.mjs")], {
  stdio: ["ignore", "ignore", "inherit"],
  timeout: 120_000
})
console.log(`${examples.length} examples of docstrings compile and run`)
