import { HttpClient } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { HttpRuntime } from "effect-tinker"
import { createHash } from "node:crypto"
import type { IncomingMessage, ServerResponse } from "node:http"
import { UndiciHttpClient } from "../src/index.js"
import { serve, until } from "./fixture.js"
import { serveSecurely, trusting } from "./secure.js"

const noise = Buffer.alloc(2_000_000)
for (let i = 0, state = 1; i < noise.length; i++) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  noise[i] = state >>> 24
}

const bodyOf = (seed: number, size: number) => noise.subarray(seed % 1000, seed % 1000 + size)

const sizes = [0, 1, 300, 65_536, 262_144, 262_145, 1_500_000]
const hashOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

/** `/<size>/<how>`: with a length, in chunks, or up to the end of the connection. */
const answer = (request: IncomingMessage, response: ServerResponse) => {
  const [, size, how] = (request.url ?? "").split("/")
  const body = bodyOf(Number(size) + 1, Number(size))
  if (how === "length") response.writeHead(200, { "content-length": body.length })
  else if (how === "close") response.writeHead(200, { connection: "close", "transfer-encoding": "identity" })
  else response.writeHead(200)
  let at = 0
  const write = () => {
    while (at < body.length) {
      const part = body.subarray(at, at + 50_001)
      at += part.length
      if (!response.write(part)) return response.once("drain", write)
    }
    response.end()
  }
  write()
}

const servers = {
  plain: Effect.map(serve(answer), ({ url }) => url),
  secure: Effect.zipRight(trusting, serveSecurely(answer))
}

const turn = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

for (const [name, server] of Object.entries(servers)) {
  for (const lent of [false, true]) {
    for (const slow of [false, true]) {
      it.scoped(
        `files of every size come byte for byte over ${name} connections, ${lent ? "lent" : "to keep"}, `
          + `read ${slow ? "slowly" : "at once"}`,
        () =>
          Effect.gen(function*() {
            const url = yield* server
            for (const how of ["length", "chunks", "close"]) {
              for (const size of sizes) {
                const response = yield* HttpClient.get(`${url}/${size}/${how}`)
                const hash = createHash("sha256")
                const kept: Array<Uint8Array> = []
                yield* Stream.runForEach(response.stream, (part) => {
                  hash.update(part)
                  if (!lent) kept.push(part)
                  return slow ? Effect.zipRight(turn, turn) : Effect.void
                })
                const wanted = hashOf(bodyOf(size + 1, size))
                assert.strictEqual(hash.digest("hex"), wanted, `${size} bytes, by ${how}`)
                if (!lent) assert.strictEqual(hashOf(Buffer.concat(kept)), wanted)
              }
            }
          }).pipe(
            Effect.provideService(HttpRuntime.CurrentTraffic, "download"),
            Effect.provideService(HttpRuntime.TakesLentParts, lent),
            Effect.provide(UndiciHttpClient.layer)
          )
      )
    }
  }

  it.scoped(`four files at once over ${name} connections do not mix, and what is read whole is kept`, () =>
    Effect.gen(function*() {
      const url = yield* server
      const bodies = yield* Effect.forEach(
        Array.from({ length: 12 }, (_, i) => 500_000 + i),
        (size) =>
          Effect.flatMap(
            HttpClient.get(`${url}/${size}/length`),
            (response) => Effect.map(response.arrayBuffer, (body) => [size, new Uint8Array(body)] as const)
          ),
        { concurrency: 4 }
      )
      for (const [size, body] of bodies) assert.strictEqual(hashOf(body), hashOf(bodyOf(size + 1, size)))
    }).pipe(
      Effect.provideService(HttpRuntime.CurrentTraffic, "download"),
      Effect.provideService(HttpRuntime.TakesLentParts, true),
      Effect.provide(UndiciHttpClient.layer)
    ))
}

it.scoped("a reader that has stopped for long finds the rest unchanged, although the server has closed", () =>
  Effect.gen(function*() {
    const server = yield* serve(answer)
    const size = 900_000
    const response = yield* HttpClient.get(`${server.url}/${size}/close`)
    const kept: Array<Buffer> = []
    yield* Stream.runForEach(response.stream, (part) => {
      kept.push(Buffer.from(part))
      let turns = 0
      return until(() => ++turns > 200)
    })
    assert.strictEqual(hashOf(Buffer.concat(kept)), hashOf(bodyOf(size + 1, size)))
  }).pipe(
    Effect.provideService(HttpRuntime.CurrentTraffic, "download"),
    Effect.provideService(HttpRuntime.TakesLentParts, true),
    Effect.provide(UndiciHttpClient.layer)
  ))
