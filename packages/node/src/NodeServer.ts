/**
 * An `HttpServer` for many small requests. It spends on one what Node itself does, a fiber, and little more; the platform's
 * own makes a span of each with all its headers, and waits for the last byte of every answer.
 *
 * Requests that come before there is an app to answer them wait for it, so that the clients of a server that is started anew
 * are not left without an answer. It takes no WebSockets, and makes no spans.
 */
import * as NodeSink from "@effect/platform-node/NodeSink"
import * as Cookies from "@effect/platform/Cookies"
import type { Headers } from "@effect/platform/Headers"
import type { Default, PreResponseHandler } from "@effect/platform/HttpApp"
import { currentPreResponseHandlers } from "@effect/platform/HttpApp"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerError from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as FiberRefs from "effect/FiberRefs"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as RuntimeFlags from "effect/RuntimeFlags"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Http from "node:http"
import type * as Net from "node:net"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { IncomingRequest } from "./internal/incomingRequest.js"

/**
 * Listens until the scope closes, which waits for the requests that are being answered. Fails with `ServeError`, e.g. for a
 * port that is taken.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Net.ListenOptions): Layer.Layer<HttpServer.HttpServer, HttpServerError.ServeError> =>
  Layer.scoped(HttpServer.HttpServer, make(options))

/**
 * Makes the server that {@link layer} provides, which listens until the scope closes. Fails as the layer does.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Net.ListenOptions
): Effect.Effect<HttpServer.HttpServer, HttpServerError.ServeError, Scope.Scope> =>
  Effect.gen(function*() {
    const early: Array<readonly [Http.IncomingMessage, Http.ServerResponse]> = []
    let handler: Http.RequestListener = (request, response) => void early.push([request, response])
    const server = yield* Effect.acquireRelease(
      Effect.sync(() => Http.createServer((request, response) => void handler(request, response))),
      close
    )
    yield* listen(server, options)
    return HttpServer.make({
      address: addressOf(server),
      serve: (app, middleware) =>
        Effect.gen(function*() {
          const before = handler
          handler = yield* makeHandler(app, middleware)
          yield* Effect.addFinalizer(() =>
            Effect.sync(() => {
              handler = before
            })
          )
          for (const exchange of early.splice(0)) handler(...exchange)
        })
    })
  })

const listen = (server: Http.Server, options: Net.ListenOptions): Effect.Effect<void, HttpServerError.ServeError> =>
  Effect.async((resume) => {
    const onError = (cause: unknown) => resume(new HttpServerError.ServeError({ cause }))
    server.once("error", onError)
    server.listen(options, () => {
      server.off("error", onError)
      resume(Effect.void)
    })
  })

const close = (server: Http.Server): Effect.Effect<void> =>
  Effect.async((resume) => {
    if (server.listening) server.close(() => resume(Effect.void))
    else resume(Effect.void)
  })

const addressOf = (server: Http.Server): HttpServer.Address => {
  const address = server.address() as Net.AddressInfo | string
  return typeof address === "string"
    ? { _tag: "UnixAddress", path: address }
    : { _tag: "TcpAddress", hostname: address.address === "::" ? "0.0.0.0" : address.address, port: address.port }
}

type Answered = Exit.Exit<HttpServerResponse.HttpServerResponse, unknown>

const makeHandler = (app: Default<unknown>, middleware: HttpMiddleware.HttpMiddleware | undefined) =>
  Effect.map(Effect.runtime<never>(), (captured): Http.RequestListener => {
    // An app decides for itself what of it may be interrupted, as on the platform's server.
    const runtime = Runtime.disableRuntimeFlag(captured, RuntimeFlags.Interruption)
    const { runtimeFlags } = runtime
    const fiberRefs = inherited(runtime.fiberRefs)
    const services = Array.from(runtime.context.unsafeMap)
    const runFork = Runtime.runFork(runtime)
    const whole = prepared(middleware === undefined ? app : middleware(app) as Default<unknown>)
    const nextScope = makeScopes()

    const answer = (
      request: Http.IncomingMessage,
      response: Http.ServerResponse,
      body: Uint8Array | undefined
    ): void => {
      const finish = (exit: Answered): void => {
        if (exit._tag === "Success") return write(exit.value)
        runFork(
          Effect.flatMap(HttpServerError.causeResponse(exit.cause), ([answer, cause]) => {
            write(answer)
            return Cause.isEmptyType(cause) || Cause.isInterruptedOnly(exit.cause)
              ? Effect.void
              : Effect.logError("a request broke", exit.cause)
          })
        )
      }
      const write = (answer: HttpServerResponse.HttpServerResponse): void => {
        if (response.writableEnded || response.destroyed) return
        const { body, cookies, headers, status } = answer
        response.writeHead(
          status,
          Cookies.isEmpty(cookies) ? headers : { ...headers, "set-cookie": Cookies.toSetCookieHeaders(cookies) }
        )
        if (request.method === "HEAD" || body._tag === "Empty") response.end()
        else if (body._tag === "Uint8Array") end(response, body.body)
        else stream(answer)
      }
      /** Sends a body in parts. What breaks in the middle of an answer can only be told by cutting the connection. */
      const stream = (answer: HttpServerResponse.HttpServerResponse): void => {
        const writing = runFork(Effect.interruptible(writeAll(answer, response)))
        writing.addObserver((exit) => {
          if (exit._tag === "Failure") response.destroy()
        })
        response.once("close", () => writing.unsafeInterruptAsFork(HttpServerError.clientAbortFiberId))
      }
      const incoming = HttpServerRequest.fromWeb(new IncomingRequest(request, body) as unknown as Request).modify({
        // Names are in small letters already.
        headers: request.headers as Headers
      })
      const scope = nextScope()
      // A map made of another walks over it in twice the time.
      const provided = new Map<string, unknown>()
      for (let i = 0; i < services.length; i++) provided.set(services[i]![0], services[i]![1])
      provided.set(HttpServerRequest.HttpServerRequest.key, incoming).set(Scope.Scope.key, scope)
      const context = Context.unsafeMake<HttpServerRequest.HttpServerRequest>(provided)
      const settled = Effect.flatMap(Effect.exit(whole), (exit) => Effect.as(Scope.close(scope, exit), exit))
      const fiber = Runtime.runFork(Runtime.make({ context, fiberRefs, runtimeFlags }))(settled)
      fiber.addObserver((exit) => finish(Exit.flatten(exit)))
      // Most are answered by now.
      if (fiber.unsafePoll() !== null) return
      response.on("close", () => {
        if (!response.writableFinished) fiber.unsafeInterruptAsFork(HttpServerError.clientAbortFiberId)
      })
    }

    return (request, response) => {
      if (isSmall(request)) readAll(request, (body) => answer(request, response, body))
      else answer(request, response, undefined)
    }
  })

/**
 * The references that a request's fiber takes over: none that each fiber has of its own or that concern spans alone. Mostly
 * nothing is left then, and a fiber that has nothing to take over begins in half the time.
 */
const inherited = (fiberRefs: FiberRefs.FiberRefs): FiberRefs.FiberRefs =>
  fiberRefs.pipe(
    FiberRefs.delete(FiberRef.currentContext),
    FiberRefs.delete(FiberRef.currentRuntimeFlags),
    FiberRefs.delete(HttpMiddleware.currentTracerDisabledWhen)
  )

/** A scope for each request; made in numbers, as it costs more to run an effect than to make one. */
const makeScopes = (): () => Scope.CloseableScope => {
  let stock: Array<Scope.CloseableScope> = []
  return () => {
    if (stock.length === 0) stock = Effect.runSync(Effect.replicateEffect(Scope.make(), 64))
    return stock.pop()!
  }
}

/** The size in bytes up to which a body is read before its request has a fiber, which then never waits for it. */
const smallBytes = 65_536

const isSmall = ({ headers }: Http.IncomingMessage): boolean => Number(headers["content-length"]) <= smallBytes

/** Reads a whole body. Nothing is left to answer when the connection ends before the body does. */
const readAll = (request: Http.IncomingMessage, onBody: (body: Uint8Array) => void): void => {
  const chunks: Array<Buffer> = []
  request.on("data", (chunk: Buffer) => void chunks.push(chunk))
  request.on("end", () => onBody(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
}

/** Ends an answer. Head and body as one text go to the socket in one piece, which is quicker for those that are not long. */
const end = (response: Http.ServerResponse, body: Uint8Array): void => {
  if (body.length > smallBytes) response.end(body)
  else response.end(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("latin1"), "latin1")
}

/** The app with what was put off until there is an answer, such as headers that a middleware adds. */
const prepared = (app: Default<unknown>): Default<unknown> =>
  Effect.flatMap(app, (answer) =>
    Effect.withFiberRuntime((fiber) => {
      const handler: Option.Option<PreResponseHandler> = fiber.getFiberRef(currentPreResponseHandlers)
      return handler._tag === "None"
        ? Effect.succeed(answer)
        : Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => handler.value(request, answer))
    }))

const writeAll = (
  answer: HttpServerResponse.HttpServerResponse,
  response: Http.ServerResponse
): Effect.Effect<void, unknown> =>
  answer.body._tag === "Stream"
    ? Effect.zipRight(
      Stream.run(answer.body.stream, NodeSink.fromWritable(() => response, (cause) => cause, { endOnDone: false })),
      Effect.sync(() => response.end())
    )
    : Effect.tryPromise((signal) => {
      const { body } = HttpServerResponse.toWeb(answer)
      return pipeline(body === null ? Readable.from([]) : Readable.fromWeb(body as never), response, { signal })
    })
