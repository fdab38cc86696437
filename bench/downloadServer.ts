/**
 * A server whose external weights are four files, and which does nothing but send them.
 *
 * - `--mib`: of all files together, 1024 unless given; the address is the first line that is printed
 */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { parseArgs } from "node:util"

const { mib } = parseArgs({ options: { mib: { type: "string", default: "1024" } } }).values
const files = 4
const bytes = (Number(mib) / files) * 1024 * 1024
const part = Buffer.alloc(1024 * 1024, "weights")

const server = createServer((request, response) => {
  const url = request.url ?? ""
  if (url.endsWith("/external_weights_urls")) {
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const urls = Object.fromEntries(
      Array.from({ length: files }, (_, i) => [`model-${i + 1}.safetensors`, `${address}/files/${i + 1}`])
    )
    response.end(JSON.stringify({ urls, expires: new Date(Date.now() + 3600_000).toISOString() }))
  } else if (url.startsWith("/files/")) {
    response.writeHead(200, { "content-length": bytes, etag: "\"1\"" })
    let left = bytes
    const write = () => {
      while (left > 0) {
        left -= part.length
        if (!response.write(part)) return response.once("drain", write)
      }
      response.end()
    }
    write()
  } else response.end("{}")
})

server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`)
})
process.on("disconnect", () => process.exit())
