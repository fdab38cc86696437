import { FileSystem, Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Redacted, Stream } from "effect"
import { RawClient, RequestExtras, RetryPolicy, Tinker, type TinkerConfig } from "effect-tinker"
import type { IncomingMessage, ServerResponse } from "node:http"
import { gzipSync } from "node:zlib"
import { TinkerNode } from "../src/index.js"
import { serve, until } from "./fixture.js"

type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void

/** A server whose settings are the defaults. */
const serving = (answer: Answer) =>
  serve((request, response, body) => {
    if (request.url?.startsWith("/api/v1/client/") === true) response.writeHead(200).end("{}")
    else answer(request, response, body)
  })

const client = (baseUrl: string, options: TinkerConfig.Options = {}) =>
  Tinker.layer({ baseUrl, telemetry: false, ...options }).pipe(
    Layer.provide(TinkerNode.layer),
    Layer.provideMerge(NodeContext.layer)
  )

const raw = RawClient.RawClient

it.scopedLive("the first event is there while the server still holds the answer open", () =>
  Effect.gen(function*() {
    let finish = () => {}
    const server = yield* serving((_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).write("data: first\n\n")
      finish = () => response.end("data: last\n\n")
    })
    const seen: Array<string> = []
    yield* Effect.flatMap(raw, ({ events }) =>
      Stream.runForEach(events("api/v1/things"), ({ data }) =>
        Effect.sync(() => {
          seen.push(data)
          finish()
        }))).pipe(Effect.provide(client(server.url)))
    assert.deepStrictEqual(seen, ["first", "last"])
  }))

for (
  const [how, end] of [
    ["interrupting", (fiber: Fiber.RuntimeFiber<unknown, unknown>) => Fiber.interrupt(fiber)],
    ["having enough of", (fiber: Fiber.RuntimeFiber<unknown, unknown>) => Fiber.join(fiber)]
  ] as const
) {
  it.scopedLive(`${how} a stream closes its connection`, () =>
    Effect.gen(function*() {
      const server = yield* serving((_, response) => {
        response.writeHead(200).write("part")
      })
      yield* Effect.gen(function*() {
        const { stream } = yield* raw
        let parts = 0
        const reading = yield* stream("api/v1/things").pipe(
          how === "interrupting" ? (parts) => parts : Stream.take(1),
          Stream.runForEach(() => Effect.sync(() => void parts++)),
          Effect.fork
        )
        yield* until(() => parts === 1)
        const socket = server.requests.find(({ request }) => request.url === "/api/v1/things")!.request.socket
        yield* end(reading)
        yield* until(() => socket.destroyed)
      }).pipe(Effect.provide(client(server.url)))
    }))
}

it.scopedLive("a stream that fails behind its beginning says so, and a broken one is not asked for again", () =>
  Effect.gen(function*() {
    const server = yield* serving((_, response) => {
      response.writeHead(200, { "content-length": "100" }).write("part")
      setImmediate(() => response.destroy())
    })
    const error = yield* Effect.flatMap(raw, ({ stream }) => Stream.runDrain(stream("api/v1/things"))).pipe(
      Effect.flip,
      Effect.provide(client(server.url))
    )
    assert.strictEqual(error._tag, "ApiConnectionError")
    assert.strictEqual(server.count("/api/v1/things"), 1)
  }))

it.scopedLive("a stream follows redirects, and leaves the credential with its origin", () =>
  Effect.gen(function*() {
    const elsewhere = yield* serve((_, response) => response.writeHead(200).end("content"))
    const server = yield* serving((request, response) =>
      request.url === "/api/v1/first"
        ? response.writeHead(307, { location: "/api/v1/second" }).end()
        : response.writeHead(302, { location: `${elsewhere.url}/file` }).end()
    )
    const text = yield* Effect.flatMap(raw, ({ text }) => Stream.mkString(text("api/v1/first"))).pipe(
      Effect.provide(client(server.url, { apiKey: Redacted.make("tml-key") }))
    )
    assert.strictEqual(text, "content")
    const [second] = server.requests.filter(({ request }) => request.url === "/api/v1/second")
    assert.strictEqual(second!.request.headers["x-api-key"], "tml-key")
    assert.isUndefined(elsewhere.requests[0]!.request.headers["x-api-key"])
  }))

it.scopedLive("a stream whose credential was refused begins with the next one", () =>
  Effect.gen(function*() {
    const token = (name: string) => {
      const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
      return `${part({ alg: "none" })}.${part({ name })}.x`
    }
    let exchanges = 0
    const server = yield* serve((request, response) => {
      if (request.url === "/api/v1/client/config") response.end("{\"pjwt_auth_enabled\":true}")
      else if (request.url === "/api/v1/auth/token") response.end(JSON.stringify({ jwt: token(`t${++exchanges}`) }))
      else if (request.url !== "/api/v1/things") response.end("{}")
      else if (request.headers["x-api-key"] === token("t2")) response.end("content")
      else response.writeHead(401, { "www-authenticate": "Bearer error=\"invalid_token\"" }).end()
    })
    const text = yield* Effect.flatMap(raw, ({ text }) => Stream.mkString(text("api/v1/things"))).pipe(
      Effect.provide(client(server.url, { apiKey: Redacted.make("tml-key") }))
    )
    assert.strictEqual(text, "content")
    assert.strictEqual(server.count("/api/v1/things"), 2)
  }))

it.scopedLive("an empty 400 before a stream is a refused connection, and asked for again", () =>
  Effect.gen(function*() {
    let refusals = 1
    const server = yield* serving((_, response) =>
      refusals-- > 0 ? response.writeHead(400).end() : response.end("content")
    )
    const text = yield* Effect.flatMap(raw, ({ text }) => Stream.mkString(text("api/v1/things"))).pipe(
      Effect.provide(client(server.url))
    )
    assert.strictEqual(text, "content")
  }))

it.scopedLive("PATCH and forms go over the wire, and compressed answers are read", () =>
  Effect.gen(function*() {
    const server = yield* serving((_, response) =>
      response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync("{\"ok\":true}"))
    )
    yield* Effect.gen(function*() {
      const client = yield* raw
      const { json } = yield* client.patch("api/v1/things", { payload: { form: { a: [1] } } })
      assert.deepStrictEqual(json, { ok: true })
      assert.strictEqual(yield* Stream.mkString(client.text("api/v1/things")), "{\"ok\":true}")
    }).pipe(Effect.provide(client(server.url)))
    const { body, request } = server.requests.find(({ request }) => request.url === "/api/v1/things")!
    assert.deepStrictEqual([request.method, body], ["PATCH", "a%5B%5D=1"])
    assert.strictEqual(request.headers["content-type"], "application/x-www-form-urlencoded")
  }))

it.scopedLive("a region with another timeout uses the same connections", () =>
  Effect.gen(function*() {
    const server = yield* serving((_, response) => response.end("{}"))
    yield* Effect.gen(function*() {
      const { get } = yield* raw
      for (let i = 0; i < 10; i++) {
        yield* get("api/v1/things")
        yield* RequestExtras.withExtras(get("api/v1/things"), { timeout: "10 seconds" })
        yield* get("api/v1/things")
      }
    }).pipe(Effect.provide(client(server.url)))
    const socketsOf = (timeout: string) =>
      new Set(
        server.requests
          .filter(({ request }) => request.url === "/api/v1/things")
          .filter(({ request }) => request.headers["x-stainless-read-timeout"] === timeout)
          .map(({ request }) => request.socket)
      )
    const usual = socketsOf("60")
    assert.isAbove(Array.from(socketsOf("10")).filter((socket) => usual.has(socket)).length, 0)
    assert.isAtMost(usual.size, 2)
  }))

const temporary = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const folder = yield* fs.makeTempDirectoryScoped()
  return { fs, folder, place: path.join(folder, "new", "file.bin") }
})

it.scopedLive("a body goes to a file, in place of the one that was there", () =>
  Effect.gen(function*() {
    const server = yield* serving((request, response) =>
      response.writeHead(200, { "x-method": request.method! }).end(Buffer.alloc(3_000_000, 7))
    )
    yield* Effect.gen(function*() {
      const { fs, place } = yield* temporary
      const { toFile } = yield* raw
      for (const _ of [1, 2]) {
        const { bytes, headers } = yield* toFile("api/v1/things", place, { payload: { json: {} } })
        assert.deepStrictEqual([bytes, headers["x-method"]], [3_000_000, "POST"])
        const written = yield* fs.readFile(place)
        assert.isTrue(written.length === 3_000_000 && written.every((byte) => byte === 7))
        yield* fs.writeFileString(place, "old")
      }
      assert.deepStrictEqual(yield* fs.readDirectory(place.replace("/file.bin", "")), ["file.bin"])
    }).pipe(Effect.provide(client(server.url)))
  }))

for (const how of ["a failure", "an interruption", "an answer other than 2xx"] as const) {
  it.scopedLive(`${how} leaves no part of a file, and the old file as it was`, () =>
    Effect.gen(function*() {
      const server = yield* serving((_, response) => {
        if (how === "an answer other than 2xx") return response.writeHead(404).end("{\"detail\":\"none\"}")
        response.writeHead(200, { "content-length": "1000000" }).write(Buffer.alloc(300_000), () => {
          if (how === "a failure") response.destroy()
        })
      })
      yield* Effect.gen(function*() {
        const { folder, fs } = yield* temporary
        const { toFile } = yield* raw
        const place = `${folder}/file.bin`
        yield* fs.writeFileString(place, "old")
        const saving = yield* Effect.fork(toFile("api/v1/things", place, { retry: RetryPolicy.none }))
        if (how === "an interruption") {
          const partial = Effect.map(fs.readDirectory(folder), (names) => names.length === 2)
          yield* Effect.repeat(Effect.zipRight(Effect.yieldNow(), partial), { until: (isThere) => isThere })
          yield* Fiber.interrupt(saving)
        } else {
          assert.strictEqual(
            (yield* Effect.flip(Fiber.join(saving)))._tag,
            how === "a failure" ? "ApiConnectionError" : "ApiStatusError"
          )
        }
        assert.deepStrictEqual(yield* fs.readDirectory(folder), ["file.bin"])
        assert.strictEqual(yield* fs.readFileString(place), "old")
      }).pipe(Effect.provide(client(server.url)))
    }))
}

it.scopedLive("a disk that takes its time keeps the server from sending", () =>
  Effect.gen(function*() {
    const size = 64 * 1024 * 1024
    let sent = 0
    const server = yield* serving((_, response) => {
      const part = Buffer.alloc(1024 * 1024, 7)
      const write = () => {
        while (sent < size) {
          sent += part.length
          if (!response.write(part)) return response.once("drain", write)
        }
        response.end()
      }
      response.writeHead(200, { "content-length": size })
      write()
    })
    const go = yield* Deferred.make<void>()
    const waiting = yield* Deferred.make<void>()
    const slow = Effect.map(FileSystem.FileSystem, (fs): FileSystem.FileSystem => ({
      ...fs,
      open: (path, options) =>
        Effect.map(fs.open(path, options), (file) =>
          Object.assign(Object.create(file) as FileSystem.File, {
            writeAll: (bytes: Uint8Array) =>
              Effect.zipRight(
                Effect.zipRight(Deferred.succeed(waiting, undefined), Deferred.await(go)),
                file.writeAll(bytes)
              )
          }))
    }))
    yield* Effect.gen(function*() {
      const { folder, fs } = yield* temporary
      const { toFile } = yield* raw
      const saving = yield* toFile("api/v1/things", `${folder}/file.bin`).pipe(
        Effect.provideServiceEffect(FileSystem.FileSystem, slow),
        Effect.fork
      )
      yield* Deferred.await(waiting)
      let quiet = 0
      let before = -1
      yield* until(() => {
        quiet = sent === before ? quiet + 1 : 0
        before = sent
        return quiet > 2000
      })
      assert.isBelow(sent, size / 2)
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.join(saving)
      assert.strictEqual(Number((yield* fs.stat(`${folder}/file.bin`)).size), size)
    }).pipe(Effect.provide(client(server.url)))
  }))
