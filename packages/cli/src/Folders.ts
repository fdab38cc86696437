/**
 * Folders that are made.
 */
import type * as PlatformError from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as PlatformErrors from "./internal/effect/platformErrors.js"

/**
 * Makes a folder and those above it, and gives those that were not there, from the top down. It goes level by level: Node's own way never
 * ends where the system calls a parent missing that is there, as under `/proc`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  folder: string
): Effect.Effect<ReadonlyArray<string>, PlatformError.PlatformError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const parent = path.dirname(folder)
    if (parent === folder || (yield* files.exists(folder))) return []
    const above = yield* make(parent)
    return yield* files.makeDirectory(folder).pipe(
      Effect.as([...above, folder]),
      // Another process was first.
      Effect.catchIf(
        (error) => PlatformErrors.kindOf(error) === "AlreadyExists",
        () => Effect.succeed(above)
      )
    )
  })

/**
 * Why a folder cannot be made or written to, as the end of a sentence.
 *
 * @since 0.1.0
 * @category utils
 */
export const why = (error: PlatformError.PlatformError): string => {
  const code = Predicate.hasProperty(error.cause, "code") ? error.cause.code : undefined
  if (code === "ENOTDIR" || code === "EEXIST") return "a file is where a folder would have to be"
  if (code === "ENOENT") return "the system makes no folder there"
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") return "this user may not write there"
  return error.cause instanceof Error ? error.cause.message : error.message
}
