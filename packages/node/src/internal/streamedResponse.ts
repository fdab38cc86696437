import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Cookies from "@effect/platform/Cookies"
import type * as Headers from "@effect/platform/Headers"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { pipeline, Readable } from "node:stream"
import { decompress, inflaters } from "./decompress.js"
import * as HttpErrors from "./effect/httpErrors.js"
import type { StreamedExchange } from "./streamedExchange.js"

/**
 * An answer whose body is read when it is asked for: in parts as they arrive, or whole. Read whole it can be read again.
 */
export class StreamedResponse extends Inspectable.Class implements HttpClientResponse.HttpClientResponse {
  readonly [HttpIncomingMessage.TypeId]: HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly request: HttpClientRequest.HttpClientRequest
  readonly status: number
  readonly headers: Headers.Headers
  readonly remoteAddress: Option.Option<string> = Option.none()
  private readonly exchange: StreamedExchange
  private begun = false
  private body: Uint8Array | undefined

  constructor(
    request: HttpClientRequest.HttpClientRequest,
    status: number,
    headers: Headers.Headers,
    exchange: StreamedExchange
  ) {
    super()
    this.request = request
    this.status = status
    this.headers = headers
    this.exchange = exchange
  }

  get cookies(): Cookies.Cookies {
    const header = this.headers["set-cookie"]
    return header === undefined ? Cookies.empty : Cookies.fromSetCookie(header)
  }

  get arrayBuffer(): Effect.Effect<ArrayBuffer, HttpErrors.BodyError> {
    return Effect.map(this.whole, exactBuffer)
  }

  get text(): Effect.Effect<string, HttpErrors.BodyError> {
    return Effect.map(this.whole, (body) => new TextDecoder().decode(body))
  }

  get json(): Effect.Effect<unknown, HttpErrors.BodyError> {
    return this.read((text): unknown => text === "" ? null : JSON.parse(text))
  }

  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, HttpErrors.BodyError> {
    return this.read((text) => UrlParams.fromInput(new URLSearchParams(text)))
  }

  get formData(): Effect.Effect<FormData, HttpErrors.BodyError> {
    return Effect.flatMap(this.arrayBuffer, (body) =>
      Effect.tryPromise({
        try: () => new Response(body, { headers: this.headers }).formData(),
        catch: (cause) => this.unreadable(cause)
      }))
  }

  get stream(): Stream.Stream<Uint8Array, HttpErrors.BodyError> {
    return Stream.suspend(() => {
      if (this.body !== undefined) return Stream.succeed(this.body)
      if (this.begun) return Stream.fail(this.unreadable(readAlready))
      this.begun = true
      const encoding = this.encoding
      return Stream.ensuring(
        encoding === undefined ? this.parts : this.inflated(encoding),
        Effect.sync(() => this.exchange.abort())
      )
    })
  }

  /** The encodings of the body; absent when it is as it was sent. */
  private get encoding(): string | undefined {
    const encoding = this.headers["content-encoding"]
    return encoding === "identity" ? undefined : encoding
  }

  private get parts(): Stream.Stream<Uint8Array, HttpErrors.BodyError> {
    return Stream.repeatEffectChunkOption(
      Effect.async<Chunk.Chunk<Uint8Array>, Option.Option<HttpErrors.BodyError>>((resume) => {
        this.exchange.take((error, parts) =>
          resume(
            error !== null
              ? Effect.fail(Option.some(this.unreadable(error)))
              : parts.length === 0
              ? Effect.fail(Option.none())
              : Effect.succeed(Chunk.unsafeFromArray(parts))
          )
        )
      })
    )
  }

  private inflated(encoding: string): Stream.Stream<Uint8Array, HttpErrors.BodyError> {
    return Stream.unwrap(Effect.map(
      Effect.mapError(inflaters(encoding), (cause) => this.unreadable(cause)),
      ([first, ...rest]) => {
        if (first === undefined) return this.parts
        const source = readable(this.exchange)
        return NodeStream.fromReadable<HttpErrors.BodyError, Uint8Array>(
          () => [first, ...rest].reduce((from, to) => pipeline(from, to, () => {}), source),
          (cause) => this.unreadable(cause)
        )
      }
    ))
  }

  private get whole(): Effect.Effect<Uint8Array, HttpErrors.BodyError> {
    return Effect.suspend(() => {
      if (this.body !== undefined) return Effect.succeed(this.body)
      if (this.begun) return Effect.fail(this.unreadable(readAlready))
      this.begun = true
      const encoding = this.encoding
      return collect(this.exchange).pipe(
        Effect.flatMap((body) =>
          encoding === undefined || body.length === 0 ? Effect.succeed(body) : decompress(encoding, body, Infinity)
        ),
        Effect.mapBoth({
          onSuccess: (body) => this.body = body,
          onFailure: (cause) => this.unreadable(cause)
        })
      )
    })
  }

  private read<A>(f: (text: string) => A): Effect.Effect<A, HttpErrors.BodyError> {
    return Effect.flatMap(
      this.text,
      (text) => Effect.try({ try: () => f(text), catch: (cause) => this.unreadable(cause) })
    )
  }

  private unreadable(cause: unknown): HttpErrors.BodyError {
    return HttpErrors.unreadable(this, cause)
  }

  toJSON(): unknown {
    return HttpIncomingMessage.inspect(this, {
      _id: "@effect/platform/HttpClientResponse",
      request: this.request.toJSON(),
      status: this.status
    })
  }
}

const readAlready = new Error("the body is being read, or was read in parts, which can be done once")

const collect = (exchange: StreamedExchange): Effect.Effect<Uint8Array, Error> =>
  Effect.async((resume) => {
    const all: Array<Uint8Array> = []
    const next = () =>
      exchange.take((error, parts) => {
        if (error !== null) return resume(Effect.fail(error))
        if (parts.length === 0) return resume(Effect.succeed(all.length === 1 ? all[0]! : Buffer.concat(all)))
        for (const part of parts) all.push(owned(exchange, part))
        next()
      })
    next()
    return Effect.sync(() => exchange.abort())
  })

/** The part in memory of its own, which the next does not overwrite. */
const owned = ({ ownership }: StreamedExchange, part: Uint8Array): Uint8Array =>
  ownership === "lent" ? part.slice() : part

/** The body as a stream of Node, for its transformations. */
const readable = (exchange: StreamedExchange): Readable =>
  new Readable({
    read() {
      exchange.take((error, parts) => {
        if (error !== null) this.destroy(error)
        else if (parts.length === 0) this.push(null)
        else for (const part of parts) this.push(owned(exchange, part))
      })
    },
    destroy(error, done) {
      exchange.abort()
      done(error)
    }
  })

/** The body in a buffer of its own, since parts of undici are views into memory that others share. */
const exactBuffer = (body: Uint8Array): ArrayBuffer => {
  if (body.byteOffset === 0 && body.byteLength === body.buffer.byteLength && body.buffer instanceof ArrayBuffer) {
    return body.buffer
  }
  const copy = new Uint8Array(body.byteLength)
  copy.set(body)
  return copy.buffer
}
