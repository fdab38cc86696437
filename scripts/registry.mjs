// A registry of npm on this machine: it has what was packed into a folder, and sends whoever asks for other packages to the
// registry that npm is set to. So install lines can be run as they are written, before anything is published.
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { createServer } from "node:http"
import { join } from "node:path"

const manifestOf = (file) =>
  JSON.parse(execFileSync("tar", ["-xzOf", file, "package/package.json"], { encoding: "utf8" }))

/** Gives its address, and what ends it. */
export const serve = async (folder) => {
  const upstream = execFileSync("npm", ["config", "get", "registry"], { encoding: "utf8" }).trim().replace(/\/$/, "")
  const files = new Map(readdirSync(folder).map((file) => [file, readFileSync(join(folder, file))]))
  const manifests = new Map(readdirSync(folder).map((file) => {
    const manifest = manifestOf(join(folder, file))
    return [manifest.name, { file, manifest }]
  }))

  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname).slice(1)
    if (files.has(path)) return response.end(files.get(path))
    const own = manifests.get(path)
    if (own === undefined) return response.writeHead(302, { location: `${upstream}${request.url}` }).end()
    const { file, manifest } = own
    const hash = (algorithm, encoding) => createHash(algorithm).update(files.get(file)).digest(encoding)
    const dist = {
      tarball: `http://127.0.0.1:${server.address().port}/${file}`,
      integrity: `sha512-${hash("sha512", "base64")}`,
      shasum: hash("sha1", "hex")
    }
    return response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({
      name: manifest.name,
      "dist-tags": { latest: manifest.version },
      versions: { [manifest.version]: { ...manifest, dist } }
    }))
  })
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() }
}
