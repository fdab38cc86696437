/** What is known of files that are not whole yet, kept beside them so that a later run can go on. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { DownloadError } from "./downloadError.js"
import { failure } from "./stagedDirectory.js"

/** What the rest of a file is recognized by as belonging to its beginning. */
export const Part = Schema.Struct({
  etag: Schema.optional(Schema.String),
  lastModified: Schema.optional(Schema.String),
  /** Bytes of the whole file, if they were told. */
  total: Schema.optional(Schema.Int),
  digest: Schema.optional(
    Schema.Struct({ algorithm: Schema.Literal("sha-256", "md5", "crc32c"), value: Schema.String })
  )
})

export type Part = typeof Part.Type

const Parts = Schema.parseJson(Schema.Struct({
  version: Schema.Literal(1),
  /** What the files are files of. */
  subject: Schema.String,
  files: Schema.Record({ key: Schema.String, value: Part })
}))

export interface DownloadParts {
  readonly get: (name: string) => Part | undefined
  /** Absent: the file begins anew. */
  readonly set: (name: string, part: Part | undefined) => Effect.Effect<void, DownloadError>
}

/** Nothing is written down where parts are not kept. Parts of something else are removed. */
export const make = (options: {
  readonly subject: string
  readonly folder: string
  readonly keepParts: boolean
  /** Where the parts themselves are. */
  readonly files: string
}): Effect.Effect<DownloadParts, DownloadError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const { files, folder, keepParts, subject } = options
    const known = new Map<string, Part>()
    if (!keepParts) {
      return {
        get: (name) => known.get(name),
        set: (name, part) => Effect.sync(() => void (part === undefined ? known.delete(name) : known.set(name, part)))
      }
    }
    const record = path.join(folder, "parts.json")
    const written = yield* Effect.option(Effect.flatMap(fs.readFileString(record), Schema.decode(Parts)))
    if (Option.isSome(written) && written.value.subject === subject) {
      for (const [name, part] of Object.entries(written.value.files)) known.set(name, part)
    } else {
      yield* fs.remove(files, { recursive: true, force: true }).pipe(
        Effect.zipRight(fs.makeDirectory(files, { recursive: true })),
        Effect.mapError(failure(subject))
      )
    }
    const turn = Effect.unsafeMakeSemaphore(1)
    const write = Effect.suspend(() => {
      const text = Schema.encodeSync(Parts)({ version: 1, subject, files: Object.fromEntries(known) })
      const beside = `${record}.new`
      return Effect.zipRight(fs.writeFileString(beside, text), fs.rename(beside, record))
    }).pipe(turn.withPermits(1), Effect.mapError(failure(subject)))
    return {
      get: (name) => known.get(name),
      set: (name, part) =>
        Effect.suspend(() => {
          if (part === undefined) known.delete(name)
          else known.set(name, part)
          return write
        })
    }
  })
