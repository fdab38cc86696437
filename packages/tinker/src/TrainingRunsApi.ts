/**
 * Endpoints of training runs.
 */
import type { AccessScope } from "@effect-tinker/protocol/AccessScope"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import type { TrainingRun } from "@effect-tinker/protocol/TrainingRun"
import type { TrainingRunsResponse } from "@effect-tinker/protocol/TrainingRunsMessages"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { call, ofCollection } from "./internal/transport/endpoint.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class TrainingRunsApi extends Context.Tag("effect-tinker/TrainingRunsApi")<TrainingRunsApi, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The newest first. */
  readonly listTrainingRuns: (page: {
    readonly limit: number
    readonly offset: number
    readonly accessScope: AccessScope
    readonly projectId?: string | undefined
  }) => Effect.Effect<TrainingRunsResponse, TinkerError>
  readonly getTrainingRun: (
    trainingRunId: string,
    accessScope: AccessScope
  ) => Effect.Effect<TrainingRun, TinkerError>
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, TinkerHttpClient.TinkerHttpClient> = Effect.map(
  TinkerHttpClient.TinkerHttpClient,
  (http) => {
    const list = call(http, Endpoints.listTrainingRuns)
    const getOne = call(http, Endpoints.getTrainingRun)
    return TrainingRunsApi.of({
      listTrainingRuns: (query) => ofCollection(list({ query })),
      getTrainingRun: (id, accessScope) =>
        getOne({ parameters: { id }, query: { accessScope } }, { subject: `training run ${id}` })
    })
  }
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<TrainingRunsApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(
  TrainingRunsApi,
  make
)
