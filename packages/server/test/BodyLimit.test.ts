import { HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { once } from "node:events"
import { createServer } from "node:http"
import { connect } from "node:net"
import { BigramEngine, CheckpointStore, TinkerServer } from "../src/index.js"
import * as Wire from "./wire.js"

const protocol = { maxBodyBytes: 1000 }

/** A frame of one block of so many zeros. */
const zeros = (length: number) => {
  const header = (length << 3) | 3
  return Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, header & 255, (header >> 8) & 255, header >> 16, 0)
}

it.effect("takes no body above the limit, nor one that is above it when decompressed", () =>
  Effect.gen(function*() {
    const { modelId } = yield* Wire.readyModel
    const large = yield* Wire.post("create_session", { tags: ["x".repeat(1000)], sdk_version: "0.38.0" })
    assert.strictEqual(large.status, 413)
    assert.match(String(large.body.detail), /larger than 1000 bytes/)
    const zstd = { "content-encoding": "zstd" }
    const bomb = yield* Wire.postBytes("forward_backward", zeros(100_000), undefined, zstd)
    assert.strictEqual(bomb.status, 413)
    assert.strictEqual((yield* Wire.postBytes("forward_backward", zeros(999), undefined, zstd)).status, 422)
    assert.strictEqual((yield* Wire.optimStep(modelId, 1)).status, 200)
  }).pipe(Effect.provide(Wire.server({ protocol }))))

it.scopedLive("stops reading a body that goes on beyond the limit, announced or not", () =>
  Effect.gen(function*() {
    const { address } = yield* HttpServer.HttpServer
    const port = address._tag === "TcpAddress" ? address.port : 0
    const answer = (head: string, body: string) =>
      Effect.promise(async () => {
        const socket = connect(port, "127.0.0.1")
        socket.write(
          `POST /api/v1/create_session HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${head}\r\n\r\n${body}`
        )
        const [bytes] = await once(socket, "data") as [Buffer]
        socket.destroy()
        return bytes.toString()
      })
    // Neither is complete.
    assert.match(yield* answer("content-length: 1000000000000", "{"), /^HTTP\/1\.1 413 /)
    const chunk = `7d0\r\n${" ".repeat(2000)}\r\n`
    assert.match(yield* answer("transfer-encoding: chunked", chunk), /^HTTP\/1\.1 413 /)
  }).pipe(
    Effect.provide(
      TinkerServer.layer(protocol).pipe(
        Layer.provide(CheckpointStore.layerMemory),
        Layer.provide(BigramEngine.layer()),
        Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))
      )
    )
  ))
