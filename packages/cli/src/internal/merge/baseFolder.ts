/** A model's folder as Hugging Face lays it out, by whatever architecture: its weights, whole or in shards, and its other files. */
import type { Place } from "@effect-tinker/engine/Safetensors"
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CommandFailed } from "../../Failure.js"
import * as JsonObject from "../jsonObject.js"
import { refused } from "./refused.js"
import * as TensorFile from "./tensorFile.js"

export interface BaseFolder {
  readonly folder: string
  readonly config: JsonObject.JsonObject
  /** The file of shards, where there are several. */
  readonly index: JsonObject.JsonObject | undefined
  readonly shards: ReadonlyArray<TensorFile.TensorFile>
  readonly tensors: ReadonlyMap<string, Stored>
  /** Files and folders beside the weights that belong to the model. */
  readonly others: ReadonlyArray<string>
}

export interface Stored {
  readonly file: TensorFile.TensorFile
  readonly place: Place
}

export const configFile = "config.json"
export const indexFile = "model.safetensors.index.json"
const wholeFile = "model.safetensors"

/** Weights in any form, and what tells of them. */
const isWeights = (name: string): boolean =>
  /\.(safetensors|bin|pt|pth|h5|msgpack|gguf|onnx|onnx_data|ckpt|npz|tflite)(\.index\.json)?$/i.test(name)

/** Opens the files of weights for as long as the scope lasts. */
export const open = (
  folder: string
): Effect.Effect<BaseFolder, PlatformError | CommandFailed, FileSystem.FileSystem | Path.Path | Scope.Scope> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const names = (yield* files.readDirectory(folder)).toSorted()
    if (!names.includes(configFile)) {
      return yield* refused(`${folder} has no ${configFile}, and is no folder of a model as Hugging Face lays it out.`)
    }
    if (names.includes("adapter_config.json")) {
      return yield* refused(`${folder} has an adapter_config.json: it is an adapter, and no base model.`)
    }
    const config = yield* JsonObject.read(path.join(folder, configFile))
    if ((config.quantization_config ?? undefined) !== undefined) {
      return yield* refused(
        `${
          path.join(folder, configFile)
        } has a quantization_config. Merge into the model's weights before they were quantized.`
      )
    }
    const isWhole = names.includes(wholeFile)
    const isSharded = names.includes(indexFile)
    if (isWhole && isSharded) {
      return yield* refused(
        `${folder} has both ${wholeFile} and ${indexFile}, which programs read differently. Leave one of them.`
      )
    }
    if (!isWhole && !isSharded) {
      return yield* refused(
        `${folder} has neither ${wholeFile} nor ${indexFile}. Weights in other formats are not read.`
      )
    }
    const index = isSharded ? yield* JsonObject.read(path.join(folder, indexFile)) : undefined
    const map = index?.weight_map
    const place = path.join(folder, indexFile)
    if (index !== undefined && !JsonObject.isObject(map)) return yield* refused(`${place}: weight_map is missing.`)
    const entries = Object.entries((map ?? {}) as JsonObject.JsonObject)
    for (const [tensor, name] of entries) {
      // Names from a file must not lead out of its folder, on any system.
      if (typeof name === "string" && /^[^/\\:]+\.safetensors$/.test(name)) continue
      return yield* refused(
        `${place}: ${tensor} is in ${JSON.stringify(name)}, which is not the name of such a file in the folder.`
      )
    }
    const shardNames = isSharded ? Array.from(new Set(entries.map(([, name]) => name as string))).sort() : [wholeFile]
    const shards = yield* Effect.forEach(shardNames, (name) => TensorFile.open(path.join(folder, name)))
    const tensors = new Map<string, Stored>()
    for (const file of shards) {
      for (const [name, place] of file.places) {
        const other = tensors.get(name)
        if (other !== undefined) return yield* refused(`tensor ${name} is in both ${other.file.path} and ${file.path}.`)
        tensors.set(name, { file, place })
      }
    }
    for (const [tensor, name] of entries) {
      if (tensors.get(tensor)?.file.path !== path.join(folder, name as string)) {
        return yield* refused(`${place}: ${String(name)} has no tensor ${tensor}.`)
      }
    }
    const others = yield* Effect.filter(
      names.filter((name) => !name.startsWith(".") && !isWeights(name)),
      (name) =>
        Effect.map(files.stat(path.join(folder, name)), ({ type }) => type === "File" || name === templatesFolder)
    )
    return { folder, config, index, shards, tensors, others }
  })

/** Where transformers looks for a model's chat templates beside the first. */
const templatesFolder = "additional_chat_templates"
