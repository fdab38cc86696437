import * as Effect from "effect/Effect"
import type * as TelemetryReporter from "../../TelemetryReporter.js"
import * as TinkerEvents from "../../TinkerEvents.js"
import * as TinkerMetrics from "../../TinkerMetrics.js"
import * as Operations from "./operation.js"

/** Who is told of what the calls of a client do. */
export interface Observers {
  readonly hub: TinkerEvents.Hub
  readonly metrics: TinkerMetrics.TinkerMetrics | undefined
  /** Absent when it is off. */
  readonly telemetry: TelemetryReporter.Service | undefined
  readonly reporting: Operations.Operations["reporting"]
}

export const observers: Effect.Effect<Observers> = Effect.gen(function*() {
  const { reporting, telemetry } = yield* Operations.operations
  return { hub: yield* TinkerEvents.CurrentHub, metrics: yield* TinkerMetrics.CurrentMetrics, telemetry, reporting }
})
