/**
 * Endpoints of what an organization has used.
 */
import type {
  BillingUsageResponse,
  CurrentCheckpointStorageUsageResponse
} from "@effect-tinker/protocol/BillingMessages"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { call, ofCollection } from "./internal/transport/endpoint.js"
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
  (http) => {
    const getUsage = call(http, Endpoints.getBillingUsage)
    const getStorage = call(http, Endpoints.getCurrentCheckpointStorageUsage)
    return BillingApi.of({
      billingUsage: ({ endingBefore, startingOn }) =>
        ofCollection(getUsage({
          query: { startingOn: DateTime.formatIso(startingOn), endingBefore: DateTime.formatIso(endingBefore) }
        })),
      currentCheckpointStorageUsage: (query) => ofCollection(getStorage({ query }))
    })
  }
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<BillingApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(BillingApi, make)
