import { HttpClient, type HttpClientError } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { HttpRuntime } from "effect-tinker"
import { UndiciHttpClient } from "../src/index.js"
import { encodingsOf, serve, until } from "./fixture.js"

const provided = Effect.provide(UndiciHttpClient.layer)

const decoded = (stream: Stream.Stream<Uint8Array, HttpClientError.ResponseError>) =>
  Stream.mkString(Stream.decodeText(stream))

it.scoped("the first part is there while the server still holds the answer open", () =>
  Effect.gen(function*() {
    let finish = () => {}
    const server = yield* serve((_, response) => {
      response.writeHead(200).write("first ")
      finish = () => response.end("last")
    })
    const answer = yield* HttpClient.get(server.url)
    const seen: Array<string> = []
    yield* Stream.runForEach(Stream.decodeText(answer.stream), (text) =>
      Effect.sync(() => {
        seen.push(text)
        finish()
      }))
    assert.deepStrictEqual(seen, ["first ", "last"])
  }).pipe(provided))

it.scoped("a reader that takes its time keeps the server from sending", () =>
  Effect.gen(function*() {
    const size = 64 * 1024 * 1024
    let written = 0
    const server = yield* serve((_, response) => {
      const part = Buffer.alloc(1024 * 1024, 7)
      const write = () => {
        while (written < size) {
          written += part.length
          if (!response.write(part)) return response.once("drain", write)
        }
        response.end()
      }
      response.writeHead(200, { "content-length": size })
      write()
    })
    const answer = yield* HttpClient.get(server.url)
    const go = yield* Deferred.make<void>()
    let read = 0
    const reading = yield* Effect.fork(Stream.runForEach(answer.stream, (part) =>
      Effect.suspend(() => {
        read += part.length
        return Deferred.await(go)
      })))
    yield* until(() => read > 0)
    // What the sockets of this machine hold has gone when nothing more is written for many turns.
    let quiet = 0
    let before = -1
    yield* until(() => {
      quiet = written === before ? quiet + 1 : 0
      before = written
      return quiet > 2000
    })
    assert.isBelow(written, size / 2)
    yield* Deferred.succeed(go, undefined)
    yield* Fiber.join(reading)
    assert.strictEqual(read, size)
  }).pipe(provided))

for (const kind of ["train", "download"] as const) {
  const as = Effect.provideService(HttpRuntime.CurrentTraffic, kind)

  it.scoped(`interrupting a reader closes its connection, one for ${kind}`, () =>
    Effect.gen(function*() {
      const server = yield* serve((_, response) => {
        response.writeHead(200).write("part")
      })
      const answer = yield* as(HttpClient.get(server.url))
      let read = 0
      const reading = yield* Effect.fork(
        Stream.runForEach(answer.stream, (part) => Effect.sync(() => void (read += part.length)))
      )
      yield* until(() => read === 4)
      assert.strictEqual(server.open(), 1)
      yield* Fiber.interrupt(reading)
      yield* until(() => server.open() === 0)
    }).pipe(provided))

  it.scoped(`a reader that has enough closes its connection, one for ${kind}`, () =>
    Effect.gen(function*() {
      const server = yield* serve((_, response) => {
        response.writeHead(200).write("part")
      })
      const answer = yield* as(HttpClient.get(server.url))
      assert.strictEqual(yield* decoded(Stream.take(answer.stream, 1)), "part")
      yield* until(() => server.open() === 0)
    }).pipe(provided))

  it.scoped(`closing the scope of an answer nobody reads closes its connection, one for ${kind}`, () =>
    Effect.gen(function*() {
      const server = yield* serve((_, response) => {
        response.writeHead(200).write("part")
      })
      const client = HttpClient.withScope(yield* HttpClient.HttpClient)
      yield* Effect.scoped(as(client.get(server.url)))
      yield* until(() => server.open() === 0)
    }).pipe(provided))
}

it.scoped("interrupting whoever reads an answer whole closes its connection", () =>
  Effect.gen(function*() {
    const server = yield* serve((_, response) => {
      response.writeHead(200).write("part")
    })
    const reading = yield* Effect.fork(Effect.flatMap(HttpClient.get(server.url), (answer) => answer.text))
    yield* until(() => server.requests.length === 1)
    yield* Fiber.interrupt(reading)
    yield* until(() => server.open() === 0)
  }).pipe(provided))

it.scoped("answers read one after another, each to its end, share a connection", () =>
  Effect.gen(function*() {
    const server = yield* serve((_, response) => {
      response.end(Buffer.alloc(300_000))
    })
    yield* Effect.forEach(Array.from({ length: 10 }), () =>
      Effect.flatMap(HttpClient.get(server.url), (answer) => Stream.runDrain(answer.stream)))
    assert.strictEqual(server.requests.length, 10)
    assert.strictEqual(server.sockets.length, 1)
  }).pipe(provided, Effect.provideService(HttpRuntime.CurrentTraffic, "download")))

it.scoped("a hundred downloads that stand still take no connection from training", () =>
  Effect.gen(function*() {
    const server = yield* serve((request, response) => {
      if (request.url === "/api/v1/optim_step") response.end("{}")
      else response.writeHead(200).write("part")
    })
    const downloads = Effect.forEach(Array.from({ length: 100 }), () => HttpClient.get(`${server.url}/file`))
    const held = yield* Effect.provideService(downloads, HttpRuntime.CurrentTraffic, "download")
    const answer = yield* HttpClient.post(`${server.url}/api/v1/optim_step`)
    assert.deepStrictEqual(yield* answer.json, {})
    assert.strictEqual(held.length, 100)
  }).pipe(provided))

it.scoped("a connection that breaks in the middle fails the stream after what had come", () =>
  Effect.gen(function*() {
    const server = yield* serve((request, response) => {
      response.writeHead(200, { "content-length": 1000 }).write("half", () => request.socket.resetAndDestroy())
    })
    const answer = yield* HttpClient.get(server.url)
    let read = 0
    const error = yield* Effect.flip(
      Stream.runForEach(answer.stream, (part) => Effect.sync(() => void (read += part.length)))
    )
    assert.strictEqual(read, 4)
    assert.strictEqual(error.reason, "Decode")
  }).pipe(provided))

it.scoped("a body that was read in parts cannot be read again, one that was read whole can", () =>
  Effect.gen(function*() {
    const server = yield* serve((_, response) => {
      response.end("text")
    })
    const parts = yield* HttpClient.get(server.url)
    yield* Stream.runDrain(parts.stream)
    assert.include(String((yield* Effect.flip(parts.text)).cause), "once")
    const whole = yield* HttpClient.get(server.url)
    assert.strictEqual(yield* whole.text, "text")
    assert.strictEqual(yield* decoded(whole.stream), "text")
  }).pipe(provided))

const text = "the same thing again and again ".repeat(40_000)
const encodings = encodingsOf(text)

for (const [encoding, encoded] of Object.entries(encodings)) {
  const name = encoding.endsWith(" ") ? "deflate without its wrapper" : encoding

  it.scoped(`a stream compressed with ${name} is read as what it was`, () =>
    Effect.gen(function*() {
      const body = yield* encoded
      const server = yield* serve((_, response) => {
        response.writeHead(200, { "content-encoding": encoding.trim() })
        const middle = body.length >> 1
        response.write(body.subarray(0, middle), () => response.end(body.subarray(middle)))
      })
      const answer = yield* HttpClient.get(server.url)
      assert.strictEqual(yield* decoded(answer.stream), text)
    }).pipe(provided))

  for (
    const [how, broken] of [
      ["damaged", (body: Uint8Array) => body.slice().fill(0xff, 6)],
      ["cut short", (body: Uint8Array) => body.slice(0, -6)]
    ] as const
  ) {
    it.scoped(`a stream compressed with ${name} that is ${how} fails`, () =>
      Effect.gen(function*() {
        const body = broken(yield* encoded)
        const server = yield* serve((_, response) => {
          response.writeHead(200, { "content-encoding": encoding.trim() }).end(body)
        })
        const answer = yield* HttpClient.get(server.url)
        const error = yield* Effect.flip(Stream.runDrain(answer.stream))
        assert.strictEqual(error._tag, "ResponseError")
      }).pipe(provided))
  }
}
