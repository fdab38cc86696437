/** The policies in force while a client samples: those of the caller, changed by what the client was made with. */
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as RetryPolicy from "../../RetryPolicy.js"
import type { RetryConfig } from "../../SamplingClient.js"
import * as WaitingPolicy from "../../WaitingPolicy.js"
import * as Schedules from "../effect/schedules.js"

export const withConfig = <A>(
  effect: Effect.Effect<A, TinkerError>,
  config: RetryConfig,
  retries: boolean
): Effect.Effect<A, TinkerError> => {
  if (!retries || config.enableRetryLogic === false) {
    return RetryPolicy.withPolicies(effect, { request: RetryPolicy.none })
  }
  const { progressTimeout } = config
  const patient = progressTimeout === undefined || config.enableStuckDetection === false
    ? effect
    : withWaiting(effect, {
      stuckAfter: Duration.millis(progressTimeout),
      activeFor: Duration.millis(progressTimeout),
      failsWhenStuck: true
    })
  return hasSchedule(config) ? RetryPolicy.withPolicies(patient, policiesOf(config)) : patient
}

/** Changes the policy in force, of which a deadline stays. */
export const withWaiting = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  changes: Partial<WaitingPolicy.WaitingPolicy>
): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    WaitingPolicy.CurrentWaitingPolicy,
    (policy) => WaitingPolicy.withWaitingPolicy(effect, { ...policy, ...changes })
  )

const hasSchedule = (config: RetryConfig): boolean =>
  config.retryDelayBase !== undefined || config.retryDelayMax !== undefined || config.jitterFactor !== undefined
  || config.maxAttempts !== undefined

/** Defaults: those of the Python SDK 0.38.0. */
const policiesOf = (config: RetryConfig): Partial<RetryPolicy.Policies> => {
  const delays = RetryPolicy.backoff({
    first: Duration.millis(config.retryDelayBase ?? 500),
    longest: Duration.millis(config.retryDelayMax ?? 10_000),
    jitter: config.jitterFactor
  })
  if (config.maxAttempts === undefined) return { request: delays, sample: delays }
  const repeats = config.maxAttempts - 1
  const bounded = Schedules.times(delays, repeats)
  return { request: bounded, sample: bounded, backpressure: Schedules.times(RetryPolicy.backpressure, repeats) }
}
