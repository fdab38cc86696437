import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Schedule } from "effect"
import { CheckpointDownload, RetryPolicy, Tinker } from "effect-tinker"
import { createHash, randomBytes } from "node:crypto"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { Hashing, TinkerNode } from "../src/index.js"
import { serve } from "./fixture.js"

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(`${tmpdir()}/download-`)),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

for (const cuts of [0, 10]) {
  it.scoped(`a download over sockets that are reset ${cuts} times is whole, and fetches what it lacks alone`, () =>
    Effect.gen(function*() {
      const body = randomBytes(3_000_000)
      let resets = 0
      let asked = 0
      const server = yield* serve((request, response) => {
        if (request.url?.endsWith("/external_weights_urls") === true) {
          const expires = new Date(3600_000).toISOString()
          response.end(JSON.stringify({ urls: { "model.bin": `${server.url}/file?signature=1` }, expires }))
        } else if (request.url?.startsWith("/file") === true) {
          const from = Number(/\d+/.exec(request.headers.range ?? "0")![0])
          asked += body.length - from
          const end = resets < cuts ? from + 200_000 + resets : body.length
          response.writeHead(from === 0 ? 200 : 206, {
            "content-length": body.length - from,
            etag: "\"1\"",
            "repr-digest": `sha-256=:${createHash("sha256").update(body).digest("base64")}:`,
            ...(from === 0 ? {} : { "content-range": `bytes ${from}-${body.length - 1}/${body.length}` })
          })
          response.write(body.subarray(from, end), () => {
            if (end === body.length) return response.end()
            resets++
            asked -= body.length - end
            request.socket.destroySoon()
          })
        } else response.end("{}")
      })
      const path = yield* directory
      const done = yield* Effect.flatMap(CheckpointDownload.CheckpointDownload, (download) =>
        CheckpointDownload.result(
          download.externalWeights("tinker://run/external_weights/final", { directory: `${path}/target` })
        )).pipe(
          RetryPolicy.withPolicies({ request: Schedule.recurs(20) }),
          Effect.provide(
            Tinker.layerDownload({ baseUrl: server.url }).pipe(Layer.provide([TinkerNode.layer, NodeContext.layer]))
          )
        )
      assert.strictEqual(done.bytes, body.length)
      assert.isTrue(readFileSync(`${path}/target/model.bin`).equals(body))
      assert.deepStrictEqual(readdirSync(path), ["target"])
      assert.strictEqual(resets, cuts)
      assert.strictEqual(asked, body.length)
      for (const { request } of server.requests.filter(({ request }) => request.url?.startsWith("/file"))) {
        assert.notProperty(request.headers, "x-api-key")
        assert.strictEqual(request.headers["accept-encoding"], "identity")
      }
    }))
}

it.effect("the hashes of Node are those of the SDK", () =>
  Effect.gen(function*() {
    const { makeHasher } = yield* CheckpointDownload.Hashing
    for (const [algorithm, name] of [["sha-256", "sha256"], ["md5", "md5"]] as const) {
      const hasher = makeHasher(algorithm)!
      hasher.update(Buffer.from("one"))
      hasher.update(Buffer.from("two"))
      assert.deepStrictEqual(
        Buffer.from(hasher.digest()).toString("hex"),
        createHash(name).update("onetwo").digest("hex")
      )
    }
    assert.isUndefined(makeHasher("crc32c"))
  }).pipe(Effect.provide(Hashing.layer)))
