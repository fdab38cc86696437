/** Unpacks a tar archive, compressed by gzip or not, into a directory that is its own. */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { createTarDecoder, type ParsedTarEntry } from "modern-tar"
import { DownloadError, type DownloadReason } from "./downloadError.js"
import { makeChecker } from "./fileNames.js"
import { failure } from "./stagedDirectory.js"

export interface Options {
  readonly subject: string
  readonly archive: string
  readonly directory: string
  readonly maxBytes: number
  readonly maxFiles: number
}

export interface Unpacked {
  readonly bytes: number
  readonly files: ReadonlyArray<string>
}

/** Weights do not compress well; what does so well is made to fill disks. Small archives may be all zeros. */
const mostRatio = 200
const freeOfRatio = 16 * 1024 * 1024

export const unpack = (
  options: Options
): Effect.Effect<Unpacked, DownloadError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const { archive, directory, maxBytes, maxFiles, subject } = options
    const attempt = <A>(effect: Effect.Effect<A, PlatformError>, file?: string) =>
      Effect.mapError(effect, failure(subject, file))
    const refuse = (reason: DownloadReason, description: string, file?: string) =>
      new DownloadError({ reason, subject, file, description })

    const size = Number((yield* attempt(fs.stat(archive))).size)
    const check = makeChecker()
    const files: Array<string> = []
    let entries = 0
    let announced = 0
    let inflated = 0

    const unpackEntry = ({ body, header }: ParsedTarEntry) =>
      Effect.gen(function*() {
        const isDirectory = header.type === "directory"
        const name = header.name.replace(/^(\.\/+)+/, "").replace(/\/+$/, "")
        // The directory itself.
        if (isDirectory && (name === "" || name === ".")) return
        if (!isDirectory && header.type !== "file") {
          return yield* refuse("UnsafeArchive", "it is a link, a device or another thing that is no file", header.name)
        }
        const wrong = check(name, isDirectory ? "directory" : "file")
        if (wrong !== undefined) return yield* refuse("UnsafeName", wrong, header.name)
        if (++entries > maxFiles) return yield* refuse("TooLarge", `the archive has more than ${maxFiles} files`, name)
        announced += header.size
        if (announced > maxBytes) {
          return yield* refuse("TooLarge", `with it the archive has more than ${maxBytes} bytes`, name)
        }
        const place = path.join(directory, name)
        if (isDirectory) return yield* attempt(fs.makeDirectory(place, { recursive: true }), name)
        yield* attempt(fs.makeDirectory(path.dirname(place), { recursive: true }), name)
        yield* Effect.scoped(Effect.gen(function*() {
          const file = yield* Effect.mapError(fs.open(place, { flag: "wx" }), failure(subject, name))
          yield* Stream.runForEach(
            Stream.fromReadableStream({ evaluate: () => body, onError: damaged }),
            (bytes) => Effect.uninterruptible(attempt(file.writeAll(bytes), name))
          )
          yield* attempt(file.sync, name)
        }))
        files.push(name)
      })

    const damaged = (cause: unknown) =>
      cause instanceof DownloadError ? cause : new DownloadError({
        reason: "Damaged",
        subject,
        description: `the archive is damaged: ${cause instanceof Error ? cause.message : "it cannot be read"}`,
        cause
      })

    const counted = (bytes: Uint8Array) => {
      inflated += bytes.length
      return inflated > freeOfRatio && inflated > mostRatio * size
        ? refuse("UnsafeArchive", `the archive becomes more than ${mostRatio} times as large`)
        : Effect.void
    }

    const read = fs.stream(archive, { chunkSize: 256 * 1024 }).pipe(Stream.mapError(failure(subject)))
    const isGzip = yield* Effect.map(
      Stream.runHead(read),
      (head) => head._tag === "Some" && head.value[0] === 0x1f && head.value[1] === 0x8b
    )
    const tar = yield* Stream.toReadableStreamEffect(
      (isGzip ? gunzip(read, subject) : read).pipe(Stream.tap(counted))
    )
    yield* Stream.fromReadableStream({
      evaluate: () => tar.pipeThrough(createTarDecoder({ strict: true })),
      onError: damaged
    }).pipe(Stream.runForEach(unpackEntry))
    return { bytes: announced, files }
  })

/** Unpacks a stream by the platform of the web, which every runtime has. */
const gunzip = (
  stream: Stream.Stream<Uint8Array, DownloadError>,
  subject: string
): Stream.Stream<Uint8Array, DownloadError> =>
  Stream.unwrap(Effect.map(Stream.toReadableStreamEffect(stream), (compressed) =>
    Stream.fromReadableStream({
      evaluate: () =>
        compressed.pipeThrough(
          new DecompressionStream("gzip") as ReadableWritablePair<Uint8Array, Uint8Array>
        ),
      onError: (cause) =>
        new DownloadError({ reason: "Damaged", subject, description: "the archive is no gzip, or is cut short", cause })
    })))
