/**
 * Counters, gauges and histograms of what clients do, as `Metric`s of Effect, so that any exporter of those sees them.
 *
 * | name | tags | counts |
 * | --- | --- | --- |
 * | `tinker_requests_total` | `operation`, `result` | requests that have ended, all attempts as one |
 * | `tinker_request_retries_total` | `operation` | attempts after the first |
 * | `tinker_requests_in_flight` | | requests begun and not ended |
 * | `tinker_request_duration_ms` | `operation` | their time, a histogram |
 * | `tinker_bytes_sent_total`, `tinker_bytes_received_total` | `operation` | bytes of bodies |
 * | `tinker_tokens_total` | `kind` | tokens of requests that succeeded, by the kinds of `UsageMeter` |
 * | `tinker_queue_pauses_total` | `reason` | times that the server let a request wait: the state of its queue, `billing` without credit, `backpressure` for samples refused for now |
 * | `tinker_futures_stuck_total` | | requests without progress for as long as `WaitingPolicy` says |
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import type * as Metric from "effect/Metric"
import * as Metrics from "./internal/effect/metrics.js"
import { summarize } from "./internal/summarize.js"
import type { Result } from "./TinkerEvents.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface TinkerMetrics {
  /** The metrics of one operation. */
  readonly requestsOf: (operation: string) => RequestMetrics
  readonly inFlight: Metric.Metric.Gauge<number>
  /** Adds tokens of a kind. */
  readonly countTokens: (kind: TokenKind, count: number) => void
  readonly queuePaused: (reason: string) => void
  readonly futureStuck: () => void
  /** What was counted so far. */
  readonly snapshot: () => Snapshot
}

/**
 * @since 0.1.0
 * @category models
 */
export interface RequestMetrics {
  readonly started: () => void
  readonly ended: (result: Result, retries: number, millis: number) => void
  readonly moved: (bytesSent: number, bytesReceived: number) => void
}

/**
 * What tokens are counted as: `training` in passes, the prompts of samples as `prefill`, or as `cachedPrefill` where the
 * server had them at hand, answers as `sampled`.
 *
 * @since 0.1.0
 * @category models
 */
export type TokenKind = "training" | "prefill" | "cachedPrefill" | "sampled"

/**
 * @since 0.1.0
 * @category models
 */
export interface Snapshot {
  readonly requests: number
  /** The number of requests with an answer 2xx, or one to a long poll. */
  readonly succeeded: number
  readonly failed: number
  readonly retries: number
  readonly inFlight: number
  readonly bytesSent: number
  readonly bytesReceived: number
  readonly tokens: Readonly<Record<TokenKind, number>>
  readonly futuresStuck: number
  /** The number of pauses by their reasons. */
  readonly queuePauses: Readonly<Record<string, number>>
  /** The time that the last requests took, a thousand at most, in milliseconds. */
  readonly duration: Summary
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Summary {
  readonly count: number
  readonly mean: number | undefined
  readonly min: number | undefined
  readonly max: number | undefined
  /** The middle one, or the mean of the two in the middle. */
  readonly p50: number | undefined
  /** The smallest that is not less than so many percent of all. */
  readonly p95: number | undefined
  readonly p99: number | undefined
}

const boundaries = [
  1,
  2,
  5,
  10,
  20,
  50,
  100,
  200,
  500,
  1000,
  2000,
  5000,
  10_000,
  20_000,
  45_000
]

const mostDurations = 1000

/**
 * A set of metrics, all with these tags. Sets with the same tags count together.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: { readonly tags?: Readonly<Record<string, string>> | undefined } = {}): TinkerMetrics => {
  const own = Object.entries(options.tags ?? {})
  const labels = (tags: Readonly<Record<string, string>>): Metrics.Labels => [...own, ...Object.entries(tags)]
  const counter = (name: string, tags: Readonly<Record<string, string>> = {}) => Metrics.counter(name, labels(tags))

  const inFlight = Metrics.gauge("tinker_requests_in_flight", own)
  const stuck = counter("tinker_futures_stuck_total")
  const tokens = {
    training: counter("tinker_tokens_total", { kind: "training" }),
    prefill: counter("tinker_tokens_total", { kind: "prefill" }),
    cachedPrefill: counter("tinker_tokens_total", { kind: "cached_prefill" }),
    sampled: counter("tinker_tokens_total", { kind: "sampled" })
  }
  const pauses = new Map<string, Metrics.Counter>()
  const operations = new Map<string, RequestMetrics & { readonly sums: () => Sums }>()
  const durations = new Float64Array(mostDurations)
  let measured = 0

  const makeRequestMetrics = (operation: string) => {
    const byResult = new Map<Result, Metrics.Counter>()
    const retried = counter("tinker_request_retries_total", { operation })
    const sent = counter("tinker_bytes_sent_total", { operation })
    const received = counter("tinker_bytes_received_total", { operation })
    const duration = Metrics.histogram("tinker_request_duration_ms", boundaries, labels({ operation }))
    const resultCounter = (result: Result) => {
      let found = byResult.get(result)
      if (found === undefined) byResult.set(result, found = counter("tinker_requests_total", { operation, result }))
      return found
    }
    return {
      started: () => inFlight.change(1),
      ended: (result: Result, retries: number, millis: number) => {
        inFlight.change(-1)
        resultCounter(result).add(1)
        duration.record(millis)
        if (retries > 0) retried.add(retries)
        durations[measured++ % mostDurations] = millis
      },
      moved: (bytesSent: number, bytesReceived: number) => {
        if (bytesSent > 0) sent.add(bytesSent)
        if (bytesReceived > 0) received.add(bytesReceived)
      },
      sums: (): Sums => {
        let requests = 0
        let succeeded = 0
        for (const [result, counter] of byResult) {
          requests += counter.total()
          if (result === "ok" || result === "pending") succeeded += counter.total()
        }
        return {
          requests,
          succeeded,
          retries: retried.total(),
          bytesSent: sent.total(),
          bytesReceived: received.total()
        }
      }
    }
  }

  const requestsOf = (operation: string) => {
    let found = operations.get(operation)
    if (found === undefined) operations.set(operation, found = makeRequestMetrics(operation))
    return found
  }

  return {
    requestsOf,
    inFlight: inFlight.metric,
    countTokens: (kind, count) => {
      if (count > 0) tokens[kind].add(count)
    },
    queuePaused: (reason) => {
      let found = pauses.get(reason)
      if (found === undefined) pauses.set(reason, found = counter("tinker_queue_pauses_total", { reason }))
      found.add(1)
    },
    futureStuck: () => stuck.add(1),
    snapshot: () => {
      const sums: Sums = { requests: 0, succeeded: 0, retries: 0, bytesSent: 0, bytesReceived: 0 }
      for (const operation of operations.values()) {
        const more = operation.sums()
        for (const key of sumKeys) sums[key] += more[key]
      }
      return {
        ...sums,
        failed: sums.requests - sums.succeeded,
        inFlight: inFlight.value(),
        tokens: {
          training: tokens.training.total(),
          prefill: tokens.prefill.total(),
          cachedPrefill: tokens.cachedPrefill.total(),
          sampled: tokens.sampled.total()
        },
        futuresStuck: stuck.total(),
        queuePauses: Object.fromEntries(Array.from(pauses, ([reason, counter]) => [reason, counter.total()])),
        duration: summarize(durations.subarray(0, Math.min(measured, mostDurations)))
      }
    }
  }
}

interface Sums {
  requests: number
  succeeded: number
  retries: number
  bytesSent: number
  bytesReceived: number
}

const sumKeys = ["requests", "succeeded", "retries", "bytesSent", "bytesReceived"] as const

/**
 * The metrics of the clients that are made in a region of code; `undefined` for none. By default one set without tags.
 *
 * @since 0.1.0
 * @category config
 */
export class CurrentMetrics extends Context.Reference<CurrentMetrics>()("effect-tinker/TinkerMetrics/CurrentMetrics", {
  defaultValue: (): TinkerMetrics | undefined => make()
}) {}

/**
 * Another set for the clients that are made with it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (metrics: TinkerMetrics): Layer.Layer<CurrentMetrics> => Layer.succeed(CurrentMetrics, metrics)

/**
 * No metrics.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerOff: Layer.Layer<CurrentMetrics> = Layer.succeed(CurrentMetrics, undefined)
