// Effect's own diagnostics over every source project: floating effects and the like, which the compiler lets pass.
import { execFileSync } from "node:child_process"
import { existsSync, readdirSync } from "node:fs"

let checked = 0
for (const name of readdirSync("packages")) {
  const project = `packages/${name}/tsconfig.src.json`
  if (!existsSync(project)) continue
  const output = execFileSync(
    "node_modules/.bin/effect-language-service",
    ["diagnostics", "--project", project, "--strict"],
    { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }
  )
  const files = Number(/Checked (\d+) files?/.exec(output)?.[1] ?? 0)
  if (files === 0) throw new Error(`${project}: no file was checked:\n${output}`)
  checked += files
  process.stdout.write(output)
}
console.log(`Effect diagnostics: ${checked} files`)
