/**
 * The folder a run writes to.
 */
import type * as PlatformError from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs/promises"
import * as Folders from "./Folders.js"
import { UsageError } from "./UsageError.js"

/** A report and a few checkpoints of a small adapter, in bytes. */
const needed = 32 * 1024 * 1024

/**
 * Fails where the folder cannot be made or written to, and leaves nothing behind.
 *
 * @since 0.1.0
 * @category guards
 */
export const check = (folder: string): Effect.Effect<void, UsageError, FileSystem.FileSystem | Path.Path> =>
  Effect.acquireUseRelease(
    Folders.make(folder),
    () => write(folder, 1),
    // None that has something in it by now.
    (made) => removeEmpty(made.toReversed())
  ).pipe(Effect.mapError((cause) => unwritable(folder, cause)))

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
  Effect.zipRight(Folders.make(folder), write(folder, needed)).pipe(
    Effect.as(folder),
    Effect.mapError((cause) => unwritable(folder, cause))
  )

/**
 * Gives what removes these entries of the folder, and the folder, if they are not there yet: for a run that ends with nothing worth
 * keeping. With `whole` entries are removed with all that is in them, else where they are empty.
 *
 * @since 0.1.0
 * @category constructors
 */
export const undoing = (
  folder: string,
  entries: ReadonlyArray<string>
): Effect.Effect<
  (options: { readonly whole: boolean }) => Effect.Effect<void>,
  never,
  FileSystem.FileSystem | Path.Path
> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const isThere = (one: string) => Effect.orElseSucceed(files.exists(one), () => true)
    const missing = yield* Effect.filter(entries.map((entry) => path.join(folder, entry)), isThere, { negate: true })
    const above: Array<string> = []
    for (let one = folder; one !== above.at(-1) && !(yield* isThere(one)); one = path.dirname(one)) above.push(one)
    return ({ whole }) =>
      Effect.zipRight(
        whole
          ? Effect.forEach(missing, (one) => Effect.ignore(files.remove(one, { recursive: true, force: true })))
          : Effect.void,
        removeEmpty([...missing, ...above])
      )
  })

const removeEmpty = (folders: ReadonlyArray<string>) =>
  Effect.forEach(folders, (one) => Effect.ignore(Effect.tryPromise(() => Fs.rmdir(one))), { discard: true })

const write = (folder: string, bytes: number) =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const probe = path.join(folder, ".room")
    yield* Effect.ensuring(
      files.writeFile(probe, new Uint8Array(bytes)),
      Effect.ignore(files.remove(probe, { force: true }))
    )
  })

const unwritable = (folder: string, cause: PlatformError.PlatformError): UsageError =>
  new UsageError({
    description: `cannot write to the output folder ${folder}: ${Folders.why(cause)}. `
      + "Make room or pass another with --out.",
    cause
  })
