/**
 * Everything on this machine: a model folder, its engine in a process of its own, and the server in this one.
 */
import type { EngineError } from "@effect-tinker/engine/Engine"
import * as LlamaEngine from "@effect-tinker/llama/LlamaEngine"
import * as ModelFolder from "@effect-tinker/llama/ModelFolder"
import type { InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as CheckpointStore from "@effect-tinker/server/CheckpointStore"
import type { ServerError } from "@effect-tinker/server/ServerError"
import * as TinkerServer from "@effect-tinker/server/TinkerServer"
import * as Tokenizer from "@effect-tinker/tokenizer/Tokenizer"
import type { TokenizerError } from "@effect-tinker/tokenizer/TokenizerError"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import type * as CheckpointDownload from "effect-tinker/CheckpointDownload"
import * as Tinker from "effect-tinker/Tinker"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as BaseModel from "./BaseModel.js"

/**
 * The model in `modelFolder`, a Hugging Face folder: what it is, and its tokenizer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerModel = (
  modelFolder: string
): Layer.Layer<
  Tokenizer.Tokenizer | BaseModel.BaseModel,
  EngineError | TokenizerError,
  FileSystem.FileSystem | Path.Path
> => Layer.merge(Tokenizer.layerFolder(modelFolder), Layer.effect(BaseModel.BaseModel, baseModel(modelFolder)))

/**
 * Trains and samples the model in `modelFolder`, and keeps checkpoints in `checkpointFolder`, or without one in memory.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: {
  readonly modelFolder: string
  readonly checkpointFolder: string | undefined
}): Layer.Layer<
  Tinker.Clients | CheckpointDownload.CheckpointDownload,
  EngineError | ServerError | InvalidInputError,
  FileSystem.FileSystem | Path.Path
> =>
  Layer.merge(Tinker.layer(), Tinker.layerDownload()).pipe(
    Layer.provide(TinkerServer.layerClientWithStore()),
    Layer.provide(
      options.checkpointFolder === undefined
        ? CheckpointStore.layerMemory
        : CheckpointStore.layer(options.checkpointFolder)
    ),
    Layer.provide(LlamaEngine.layer(options.modelFolder))
  )

const baseModel = (folder: string) =>
  Effect.map(ModelFolder.describe(folder), (model) => {
    const millions = (model.parameterCount / 1e6).toPrecision(3)
    return BaseModel.BaseModel.of({
      name: model.name,
      maxContextLength: model.maxContextLength,
      description: `${model.name} (${model.architecture}, ${millions} million parameters, vocabulary of `
        + `${model.config.vocabularySize}, context of ${model.maxContextLength} tokens), on this machine`
    })
  })
