// What a user of the published packages gets: each dist is held against publint and attw, packed, installed into an empty
// folder with its peers, every module is imported, and the quickstart runs there with plain node.
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"

const root = process.cwd()
const run = (command, args, options = {}) => execFileSync(command, args, { stdio: "inherit", ...options })
const bin = (name) => join(root, "node_modules", ".bin", name)
const names = readdirSync("packages")
const folder = mkdtempSync(join(tmpdir(), "effect-tinker-dist-"))

const tarballs = names.map((name) => {
  const dist = `packages/${name}/dist`
  run(bin("publint"), ["--strict", dist])
  const [{ filename }] = JSON.parse(
    execFileSync("npm", ["pack", "--json", "--pack-destination", folder], { cwd: dist, encoding: "utf8" })
  )
  const tarball = join(folder, filename.replace("@", "").replace("/", "-"))
  run(bin("attw"), ["--profile", "esm-only", "--format", "ascii", "--no-emoji", "--quiet", tarball])
  return tarball
})

const { devDependencies } = JSON.parse(readFileSync("package.json", "utf8"))
const peers = ["effect", "@effect/platform", "@effect/platform-node", "@effect/cluster", "@effect/experimental"]
  .concat(["@effect/rpc", "@effect/sql", "@effect/workflow", "@effect/cli", "@effect/printer", "@effect/printer-ansi"])
  .concat(["@effect/typeclass", "onnxruntime-node"])
writeFileSync(
  join(folder, "package.json"),
  JSON.stringify({
    private: true,
    type: "module",
    dependencies: Object.fromEntries(peers.map((peer) => [peer, devDependencies[peer]])),
    allowScripts: { "onnxruntime-node": false, "msgpackr-extract": false, "@parcel/watcher": false }
  })
)
writeFileSync(join(folder, ".npmrc"), readFileSync(".npmrc"))
run("npm", ["install", "--no-audit", "--no-fund", ...tarballs], { cwd: folder })

const modules = names.flatMap((name) => {
  const { name: published } = JSON.parse(readFileSync(`packages/${name}/package.json`, "utf8"))
  return readdirSync(`packages/${name}/dist`)
    .filter((file) => file.endsWith(".js"))
    .map((file) => file === "index.js" ? published : `${published}/${file.slice(0, -3)}`)
})
writeFileSync(
  join(folder, "import.mjs"),
  `for (const name of ${JSON.stringify(modules)}) await import(name)\nconsole.log("imported ${modules.length} modules")\n`
)
run("node", ["import.mjs"], { cwd: folder })

const quickstart = resolve(folder, "node_modules/@effect-tinker/cli/quickstart.js")
if (!existsSync(quickstart)) throw new Error("the package has no quickstart")
run("node", [quickstart, "--steps", "3", "--out", join(folder, "run")], { cwd: folder })
if (!existsSync(join(folder, "run", "report.html"))) throw new Error("the quickstart wrote no report")
rmSync(folder, { recursive: true, force: true })
