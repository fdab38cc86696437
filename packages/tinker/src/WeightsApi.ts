/**
 * Endpoints of checkpoints made and read by models.
 */
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
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
  WeightsInfoResponse
} from "@effect-tinker/protocol/WeightsMessages"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import { call, post } from "./internal/transport/endpoint.js"
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
    const weightsInfo = post(http, Endpoints.weightsInfo)
    const list = call(http, { ...Endpoints.listCheckpoints, answer: CheckpointEntries })
    return WeightsApi.of({
      saveWeights: post(http, Endpoints.saveWeights),
      saveWeightsForSampler: post(http, Endpoints.saveWeightsForSampler),
      saveWeightsExternal: post(http, Endpoints.saveWeightsExternal),
      loadWeights: post(http, Endpoints.loadWeights),
      weightsInfo: (tinkerPath, credential) =>
        weightsInfo(
          { tinkerPath },
          {
            subject: `checkpoint ${tinkerPath}`,
            ...(credential === undefined ? {} : { credential: Option.some(credential) })
          }
        ),
      checkpoints: (modelId) => Effect.map(list({ parameters: { id: modelId } }), ({ checkpoints }) => checkpoints)
    })
  }
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<WeightsApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(WeightsApi, make)
