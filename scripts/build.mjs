// Makes packages/x/dist: a whole package of its own, ready to be packed. In the repository packages are run from src.
import { execFileSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"

execFileSync("node_modules/.bin/tsc", ["-b", "tsconfig.json"], { stdio: "inherit" })

/** Folders that travel with a package, beside its modules. */
const assets = ["model", "data"]

for (const name of readdirSync("packages")) {
  const from = `packages/${name}`
  const dist = `${from}/dist`
  rmSync(dist, { recursive: true, force: true })
  mkdirSync(dist)
  // Maps of declarations point into sources that do not travel.
  cpSync(`${from}/build/src`, dist, { recursive: true, filter: (file) => !file.endsWith(".d.ts.map") })
  const present = assets.filter((folder) => existsSync(`${from}/${folder}`))
  for (const folder of present) cpSync(`${from}/${folder}`, `${dist}/${folder}`, { recursive: true })
  cpSync("LICENSE", `${dist}/LICENSE`)
  if (existsSync(`${from}/README.md`)) cpSync(`${from}/README.md`, `${dist}/README.md`)

  const { exports: _, private: _private, bin, ...manifest } = JSON.parse(readFileSync(`${from}/package.json`, "utf8"))
  const entry = (module) => ({ types: `./${module}.d.ts`, default: `./${module}.js` })
  writeFileSync(
    `${dist}/package.json`,
    `${
      JSON.stringify(
        {
          ...manifest,
          repository: { type: "git", url: "git+https://github.com/effect-tinker/effect-tinker.git", directory: from },
          ...(bin === undefined
            ? {}
            : { bin: Object.fromEntries(Object.entries(bin).map(([k, v]) => [k, v.replace(/src\/(.*)\.ts$/, "$1.js")])) }),
          exports: { ".": entry("index"), "./package.json": "./package.json", "./internal/*": null, "./*": entry("*") }
        },
        null,
        2
      )
    }\n`
  )
}
