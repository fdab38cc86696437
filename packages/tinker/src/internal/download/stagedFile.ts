import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { DownloadError } from "./downloadError.js"
import { failure } from "./stagedDirectory.js"

/** A file that is written beside its place and takes it when it is whole. */
export interface StagedFile {
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, DownloadError>
  /** Puts the file into its place, over what is there. */
  readonly commit: Effect.Effect<void, DownloadError>
}

/** Closing the scope takes away what did not come into its place. */
export const make = (
  subject: string,
  place: string
): Effect.Effect<StagedFile, DownloadError, FileSystem.FileSystem | Path.Path | Scope.Scope> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const failed = failure(subject)
    const target = path.resolve(place)
    const parent = path.dirname(target)
    yield* Effect.mapError(fs.makeDirectory(parent, { recursive: true }), failed)
    const folder = yield* Effect.acquireRelease(
      Effect.mapError(
        fs.makeTempDirectory({ directory: parent, prefix: `.${path.basename(target)}.partial-` }),
        failed
      ),
      (folder) => Effect.ignore(fs.remove(folder, { recursive: true, force: true }))
    )
    const whole = path.join(folder, "file")
    const file = yield* Effect.mapError(fs.open(whole, { flag: "wx" }), failed)
    return {
      // What the system still writes when the file is closed would be written to another.
      write: (bytes) => Effect.uninterruptible(Effect.mapError(file.writeAll(bytes), failed)),
      commit: Effect.uninterruptible(
        Effect.mapError(Effect.zipRight(file.sync, fs.rename(whole, target)), failed)
      )
    }
  })
