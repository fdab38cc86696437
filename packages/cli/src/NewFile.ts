/**
 * Files that commands write: whole or not at all, and never over one that is there, unless that is asked for.
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { UsageError } from "./UsageError.js"

/**
 * Fails where there is something at the place already, and `isReplaced` does not say that it may go.
 *
 * @since 0.1.0
 * @category guards
 */
export const check = (
  place: string,
  { isReplaced }: { readonly isReplaced: boolean }
): Effect.Effect<void, UsageError | PlatformError, FileSystem.FileSystem> =>
  Effect.flatMap(
    FileSystem.FileSystem,
    (files) =>
      isReplaced ? Effect.void : Effect.flatMap(files.exists(place), (isThere) =>
        isThere
          ? new UsageError({
            description: `${place} is there already, and was left as it is. Pass --force to replace it.`
          })
          : Effect.void)
  )

/**
 * Writes bytes beside the place, and puts them there when all have come. The folders above are made. Gives how many there were.
 *
 * @since 0.1.0
 * @category utils
 */
export const write = <E, R>(
  place: string,
  bytes: Stream.Stream<Uint8Array, E, R>
): Effect.Effect<number, E | PlatformError, R | FileSystem.FileSystem | Path.Path> =>
  Effect.scoped(Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const folder = path.dirname(place)
    yield* files.makeDirectory(folder, { recursive: true })
    const beside = yield* files.makeTempFileScoped({ directory: folder, prefix: `.${path.basename(place)}-` })
    let size = 0
    yield* Stream.run(Stream.tap(bytes, (part) => Effect.sync(() => size += part.length)), files.sink(beside))
    yield* files.rename(beside, place)
    return size
  }))
