/** The cache of the Hugging Face libraries, as they lay it out: a folder a commit, and which commit a branch was last at. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Downloaded } from "./download.js"
import { configFile, tokenizerFiles } from "./files.js"
import * as HubSettings from "./hubSettings.js"
import type { TokenizerId } from "./tokenizerId.js"

const modelFolder = ({ repository }: TokenizerId) => `models--${repository.replaceAll("/", "--")}`

/** The folder of a tokenizer that was loaded before. */
export const find = (
  id: TokenizerId
): Effect.Effect<Option.Option<string>, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const cache = yield* HubSettings.cache
    if (Option.isNone(cache)) return Option.none()
    const model = path.join(cache.value, modelFolder(id))
    const commit = id.revision ?? (yield* files.readFileString(path.join(model, "refs", "main"))).trim()
    const folder = path.join(model, "snapshots", commit)
    for (const name of tokenizerFiles) {
      if (yield* files.exists(path.join(folder, name))) return Option.some(folder)
    }
    return Option.none()
  }).pipe(Effect.orElseSucceed(() => Option.none()))

/**
 * Keeps what was loaded, so that the next program need not. Each file is written beside its place and moved there whole, the
 * tokenizer behind its configuration: what is found is complete. Without a place for it nothing is kept, which a debug line tells.
 */
export const keep = (
  id: TokenizerId,
  { commit = id.revision ?? "main", files: { config, name, tokenizer } }: Downloaded
): Effect.Effect<void, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const cache = yield* HubSettings.writableCache
    if (Option.isNone(cache)) return yield* Effect.logDebug("there is no home folder to keep a tokenizer in")
    const model = path.join(cache.value, modelFolder(id))
    const folder = path.join(model, "snapshots", commit)
    yield* files.makeDirectory(folder, { recursive: true })
    const beside = yield* files.makeTempDirectoryScoped({ directory: model, prefix: "incomplete-" })
    const write = (to: string, text: string) => {
      const written = path.join(beside, path.basename(to))
      return Effect.zipRight(files.writeFileString(written, text), files.rename(written, to))
    }
    if (config !== undefined) yield* write(path.join(folder, configFile), config)
    yield* write(path.join(folder, name), tokenizer)
    if (id.revision !== undefined) return
    yield* files.makeDirectory(path.join(model, "refs"), { recursive: true })
    yield* write(path.join(model, "refs", "main"), commit)
  }).pipe(
    Effect.scoped,
    Effect.catchAll((cause) => Effect.logDebug("a tokenizer could not be kept in the cache of the Hub", cause))
  )
