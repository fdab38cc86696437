/**
 * One file from a signed address to a place on this machine. A connection that breaks is followed by another, which goes
 * on where it broke; what another connection gives must belong to the same file.
 */
import {
  ApiConnectionError,
  ApiStatusError,
  ApiTimeoutError,
  isRetryable,
  reasonOfStatus,
  type TinkerError
} from "@effect-tinker/protocol/TinkerError"
import * as PlatformError from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { CurrentTraffic, TakesLentParts } from "../../HttpRuntime.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import * as Monotonic from "../monotonic.js"
import * as PolicyRun from "../transport/policyRun.js"
import { retryAfter } from "../transport/retryAfter.js"
import * as Digests from "./digests.js"
import { DownloadError } from "./downloadError.js"
import type { DownloadParts, Part } from "./downloadParts.js"
import type { DownloadTotals } from "./downloadTotals.js"
import type { Signed, SignedUrls } from "./signedUrls.js"
import { urlOf } from "./signedUrls.js"
import { failure } from "./stagedDirectory.js"

export interface Options {
  readonly client: HttpClient.HttpClient
  readonly subject: string
  /** Among the signed addresses. */
  readonly name: string
  readonly place: string
  readonly urls: SignedUrls
  readonly parts: DownloadParts
  readonly totals: DownloadTotals
  /** The time limit of the beginning of an answer, and of each part of it. */
  readonly timeout: Duration.Duration
  readonly makeHasher: (algorithm: Digests.Algorithm) => Digests.Hasher
  /** One permit: for the file that is being flushed to the disk while more arrives. */
  readonly flushing: Effect.Semaphore
}

type Failure = TinkerError | DownloadError

/** What the file holds so far. */
interface Progress {
  received: number
  part: Part | undefined
  hasher: Digests.Hasher | undefined
  /** Whether the server has shown in this run that it still has the file of which these are the first bytes. */
  confirmed: boolean
  /** Gathers small parts, so that they are written in large pieces. */
  buffer: Uint8Array | undefined
  /** How much had been received when the file was last flushed to the disk. */
  flushed: number
  flushFailure: PlatformError.PlatformError | undefined
}

/** Flushed in such portions, there is little left to wait for at the end. */
const flushBytes = 32 * 1024 * 1024

const bufferBytes = 256 * 1024
const largePartBytes = 64 * 1024

const operation = "CheckpointDownload"

/** Gives the length of the file, which is whole then, and on the disk. */
export const downloadFile = (options: Options): Effect.Effect<number, Failure, FileSystem.FileSystem> =>
  Effect.scoped(Effect.gen(function*() {
    const { file, progress } = yield* open(options)
    const scope = yield* Effect.scope
    yield* persist(attempt(options, file, progress, scope), progress, options)
    yield* Effect.uninterruptible(Effect.mapError(
      Effect.zipRight(
        file.sync,
        Effect.suspend(() => progress.flushFailure === undefined ? Effect.void : Effect.fail(progress.flushFailure))
      ),
      failure(options.subject, options.name)
    ))
    const { digest } = progress.part ?? {}
    if (digest !== undefined && progress.hasher !== undefined && !Digests.equals(progress.hasher, digest)) {
      // Going on from it would not make it better.
      yield* beginAnew(options, file, progress)
      return yield* new DownloadError({
        reason: "Damaged",
        subject: options.subject,
        file: options.name,
        description: `the bytes do not have the ${digest.algorithm} that the server gave`
      })
    }
    return progress.received
  }))

/** What an earlier run has left is gone on from, if it can be recognized. */
const open = (
  { makeHasher, name, parts, place, subject, totals }: Options
): Effect.Effect<
  { readonly file: FileSystem.File; readonly progress: Progress },
  DownloadError,
  FileSystem.FileSystem | Scope.Scope
> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const part = parts.get(name)
    const known = part !== undefined && validatorOf(part) !== undefined && (yield* fs.exists(place))
    const file = yield* fs.open(place, { flag: known ? "r+" : "w+" })
    const progress: Progress = {
      received: 0,
      part: undefined,
      hasher: undefined,
      confirmed: false,
      buffer: undefined,
      flushed: 0,
      flushFailure: undefined
    }
    if (!known) return { file, progress }
    const size = Number((yield* file.stat).size)
    if (part.total !== undefined && size > part.total) {
      yield* file.truncate(0)
      return { file, progress }
    }
    const hasher = part.digest === undefined ? undefined : makeHasher(part.digest.algorithm)
    if (hasher !== undefined) yield* hashOf(file, hasher)
    yield* file.seek(size, "start")
    yield* totals.announce(name, part.total)
    yield* totals.add(name, size)
    return {
      file,
      progress: {
        received: size,
        part,
        hasher,
        confirmed: false,
        buffer: undefined,
        flushed: size,
        flushFailure: undefined
      }
    }
  }).pipe(Effect.catchIf(PlatformError.isPlatformError, failure(subject, name)))

const hashOf = (file: FileSystem.File, hasher: Digests.Hasher) =>
  Effect.gen(function*() {
    const buffer = new Uint8Array(1024 * 1024)
    yield* file.seek(0, "start")
    for (;;) {
      const size = Number(yield* file.read(buffer))
      if (size === 0) return
      hasher.update(buffer.subarray(0, size))
    }
  })

/** Attempts by the policy for requests, which starts afresh whenever something has come. */
const persist = (
  attempt: Effect.Effect<void, Failure>,
  progress: Progress,
  { name, subject }: Options
): Effect.Effect<void, Failure> =>
  Effect.gen(function*() {
    const { request } = yield* RetryPolicy.CurrentPolicies
    let run = PolicyRun.begin(request)
    for (;;) {
      const before = progress.received
      const outcome = yield* Effect.either(attempt)
      if (Either.isRight(outcome)) return
      const error = outcome.left
      if (!mayPass(error)) return yield* Effect.fail(error)
      if (progress.received > before) run = PolicyRun.begin(request)
      const fault = error._tag === "DownloadError" ? connectionLost(subject, name, error) : error
      if (!(yield* run.pause(fault))) return yield* Effect.fail(error)
    }
  })

const mayPass = (error: Failure): boolean =>
  error._tag === "DownloadError" ? error.reason === "Truncated" : isRetryable(error)

/** One connection, or several where an address was refused or the file has changed. */
const attempt = (
  options: Options,
  file: FileSystem.File,
  progress: Progress,
  scope: Scope.Scope
): Effect.Effect<void, Failure> =>
  Effect.gen(function*() {
    let signed = yield* options.urls.current
    let refused = false
    for (;;) {
      const { confirmed, part, received } = progress
      if (confirmed && received === part?.total) return
      const response = yield* send(options, signed, part, received)
      if (refusals.has(response.status)) {
        if (refused) return yield* statusError(options, response)
        refused = true
        signed = yield* options.urls.renew(signed)
      } else if (response.status === 304 && part !== undefined) {
        return
      } else if (response.status === 200) {
        if (received > 0) yield* beginAnew(options, file, progress)
        return yield* read(options, file, progress, scope, response)
      } else if (response.status === 206 && received > 0 && continues(response, progress)) {
        return yield* read(options, file, progress, scope, response)
      } else if ((response.status === 206 || response.status === 416) && received > 0) {
        yield* beginAnew(options, file, progress)
      } else {
        return yield* statusError(options, response)
      }
    }
  }).pipe(Effect.scoped)

/** An address that has expired is answered so by one storage or another; a file that is gone is not. */
const refusals: ReadonlySet<number> = new Set([400, 401, 403, 410])

const beginAnew = (
  { name, parts, subject, totals }: Options,
  file: FileSystem.File,
  progress: Progress
): Effect.Effect<void, DownloadError> =>
  Effect.gen(function*() {
    yield* Effect.mapError(file.truncate(0), failure(subject, name))
    yield* file.seek(0, "start")
    yield* totals.add(name, -progress.received)
    yield* parts.set(name, undefined)
    progress.received = 0
    progress.part = undefined
    progress.hasher = undefined
    progress.confirmed = false
    progress.flushed = 0
  })

/** Weak tags say that two files mean the same, not that their bytes are the same. */
const validatorOf = (part: Part): string | undefined =>
  part.etag !== undefined && !part.etag.startsWith("W/") ? part.etag : part.lastModified

const conditions = (part: Part | undefined, received: number): Readonly<Record<string, string>> => {
  const validator = part === undefined ? undefined : validatorOf(part)
  if (part === undefined || validator === undefined || received === 0) return {}
  if (received !== part.total) return { range: `bytes=${received}-`, "if-range": validator }
  return validator === part.etag ? { "if-none-match": validator } : { "if-modified-since": validator }
}

const continues = ({ headers }: HttpClientResponse.HttpClientResponse, { part, received }: Progress): boolean => {
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers["content-range"] ?? "")
  return range !== null && Number(range[1]) === received
    && (part?.total === undefined || range[2] === "*" || Number(range[2]) === part.total)
    && (part?.etag === undefined || headers.etag === undefined || headers.etag === part.etag)
    && headers["content-encoding"] === undefined
}

/** No credential goes along, no trace is made of the address, and whoever follows it elsewhere goes on without one too. */
const send = (
  options: Options,
  signed: Signed,
  part: Part | undefined,
  received: number
): Effect.Effect<HttpClientResponse.HttpClientResponse, Failure, Scope.Scope> =>
  Effect.gen(function*() {
    const headers = { "accept-encoding": "identity", ...conditions(part, received) }
    const client = HttpClient.withTracerDisabledWhen(HttpClient.withScope(options.client), () => true)
    let url = yield* urlOf(signed, options.name)
    for (let redirects = 0;; redirects++) {
      const response = yield* client.execute(HttpClientRequest.get(url, { headers })).pipe(
        Effect.provideService(CurrentTraffic, "download"),
        Effect.provideService(TakesLentParts, true),
        Effect.mapError((error) => lost(options, url, error)),
        Effect.timeoutFail({ duration: options.timeout, onTimeout: () => timedOut(options) })
      )
      const { location } = response.headers
      if (!redirections.has(response.status) || location === undefined || redirects === mostRedirects) return response
      if (!URL.canParse(location, url)) return response
      url = new URL(location, url)
    }
  })

const redirections: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

/** Source: the Fetch standard. */
const mostRedirects = 20

const read = (
  options: Options,
  file: FileSystem.File,
  progress: Progress,
  /** The scope of the file. */
  scope: Scope.Scope,
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<void, Failure> =>
  Effect.gen(function*() {
    const { makeHasher, name, parts, subject, totals } = options
    const { headers, status } = response
    progress.confirmed = true
    if (status === 200) {
      const encoded = headers["content-encoding"] !== undefined && headers["content-encoding"] !== "identity"
      // Of a body that was compressed on its way neither length nor hash are those of the file, nor can it be resumed.
      const part: Part = encoded ? {} : {
        etag: headers.etag,
        lastModified: headers["last-modified"],
        total: lengthOf(headers["content-length"]),
        digest: Digests.offered(headers, true)
      }
      progress.part = part
      progress.hasher = part.digest === undefined ? undefined : makeHasher(part.digest.algorithm)
      yield* totals.announce(name, part.total)
      yield* parts.set(name, part)
    }
    const url = new URL(response.request.url)
    let buffer: Uint8Array = new Uint8Array(0)
    let filled = 0
    const clock = yield* Effect.clock
    let lastPart = Monotonic.unsafeNow(clock)
    // A timeout for every part would cost more than the part.
    const silence = Effect.zipRight(
      Monotonic.sleepUntil(() => lastPart + Duration.toMillis(options.timeout)),
      Effect.suspend(() => Effect.fail(timedOut(options)))
    )
    // What the system still writes when its file is closed would be written to another.
    const write = (bytes: Uint8Array) =>
      Effect.uninterruptible(Effect.mapError(file.writeAll(bytes), failure(subject, name))).pipe(
        Effect.zipRight(Effect.suspend(() => {
          progress.hasher?.update(bytes)
          progress.received += bytes.length
          const added = totals.add(name, bytes.length)
          if (progress.received - progress.flushed < flushBytes) return added
          progress.flushed = progress.received
          return Effect.zipRight(added, flushMeanwhile(options, file, progress, scope))
        }))
      )
    const flush = Effect.suspend(() => {
      const bytes = buffer.subarray(0, filled)
      filled = 0
      return bytes.length === 0 ? Effect.void : write(bytes)
    })
    const take = (part: Uint8Array): Effect.Effect<void, DownloadError> => {
      if (part.length >= largePartBytes) return filled === 0 ? write(part) : Effect.zipRight(flush, write(part))
      buffer = progress.buffer ??= new Uint8Array(bufferBytes)
      if (part.length > buffer.length - filled) return Effect.zipRight(flush, Effect.suspend(() => take(part)))
      buffer.set(part, filled)
      filled += part.length
      return Effect.void
    }
    yield* response.stream.pipe(
      Stream.mapError((error): Failure => lost(options, url, error)),
      Stream.runForEachChunk((chunk) => {
        lastPart = Monotonic.unsafeNow(clock)
        const [first, ...rest] = Chunk.toReadonlyArray(chunk)
        return rest.length === 0 ? take(first!) : Effect.forEach([first!, ...rest], take, { discard: true })
      }),
      Effect.raceFirst(silence),
      // What came before a break is not fetched again.
      Effect.catchAll((error) => Effect.zipRight(flush, Effect.fail(error)))
    )
    yield* flush
    const total = progress.part?.total
    if (total !== undefined && progress.received !== total) {
      return yield* new DownloadError({
        reason: "Truncated",
        subject,
        file: name,
        description: `it ended after ${progress.received} of ${total} bytes`
      })
    }
  })

/** Unless another file is being flushed: the system would let nothing else be written. */
const flushMeanwhile = (
  { flushing }: Options,
  file: FileSystem.File,
  progress: Progress,
  scope: Scope.Scope
): Effect.Effect<void> =>
  file.sync.pipe(
    Effect.catchAll((error) =>
      // The system tells of a failure once.
      Effect.sync(() => {
        progress.flushFailure = error
      })
    ),
    flushing.withPermitsIfAvailable(1),
    Effect.uninterruptible,
    Effect.forkIn(scope),
    Effect.asVoid
  )

const lengthOf = (header: string | undefined): number | undefined =>
  header !== undefined && /^\d{1,15}$/.test(header) ? Number(header) : undefined

const timedOut = ({ timeout }: Options) => new ApiTimeoutError({ operation, reason: "request", deadline: timeout })

const statusError = (
  { name, subject }: Options,
  { headers, status }: HttpClientResponse.HttpClientResponse
): Effect.Effect<never, ApiStatusError> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    new ApiStatusError({
      operation,
      status,
      reason: reasonOfStatus(status),
      // What storages say themselves may repeat the address.
      detail: `to the file ${JSON.stringify(name)} of ${subject}`,
      retryAfter: retryAfter(headers, now)
    }))

/** Tells the origin alone: the rest of the address opens the file to whoever reads it. */
const lost = (
  { name, subject }: Options,
  { origin }: URL,
  error: HttpClientError.HttpClientError
): ApiConnectionError =>
  new ApiConnectionError({
    operation,
    url: origin,
    description: `the file ${JSON.stringify(name)} of ${subject}: ${reasonOf(error.cause)}`
  })

const connectionLost = (subject: string, name: string, error: DownloadError): ApiConnectionError =>
  new ApiConnectionError({
    operation,
    url: subject,
    description: `the file ${JSON.stringify(name)}: ${error.description}`
  })

/** The code alone, or the kind of error: messages may repeat addresses. */
const reasonOf = (cause: unknown): string => {
  if (!(cause instanceof Error)) return "the connection failed"
  if (cause.cause instanceof Error) return reasonOf(cause.cause)
  return "code" in cause && typeof cause.code === "string" ? cause.code : cause.name
}
