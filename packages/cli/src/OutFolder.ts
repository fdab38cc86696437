/**
 * The folder a run writes to.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import { UsageError } from "./UsageError.js"

/** A report and a few checkpoints of a small adapter, in bytes. */
const needed = 32 * 1024 * 1024

/**
 * Makes the folder and writes as much as a run will to a file in it, which is removed again: whether there is room and
 * permission is known before anything is trained.
 *
 * @since 0.1.0
 * @category constructors
 */
export const prepare = (
  folder: string
): Effect.Effect<string, UsageError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const probe = path.join(folder, ".room")
    yield* files.makeDirectory(folder, { recursive: true })
    yield* Effect.ensuring(
      files.writeFile(probe, new Uint8Array(needed)),
      Effect.ignore(files.remove(probe, { force: true }))
    )
    return folder
  }).pipe(Effect.mapError((cause) =>
    new UsageError({
      description: `cannot write to the output folder ${folder}: ${reasonOf(cause)}. `
        + "Make room or pass another with --out.",
      cause
    })
  ))

const reasonOf = (error: { readonly message: string; readonly cause?: unknown }): string =>
  error.cause instanceof Error ? error.cause.message : error.message
