// Makes packages/x/dist: a whole package of its own, ready to be packed. In the repository packages are run from src.
import { execFileSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, relative, sep } from "node:path"
import { bundle } from "./bundle.mjs"
import { annotate } from "./pure.mjs"

execFileSync("node_modules/.bin/tsc", ["-b", "tsconfig.json"], { stdio: "inherit" })

/** What travels with a package, beside its modules. */
const assets = ["model", "data", "docs", "examples", "api.md", "README.md"]

const repository = "https://github.com/effect-tinker/effect-tinker"

/** Links of a page to what does not travel with its package lead to the repository instead. */
const rewriteLinks = (page, from, dist) => {
  const folder = dirname(relative(dist, page))
  const text = readFileSync(page, "utf8").replace(/\]\((?!\w+:|#)([^)#]+)(#[^)]*)?\)/g, (link, path, part = "") => {
    if (existsSync(join(dist, folder, path)) && !relative(dist, join(dist, folder, path)).startsWith("..")) return link
    return `](${repository}/blob/main/${join(from, folder, path).replaceAll(sep, "/")}${part})`
  })
  writeFileSync(page, text)
}

for (const name of readdirSync("packages")) {
  const from = `packages/${name}`
  const dist = `${from}/dist`
  rmSync(dist, { recursive: true, force: true })
  mkdirSync(dist)
  // Maps of declarations point into sources that do not travel.
  cpSync(`${from}/build/src`, dist, { recursive: true, filter: (file) => !file.endsWith(".d.ts.map") })
  // What the index has from another package is here under the same paths as the package's own modules.
  for (const [, module] of readFileSync(`${dist}/index.js`, "utf8").matchAll(/from "(@effect-tinker\/[^"]+)"/g)) {
    for (const kind of ["js", "d.ts"]) {
      writeFileSync(`${dist}/${module.split("/").at(-1)}.${kind}`, `export * from "${module}"\n`)
    }
  }
  const present = assets.filter((asset) => existsSync(`${from}/${asset}`))
  for (const asset of present) cpSync(`${from}/${asset}`, `${dist}/${asset}`, { recursive: true })
  cpSync("LICENSE", `${dist}/LICENSE`)
  for (const page of readdirSync(dist, { recursive: true }).filter((file) => file.endsWith(".md"))) {
    rewriteLinks(join(dist, page), from, dist)
  }

  const { exports: _, private: _private, bin = {}, ...manifest } = JSON.parse(readFileSync(`${from}/package.json`, "utf8"))
  if (manifest.sideEffects === false) {
    for (const file of readdirSync(dist, { recursive: true }).filter((file) => file.endsWith(".js"))) {
      const module = join(dist, file)
      writeFileSync(module, annotate(module, readFileSync(module, "utf8")))
    }
  }
  const entry = (module) => ({ types: `./${module}.d.ts`, default: `./${module}.js` })
  writeFileSync(
    `${dist}/package.json`,
    `${
      JSON.stringify(
        {
          ...manifest,
          repository: { type: "git", url: "git+https://github.com/effect-tinker/effect-tinker.git", directory: from },
          ...(Object.keys(bin).length === 0 ? {} : { bin: Object.fromEntries(Object.keys(bin).map((k) => [k, `bin/${k}.js`])) }),
          exports: { ".": entry("index"), "./package.json": "./package.json", "./internal/*": null, "./*": entry("*") }
        },
        null,
        2
      )
    }\n`
  )
  if (Object.keys(bin).length > 0) await bundle(from, Object.keys(bin))
}
