/**
 * Endpoints of training runs.
 */
import type { AccessScope } from "@effect-tinker/protocol/AccessScope"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import { TrainingRun } from "@effect-tinker/protocol/TrainingRun"
import { TrainingRunsResponse } from "@effect-tinker/protocol/TrainingRunsMessages"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ofCollection } from "./internal/endpoint.js"
import { withQuery } from "./internal/query.js"
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
  (http) =>
    TrainingRunsApi.of({
      listTrainingRuns: ({ accessScope, limit, offset, projectId }) =>
        ofCollection(http.json({
          operation: "list_training_runs",
          method: "GET",
          path: withQuery("/api/v1/training_runs", { limit, offset, access_scope: accessScope, project_id: projectId })
        }, TrainingRunsResponse)),
      getTrainingRun: (trainingRunId, accessScope) =>
        http.json({
          operation: "get_training_run",
          method: "GET",
          path: withQuery(`/api/v1/training_runs/${trainingRunId}`, { access_scope: accessScope }),
          subject: `training run ${trainingRunId}`
        }, TrainingRun)
    })
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<TrainingRunsApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(
  TrainingRunsApi,
  make
)
