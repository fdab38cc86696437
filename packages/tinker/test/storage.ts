import { FileSystem, HttpClient, HttpClientError, HttpClientResponse } from "@effect/platform"
import type { HttpClientRequest } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Clock, Effect, Layer, Option, Schedule, Stream } from "effect"
import type { Scope } from "effect"
import { CheckpointDownload, RetryPolicy, Tinker } from "effect-tinker"

/** What a test does to one request for a file. */
export type Fault =
  /** Breaks the connection after so many bytes of this answer. */
  | { readonly cutAfter: number }
  /** Ends the answer after so many bytes, as if it were whole. */
  | { readonly endAfter: number }
  | { readonly status: number }
  /** Sends so many bytes and then nothing. */
  | { readonly hangAfter: number }

export interface Request {
  readonly name: string
  /** How often addresses had been signed when this one was. */
  readonly signing: number
  readonly headers: Readonly<Record<string, string>>
  /** Bytes that were read of the answer. */
  sent: number
  status: number
}

export interface Storage {
  files: Record<string, Uint8Array>
  /** Sent along with every file. */
  headers: Record<string, string>
  /** Of files, unless a test says otherwise. */
  etag: (name: string, bytes: Uint8Array) => string | undefined
  /** Milliseconds that an address is valid. */
  validity: number
  ranges: boolean
  /** How often an address leads to another before the file. */
  redirects: number
  partBytes: number
  fault: (request: Request) => Effect.Effect<Fault | undefined> | Fault | undefined
  readonly requests: Array<Request>
  /** To the service, in order. */
  readonly calls: Array<string>
  signings: number
}

export const secret = "s3cr3t-signature"

export const run = "11111111-2222-3333-4444-555555555555:train:0"

/** A service that signs addresses, and the storage where they lead, both in this process. */
export const makeStorage = (files: Record<string, Uint8Array>): Storage => ({
  files,
  headers: {},
  etag: (_, bytes) => `"${sumOf(bytes)}"`,
  validity: 3600_000,
  ranges: true,
  redirects: 0,
  partBytes: 1000,
  fault: () => undefined,
  requests: [],
  calls: [],
  signings: 0
})

const sumOf = (bytes: Uint8Array) => bytes.reduce((sum, byte) => (sum * 31 + byte) >>> 0, bytes.length)

export const clientOf = (storage: Storage): HttpClient.HttpClient =>
  HttpClient.make((request, url) =>
    Effect.gen(function*() {
      if (url.hostname === "storage.test") return yield* serveFile(storage, request, url)
      const call = `${request.method} ${url.pathname.slice("/api/v1/".length)}`
      storage.calls.push(call)
      const now = yield* Clock.currentTimeMillis
      const expires = new Date(now + storage.validity).toISOString()
      if (call.endsWith("/external_weights_urls")) {
        storage.signings += 1
        const urls = Object.fromEntries(Object.keys(storage.files).map((name) => [name, urlOf(storage, name)]))
        return answer(request, 200, {}, JSON.stringify({ urls, expires }))
      }
      if (call.endsWith("/archive")) {
        storage.signings += 1
        return answer(request, 302, { location: urlOf(storage, "archive"), expires }, "")
      }
      return answer(request, 200, { "content-type": "application/json" }, "{}")
    })
  )

const urlOf = (storage: Storage, name: string) =>
  `https://storage.test/${storage.signings}/${encodeURIComponent(name)}?signature=${secret}`

const answer = (
  request: HttpClientRequest.HttpClientRequest,
  status: number,
  headers: Record<string, string>,
  text: string
) => {
  const body = new TextEncoder().encode(text)
  return Object.defineProperties(HttpClientResponse.fromWeb(request, new Response(null, { status, headers })), {
    arrayBuffer: { value: Effect.succeed(body.buffer) },
    stream: { value: Stream.succeed(body) }
  })
}

const serveFile = (storage: Storage, request: HttpClientRequest.HttpClientRequest, url: URL) =>
  Effect.gen(function*() {
    const [, signing, encoded] = url.pathname.split("/")
    const hops = Number(url.searchParams.get("hops") ?? 0)
    if (hops < storage.redirects) return answer(request, 302, { location: `?signature=${secret}&hops=${hops + 1}` }, "")
    const name = decodeURIComponent(encoded!)
    const seen: Request = { name, signing: Number(signing), headers: { ...request.headers }, sent: 0, status: 0 }
    storage.requests.push(seen)
    const planned = storage.fault(seen)
    const fault = Effect.isEffect(planned) ? yield* planned : planned
    const bytes = storage.files[name]!
    const etag = storage.etag(name, bytes)
    const headers: Record<string, string> = { ...storage.headers, ...(etag === undefined ? {} : { etag }) }
    const respond = (status: number, body: Uint8Array, extra: Record<string, string>) => {
      seen.status = status
      const all = { "content-length": String(body.length), ...headers, ...extra }
      const response = HttpClientResponse.fromWeb(request, new Response(null, { status, headers: all }))
      const broken = new HttpClientError.ResponseError({
        request,
        response,
        reason: "Decode",
        cause: Object.assign(new Error(`reset while reading ${url.href}`), { code: "ECONNRESET" })
      })
      const upTo = (end: number) =>
        Stream.unfold(0, (from) => {
          const part = body.subarray(from, Math.min(from + storage.partBytes, end))
          if (part.length === 0) return Option.none()
          seen.sent += part.length
          return Option.some([part, from + part.length] as const)
        }).pipe(Stream.rechunk(1))
      const stream = fault === undefined || "status" in fault
        ? upTo(body.length)
        : "cutAfter" in fault
        ? Stream.concat(upTo(fault.cutAfter), Stream.fail(broken))
        : "endAfter" in fault
        ? upTo(fault.endAfter)
        : Stream.concat(upTo(fault.hangAfter), Stream.never)
      return Object.defineProperty(response, "stream", { value: stream })
    }
    if (fault !== undefined && "status" in fault) {
      return respond(fault.status, new TextEncoder().encode(`refused: ${url.href}`), { "content-length": "" })
    }
    if (seen.headers["if-none-match"] !== undefined && seen.headers["if-none-match"] === etag) {
      return respond(304, new Uint8Array(0), {})
    }
    const range = /^bytes=(\d+)-$/.exec(seen.headers.range ?? "")
    const unchanged = seen.headers["if-range"] === etag || seen.headers["if-range"] === headers["last-modified"]
    if (range === null || !unchanged || !storage.ranges) return respond(200, bytes, {})
    const from = Number(range[1])
    return from >= bytes.length
      ? respond(416, new Uint8Array(0), { "content-range": `bytes */${bytes.length}` })
      : respond(206, bytes.subarray(from), { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` })
  })

/** Downloads from the storage to real files of this machine; faults are retried at once. */
export const layer = (
  storage: Storage,
  files: Layer.Layer<FileSystem.FileSystem, never, FileSystem.FileSystem> = Layer.effect(
    FileSystem.FileSystem,
    FileSystem.FileSystem
  )
) =>
  Tinker.layerDownload({ baseUrl: "http://localhost" }).pipe(
    Layer.provide(Layer.succeed(HttpClient.HttpClient, clientOf(storage))),
    Layer.provide(files),
    Layer.provideMerge(NodeContext.layer)
  )

export const atOnce = RetryPolicy.withPolicies({ request: Schedule.recurs(3) })

export const ref = `tinker://${run}/external_weights/final`

export const external = (options: CheckpointDownload.Options, checkpoint = ref) =>
  Effect.flatMap(
    CheckpointDownload.CheckpointDownload,
    (download) => atOnce(CheckpointDownload.result(download.externalWeights(checkpoint, options)))
  )

/** A directory of this machine for one test, whose content can be looked at. */
export const folder: Effect.Effect<
  {
    readonly path: string
    readonly target: string
    /** Every file by its path, with what it holds; directories end with a slash. */
    readonly tree: Effect.Effect<Record<string, string>>
  },
  never,
  FileSystem.FileSystem | Scope.Scope
> = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* fs.makeTempDirectoryScoped()
  const tree = Effect.gen(function*() {
    const found: Record<string, string> = {}
    for (const name of (yield* fs.readDirectory(path, { recursive: true })).sort()) {
      const { type } = yield* fs.stat(`${path}/${name}`)
      if (type === "Directory") found[`${name}/`] = ""
      else found[name] = Buffer.from(yield* fs.readFile(`${path}/${name}`)).toString("latin1")
    }
    return found
  })
  return { path, target: `${path}/target`, tree: Effect.orDie(tree) }
}).pipe(Effect.orDie)

/** What a tree looks like when these files, and nothing else, are in the target. */
export const whole = (files: Record<string, Uint8Array>): Record<string, string> => {
  const tree: Record<string, string> = { "target/": "" }
  for (const [name, bytes] of Object.entries(files)) {
    const parts = name.split("/")
    for (let i = 1; i < parts.length; i++) tree[`target/${parts.slice(0, i).join("/")}/`] = ""
    tree[`target/${name}`] = Buffer.from(bytes).toString("latin1")
  }
  return tree
}

/** Bytes that repeat nowhere, the same for the same seed. */
export const bytesOf = (length: number, seed = 1): Uint8Array => {
  const random = numbers(seed)
  return Uint8Array.from({ length }, () => random() & 255)
}

/** Whole numbers below 2^32, the same for the same seed. */
export const numbers = (seed: number) => {
  let state = seed >>> 0
  return (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return ((state >>> 8) ^ state) >>> 0
  }
}
