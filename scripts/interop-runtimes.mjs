// Runs scripts/runtimes/program.mjs, and the packages as `npm run build` makes them, on Bun, Deno and workerd, against our server on Node:
// over `fetch` on each, and with what of `@effect-tinker/node` works there. The runtimes come from npm into the user's cache
// folder. Ends with status 77, which stands for "skipped", where one cannot be installed.
import { build } from "esbuild"
import { execFileSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { homedir } from "node:os"
import { join, resolve } from "node:path"
import { freePort, run, whileRunning } from "./processes.mjs"

const versions = { bun: "1.4.5", deno: "2.9.6", workerd: "1.20261117.1" }
const binaries = {
  bun: "@oven/bun-linux-x64/bin/bun",
  deno: "@deno/linux-x64-glibc/deno",
  workerd: "@cloudflare/workerd-linux-64/bin/workerd"
}

/** The program of a runtime, which is installed at its first use. */
const install = (name) => {
  const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "effect-tinker", `${name}-${versions[name]}`)
  const binary = join(folder, "node_modules", binaries[name])
  if (!existsSync(binary)) {
    mkdirSync(folder, { recursive: true })
    const args = ["install", "--silent", "--no-save", "--ignore-scripts", "--prefix", folder, `${name}@${versions[name]}`]
    execFileSync("npm", args, { stdio: "inherit" })
    if (!existsSync(binary)) throw new Error(`npm has none for ${process.platform} ${process.arch} that is known here`)
  }
  return binary
}

// Beside what is installed in the repository, but with the packages as they are published.
const folder = resolve("build/runtimes")
rmSync(folder, { recursive: true, force: true })
for (const name of ["tinker", "node", "losses", "server"]) {
  const dist = `packages/${name}/dist`
  const { name: published } = JSON.parse(readFileSync(`${dist}/package.json`, "utf8"))
  cpSync(dist, join(folder, "node_modules", published), { recursive: true })
}
const file = (name, text) => writeFileSync(join(folder, name), text)
cpSync("scripts/runtimes/program.mjs", join(folder, "program.mjs"))
file("package.json", JSON.stringify({ private: true, type: "module" }))

const port = await freePort()
const url = `http://127.0.0.1:${port}`
file(
  "server.mjs",
  `
import { BigramEngine } from "@effect-tinker/engine"
import { CheckpointStore, TinkerServer } from "@effect-tinker/server"
import { NodeContext, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Layer } from "effect"
import { createServer } from "node:http"
TinkerServer.layer().pipe(
  Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: ${port} })),
  Layer.provide([CheckpointStore.layerMemory, BigramEngine.layer(), NodeContext.layer]),
  Layer.launch,
  NodeRuntime.runMain
)`
)

const layers = {
  fetch: `import { layer } from "@effect/platform/FetchHttpClient"`,
  node: `import { layer } from "@effect-tinker/node/TinkerNode"`,
  parts: `import { CredentialCommand, Hashing, StoredCredentials, Zstd } from "@effect-tinker/node"
import { NodeContext } from "@effect/platform-node"
import { FetchHttpClient } from "@effect/platform"
import { Layer } from "effect"
const layer = Layer.mergeAll(FetchHttpClient.layer, CredentialCommand.layer, Hashing.layer, StoredCredentials.layer, Zstd.layer).pipe(
  Layer.provide(NodeContext.layer)
)`
}
const said = { fetch: "FetchHttpClient", node: "TinkerNode", parts: "FetchHttpClient and the other layers of @effect-tinker/node" }
for (const [name, line] of Object.entries(layers)) {
  file(
    `${name}.mjs`,
    `${line}
import { run } from "./program.mjs"
run(layer, "${url}").then((result) => console.log(JSON.stringify(result)))`
  )
}

// workerd takes one file, and answers requests.
const socket = await freePort()
file(
  "worker.mjs",
  `${layers.fetch}
import { run } from "./program.mjs"
export default { fetch: () => run(layer, "${url}").then(Response.json, (error) => new Response(String(error), { status: 500 })) }`
)
await build({
  entryPoints: [join(folder, "worker.mjs")],
  outfile: join(folder, "bundle.js"),
  bundle: true,
  format: "esm",
  target: "es2022",
  logLevel: "error"
})
file(
  "config.capnp",
  `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main), (name = "internet", network = (allow = ["local"]))],
  sockets = [(name = "http", address = "127.0.0.1:${socket}", http = (), service = "main")]
);
const main :Workerd.Worker = (modules = [(name = "bundle.js", esModule = embed "bundle.js")], compatibilityDate = "2026-10-01");`
)

const options = { cwd: folder, env: process.env }
const attempts = [
  ["node", "fetch", () => run(process.execPath, ["fetch.mjs"], options)],
  ["node", "node", () => run(process.execPath, ["node.mjs"], options)],
  ["bun", "fetch", (bun) => run(bun, ["fetch.mjs"], options)],
  ["bun", "parts", (bun) => run(bun, ["parts.mjs"], options)],
  ["deno", "fetch", (deno) => run(deno, ["run", "--allow-net", "--allow-env", "--no-prompt", "--no-remote", "fetch.mjs"], options)],
  ["deno", "node", (deno) => run(deno, ["run", "--allow-net", "--allow-env", "--allow-sys", "--allow-read", "--no-prompt", "--no-remote", "node.mjs"], options)],
  ["workerd", "fetch", async (workerd) => {
    let body
    await whileRunning(`exec '${workerd}' serve config.capnp`, `http://127.0.0.1:${socket}/`, options, async () => {
      body = await fetch(`http://127.0.0.1:${socket}/`).then((response) => response.text())
    })
    return body
  }]
]

let failed = 0
let skipped = 0
let expected
await whileRunning(`exec '${process.execPath}' server.mjs`, `${url}/openapi.json`, options, async () => {
  for (const [runtime, layer, attempt] of attempts) {
    const what = `${runtime} ${versions[runtime] ?? process.version}, ${said[layer]}`
    let binary
    try {
      binary = runtime in versions ? install(runtime) : undefined
    } catch (error) {
      skipped += 1
      console.log(`${what}: skipped, ${error.message}`)
      continue
    }
    try {
      const { path: _, ...result } = JSON.parse(await attempt(binary))
      expected ??= JSON.stringify(result)
      if (JSON.stringify(result) !== expected) throw new Error(`${JSON.stringify(result)} is not ${expected}`)
      console.log(`${what}: ok`)
    } catch (error) {
      failed += 1
      console.log(`${what}: FAILED\n${error.message}`)
    }
  }
})
console.log(`${attempts.length - failed - skipped} ok, ${failed} failed, ${skipped} skipped`)
process.exitCode = failed > 0 ? 1 : skipped > 0 ? 77 : 0
