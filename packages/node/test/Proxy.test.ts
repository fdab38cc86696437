import { HttpClient } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Exit, Fiber, Layer, Redacted, Stream } from "effect"
import type { Scope } from "effect"
import { HttpRuntime } from "effect-tinker"
import { createServer, type IncomingMessage } from "node:http"
import { type AddressInfo, connect, type Socket } from "node:net"
import { inspect } from "node:util"
import { Proxy, TinkerNode, UndiciHttpClient } from "../src/index.js"
import { get, serve, transport, until } from "./fixture.js"
import { serveSecurely, trusting } from "./secure.js"

interface MockProxy {
  readonly host: string
  readonly tunnels: ReadonlyArray<{ readonly target: string | undefined; readonly headers: IncomingMessage["headers"] }>
  /** Of the proxy itself, without a tunnel. */
  readonly requests: () => number
}

/** A proxy that makes tunnels, all of them to the same server, whatever they are asked for. */
const mockProxy = (target: string, status = 200): Effect.Effect<MockProxy, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<{ readonly proxy: MockProxy; readonly stop: Effect.Effect<void> }>((resume) => {
      const tunnels: Array<MockProxy["tunnels"][number]> = []
      const sockets: Array<{ readonly destroy: () => void }> = []
      let requests = 0
      const http = createServer((_request, response) => {
        requests++
        response.end()
      })
      http.on("connect", (request: IncomingMessage, socket: Socket, head: Buffer) => {
        tunnels.push({ target: request.url, headers: request.headers })
        sockets.push(socket)
        socket.on("error", () => {})
        if (status !== 200) return socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`)
        const onward = connect(Number(new URL(target).port), "127.0.0.1", () => {
          socket.write("HTTP/1.1 200 Connection established\r\n\r\n")
          onward.write(head)
          socket.pipe(onward).pipe(socket)
        })
        sockets.push(onward)
        onward.on("error", () => socket.destroy())
        socket.on("close", () => onward.destroy())
        onward.on("close", () => socket.destroy())
      })
      http.listen(0, "127.0.0.1", () => {
        const proxy = { host: `127.0.0.1:${(http.address() as AddressInfo).port}`, tunnels, requests: () => requests }
        const stop = Effect.async<void>((resume) => {
          for (const socket of sockets) socket.destroy()
          http.close(() => resume(Effect.void))
          http.closeAllConnections()
        })
        resume(Effect.succeed({ proxy, stop }))
      })
    }),
    ({ stop }) => stop
  ).pipe(Effect.map(({ proxy }) => proxy))

const environment = (variables: Record<string, string>) =>
  Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(variables)), { pathDelim: "\u0000" }))

const key = { apiKey: Redacted.make("tml-key") }

const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`

for (
  const [how, node] of [
    ["by option", (proxy: string) => TinkerNode.layerWith({ proxy })],
    ["by option, hidden", (proxy: string) => TinkerNode.layerWith({ proxy: Redacted.make(proxy) })],
    ["by TINKER_PROXY", (proxy: string) => Layer.provide(TinkerNode.layer, environment({ TINKER_PROXY: proxy }))],
    ["by HTTP_PROXY", (proxy: string) => Layer.provide(TinkerNode.layer, environment({ HTTP_PROXY: proxy }))],
    ["by all_proxy", (proxy: string) => Layer.provide(TinkerNode.layer, environment({ all_proxy: proxy }))]
  ] as const
) {
  it.scoped(`requests of the SDK go through the tunnel of a proxy given ${how}, with its user and password`, () =>
    Effect.gen(function*() {
      const server = yield* serve((_, response) => void response.end("{}"))
      const proxy = yield* mockProxy(server.url)
      const client = transport("http://tinker.test:8123", key, node(`http://me:p%40ss%3Aw@${proxy.host}`))
      const answer = yield* Effect.provide(get("healthz"), client)
      assert.strictEqual(answer.status, 200)
      assert.deepStrictEqual(proxy.tunnels.map(({ target }) => target), ["tinker.test:8123"])
      assert.strictEqual(proxy.tunnels[0]!.headers["proxy-authorization"], basic("me:p@ss:w"))
      assert.strictEqual(server.requests[0]!.request.headers["host"], "tinker.test:8123")
      assert.notProperty(server.requests[0]!.request.headers, "proxy-authorization")
    }))
}

for (const kind of ["train", "poll", "download"] as const) {
  it.scoped(`streams of the kind ${kind} go through a proxy, and end with their reader`, () =>
    Effect.gen(function*() {
      const body = Buffer.alloc(2_000_000, "stream ")
      let closed = false
      const server = yield* serve((request, response) => {
        if (request.url !== "/held") return response.end(body)
        response.on("close", () => (closed = true)).writeHead(200).write("part")
      })
      const proxy = yield* mockProxy(server.url)
      yield* Effect.gen(function*() {
        const whole = yield* HttpClient.get("http://tinker.test/whole")
        const parts = yield* Stream.runCollect(Stream.map(whole.stream, (part) => Buffer.from(part)))
        assert.isTrue(Buffer.concat(Array.from(parts)).equals(body))
        const held = yield* HttpClient.get("http://tinker.test/held")
        let read = 0
        const reading = yield* Effect.fork(
          Stream.runForEach(held.stream, (part) => Effect.sync(() => void (read += part.length)))
        )
        yield* until(() => read === 4)
        yield* Fiber.interrupt(reading)
        yield* until(() => closed)
      }).pipe(
        Effect.provideService(HttpRuntime.CurrentTraffic, kind),
        Effect.provide(UndiciHttpClient.layerWith({ proxy: proxy.host }))
      )
      assert.isAtLeast(proxy.tunnels.length, 1)
      assert.strictEqual(proxy.tunnels[0]!.target, "tinker.test:80")
      assert.strictEqual(proxy.requests(), 0)
    }))
}

for (const kind of ["train", "download"] as const) {
  it.scoped(`TLS goes through the tunnel to the server itself, for ${kind}`, () =>
    Effect.gen(function*() {
      yield* trusting
      const body = Buffer.alloc(1_000_000, "secret ")
      const url = yield* serveSecurely((_, response) => void response.end(body))
      const proxy = yield* mockProxy(url)
      yield* Effect.gen(function*() {
        const answer = yield* HttpClient.get("https://tinker.test/file")
        assert.isTrue(Buffer.from(yield* answer.arrayBuffer).equals(body))
      }).pipe(
        Effect.provideService(HttpRuntime.CurrentTraffic, kind),
        Effect.provide(UndiciHttpClient.layer.pipe(Layer.provide(environment({ HTTPS_PROXY: proxy.host }))))
      )
      assert.deepStrictEqual(proxy.tunnels.map(({ target }) => target), ["tinker.test:443"])
    }))
}

it.scoped("two clients go through different proxies, and a third through none", () =>
  Effect.gen(function*() {
    const server = yield* serve((_, response) => void response.end("{}"))
    const proxies = [yield* mockProxy(server.url), yield* mockProxy(server.url)]
    for (const proxy of [...proxies, undefined]) {
      yield* Effect.provide(
        get("healthz"),
        transport(server.url, {}, TinkerNode.layerWith({ proxy: proxy?.host ?? false }))
      ).pipe(Effect.provide(environment({ ALL_PROXY: "http://nowhere.test" })))
    }
    assert.deepStrictEqual(proxies.map(({ tunnels }) => tunnels.length), [1, 1])
    assert.strictEqual(server.requests.length, 3)
  }))

const proxyFor = (
  url: string,
  variables: Record<string, string>,
  options?: Proxy.Options
) =>
  Effect.map(Effect.provide(Proxy.make(options), environment(variables)), (proxyFor) => {
    const { hostname, port, protocol } = new URL(url)
    return proxyFor?.({ hostname, port, protocol })
  })

it.effect("option, then TINKER_PROXY, then the standard variables, small letters first", () =>
  Effect.gen(function*() {
    const variables = new Map([
      ["ALL_PROXY", "http://all-large"],
      ["all_proxy", "http://all-small"],
      ["HTTPS_PROXY", "http://https-large"],
      ["https_proxy", "http://https-small"],
      ["TINKER_PROXY", "http://tinker"]
    ])
    const seen: Array<string | undefined> = []
    const set: Record<string, string> = {}
    for (const [name, value] of variables) {
      set[name] = value
      seen.push((yield* proxyFor("https://example.test", set))?.hostname)
    }
    assert.deepStrictEqual(seen, ["all-large", "all-small", "https-large", "https-small", "tinker"])
    assert.strictEqual((yield* proxyFor("https://example.test", set, { proxy: "option:1" }))?.hostname, "option")
    assert.isUndefined(yield* proxyFor("https://example.test", set, { proxy: false }))
    delete set["TINKER_PROXY"]
    assert.strictEqual((yield* proxyFor("http://example.test", set))?.hostname, "all-small")
    assert.strictEqual((yield* proxyFor("http://example.test", { ...set, http_proxy: "h:8080" }))?.port, 8080)
    assert.isUndefined(yield* proxyFor("http://example.test", { https_proxy: "h:8080", ALL_PROXY: "" }))
    assert.isUndefined(yield* proxyFor("http://example.test", {}))
  }))

for (
  const [noProxy, exempt, others] of [
    ["*", ["http://a.test", "https://b:8080"], []],
    ["example.test", ["http://example.test", "https://sub.example.test:9"], ["http://notexample.test", "http://test"]],
    [".example.test", ["http://example.test", "http://a.b.example.test"], ["http://xexample.test"]],
    ["*.example.test", ["http://a.example.test"], ["http://other.test"]],
    ["example.test:8080", ["http://example.test:8080", "http://a.example.test:8080"], [
      "http://example.test",
      "http://example.test:80"
    ]],
    ["example.test:443", ["https://example.test"], ["http://example.test"]],
    ["LOCALHOST, 127.0.0.1 other.test", ["http://localhost:1", "http://127.0.0.1:9", "http://other.test"], [
      "http://127.0.0.2"
    ]],
    ["[::1]:8080,::2", ["http://[::1]:8080"], ["http://[::1]", "http://example.test"]],
    ["", [], ["http://example.test"]]
  ] as const
) {
  it.effect(`NO_PROXY ${JSON.stringify(noProxy)} is kept to`, () =>
    Effect.gen(function*() {
      for (const [urls, direct] of [[exempt, true], [others, false]] as const) {
        for (const url of urls) {
          for (const name of ["NO_PROXY", "no_proxy"]) {
            const found = yield* proxyFor(url, { ALL_PROXY: "http://proxy", [name]: noProxy })
            assert.strictEqual(found === undefined, direct, url)
          }
          const found = yield* proxyFor(url, { NO_PROXY: "nowhere" }, { proxy: "http://proxy", noProxy })
          assert.strictEqual(found === undefined, direct, url)
        }
      }
    }))
}

it.scoped("what NO_PROXY names is reached without the proxy", () =>
  Effect.gen(function*() {
    const server = yield* serve((_, response) => void response.end("{}"))
    const proxy = yield* mockProxy(server.url)
    const node = TinkerNode.layer.pipe(
      Layer.provide(environment({ HTTP_PROXY: `http://${proxy.host}`, NO_PROXY: "127.0.0.1" }))
    )
    yield* Effect.provide(get("healthz"), transport(server.url, {}, node))
    assert.strictEqual(proxy.tunnels.length, 0)
    assert.strictEqual(server.requests.length, 1)
  }))

const password = "hunter2"

for (
  const [variable, value] of [
    ["HTTPS_PROXY", `http://me:${password}@`],
    ["http_proxy", `http://me:${password}@host:99999`],
    ["ALL_PROXY", `socks5://me:${password}@host:1080`],
    ["TINKER_PROXY", `http://me:${password}@host/path`],
    ["proxy", `http://me:%zz${password}@host`],
    ["proxy", `http://me:${password}@a b`]
  ] as const
) {
  it.scoped(`a proxy that cannot be right fails at construction, by the name ${variable}`, () =>
    Effect.gen(function*() {
      const layer = variable === "proxy"
        ? TinkerNode.layerWith({ proxy: value })
        : Layer.provide(TinkerNode.layer, environment({ [variable]: value }))
      const error = yield* Effect.flip(Layer.build(layer))
      assert.strictEqual(error._tag, "InvalidInputError")
      assert.strictEqual(error.field, variable)
      assert.include(error.message, variable)
      assert.notInclude(error.message + inspect(error, { depth: 9 }) + JSON.stringify(error), password)
    }))
}

for (const status of [407, 403, 502]) {
  it.scoped(`a proxy that answers ${status} is named, and no password`, () =>
    Effect.gen(function*() {
      const server = yield* serve((_, response) => void response.end("{}"))
      const proxy = yield* mockProxy(server.url, status)
      const node = TinkerNode.layer.pipe(
        Layer.provide(environment({ http_proxy: `http://me:${password}@${proxy.host}` }))
      )
      const exit = yield* Effect.exit(Effect.provide(get("healthz"), transport("http://tinker.test", key, node)))
      assert.isTrue(Exit.isFailure(exit))
      const told = String(exit) + inspect(exit, { depth: 12 }) + JSON.stringify(exit)
      for (const part of [proxy.host, "http_proxy", String(status)]) assert.include(told, part)
      assert.notInclude(told, password)
      assert.notInclude(told, basic(`me:${password}`))
      assert.strictEqual(server.requests.length, 0)
    }))
}

it.scoped("a proxy that is not there is named, and no password", () =>
  Effect.gen(function*() {
    const gone = yield* Effect.scoped(Effect.map(serve(() => {}), ({ url }) => new URL(url).host))
    const node = TinkerNode.layerWith({ proxy: `http://me:${password}@${gone}` })
    const error = yield* Effect.flip(Effect.provide(get("healthz"), transport("http://tinker.test", key, node)))
    const told = String(error) + inspect(error, { depth: 12 })
    assert.include(told, gone)
    assert.include(told, "ECONNREFUSED")
    assert.notInclude(told, password)
  }))
