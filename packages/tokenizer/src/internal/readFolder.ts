import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import { TokenizerError } from "../TokenizerError.js"
import { configFile, type Files, tokenizerFiles } from "./files.js"

/** The files of a folder. */
export const readFolder = (
  folder: string
): Effect.Effect<Files, TokenizerError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const paths = yield* Path.Path

    const exists = (path: string) => files.exists(path).pipe(Effect.mapError(unreadable(path)))
    const read = (path: string) => files.readFileString(path).pipe(Effect.mapError(unreadable(path)))

    if (!(yield* exists(folder))) {
      return yield* new TokenizerError({
        reason: "FolderMissing",
        path: folder,
        description: "there is no such folder. Give the path of a model's folder, relative to where the program starts."
      })
    }
    for (const name of tokenizerFiles) {
      const path = paths.join(folder, name)
      if (!(yield* exists(path))) continue
      const configPath = paths.join(folder, configFile)
      return {
        name,
        path,
        tokenizer: yield* read(path),
        config: (yield* exists(configPath)) ? yield* read(configPath) : undefined,
        configPath
      }
    }
    return yield* new TokenizerError({
      reason: "FileMissing",
      path: paths.join(folder, tokenizerFiles[0]),
      description: "is not there. Copy it from the model's repository; models that only have a tokenizer.model must "
        + "be converted, e.g. by loading and saving them with the Python library transformers."
    })
  })

/** The failure of a file that is there. */
export const unreadable = (path: string) => (cause: unknown) =>
  new TokenizerError({
    reason: "Unreadable",
    path,
    description: "cannot be read. Check its permissions.",
    cause
  })
