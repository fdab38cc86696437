/**
 * Endpoints of checkpoints made and read by models.
 */
import { ModelId } from "@effect-tinker/protocol/Identifiers"
import { UntypedFuture } from "@effect-tinker/protocol/ModelsMessages"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import {
  CheckpointEntries,
  CheckpointEntry,
  LoadWeightsRequest,
  SaveWeightsExternalRequest,
  SaveWeightsForSamplerRequest,
  SaveWeightsRequest,
  WeightsInfoRequest,
  WeightsInfoResponse
} from "@effect-tinker/protocol/WeightsMessages"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import { post } from "./internal/endpoint.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class WeightsApi extends Context.Tag("effect-tinker/WeightsApi")<WeightsApi, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly saveWeights: (
    request: SaveWeightsRequest,
    options?: TinkerHttpClient.CallOptions
  ) => Effect.Effect<UntypedFuture, TinkerError>
  readonly saveWeightsForSampler: (
    request: SaveWeightsForSamplerRequest,
    options?: TinkerHttpClient.CallOptions
  ) => Effect.Effect<UntypedFuture, TinkerError>
  readonly saveWeightsExternal: (
    request: SaveWeightsExternalRequest,
    options?: TinkerHttpClient.CallOptions
  ) => Effect.Effect<UntypedFuture, TinkerError>
  readonly loadWeights: (
    request: LoadWeightsRequest,
    options?: TinkerHttpClient.CallOptions
  ) => Effect.Effect<UntypedFuture, TinkerError>
  /** What a checkpoint was made of. `credential`: that of the account which owns it. */
  readonly weightsInfo: (
    tinkerPath: string,
    credential?: Redacted.Redacted | undefined
  ) => Effect.Effect<WeightsInfoResponse, TinkerError>
  /** A model's checkpoints, as far as they are needed to know one again. */
  readonly checkpoints: (modelId: ModelId) => Effect.Effect<ReadonlyArray<CheckpointEntry>, TinkerError>
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, TinkerHttpClient.TinkerHttpClient> = Effect.map(
  TinkerHttpClient.TinkerHttpClient,
  (http) => {
    const weightsInfo = post(http, "weights_info", WeightsInfoRequest, WeightsInfoResponse)
    return WeightsApi.of({
      saveWeights: post(http, "save_weights", SaveWeightsRequest, UntypedFuture),
      saveWeightsForSampler: post(
        http,
        "save_weights_for_sampler",
        SaveWeightsForSamplerRequest,
        UntypedFuture
      ),
      saveWeightsExternal: post(http, "save_weights_external", SaveWeightsExternalRequest, UntypedFuture),
      loadWeights: post(http, "load_weights", LoadWeightsRequest, UntypedFuture),
      weightsInfo: (tinkerPath, credential) =>
        weightsInfo(
          { tinkerPath },
          {
            subject: `checkpoint ${tinkerPath}`,
            ...(credential === undefined ? {} : { credential: Option.some(credential) })
          }
        ),
      checkpoints: (modelId) =>
        Effect.map(
          http.json({
            operation: "list_checkpoints",
            method: "GET",
            path: `/api/v1/training_runs/${modelId}/checkpoints`
          }, CheckpointEntries),
          ({ checkpoints }) => checkpoints
        )
    })
  }
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<WeightsApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(WeightsApi, make)
