import type { HttpClient } from "@effect/platform"
import { Effect, Layer } from "effect"
import type { Scope } from "effect"
import { Credentials, TinkerConfig, TinkerHttpClient } from "effect-tinker"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo, Socket } from "node:net"
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from "node:zlib"
import { TinkerNode } from "../src/index.js"
import { compress } from "../src/internal/zstd.js"

/** A server on a port of this machine whose sockets a test can count. */
export interface Server {
  readonly url: string
  /** Every connection so far. */
  readonly sockets: ReadonlyArray<Socket>
  readonly requests: ReadonlyArray<{ readonly request: IncomingMessage; readonly body: string }>
  /** Of a path, e.g. `/api/v1/asample`. */
  readonly count: (path: string) => number
  readonly open: () => number
}

export const serve = (
  answer: (request: IncomingMessage, response: ServerResponse, body: string) => void
): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<{ readonly server: Server; readonly stop: Effect.Effect<void> }>((resume) => {
      const sockets: Array<Socket> = []
      const requests: Array<{ readonly request: IncomingMessage; readonly body: string }> = []
      const http = createServer((request, response) => {
        const parts: Array<Buffer> = []
        request.on("error", () => {})
        request.on("data", (part: Buffer) => parts.push(part))
        request.on("end", () => {
          const body = Buffer.concat(parts).toString()
          requests.push({ request, body })
          answer(request, response, body)
        })
      })
      http.on("connection", (socket) => {
        sockets.push(socket)
        socket.on("error", () => {})
      })
      http.listen(0, "127.0.0.1", () => {
        const server: Server = {
          url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
          sockets,
          requests,
          count: (path) => requests.filter(({ request }) => request.url === path).length,
          open: () => sockets.filter((socket) => !socket.destroyed).length
        }
        const stop = Effect.async<void>((resume) => {
          http.close(() => resume(Effect.void))
          http.closeAllConnections()
        })
        resume(Effect.succeed({ server, stop }))
      })
    }),
    ({ stop }) => stop
  ).pipe(Effect.map(({ server }) => server))

/** Lets the sockets of this machine go on until it is so. */
export const until = (isSo: () => boolean): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    setImmediate(() => resume(Effect.void))
  }).pipe(Effect.repeat({ until: isSo }), Effect.asVoid)

/** The transport of the SDK over Node's sockets. */
export const transport = (
  baseUrl: string,
  options: TinkerConfig.Options = {},
  node: Layer.Layer<HttpClient.HttpClient, unknown> = TinkerNode.layer
): Layer.Layer<TinkerHttpClient.TinkerHttpClient, unknown> =>
  TinkerHttpClient.layer.pipe(
    Layer.provide(Credentials.layer),
    Layer.provide(TinkerConfig.layer({ baseUrl, ...options })),
    Layer.provide(node)
  )

export const post = (path: string, body: unknown = {}) =>
  Effect.flatMap(
    TinkerHttpClient.TinkerHttpClient,
    (http) =>
      http.request({ operation: path, method: "POST", path: `/api/v1/${path}`, body: TinkerHttpClient.jsonBody(body) })
  )

export const get = (path: string) =>
  Effect.flatMap(
    TinkerHttpClient.TinkerHttpClient,
    (http) => http.request({ operation: path, method: "GET", path: `/api/v1/${path}` })
  )

/** A text in every encoding; the blank stands for deflate without its wrapper. */
export const encodingsOf = (text: string): Readonly<Record<string, Effect.Effect<Uint8Array>>> => ({
  gzip: Effect.sync(() => gzipSync(text)),
  deflate: Effect.sync(() => deflateSync(text)),
  "deflate ": Effect.sync(() => deflateRawSync(text)),
  br: Effect.sync(() => brotliCompressSync(text)),
  zstd: compress(new TextEncoder().encode(text)),
  "gzip, br": Effect.sync(() => brotliCompressSync(gzipSync(text)))
})
