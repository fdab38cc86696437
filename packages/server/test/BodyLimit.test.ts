import { BigramEngine } from "@effect-tinker/engine"
import { HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import { once } from "node:events"
import { createServer } from "node:http"
import { connect } from "node:net"
import { CheckpointStore, type TinkerProtocol, TinkerServer } from "../src/index.js"
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

it.effect("takes no body that is made of next to nothing", () =>
  Effect.gen(function*() {
    yield* Wire.readyModel
    const zstd = { "content-encoding": "zstd" }
    const frame = (blocks: number) => {
      const bytes = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58]
      for (let i = 0; i < blocks; i++) {
        const header = (131_072 << 3) | 2 | (i === blocks - 1 ? 1 : 0)
        bytes.push(header & 255, (header >> 8) & 255, header >> 16, 0)
      }
      return Uint8Array.from(bytes)
    }
    const inflated = (blocks: number) =>
      Effect.map(Wire.postBytes("forward_backward", frame(blocks), undefined, zstd), ({ status }) => status)
    assert.strictEqual(yield* inflated(64), 422)
    assert.strictEqual(yield* inflated(65), 413)
  }).pipe(Effect.provide(Wire.server())))

/** A server on a port of this machine. */
const listening = (options: TinkerProtocol.Options) =>
  TinkerServer.layer(options).pipe(
    Layer.provide(CheckpointStore.layerMemory),
    Layer.provide(BigramEngine.layer()),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))
  )

/** Sends as much of a request as this, and gives what comes back; the connection ends with the scope. */
const sending = (head: string, body: string) =>
  Effect.gen(function*() {
    const { address } = yield* HttpServer.HttpServer
    const port = address._tag === "TcpAddress" ? address.port : 0
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => connect(port, "127.0.0.1")),
      (socket) => Effect.sync(() => socket.destroy())
    )
    socket.write(
      `POST /api/v1/create_session HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n${head}\r\n\r\n${body}`
    )
    return Effect.promise(async () => String((await once(socket, "data"))[0]))
  })

const chunk = (bytes: number) => `${bytes.toString(16)}\r\n${" ".repeat(bytes)}\r\n`

it.scopedLive("stops reading a body that goes on beyond the limit, announced or not", () =>
  Effect.gen(function*() {
    // Neither is complete.
    assert.match(yield* yield* sending("content-length: 1000000000000", "{"), /^HTTP\/1\.1 413 /)
    assert.match(yield* yield* sending("transfer-encoding: chunked", chunk(2000)), /^HTTP\/1\.1 413 /)
  }).pipe(Effect.provide(listening(protocol))))

it.scopedLive("counts bodies that are on their way among the bytes that it holds", () =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const halves = yield* Effect.all([
      Scope.extend(sending("content-length: 900", " ".repeat(600)), scope),
      Scope.extend(sending("content-length: 900", " ".repeat(600)), scope)
    ])
    const text = "{\"tags\":[],\"sdk_version\":\"0.38.0\"}"
    const whole = Effect.scoped(Effect.flatten(sending(`content-length: ${text.length}`, text)))
    // Both arrive at their own time.
    const refused = yield* Effect.repeat(whole, { until: (answer) => answer.startsWith("HTTP/1.1 429 ") })
    assert.match(refused, /retry-after: 1/i)
    assert.match(refused, /requests of 1200 bytes wait here already/)
    assert.strictEqual(halves.length, 2)
    yield* Scope.close(scope, Exit.void)
    yield* Effect.repeat(whole, { until: (answer) => answer.startsWith("HTTP/1.1 200 ") })
  }).pipe(Effect.provide(listening({ maxWaitingBytes: 1100 }))))

it.scopedLive("waits for no body from those without a key", () =>
  Effect.gen(function*() {
    const answer = yield* Effect.scoped(Effect.flatten(sending("content-length: 1000000", "{")))
    assert.match(answer, /^HTTP\/1\.1 401 /)
  }).pipe(Effect.provide(listening({ apiKeys: ["tml-one"] }))))
