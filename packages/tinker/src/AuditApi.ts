/**
 * Endpoint of the audit log: who did what in an organization.
 */
import type { AuditLogResponse, EventType } from "@effect-tinker/protocol/AuditMessages"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { call, ofCollection } from "./internal/transport/endpoint.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class AuditApi extends Context.Tag("effect-tinker/AuditApi")<AuditApi, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The entries of one day in UTC, `YYYY-MM-DD`, by default today's. */
  readonly auditLog: (options: {
    readonly eventType: EventType
    readonly day?: string | undefined
  }) => Effect.Effect<AuditLogResponse, TinkerError>
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, TinkerHttpClient.TinkerHttpClient> = Effect.map(
  TinkerHttpClient.TinkerHttpClient,
  (http) => {
    const getAuditLog = call(http, Endpoints.getAuditLog)
    return AuditApi.of({ auditLog: (query) => ofCollection(getAuditLog({ query })) })
  }
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<AuditApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(AuditApi, make)
