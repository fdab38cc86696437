/**
 * The least that answers the questions of `loadClient.ts`: Node's own server, `JSON.parse`, and always the same result. Our
 * server cannot cost less than this. Prints its address.
 *
 * Argument: tokens of an answer.
 */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tellUsed } from "./used.js"

tellUsed()

const result = Buffer.alloc(8 * Number(process.argv[2]) + 20)

const answers: Record<string, (body: { readonly seq_id: number }) => object> = {
  "/api/v1/create_session": () => ({ session_id: "s" }),
  "/api/v1/create_sampling_session": () => ({ sampling_session_id: "s:sample:0" }),
  "/api/v1/asample": ({ seq_id }) => ({ request_id: `s:sample:0:${seq_id}` })
}

const server = createServer((request, response) => {
  const parts: Array<Buffer> = []
  request.on("data", (part: Buffer) => parts.push(part))
  request.on("end", () => {
    const body = JSON.parse(Buffer.concat(parts).toString()) as { readonly seq_id: number }
    const answer = answers[request.url!]
    if (answer === undefined) {
      response.writeHead(200, { "content-type": "application/x-protobuf", "content-length": result.length })
      response.end(result)
    } else {
      const text = JSON.stringify(answer(body))
      response.writeHead(200, { "content-type": "application/json", "content-length": text.length })
      response.end(text)
    }
  })
})

server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
