// The packages as they are published: each dist is packed into build/packed and held against publint and attw, and the links of its
// pages against what is in it. How pages and packages work for who installs them is for check-pages.mjs.
import { execFileSync } from "node:child_process"
import { mkdirSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { deadLinksOf } from "./pages.mjs"
import { run } from "./processes.mjs"

const packed = "build/packed"
const bin = (name) => join("node_modules", ".bin", name)
rmSync(packed, { recursive: true, force: true })
mkdirSync(packed, { recursive: true })

const names = readdirSync("packages")
for (const name of names) {
  const dist = `packages/${name}/dist`
  const [{ filename }] = JSON.parse(
    execFileSync("npm", ["pack", "--json", "--pack-destination", join(process.cwd(), packed)], {
      cwd: dist,
      encoding: "utf8"
    })
  )
  const tarball = join(packed, filename.replace("@", "").replace("/", "-"))
  await Promise.all([
    run(bin("publint"), ["--strict", dist]),
    run(bin("attw"), ["--profile", "esm-only", "--format", "ascii", "--no-emoji", "--quiet", tarball])
  ])
  for (const page of readdirSync(dist, { recursive: true }).filter((file) => file.endsWith(".md"))) {
    const dead = deadLinksOf(join(dist, page))
    if (dead.length > 0) throw new Error(`${dist}/${page} links to what is not in the package: ${dead.join(", ")}`)
  }
}
console.log(`${names.length} packages are as they should be`)
