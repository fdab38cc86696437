/**
 * An `HttpClient` straight over undici. Each kind of traffic has connections of its own, so that thousands of waiting
 * samples delay no heartbeat, and no download takes their place.
 *
 * The SDK sends through `SendDirectly`, which reads answers whole and makes no span, stream or fiber for a request. Those
 * of the platform's own client cost several times what the request itself does, which counts where thousands are under
 * way. Whoever calls `execute` gets an answer whose body is read as it arrives; it makes no span either.
 */
import { decimalIn } from "@effect-tinker/protocol/Checks"
import { InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as UrlParams from "@effect/platform/UrlParams"
import {
  CurrentTraffic,
  type DirectAnswer,
  type DirectHttpClient,
  RefusedAnswer,
  SendDirectly,
  TakesLentParts,
  type Traffic,
  trafficOf
} from "effect-tinker/HttpRuntime"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Readable } from "node:stream"
import type { Dispatcher } from "undici"
import { CallbackQueue } from "./internal/callbackQueue.js"
import { ConnectionList, ConnectionPool, type Connections, type Handler, isUndici } from "./internal/connections.js"
import { acceptEncoding, decompress } from "./internal/decompress.js"
import * as HttpErrors from "./internal/effect/httpErrors.js"
import { StreamedExchange } from "./internal/streamedExchange.js"
import { StreamedResponse } from "./internal/streamedResponse.js"
import * as Proxy from "./Proxy.js"

/**
 * Most connections to a server for each kind of traffic. A waiting poll holds a connection, and so does a file on its way,
 * so these have as many as there are; everything else is answered soon and shares a few.
 */
const connections: Record<Exclude<Traffic, "poll" | "download">, number> = {
  session: 8,
  sample: 16,
  train: 32,
  telemetry: 2
}

/**
 * The proxy of a client, and how long a connection may take.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Proxy.Options {
  /**
   * How long a connection may take to be made, by way of a proxy too. Environment: `TINKER_CONNECT_TIMEOUT`, in seconds. Default
   * five seconds, as in the Python SDK 0.38.0.
   */
  readonly connectTimeout?: Duration.DurationInput | undefined
}

const connectTimeoutOf = (options: Options): Effect.Effect<Duration.Duration, InvalidInputError> =>
  Effect.gen(function*() {
    const variable = "TINKER_CONNECT_TIMEOUT"
    const given = options.connectTimeout === undefined
      ? yield* Effect.orElseSucceed(Config.string(variable), () => "")
      : undefined
    const field = given === undefined ? "connectTimeout" : variable
    const seconds = given === undefined ? undefined : given.trim() === "" ? 5 : decimalIn(given)
    const timeout = given === undefined
      ? Option.getOrUndefined(Duration.decodeUnknown(options.connectTimeout))
      : seconds === undefined
      ? undefined
      : Duration.seconds(seconds)
    return timeout !== undefined && Duration.toMillis(timeout) >= 1 && Duration.isFinite(timeout)
      ? timeout
      : yield* new InvalidInputError({
        operation: "UndiciHttpClient",
        field,
        description: given === undefined
          ? "must be a duration longer than zero."
          : `${JSON.stringify(given)} is no number of seconds, more than 0 and in decimal digits, such as 5 or 7.5.`
      })
  })

/**
 * A connection on which an empty 400 came is not used again: something before the server has refused it, not the request. Fails with
 * `InvalidInputError` where an option cannot be right, and in runtimes that put something else in the place of undici.
 *
 * Closing the scope closes the connections; requests on them then belong to fibers that ended with the same scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<DirectHttpClient, InvalidInputError, Scope.Scope> =>
  Effect.gen(function*() {
    if (!isUndici()) {
      return yield* new InvalidInputError({
        operation: "UndiciHttpClient",
        field: "undici",
        description:
          "is replaced in this runtime, as Bun does it, by one that cannot send. Provide FetchHttpClient.layer of "
          + "@effect/platform instead; the other layers of @effect-tinker/node can be had one by one."
      })
    }
    const proxyFor = yield* Proxy.make(options)
    const connecting = { proxyFor, timeout: Duration.toMillis(yield* connectTimeoutOf(options)) }
    const pools = new Map<Traffic, Connections>()
    for (const kind of ["session", "sample", "train", "telemetry", "poll", "download"] as const) {
      const pool = yield* Effect.acquireRelease(
        Effect.sync(() =>
          kind === "poll" || kind === "download"
            ? new ConnectionList({ inPlace: kind === "download" }, connecting)
            : new ConnectionPool(connections[kind], connecting)
        ),
        (pool) => Effect.promise(() => pool.destroy())
      )
      pools.set(kind, pool)
    }

    const callbacks = new CallbackQueue()

    const dispatch = (
      request: HttpClientRequest.HttpClientRequest,
      url: URL,
      kind: Traffic,
      handler: Handler,
      refused: (error: HttpClientError.HttpClientError) => void
    ): void => {
      const { origin, pathname, search } = url
      const options = bodyOf(request, {
        origin,
        path: pathname + search,
        method: request.method as Dispatcher.HttpMethod
      })
      if (options === undefined) {
        return refused(
          HttpErrors.transport(request, new Error(`a body of the kind ${request.body._tag} cannot be sent`))
        )
      }
      try {
        pools.get(kind)!.dispatch(origin, options, handler)
      } catch (cause) {
        refused(HttpErrors.transport(request, cause))
      }
    }

    const sendDirectly: DirectHttpClient[typeof SendDirectly] = (request, done, maxBytes) => {
      const url = UrlParams.makeUrl(request.url, request.urlParams, request.hash)
      if (url._tag === "Left") {
        done(HttpErrors.invalidUrl(request, url.left))
        return () => {}
      }
      const exchange = new Exchange(request, (outcome) => callbacks.add(() => done(outcome)), maxBytes)
      dispatch(request, url.right, trafficOf(url.right.pathname), exchange, done)
      return () => exchange.abort()
    }

    const client = HttpClient.make((request, url, signal, fiber) =>
      Effect.async<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>((resume) => {
        const kind = Context.get(fiber.currentContext, CurrentTraffic) ?? trafficOf(url.pathname)
        const ownership = kind !== "download"
          ? "own"
          : Context.get(fiber.currentContext, TakesLentParts)
          ? "lent"
          : "copied"
        const exchange = new StreamedExchange(ownership, (error, head) =>
          callbacks.add(() =>
            resume(
              head === undefined
                ? HttpErrors.transport(request, error)
                : Effect.succeed(new StreamedResponse(request, head.status, joined(head.headers), exchange))
            )
          ))
        signal.addEventListener("abort", () => exchange.abort(), { once: true })
        dispatch(request, url, kind, exchange, resume)
        return Effect.sync(() => exchange.abort())
      })
    )

    return Object.assign(HttpClient.withTracerDisabledWhen(client, () => true), { [SendDirectly]: sendDirectly })
  })

/**
 * Provides a client with these options; its connections close with the scope.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWith = (options: Options): Layer.Layer<HttpClient.HttpClient, InvalidInputError> =>
  Layer.scoped(HttpClient.HttpClient, make(options))

/**
 * The client that goes through the proxies of the environment, if there are any.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<HttpClient.HttpClient, InvalidInputError> = layerWith({})

const bodyOf = (
  request: HttpClientRequest.HttpClientRequest,
  options: Pick<Dispatcher.DispatchOptions, "origin" | "path" | "method">
): Dispatcher.DispatchOptions | undefined => {
  const headers = request.headers["accept-encoding"] === undefined ? ["accept-encoding", acceptEncoding] : []
  for (const name in request.headers) headers.push(name, request.headers[name]!)
  switch (request.body._tag) {
    case "Empty":
      return { ...options, headers }
    case "Uint8Array":
      return { ...options, headers, body: request.body.body }
    case "Stream":
      // undici takes what can be iterated too, which its types do not say.
      return { ...options, headers, body: Stream.toAsyncIterable(request.body.stream) as unknown as Readable }
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
  private readonly maxBytes: number
  private bytes = 0

  constructor(request: HttpClientRequest.HttpClientRequest, done: Done, maxBytes: number) {
    this.request = request
    this.done = done
    this.maxBytes = maxBytes
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
    if (Number(this.headers["content-length"] ?? 0) > this.maxBytes) this.refuse()
  }

  onResponseData(_: Dispatcher.DispatchController, part: Buffer): void {
    if (this.aborted) return
    this.bytes += part.length
    if (this.bytes > this.maxBytes) this.refuse()
    else this.parts.push(part)
  }

  /** Closes the connection: the rest of the body is not worth reading. */
  private refuse(): void {
    this.abort()
    this.done(HttpErrors.transport(this.request, new RefusedAnswer({ reason: "TooLong", limit: this.maxBytes })))
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
        : Effect.matchEffect(decompress(encoding, body, this.maxBytes), {
          onFailure: (cause) => HttpErrors.transport(request, cause),
          onSuccess: (body) => Effect.succeed({ status, headers, body })
        })
    )
  }

  onResponseError(_: Dispatcher.DispatchController, cause: Error): void {
    this.ended = true
    this.onEnd?.(false)
    // Who has stopped it wants to hear nothing more, least of all that it was stopped.
    if (!this.aborted) this.done(HttpErrors.transport(this.request, cause))
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
