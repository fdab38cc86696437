import { assert, it } from "@effect/vitest"
import { get } from "node:http"
import type { AddressInfo } from "node:net"
import * as EarlyRequests from "../src/EarlyRequests.js"

it("answers a request that came before there was a handler", async () => {
  const server = EarlyRequests.makeServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  const arrived = new Promise((resolve) => server.once("connection", resolve))
  const answer = new Promise<string>((resolve, reject) => {
    get({ host: "127.0.0.1", port }, (response) => {
      response.setEncoding("utf8").once("data", resolve)
    }).once("error", reject)
  })
  await arrived
  // The request is read in a turn of the event loop after that of its connection.
  for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve))
  server.on("request", (_request, response) => response.end("late"))
  assert.strictEqual(await answer, "late")
  server.close()
})
