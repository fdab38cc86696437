/**
 * Endpoints of models: creating one, and asking what it is.
 */
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import { ModelId } from "@effect-tinker/protocol/Identifiers"
import {
  CreateModelRequest,
  GetInfoResponse,
  UnloadModelResponse,
  UntypedFuture
} from "@effect-tinker/protocol/ModelsMessages"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { post } from "./internal/transport/endpoint.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class ModelsApi extends Context.Tag("effect-tinker/ModelsApi")<ModelsApi, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly createModel: (
    request: CreateModelRequest,
    options?: TinkerHttpClient.CallOptions
  ) => Effect.Effect<UntypedFuture, TinkerError>
  readonly getInfo: (
    modelId: ModelId,
    options?: TinkerHttpClient.CallOptions
  ) => Effect.Effect<GetInfoResponse, TinkerError>
  /** Frees the model on the server. Some answer at once, without a request id. */
  readonly unloadModel: (
    modelId: ModelId,
    options?: TinkerHttpClient.CallOptions
  ) => Effect.Effect<UnloadModelResponse, TinkerError>
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, TinkerHttpClient.TinkerHttpClient> = Effect.map(
  TinkerHttpClient.TinkerHttpClient,
  (http) => {
    const getInfo = post(http, Endpoints.getInfo)
    const unloadModel = post(http, Endpoints.unloadModel)
    return ModelsApi.of({
      createModel: post(http, Endpoints.createModel),
      getInfo: (modelId, options) => getInfo({ modelId, type: "get_info" }, options),
      unloadModel: (modelId, options) => unloadModel({ modelId, type: "unload_model" }, options)
    })
  }
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<ModelsApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(ModelsApi, make)
