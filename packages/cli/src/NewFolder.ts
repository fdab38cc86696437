/**
 * Folders that commands write: whole or not at all. What was there stays until the new one is whole.
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as NewFile from "./NewFile.js"
import type { UsageError } from "./UsageError.js"

/**
 * Has a folder filled beside the place, and puts it there when it is whole. The folders above are made. A failure or an interruption leaves
 * what was there.
 *
 * @since 0.1.0
 * @category utils
 */
export const write = <A, E, R>(
  place: string,
  { isReplaced }: { readonly isReplaced: boolean },
  fill: (beside: string) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | PlatformError | UsageError, R | FileSystem.FileSystem | Path.Path> =>
  Effect.scoped(Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const target = path.resolve(place)
    const above = path.dirname(target)
    yield* NewFile.check(target, { isReplaced })
    yield* files.makeDirectory(above, { recursive: true })
    const room = yield* files.makeTempDirectoryScoped({
      directory: above,
      prefix: `.${path.basename(target)}.partial-`
    })
    const [beside, before] = [path.join(room, "new"), path.join(room, "old")]
    yield* files.makeDirectory(beside)
    const result = yield* fill(beside)
    yield* Effect.uninterruptible(Effect.gen(function*() {
      yield* NewFile.check(target, { isReplaced })
      if (!(yield* files.exists(target))) return yield* files.rename(beside, target)
      yield* files.rename(target, before)
      yield* Effect.tapError(files.rename(beside, target), () => Effect.ignore(files.rename(before, target)))
    }))
    return result
  }))
