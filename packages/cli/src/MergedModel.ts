/**
 * A model whose weights have an adapter added to them: a folder as Hugging Face lays it out, which programs load that know nothing of adapters.
 *
 * Files of weights are those of the base model: the same names, tensors and types. A tensor is read, changed and written some rows at a time,
 * so that models may be larger than memory.
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type CommandFailed, failed } from "./Failure.js"
import * as JsonObject from "./internal/jsonObject.js"
import * as BaseFolder from "./internal/merge/baseFolder.js"
import * as LoraAdapter from "./internal/merge/loraAdapter.js"
import * as MergedShard from "./internal/merge/mergedShard.js"
import * as MergePlan from "./internal/merge/mergePlan.js"

export {
  /**
   * Opens the folder of a base model for as long as the scope lasts. `CommandFailed` for one that nothing can be merged into, as a quantized
   * one.
   *
   * @since 0.1.0
   * @category constructors
   */
  open as openBase
} from "./internal/merge/baseFolder.js"

/**
 * What was written.
 *
 * - `mergedTensors`: how many matrices changed
 * - `isUntied`: whether the embedding and the last layer, one tensor in the base model, are two now
 * - `bytes`: of all files
 *
 * @since 0.1.0
 * @category models
 */
export interface Written {
  readonly files: ReadonlyArray<string>
  readonly bytes: number
  readonly mergedTensors: number
  readonly isUntied: boolean
}

/**
 * Writes the model of a base and the adapter of a folder into an empty folder. `CommandFailed`, which names the tensor or the setting, before
 * anything is written where the adapter is none that can be merged, or not the base model's.
 *
 * @since 0.1.0
 * @category constructors
 */
export const write = (
  base: BaseFolder.BaseFolder,
  adapterFolder: string,
  target: string,
  report: (tensor: string, done: number, total: number) => Effect.Effect<void>
): Effect.Effect<Written, CommandFailed | PlatformError, FileSystem.FileSystem | Path.Path | Scope.Scope> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const adapter = yield* LoraAdapter.open(adapterFolder)
    const plan = yield* MergePlan.make(base, adapter)
    for (const name of base.others) yield* copy(path.join(base.folder, name), path.join(target, name))
    let done = 0
    for (const shard of base.shards) {
      yield* MergedShard.write(shard, path.join(target, path.basename(shard.path)), {
        adapter: adapter.file,
        plan,
        report: (tensor) => report(tensor, done++, plan.merges.size)
      })
    }
    if (base.index !== undefined) {
      yield* files.writeFileString(path.join(target, BaseFolder.indexFile), indexText(base.index, plan, path.basename))
    }
    if (plan.untied !== undefined) {
      const place = path.join(target, BaseFolder.configFile)
      yield* files.writeFileString(place, yield* untiedText(place, yield* files.readFileString(place)))
    }
    const names = (yield* files.readDirectory(target)).toSorted()
    const sizes = yield* Effect.forEach(
      names,
      (name) => Effect.map(files.stat(path.join(target, name)), ({ size }) => Number(size))
    )
    return {
      files: names,
      bytes: sizes.reduce((sum, size) => sum + size, 0),
      mergedTensors: plan.merges.size,
      isUntied: plan.untied !== undefined
    }
  })

/** Copies what links lead to, as the cache of the hub has them, and not the links. */
const copy = (
  from: string,
  to: string
): Effect.Effect<void, PlatformError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const { type } = yield* files.stat(from)
    if (type === "File") return yield* files.copyFile(from, to)
    if (type !== "Directory") return
    yield* files.makeDirectory(to)
    for (const name of yield* files.readDirectory(from)) yield* copy(path.join(from, name), path.join(to, name))
  })

/** The file of shards, with what has been appended to one of them. */
const indexText = (
  index: JsonObject.JsonObject,
  { untied }: MergePlan.MergePlan,
  basename: (path: string) => string
) => {
  const appended = untied?.appended
  if (appended === undefined) return text(index)
  const { name, to: { file, place } } = appended
  const grown = (field: string, by: number, metadata: JsonObject.JsonObject) => {
    const before = metadata[field]
    return typeof before === "number" ? { [field]: before + by } : {}
  }
  const metadata = JsonObject.isObject(index.metadata) ? index.metadata : {}
  return text({
    ...index,
    metadata: {
      ...metadata,
      ...grown("total_size", place.end - place.begin, metadata),
      ...grown("total_parameters", place.shape.reduce((product, length) => product * length, 1), metadata)
    },
    weight_map: { ...index.weight_map as JsonObject.JsonObject, [name]: basename(file.path) }
  })
}

const text = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

/** The configuration as it was written, so that numbers stay as they are: some readers tell 1 from 1.0. */
const untiedText = (place: string, before: string) => {
  const setting = /("tie_word_embeddings"\s*:\s*)true/
  const after = setting.test(before)
    ? before.replace(setting, "$1false")
    : /"tie_word_embeddings"/.test(before)
    ? before
    : before.replace("{", "{\n  \"tie_word_embeddings\": false,")
  const value: unknown = JSON.parse(after.replace(/^\ufeff/, ""))
  return JsonObject.isObject(value) && value.tie_word_embeddings === false
    ? Effect.succeed(after)
    : failed(`${place}: tie_word_embeddings could not be set to false.`)
}
