import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { DatasetError } from "../DatasetError.js"

/** The bytes of a file, from its beginning or at a place. */
export interface FileBytes {
  /** They come in parts of a MiB. The stream fails when the file is changed meanwhile. */
  readonly all: Stream.Stream<Uint8Array, DatasetError>
  /** Absent for what has no size, e.g. a pipe. */
  readonly total: number | undefined
  /** Reads those from one place to another, or to the end. There are fewer if the file has become shorter. */
  readonly range: (from: number, to: number | undefined) => Effect.Effect<Uint8Array, DatasetError>
}

/** Fails where there is no such file. */
export const openBytes = (file: string): Effect.Effect<FileBytes, DatasetError, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const before = yield* Effect.mapError(files.stat(file), unreadable(file))
    const { size, type } = before
    if (type === "Directory") {
      return yield* new DatasetError({ reason: "Unreadable", file, description: "is a folder. Name a file in it." })
    }
    if (type !== "File") {
      // It has no positions to read from, and can be read once.
      const bytes = yield* Effect.cached(Effect.mapError(files.readFile(file), unreadable(file)))
      return {
        all: Stream.fromEffect(bytes),
        total: undefined,
        range: (from, to) => Effect.map(bytes, (bytes) => bytes.subarray(from, to))
      }
    }
    const unchanged = Effect.flatMap(
      Effect.mapError(files.stat(file), unreadable(file)),
      (after) =>
        after.size === before.size && timeOf(after) === timeOf(before)
          ? Effect.void
          : new DatasetError({
            reason: "Unreadable",
            file,
            description: "was changed while it was read. Read a copy that nobody writes to."
          })
    )
    return {
      all: Stream.concat(
        Stream.mapError(files.stream(file, { chunkSize: partBytes }), unreadable(file)),
        Stream.execute(unchanged)
      ),
      total: Number(size),
      range: (from, to = Number(size)) =>
        files.stream(file, { offset: from, bytesToRead: to - from, chunkSize: Math.min(to - from, partBytes) }).pipe(
          Stream.runCollect,
          Effect.mapBoth({ onFailure: unreadable(file), onSuccess: joined })
        )
    }
  })

const partBytes = 2 ** 20

const timeOf = ({ mtime }: FileSystem.File.Info): number => Option.match(mtime, { onNone: () => 0, onSome: Number })

const joined = (parts: Chunk.Chunk<Uint8Array>): Uint8Array => {
  const [only] = parts
  if (only !== undefined && parts.length === 1) return only
  const all = new Uint8Array(Chunk.reduce(parts, 0, (sum, part) => sum + part.length))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

const unreadable = (file: string) => (cause: PlatformError): DatasetError =>
  cause._tag === "SystemError" && cause.reason === "NotFound"
    ? new DatasetError({
      reason: "FileMissing",
      file,
      description: "there is no such file. Give its path relative to where the program starts.",
      cause
    })
    : new DatasetError({
      reason: "Unreadable",
      file,
      description: "cannot be read. It must be a text file that you may open.",
      cause
    })
