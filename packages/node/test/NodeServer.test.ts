import { Headers, HttpApp, HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, FiberRef, Logger, Scope, Stream } from "effect"
import { get, request as send } from "node:http"
import { NodeServer } from "../src/index.js"

const here = { host: "127.0.0.1", port: 0 }

const addressOf = (server: HttpServer.HttpServer) =>
  server.address._tag === "TcpAddress" ? `http://127.0.0.1:${server.address.port}` : server.address.path

/** The address of an app on a port of this machine. */
const serving = <E, R>(app: HttpApp.Default<E, R>) =>
  Effect.gen(function*() {
    const server = yield* NodeServer.make(here)
    yield* server.serve(app as HttpApp.Default<unknown>)
    return addressOf(server)
  })

const fetched = (url: string, options?: RequestInit) =>
  Effect.promise(async () => {
    const response = await fetch(url, options)
    return { status: response.status, headers: response.headers, text: await response.text() }
  })

describe("NodeServer", () => {
  it.scopedLive("gives an app the request and its body, and the client what the app answers", () =>
    Effect.gen(function*() {
      const app = HttpRouter.empty.pipe(
        HttpRouter.post(
          "/echo/:name",
          Effect.gen(function*() {
            const request = yield* HttpServerRequest.HttpServerRequest
            const { name } = yield* HttpRouter.params
            const body = yield* request.text
            return HttpServerResponse.text(
              `${request.method} ${request.url} ${name} ${request.headers["x-a"]} ${body}`,
              {
                status: 201,
                headers: { "x-b": "c" }
              }
            )
          })
        ),
        HttpRouter.get("/empty", HttpServerResponse.empty()),
        HttpRouter.get("/cookie", HttpServerResponse.unsafeSetCookie(HttpServerResponse.empty(), "a", "b")),
        HttpRouter.get(
          "/later",
          Effect.as(
            HttpApp.appendPreResponseHandler((_, answer) =>
              Effect.succeed(HttpServerResponse.setHeader(answer, "x-later", "yes"))
            ),
            HttpServerResponse.text("now")
          )
        )
      )
      const url = yield* serving(app)
      const echo = yield* fetched(`${url}/echo/n?q=1`, { method: "POST", body: "text", headers: { "X-A": "b" } })
      assert.deepStrictEqual([echo.status, echo.text], [201, "POST /echo/n?q=1 n b text"])
      assert.strictEqual(echo.headers.get("x-b"), "c")
      assert.strictEqual((yield* fetched(`${url}/empty`)).status, 204)
      assert.strictEqual((yield* fetched(`${url}/cookie`)).headers.get("set-cookie"), "a=b")
      const later = yield* fetched(`${url}/later`)
      assert.deepStrictEqual([later.text, later.headers.get("x-later")], ["now", "yes"])
      const head = yield* fetched(`${url}/later`, { method: "HEAD" })
      assert.strictEqual(head.text, "")
    }))

  it.scopedLive("gives an app the services and settings of whoever serves it", () =>
    Effect.gen(function*() {
      const Name = Context.GenericTag<"Name", string>("Name")
      const setting = FiberRef.unsafeMake("usual")
      const lines: Array<unknown> = []
      const logger = Logger.make(({ message }) => void lines.push(message))
      const app = Effect.gen(function*() {
        yield* Effect.log("asked")
        return HttpServerResponse.text(`${yield* Name} ${yield* FiberRef.get(setting)}`)
      })
      const url = yield* serving(app).pipe(
        Effect.provideService(Name, "service"),
        Effect.locally(setting, "special"),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger))
      )
      assert.strictEqual((yield* fetched(url)).text, "service special")
      assert.deepStrictEqual(lines, [["asked"]])
    }))

  it.scopedLive("gives and sends any bytes, of bodies small and large, announced and not", () =>
    Effect.gen(function*() {
      const url = yield* serving(HttpRouter.empty.pipe(
        HttpRouter.post(
          "/bytes",
          Effect.gen(function*() {
            const request = yield* HttpServerRequest.HttpServerRequest
            return HttpServerResponse.uint8Array(new Uint8Array(yield* request.arrayBuffer))
          })
        ),
        HttpRouter.post(
          "/stream",
          Effect.gen(function*() {
            const request = yield* HttpServerRequest.HttpServerRequest
            const parts = yield* Stream.runCollect(request.stream)
            return HttpServerResponse.uint8Array(Buffer.concat(Array.from(parts)))
          })
        )
      ))
      for (const size of [0, 1, 256, 65_536, 65_537, 300_000]) {
        const bytes = Uint8Array.from({ length: size }, (_, i) => i % 256)
        for (const path of ["/bytes", "/stream"]) {
          for (const body of [bytes, new Blob([bytes]).stream()]) {
            const echo = yield* Effect.promise(() =>
              fetch(url + path, { method: "POST", body, duplex: "half" } as RequestInit).then((it) => it.arrayBuffer())
            )
            assert.strictEqual(Buffer.compare(new Uint8Array(echo), bytes), 0, `${size} bytes`)
          }
        }
      }
    }))

  it.scopedLive("answers others while a body is on its way, and after it broke off", () =>
    Effect.gen(function*() {
      const url = yield* serving(Effect.succeed(HttpServerResponse.text("here")))
      const slow = send(url, { method: "POST", headers: { "content-length": "100" } }).on("error", () => {})
      yield* Effect.async<void>((resume) => {
        slow.write("half", () => resume(Effect.void))
      })
      assert.strictEqual((yield* fetched(url)).text, "here")
      slow.destroy()
      assert.strictEqual((yield* fetched(url)).text, "here")
    }))

  it.scopedLive("lets go of what belongs to a request before it is answered, also when it fails", () =>
    Effect.gen(function*() {
      const gone: Array<string> = []
      const acquired = (name: string) => Effect.addFinalizer(() => Effect.sync(() => gone.push(name)))
      const url = yield* serving(HttpRouter.empty.pipe(
        HttpRouter.get("/works", Effect.as(acquired("works"), HttpServerResponse.empty())),
        HttpRouter.get("/fails", Effect.zipRight(acquired("fails"), Effect.fail("wrong")))
      ))
      yield* fetched(`${url}/works`)
      assert.deepStrictEqual(gone, ["works"])
      yield* fetched(`${url}/fails`)
      assert.deepStrictEqual(gone, ["works", "fails"])
    }).pipe(Effect.provide(Logger.remove(Logger.defaultLogger))))

  it.scopedLive("answers 404 for a route that there is not, and 500 for an app that fails or dies", () =>
    Effect.gen(function*() {
      const url = yield* serving(HttpRouter.empty.pipe(
        HttpRouter.get("/fails", Effect.fail("wrong")),
        HttpRouter.get("/dies", Effect.die("broken"))
      ))
      assert.strictEqual((yield* fetched(`${url}/other`)).status, 404)
      assert.strictEqual((yield* fetched(`${url}/fails`)).status, 500)
      assert.strictEqual((yield* fetched(`${url}/dies`)).status, 500)
    }).pipe(Effect.provide(Logger.remove(Logger.defaultLogger))))

  it.scopedLive("sends streams as they come, and cuts the connection when one breaks", () =>
    Effect.gen(function*() {
      const bytes = (text: string) => new TextEncoder().encode(text)
      const url = yield* serving(HttpRouter.empty.pipe(
        HttpRouter.get("/stream", HttpServerResponse.stream(Stream.make(bytes("one "), bytes("two")))),
        HttpRouter.get(
          "/broken",
          HttpServerResponse.stream(Stream.concat(Stream.make(bytes("one")), Stream.fail("wrong")), {
            contentLength: 100,
            headers: Headers.fromInput({ "content-length": "100" })
          })
        ),
        HttpRouter.get("/raw", HttpServerResponse.raw(new Blob(["of the web"]).stream()))
      ))
      assert.strictEqual((yield* fetched(`${url}/stream`)).text, "one two")
      assert.strictEqual((yield* fetched(`${url}/raw`)).text, "of the web")
      const broken = yield* Effect.exit(Effect.tryPromise(() => fetch(`${url}/broken`).then((answer) => answer.text())))
      assert.isTrue(Exit.isFailure(broken))
    }))

  it.scopedLive("interrupts what may be interrupted when its client leaves", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const left = yield* Deferred.make<void>()
      const app = Deferred.succeed(begun, undefined).pipe(
        Effect.zipRight(Effect.interruptible(Effect.never)),
        Effect.onInterrupt(() => Deferred.succeed(left, undefined))
      )
      const url = yield* serving(app)
      const question = send(url).on("error", () => {}).end()
      yield* Deferred.await(begun)
      question.destroy()
      yield* Deferred.await(left)
    }))

  it.scopedLive("lets requests wait that come before there is an app", () =>
    Effect.gen(function*() {
      const server = yield* NodeServer.make(here)
      const answer = yield* Deferred.make<number | undefined>()
      const question = get(addressOf(server), (response) => {
        Deferred.unsafeDone(answer, Effect.succeed(response.statusCode))
      })
      yield* Effect.async<void>((resume) => {
        question.once("finish", () => resume(Effect.void))
      })
      // It is on its way: a second one, which is answered, shows that the server has read the first.
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      yield* server.serve(Effect.succeed(HttpServerResponse.empty({ status: 202 })))
      assert.strictEqual(yield* Deferred.await(answer), 202)
    }))

  it.scopedLive("fails where the port is taken, and gives it free with its scope", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const first = yield* Scope.extend(NodeServer.make(here), scope)
      const { port } = first.address as HttpServer.TcpAddress
      const again = NodeServer.make({ ...here, port })
      assert.strictEqual((yield* Effect.flip(again))._tag, "ServeError")
      yield* Scope.close(scope, Exit.void)
      yield* again
    }))
})
