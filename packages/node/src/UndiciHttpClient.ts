/**
 * An `HttpClient` straight over undici: answers are read whole, and each kind of traffic has connections of its own, so
 * that thousands of waiting samples delay no heartbeat.
 *
 * It makes no span and no stream for a request. Those of the platform's own client cost several times what the request
 * itself does, which counts where thousands are under way.
 */
import * as Cookies from "@effect/platform/Cookies"
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as UrlParams from "@effect/platform/UrlParams"
import {
  type DirectAnswer,
  type DirectHttpClient,
  SendDirectly,
  type Traffic,
  trafficOf
} from "effect-tinker/TinkerHttpClient"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Dispatcher } from "undici"
import { ConnectionList, ConnectionPool, type Connections, type Handler } from "./internal/connections.js"
import { acceptEncoding, decompress } from "./internal/decompress.js"
import { Turns } from "./internal/turns.js"

/**
 * Most connections to a server for each kind of traffic. A waiting poll holds a connection, so polls have as many as there
 * are; everything else is answered soon and shares a few.
 */
const connections: Record<Exclude<Traffic, "poll">, number> = { session: 8, sample: 16, train: 32, telemetry: 2 }

/**
 * A connection on which an empty 400 came is not used again: something before the server has refused it, not the request.
 *
 * Closing the scope closes the connections; requests on them then belong to fibers that ended with the same scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<DirectHttpClient, never, Scope.Scope> = Effect.gen(function*() {
  const pools = new Map<Traffic, Connections>()
  for (const kind of ["session", "sample", "train", "telemetry", "poll"] as const) {
    const pool = yield* Effect.acquireRelease(
      Effect.sync(() => kind === "poll" ? new ConnectionList() : new ConnectionPool(connections[kind])),
      (pool) => Effect.promise(() => pool.destroy())
    )
    pools.set(kind, pool)
  }

  const turns = new Turns()

  const sendDirectly: DirectHttpClient[typeof SendDirectly] = (request, done) => {
    const url = UrlParams.makeUrl(request.url, request.urlParams, request.hash)
    if (url._tag === "Left") {
      done(new HttpClientError.RequestError({ request, reason: "InvalidUrl", cause: url.left }))
      return () => {}
    }
    const { origin, pathname, search } = url.right
    const options = bodyOf(request, {
      origin,
      path: pathname + search,
      method: request.method as Dispatcher.HttpMethod
    })
    if (options === undefined) {
      done(fail(request, new Error(`a body of the kind ${request.body._tag} cannot be sent`)))
      return () => {}
    }
    const exchange = new Exchange(request, (outcome) => turns.add(() => done(outcome)))
    try {
      pools.get(trafficOf(pathname))!.dispatch(origin, options, exchange)
    } catch (cause) {
      done(fail(request, cause))
    }
    return () => exchange.abort()
  }

  const send = (request: HttpClientRequest.HttpClientRequest) =>
    Effect.async<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>((resume) => {
      const abort = sendDirectly(
        request,
        (outcome) =>
          resume(Effect.map(outcome, ({ body, headers, status }) => new Answer(request, status, headers, body)))
      )
      return Effect.sync(abort)
    })

  return Object.assign(HttpClient.makeWith((request) => Effect.flatMap(request, send), succeed), {
    [SendDirectly]: sendDirectly
  })
})

const succeed = (request: HttpClientRequest.HttpClientRequest) => Effect.succeed(request)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<HttpClient.HttpClient> = Layer.scoped(HttpClient.HttpClient, make)

const bodyOf = (
  request: HttpClientRequest.HttpClientRequest,
  options: Pick<Dispatcher.DispatchOptions, "origin" | "path" | "method">
): Dispatcher.DispatchOptions | undefined => {
  const headers = ["accept-encoding", acceptEncoding]
  for (const name in request.headers) headers.push(name, request.headers[name]!)
  switch (request.body._tag) {
    case "Empty":
      return { ...options, headers }
    case "Uint8Array":
      return { ...options, headers, body: request.body.body }
    default:
      return undefined
  }
}

type Done = (outcome: Effect.Effect<DirectAnswer, HttpClientError.HttpClientError>) => void

/** One request on a connection. */
class Exchange implements Handler {
  onEnd: ((refused: boolean) => void) | undefined
  cut: (() => void) | undefined
  private readonly request: HttpClientRequest.HttpClientRequest
  private readonly done: Done
  private controller: Dispatcher.DispatchController | undefined
  private aborted = false
  private ended = false
  private status = 0
  private headers: Headers.Headers = Headers.empty
  private readonly parts: Array<Uint8Array> = []

  constructor(request: HttpClientRequest.HttpClientRequest, done: Done) {
    this.request = request
    this.done = done
  }

  abort(): void {
    if (this.ended) return
    this.aborted = true
    if (this.cut === undefined) this.controller?.abort(new Error("interrupted"))
    else this.cut()
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller
    if (this.aborted) controller.abort(new Error("interrupted"))
  }

  onResponseStart(
    _: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | Array<string> | undefined>
  ): void {
    this.status = status
    this.headers = joined(headers)
  }

  onResponseData(_: Dispatcher.DispatchController, part: Buffer): void {
    this.parts.push(part)
  }

  onResponseEnd(): void {
    const { headers, parts, request, status } = this
    this.ended = true
    this.onEnd?.(status === 400 && parts.length === 0)
    const body: Uint8Array = parts.length === 1 ? parts[0]! : Buffer.concat(parts)
    const encoding = headers["content-encoding"]
    this.done(
      encoding === undefined || encoding === "identity" || body.length === 0
        ? Effect.succeed({ status, headers, body })
        : Effect.matchEffect(decompress(encoding, body), {
          onFailure: (cause) => fail(request, cause),
          onSuccess: (body) => Effect.succeed({ status, headers, body })
        })
    )
  }

  onResponseError(_: Dispatcher.DispatchController, cause: Error): void {
    this.ended = true
    this.onEnd?.(false)
    // Who has stopped it wants to hear nothing more, least of all that it was stopped.
    if (!this.aborted) this.done(fail(this.request, cause))
  }
}

/** undici gives names in lower case, and a list where a header came several times. */
const joined = (headers: Record<string, string | Array<string> | undefined>): Headers.Headers => {
  for (const name in headers) {
    const value = headers[name]
    if (Array.isArray(value)) headers[name] = value.join(", ")
  }
  return Headers.unsafeFromRecord(headers as Record<string, string>)
}

const fail = (request: HttpClientRequest.HttpClientRequest, cause: unknown) =>
  new HttpClientError.RequestError({ request, reason: "Transport", cause })

class Answer extends Inspectable.Class implements HttpClientResponse.HttpClientResponse {
  readonly [HttpIncomingMessage.TypeId]: HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly request: HttpClientRequest.HttpClientRequest
  readonly status: number
  readonly headers: Headers.Headers
  readonly remoteAddress: Option.Option<string> = Option.none()
  private readonly body: Uint8Array

  constructor(
    request: HttpClientRequest.HttpClientRequest,
    status: number,
    headers: Headers.Headers,
    body: Uint8Array
  ) {
    super()
    this.request = request
    this.status = status
    this.headers = joined(headers)
    this.body = body
  }

  get cookies(): Cookies.Cookies {
    const header = this.headers["set-cookie"]
    return header === undefined ? Cookies.empty : Cookies.fromSetCookie(header)
  }

  get arrayBuffer(): Effect.Effect<ArrayBuffer> {
    return Effect.sync(() => exactBuffer(this.body))
  }

  get text(): Effect.Effect<string> {
    return Effect.sync(() => new TextDecoder().decode(this.body))
  }

  get json(): Effect.Effect<unknown, HttpClientError.ResponseError> {
    return this.read((text): unknown => text === "" ? null : JSON.parse(text))
  }

  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, HttpClientError.ResponseError> {
    return this.read((text) => UrlParams.fromInput(new URLSearchParams(text)))
  }

  get formData(): Effect.Effect<FormData, HttpClientError.ResponseError> {
    return Effect.tryPromise({
      try: () => new Response(exactBuffer(this.body), { headers: this.headers }).formData(),
      catch: (cause) => this.unreadable(cause)
    })
  }

  get stream(): Stream.Stream<Uint8Array> {
    return Stream.succeed(this.body)
  }

  private read<A>(f: (text: string) => A): Effect.Effect<A, HttpClientError.ResponseError> {
    return Effect.flatMap(
      this.text,
      (text) => Effect.try({ try: () => f(text), catch: (cause) => this.unreadable(cause) })
    )
  }

  private unreadable(cause: unknown): HttpClientError.ResponseError {
    return new HttpClientError.ResponseError({ request: this.request, response: this, reason: "Decode", cause })
  }

  toJSON(): unknown {
    return HttpIncomingMessage.inspect(this, {
      _id: "@effect/platform/HttpClientResponse",
      request: this.request.toJSON(),
      status: this.status
    })
  }
}

/** Parts of undici are views into memory that others share. */
const exactBuffer = (body: Uint8Array): ArrayBuffer => {
  if (body.byteOffset === 0 && body.byteLength === body.buffer.byteLength && body.buffer instanceof ArrayBuffer) {
    return body.buffer
  }
  const copy = new Uint8Array(body.byteLength)
  copy.set(body)
  return copy.buffer
}
