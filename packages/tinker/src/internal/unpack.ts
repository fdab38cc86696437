/** Unpacks a tar archive, compressed by gzip or not, into a directory that is its own. */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { DownloadError, type DownloadReason } from "../DownloadError.js"
import { makeChecker } from "./fileNames.js"
import { failure } from "./stagedDirectory.js"
import { type Entry, TarError, TarReader } from "./tarReader.js"

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
    const reader = new TarReader()
    const files: Array<string> = []
    let entries = 0
    let announced = 0
    let inflated = 0
    let open:
      | { readonly name: string; readonly file: FileSystem.File; readonly scope: Scope.CloseableScope }
      | undefined

    const begin = (entry: Entry) =>
      Effect.gen(function*() {
        const name = entry.name.replace(/^(\.\/+)+/, "").replace(/\/+$/, "")
        // The directory itself.
        if (entry.kind === "directory" && (name === "" || name === ".")) return
        if (entry.kind === "other") {
          return yield* refuse("UnsafeArchive", "it is a link, a device or another thing that is no file", entry.name)
        }
        const wrong = check(name, entry.kind)
        if (wrong !== undefined) return yield* refuse("UnsafeName", wrong, entry.name)
        if (++entries > maxFiles) return yield* refuse("TooLarge", `the archive has more than ${maxFiles} files`, name)
        announced += entry.size
        if (announced > maxBytes) {
          return yield* refuse("TooLarge", `with it the archive has more than ${maxBytes} bytes`, name)
        }
        const place = path.join(directory, name)
        if (entry.kind === "directory") return yield* attempt(fs.makeDirectory(place, { recursive: true }), name)
        yield* attempt(fs.makeDirectory(path.dirname(place), { recursive: true }), name)
        const scope = yield* Scope.make()
        const file = yield* attempt(Scope.extend(fs.open(place, { flag: "wx" }), scope), name)
        open = { name, file, scope }
      })

    const end = Effect.suspend(() => {
      const ended = open
      open = undefined
      if (ended === undefined) return Effect.void
      files.push(ended.name)
      return Effect.zipRight(attempt(ended.file.sync, ended.name), Scope.close(ended.scope, Exit.void))
    })

    const take = (bytes: Uint8Array) =>
      Effect.gen(function*() {
        inflated += bytes.length
        if (inflated > freeOfRatio && inflated > mostRatio * size) {
          return yield* refuse("UnsafeArchive", `the archive becomes more than ${mostRatio} times as large`)
        }
        for (const event of reader.push(bytes)) {
          if (event._tag === "Entry") yield* begin(event.entry)
          else if (event._tag === "EndOfFile") yield* end
          else if (open !== undefined) {
            yield* Effect.uninterruptible(attempt(open.file.writeAll(event.bytes), open.name))
          }
        }
      }).pipe(
        Effect.catchAllDefect((defect) =>
          defect instanceof TarError
            ? refuse("Damaged", `the archive is damaged: ${defect.message}`)
            : Effect.die(defect)
        )
      )

    const read = fs.stream(archive, { chunkSize: 256 * 1024 }).pipe(Stream.mapError(failure(subject)))
    const isGzip = yield* Effect.map(
      Stream.runHead(read),
      (head) => head._tag === "Some" && head.value[0] === 0x1f && head.value[1] === 0x8b
    )
    yield* (isGzip ? gunzip(read, subject) : read).pipe(
      Stream.runForEach(take),
      Effect.ensuring(Effect.suspend(() => open === undefined ? Effect.void : Scope.close(open.scope, Exit.void)))
    )
    if (!reader.ended) return yield* refuse("Damaged", "the archive ends before its end")
    return { bytes: announced, files }
  })

/** By the platform of the web, which every runtime has. */
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
