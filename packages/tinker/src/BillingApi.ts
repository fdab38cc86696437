/**
 * Endpoints of what an organization has used.
 */
import { BillingUsageResponse, CurrentCheckpointStorageUsageResponse } from "@effect-tinker/protocol/BillingMessages"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ofCollection } from "./internal/endpoint.js"
import { withQuery } from "./internal/query.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class BillingApi extends Context.Tag("effect-tinker/BillingApi")<BillingApi, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** What was used in each hour of a window. */
  readonly billingUsage: (window: {
    readonly startingOn: DateTime.Utc
    readonly endingBefore: DateTime.Utc
  }) => Effect.Effect<BillingUsageResponse, TinkerError>
  /** What is stored now, of one project or of all. */
  readonly currentCheckpointStorageUsage: (options: {
    readonly projectId?: string | undefined
  }) => Effect.Effect<CurrentCheckpointStorageUsageResponse, TinkerError>
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, TinkerHttpClient.TinkerHttpClient> = Effect.map(
  TinkerHttpClient.TinkerHttpClient,
  (http) =>
    BillingApi.of({
      billingUsage: ({ endingBefore, startingOn }) =>
        ofCollection(http.json({
          operation: "get_billing_usage",
          method: "GET",
          path: withQuery("/api/v1/billing/usage/events", {
            starting_on: DateTime.formatIso(startingOn),
            ending_before: DateTime.formatIso(endingBefore)
          })
        }, BillingUsageResponse)),
      currentCheckpointStorageUsage: ({ projectId }) =>
        ofCollection(http.json({
          operation: "get_current_checkpoint_storage_usage",
          method: "GET",
          path: withQuery("/api/v1/billing/usage/checkpoints/current", { project_id: projectId })
        }, CurrentCheckpointStorageUsageResponse))
    })
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<BillingApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(BillingApi, make)
