import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import { TokenizerError } from "../TokenizerError.js"

/** The parsed files of a folder. */
export const readFolder = (
  folder: string
): Effect.Effect<
  { readonly tokenizerJson: unknown; readonly configJson: unknown; readonly path: string },
  TokenizerError,
  FileSystem.FileSystem | Path.Path
> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const paths = yield* Path.Path

    const exists = (path: string) => files.exists(path).pipe(Effect.mapError(unreadable(path)))
    const read = Effect.fnUntraced(function*(path: string) {
      const text = yield* files.readFileString(path).pipe(Effect.mapError(unreadable(path)))
      return yield* Effect.try({
        // Some editors write a byte order mark.
        try: (): unknown => JSON.parse(text.replace(/^\ufeff/, "")),
        catch: (cause) =>
          new TokenizerError({
            reason: "Malformed",
            path,
            description: "is no JSON. A download may have been cut short, or the file is a Git LFS pointer: fetch it "
              + "again.",
            cause
          })
      })
    })

    if (!(yield* exists(folder))) {
      return yield* new TokenizerError({
        reason: "FolderMissing",
        path: folder,
        description: "there is no such folder. Give the path of a model's folder, relative to where the program starts."
      })
    }
    const path = paths.join(folder, "tokenizer.json")
    if (!(yield* exists(path))) {
      return yield* new TokenizerError({
        reason: "FileMissing",
        path,
        description: "is not there. Copy it from the model's repository; models that only have a tokenizer.model must "
          + "be converted, e.g. by loading and saving them with the Python library transformers."
      })
    }
    const configPath = paths.join(folder, "tokenizer_config.json")
    return {
      path,
      tokenizerJson: yield* read(path),
      configJson: (yield* exists(configPath)) ? yield* read(configPath) : {}
    }
  })

const unreadable = (path: string) => (cause: unknown) =>
  new TokenizerError({
    reason: "Unreadable",
    path,
    description: "cannot be read. Check its permissions.",
    cause
  })
