/**
 * Files that commands write: whole or not at all, and never over one that is there, unless that is asked for.
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
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
 * Writes bytes beside the place, and puts them there when all have come; the folders above are made. What is no file, as a pipe or a device,
 * is written to as it is, and of a link what it leads to. Gives how many bytes there were.
 *
 * @since 0.1.0
 * @category utils
 */
export const write = <E, R>(
  place: string,
  bytes: Stream.Stream<Uint8Array, E, R>
): Effect.Effect<number, E | PlatformError | UsageError, R | FileSystem.FileSystem | Path.Path> =>
  Effect.scoped(Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const found = yield* Effect.option(files.stat(place))
    const type = Option.getOrUndefined(found)?.type
    if (type === "Directory") {
      return yield* new UsageError({ description: `${place} is a folder. Give the name of a file.` })
    }
    let size = 0
    const counted = Stream.tap(bytes, (part) => Effect.sync(() => void (size += part.length)))
    if (type !== undefined && type !== "File") {
      // In one piece, as there are no places in a pipe that a part could be written to.
      const parts = Chunk.toReadonlyArray(yield* Stream.runCollect(counted))
      yield* files.writeFile(place, Buffer.concat(parts), { flag: "w" })
      return size
    }
    const target = type === undefined ? place : yield* files.realPath(place)
    const folder = path.dirname(target)
    yield* files.makeDirectory(folder, { recursive: true })
    const beside = yield* files.makeTempFileScoped({ directory: folder, prefix: `.${path.basename(target)}-` })
    yield* Stream.run(counted, files.sink(beside))
    if (Option.isSome(found)) yield* files.chmod(beside, found.value.mode & 0o777)
    yield* files.rename(beside, target)
    return size
  }))
