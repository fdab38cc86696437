import { HttpBody, HttpClient, HttpClientRequest } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Redacted, Scope, Stream, TestClock } from "effect"
import { HttpRuntime, RetryPolicy } from "effect-tinker"
import { TinkerNode, UndiciHttpClient } from "../src/index.js"
import { encodingsOf, get, post, serve, transport, until } from "./fixture.js"

const text = JSON.stringify({ said: "the same thing again and again ".repeat(50) })
const encodings = encodingsOf(text)

for (const [encoding, encoded] of Object.entries(encodings)) {
  const name = encoding.endsWith(" ") ? "deflate without its wrapper" : encoding
  it.scoped(`reads a body compressed with ${name}, and asks for it`, () =>
    Effect.gen(function*() {
      const body = yield* encoded
      const server = yield* serve((_, response) => {
        response.writeHead(200, { "content-encoding": encoding.trim(), "content-length": body.length }).end(body)
      })
      const answer = yield* Effect.provide(get("healthz"), transport(server.url))
      assert.strictEqual(new TextDecoder().decode(answer.body), text)
      for (const one of encoding.split(",")) {
        assert.include(server.requests[0]?.request.headers["accept-encoding"], one.trim())
      }
    }))

  it.scoped(`a body that is not ${name} fails, as broken on its way`, () =>
    Effect.gen(function*() {
      const body = (yield* encoded).slice(0, -8)
      body.fill(0xff, 4)
      const server = yield* serve((_, response) => {
        response.writeHead(200, { "content-encoding": encoding.trim() }).end(body)
      })
      const error = yield* Effect.flip(Effect.provide(get("healthz"), transport(server.url)))
      assert.strictEqual((error as { readonly _tag: string })._tag, "ApiConnectionError")
      assert.include(String(error), "content-encoding")
    }))
}

it.scoped("a heartbeat is answered while samples, training requests and 500 polls are held", () =>
  Effect.gen(function*() {
    const server = yield* serve((request, response) => {
      if (request.url === "/api/v1/session_heartbeat") response.end("{}")
    })
    yield* Effect.gen(function*() {
      const held = [["asample", 100], ["optim_step", 100], ["retrieve_future", 500]] as const
      for (const [path, n] of held) {
        yield* Effect.fork(Effect.all(Array.from({ length: n }, () => post(path)), { concurrency: "unbounded" }))
      }
      yield* until(() =>
        server.count("/api/v1/retrieve_future") === 500 && server.count("/api/v1/asample") > 0
        && server.count("/api/v1/optim_step") > 0
      )
      assert.isBelow(server.count("/api/v1/asample"), 100)
      assert.strictEqual((yield* post("session_heartbeat")).status, 200)
    }).pipe(Effect.provide(transport(server.url)))
  }))

it.scoped("interrupting two hundred polls closes their connections", () =>
  Effect.gen(function*() {
    const server = yield* serve(() => {})
    yield* Effect.gen(function*() {
      const polls = yield* Effect.forEach(Array.from({ length: 200 }), () => Effect.fork(post("retrieve_future")))
      yield* until(() => server.count("/api/v1/retrieve_future") === 200)
      assert.strictEqual(server.open(), 200)
      yield* Fiber.interruptAll(polls)
      yield* until(() => server.open() === 0)
      assert.strictEqual(server.sockets.length, 200)
    }).pipe(Effect.provide(transport(server.url)))
  }))

it.scoped("requests that are interrupted before they had a connection are never sent", () =>
  Effect.gen(function*() {
    const server = yield* serve((_, response, body) => {
      if (body.includes("last")) response.end("{}")
    })
    yield* Effect.gen(function*() {
      const samples = yield* Effect.forEach(Array.from({ length: 200 }), () => Effect.fork(post("asample")))
      yield* until(() => server.count("/api/v1/asample") > 0 && server.open() === server.count("/api/v1/asample"))
      const sent = server.open()
      yield* Fiber.interruptAll(samples)
      yield* post("asample", { last: true })
      assert.isBelow(sent, 200)
      assert.isAtMost(server.count("/api/v1/asample"), 17)
    }).pipe(Effect.provide(transport(server.url)))
  }))

it.scoped("follows a redirect on the same origin with method, body and key", () =>
  Effect.gen(function*() {
    const server = yield* serve((request, response, body) => {
      if (request.url === "/moved") response.end(body)
      else response.writeHead(307, { location: "/moved" }).end()
    })
    const answer = yield* post("optim_step", { a: 1 }).pipe(
      Effect.provide(transport(server.url, { apiKey: Redacted.make("tml-key") }))
    )
    assert.strictEqual(new TextDecoder().decode(answer.body), "{\"a\":1}")
    assert.strictEqual(server.requests[1]?.request.method, "POST")
    assert.strictEqual(server.requests[1]?.request.headers["x-api-key"], "tml-key")
  }))

it.scoped("follows a question to another origin without any credential", () =>
  Effect.gen(function*() {
    const other = yield* serve((_, response) => {
      response.end("{}")
    })
    const server = yield* serve((_, response) => {
      response.writeHead(307, { location: `${other.url}/else` }).end()
    })
    yield* get("healthz").pipe(Effect.provide(transport(server.url, {
      apiKey: Redacted.make("tml-key"),
      headers: { authorization: "Bearer secret", cookie: "a=secret" },
      cloudflareAccess: { clientId: "id", clientSecret: Redacted.make("cf-secret") }
    })))
    assert.strictEqual(server.requests[0]?.request.headers["cf-access-client-secret"], "cf-secret")
    const headers = JSON.stringify(other.requests[0]?.request.headers)
    assert.strictEqual(other.requests[0]?.request.url, "/else")
    for (const secret of ["tml-key", "secret", "cf-access"]) assert.notInclude(headers, secret)
  }))

it.scoped("sends no data to another origin", () =>
  Effect.gen(function*() {
    const other = yield* serve((_, response) => {
      response.end("{}")
    })
    const server = yield* serve((_, response) => {
      response.writeHead(307, { location: other.url }).end()
    })
    const error = yield* Effect.flip(Effect.provide(post("optim_step"), transport(server.url)))
    assert.include(String(error), "307")
    assert.strictEqual(other.requests.length, 0)
  }))

it.scoped("ends after twenty redirects", () =>
  Effect.gen(function*() {
    const server = yield* serve((_, response) => {
      response.writeHead(302, { location: "/again" }).end()
    })
    const error = yield* Effect.flip(Effect.provide(get("healthz"), transport(server.url)))
    assert.include(String(error), "302")
    assert.strictEqual(server.requests.length, 21)
  }))

it.scoped("a connection reset before the answer is lost, not answered", () =>
  Effect.gen(function*() {
    const server = yield* serve((request) => {
      request.socket.resetAndDestroy()
    })
    const error = yield* Effect.flip(Effect.provide(post("optim_step"), transport(server.url)))
    assert.strictEqual((error as { readonly _tag: string })._tag, "ApiConnectionError")
    assert.include(String(error), server.url)
  }))

it.scoped("a connection reset in the middle of the answer is lost, not answered", () =>
  Effect.gen(function*() {
    const server = yield* serve((request, response) => {
      response.writeHead(200, { "content-length": 1000 }).write("{\"half\":", () => request.socket.resetAndDestroy())
    })
    const error = yield* Effect.flip(Effect.provide(post("optim_step"), transport(server.url)))
    assert.strictEqual((error as { readonly _tag: string })._tag, "ApiConnectionError")
  }))

it.scoped("an answer that ends before its length is lost", () =>
  Effect.gen(function*() {
    const server = yield* serve((request, response) => {
      response.writeHead(200, { "content-length": 1000 }).write("{\"half\":", () => request.socket.end())
    })
    const error = yield* Effect.flip(Effect.provide(get("healthz"), transport(server.url)))
    assert.strictEqual((error as { readonly _tag: string })._tag, "ApiConnectionError")
  }))

it.scoped("where nothing listens the error says so", () =>
  Effect.gen(function*() {
    const url = yield* Effect.scoped(Effect.map(serve(() => {}), ({ url }) => url))
    const error = yield* Effect.flip(Effect.provide(get("healthz"), transport(url)))
    assert.include(String(error), "ECONNREFUSED")
    assert.include(String(error), url)
  }))

it.scoped("a server that holds a request for longer than the timeout is left, and its connection closed", () =>
  Effect.gen(function*() {
    const server = yield* serve(() => {})
    yield* Effect.gen(function*() {
      const asking = yield* Effect.fork(Effect.flip(get("healthz")))
      yield* until(() => server.requests.length === 1)
      yield* TestClock.adjust("60 seconds")
      const error = yield* Fiber.join(asking)
      assert.strictEqual(error._tag, "ApiTimeoutError")
      yield* until(() => server.open() === 0)
    }).pipe(Effect.provide(transport(server.url)))
  }))

for (const path of ["optim_step", "retrieve_future"]) {
  it.scoped(`a hundred requests ${path} one after another share a connection`, () =>
    Effect.gen(function*() {
      const server = yield* serve((_, response) => {
        response.end("{}")
      })
      yield* Effect.provide(
        Effect.forEach(Array.from({ length: 100 }), () => post(path)),
        transport(server.url)
      )
      assert.strictEqual(server.requests.length, 100)
      assert.isAtMost(server.sockets.length, 2)
    }))
}

it.scoped("closing the scope closes every connection, idle or not", () =>
  Effect.gen(function*() {
    const server = yield* serve((request, response) => {
      if (request.url !== "/api/v1/retrieve_future") response.end("{}")
    })
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(transport(server.url), scope)
    for (const path of ["optim_step", "asample", "session_heartbeat"]) yield* Effect.provide(post(path), context)
    yield* Effect.fork(Effect.provide(
      Effect.all([post("retrieve_future"), post("retrieve_future")], {
        concurrency: 2
      }),
      context
    ))
    yield* until(() => server.count("/api/v1/retrieve_future") === 2)
    assert.strictEqual(server.open(), 5)
    yield* Scope.close(scope, Exit.void)
    yield* until(() => server.open() === 0)
  }))

for (const path of ["optim_step", "retrieve_future"]) {
  it.scoped(`an empty 400 to ${path} is sent again over another connection`, () =>
    Effect.gen(function*() {
      const server = yield* serve((_, response) => {
        if (server.requests.length === 1) response.writeHead(400, { "content-length": 0 }).end()
        else response.end("{}")
      })
      yield* Effect.gen(function*() {
        const sending = yield* Effect.fork(RetryPolicy.retry(post(path)))
        yield* until(() => server.requests.length === 1)
        while (server.requests.length === 1) {
          yield* TestClock.adjust("1 second")
          yield* until(() => true)
        }
        yield* Fiber.join(sending)
      }).pipe(Effect.provide(transport(server.url)))
      assert.strictEqual(server.sockets.length, 2)
    }))
}

it.scoped("a client that observes requests sees all of them, and they still arrive", () =>
  Effect.gen(function*() {
    const seen: Array<string> = []
    const server = yield* serve((_, response) => {
      response.end("{}")
    })
    const observing = Layer.effect(
      HttpClient.HttpClient,
      Effect.map(HttpClient.HttpClient, HttpClient.tapRequest(({ url }) => Effect.sync(() => seen.push(url))))
    ).pipe(Layer.provide(TinkerNode.layer))
    yield* Effect.zip(get("healthz"), post("asample")).pipe(Effect.provide(transport(server.url, {}, observing)))
    assert.deepStrictEqual(seen, [`${server.url}/api/v1/healthz`, `${server.url}/api/v1/asample`])
    assert.strictEqual(server.requests.length, 2)
  }))

it.scoped("is an HttpClient like any other, whose answers can be read in every way", () =>
  Effect.gen(function*() {
    const server = yield* serve((_, response) => {
      response.writeHead(200, { "set-cookie": ["a=1", "b=2"] }).end("{\"a\":1}")
    })
    const client = yield* HttpClient.HttpClient
    const answer = yield* client.get(`${server.url}/path`, { urlParams: { q: "1 2" } })
    assert.strictEqual(server.requests[0]?.request.url, "/path?q=1+2")
    assert.deepStrictEqual(yield* answer.json, { a: 1 })
    assert.strictEqual(yield* answer.text, "{\"a\":1}")
    assert.strictEqual(new TextDecoder().decode(yield* answer.arrayBuffer), "{\"a\":1}")
    assert.strictEqual(yield* Stream.mkString(Stream.decodeText(answer.stream)), "{\"a\":1}")
    assert.strictEqual(answer.headers["set-cookie"], "a=1, b=2")
    const error = yield* Effect.flip(client.get("no address"))
    assert.strictEqual(error._tag === "RequestError" && error.reason, "InvalidUrl")
  }).pipe(Effect.provide(UndiciHttpClient.layer)))

it.scoped("the transport of the SDK needs no fiber of its own over this client", () =>
  Effect.gen(function*() {
    assert.isTrue(HttpRuntime.SendDirectly in (yield* HttpClient.HttpClient))
  }).pipe(Effect.provide(UndiciHttpClient.layer)))

it.scoped("sends a body as it is made, with the length that it was said to have, and fails with it", () =>
  Effect.gen(function*() {
    const server = yield* serve((_, response, body) => response.end(String(body.length)))
    const parts = 64
    const put = (made: Stream.Stream<Uint8Array, Error>) =>
      Effect.flatMap(HttpClient.HttpClient, (client) =>
        Effect.flatMap(
          client.execute(HttpClientRequest.put(`${server.url}/file`, {
            body: HttpBody.stream(made, "application/octet-stream", parts * 65_536)
          })),
          (response) => response.text
        ))
    const made = Stream.map(Stream.range(1, parts), (index) => new Uint8Array(65_536).fill(index))
    yield* Effect.gen(function*() {
      assert.strictEqual(yield* put(made), String(parts * 65_536))
      const { headers } = server.requests[0]!.request
      assert.deepStrictEqual([headers["content-length"], headers["transfer-encoding"]], [
        String(parts * 65_536),
        undefined
      ])
      for (
        const broken of [Stream.concat(Stream.take(made, 2), Stream.fail(new Error("gone"))), Stream.take(made, 2)]
      ) {
        assert.isTrue(Exit.isFailure(yield* Effect.exit(put(broken))))
      }
    }).pipe(Effect.provide(UndiciHttpClient.layer))
    assert.strictEqual(server.requests.length, 1)
  }))
