/**
 * The same program against a service: `TINKER_API_KEY` and `TINKER_BASE_URL` say which.
 */
import * as TinkerNode from "@effect-tinker/node/TinkerNode"
import * as Tokenizer from "@effect-tinker/tokenizer/Tokenizer"
import type { TokenizerError } from "@effect-tinker/tokenizer/TokenizerError"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as ServiceClient from "effect-tinker/ServiceClient"
import * as Tinker from "effect-tinker/Tinker"
import type { TinkerError } from "effect-tinker/TinkerError"
import type { ConfigError } from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as BaseModel from "./BaseModel.js"
import { UsageError } from "./UsageError.js"

/**
 * Trains `baseModel`, by default the first that the service can train. `tokenizerFolder` holds the model's
 * `tokenizer.json`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: {
  readonly baseModel: string | undefined
  readonly tokenizerFolder: string
}): Layer.Layer<
  ServiceClient.ServiceClient | Tokenizer.Tokenizer | BaseModel.BaseModel,
  TinkerError | ConfigError | TokenizerError | UsageError,
  FileSystem.FileSystem | Path.Path
> =>
  Layer.effect(BaseModel.BaseModel, choose(options.baseModel)).pipe(
    Layer.provideMerge(Layer.provide(Tinker.layerFromEnv, TinkerNode.layer)),
    Layer.merge(Tokenizer.layerFolder(options.tokenizerFolder))
  )

const choose = (wanted: string | undefined) =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const { supportedModels } = yield* service.getServerCapabilities
    const trainable = supportedModels.filter((model) => model.trainable !== false && model.modelName !== undefined)
    const model = wanted === undefined ? trainable[0] : trainable.find((model) => model.modelName === wanted)
    if (model?.modelName === undefined) {
      const names = trainable.map((model) => model.modelName).join(", ")
      return yield* new UsageError({
        description: wanted === undefined
          ? "the server has no model that can be trained"
          : `the server cannot train ${wanted}. It can train: ${names || "none"}`
      })
    }
    return BaseModel.BaseModel.of({
      name: model.modelName,
      maxContextLength: model.maxContextLength,
      description: `${model.modelName}${
        model.maxContextLength === undefined ? "" : ` (context ${model.maxContextLength})`
      }, at the service`
    })
  })
