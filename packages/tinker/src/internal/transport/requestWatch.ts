import { reasonOfStatus, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import type * as Clock from "effect/Clock"
import { trafficOf } from "../../HttpRuntime.js"
import type * as TinkerEvents from "../../TinkerEvents.js"
import type * as TinkerHttpClient from "../../TinkerHttpClient.js"
import type * as TinkerMetrics from "../../TinkerMetrics.js"
import * as Fibers from "../effect/fibers.js"
import type { Attempts } from "./attempts.js"

/** Tells listeners and metrics of the requests of one transport. */
export interface RequestWatch {
  /** Whether there is anybody to tell. */
  readonly isWanted: () => boolean
  /** The request to which an attempt belongs, which begins with its first. */
  readonly requestOf: (
    fiber: Fibers.Running,
    request: TinkerHttpClient.Request,
    attempts: Attempts
  ) => WatchedRequest
}

export interface WatchedRequest {
  readonly path: string
  /** An attempt begins. */
  readonly sent: (bytes: number) => void
  /** What came of it. Another attempt may follow. */
  readonly answered: (status: number, bytes: number) => void
  readonly failed: (error: TinkerError) => void
  /** Nobody waits for it any more, which is the end. */
  readonly interrupted: () => void
  /** No attempt follows. Only the first call counts. */
  readonly end: () => void
}

interface Options {
  readonly hub: TinkerEvents.Hub
  readonly metrics: TinkerMetrics.TinkerMetrics | undefined
}

export const make = (options: Options): RequestWatch => {
  const { hub, metrics } = options
  // Paths without ids are few, and found faster than their operation is cut out.
  const byPath = new Map<string, TinkerMetrics.RequestMetrics>()

  const metricsOf = (metrics: TinkerMetrics.TinkerMetrics, { operation, path }: TinkerHttpClient.Request) => {
    const known = byPath.get(path)
    if (known !== undefined) return known
    const end = operation.indexOf(" ")
    const name = end < 0 ? operation : operation.slice(0, end)
    const found = metrics.requestsOf(name)
    if (path.endsWith(`/${name}`)) byPath.set(path, found)
    return found
  }

  return {
    isWanted: () => metrics !== undefined || hub.isHeard(),
    requestOf: (fiber, request, attempts) => {
      // What shares attempts may be several requests, one after the other.
      if (attempts.watched?.path === request.path) return attempts.watched
      attempts.watched?.end()
      return attempts.watched = new Watched(
        options,
        metrics === undefined ? undefined : metricsOf(metrics, request),
        request,
        attempts,
        Fibers.clockOf(fiber)
      )
    }
  }
}

class Watched implements WatchedRequest {
  readonly path: string
  private readonly options: Options
  private readonly metrics: TinkerMetrics.RequestMetrics | undefined
  private readonly attempts: Attempts
  private readonly clock: Clock.Clock
  private readonly operation: string
  private readonly method: string
  private readonly firstRetry: number
  private readonly at: number
  private result: TinkerEvents.Result = "interrupted"
  private status: number | undefined
  private endedAt: number
  private bytesSent = 0
  private bytesReceived = 0
  private ended = false

  constructor(
    options: Options,
    metrics: TinkerMetrics.RequestMetrics | undefined,
    request: TinkerHttpClient.Request,
    attempts: Attempts,
    clock: Clock.Clock
  ) {
    this.options = options
    this.metrics = metrics
    this.attempts = attempts
    this.operation = request.operation
    this.method = request.method
    this.path = request.path
    this.firstRetry = attempts.retryCount
    this.clock = clock
    this.at = this.endedAt = clock.unsafeCurrentTimeMillis()
    metrics?.started()
    if (options.hub.isHeard()) options.hub.publish({ _tag: "RequestStarted", ...this.named() })
  }

  sent(bytes: number): void {
    this.bytesSent += bytes
  }

  answered(status: number, bytes: number): void {
    this.endedAt = this.clock.unsafeCurrentTimeMillis()
    this.bytesReceived += bytes
    this.status = status
    this.result = status >= 200 && status < 300
      ? "ok"
      : status === 408 && trafficOf(this.path) === "poll"
      ? "pending"
      : reasonOfStatus(status)
  }

  failed(error: TinkerError): void {
    this.endedAt = this.clock.unsafeCurrentTimeMillis()
    this.status = undefined
    this.result = error._tag
  }

  interrupted(): void {
    this.endedAt = this.clock.unsafeCurrentTimeMillis()
    this.status = undefined
    this.result = "interrupted"
    this.end()
  }

  end(): void {
    if (this.ended) return
    this.ended = true
    const duration = this.endedAt - this.at
    const retries = this.attempts.retryCount - this.firstRetry
    this.metrics?.moved(this.bytesSent, this.bytesReceived)
    this.metrics?.ended(this.result, retries, duration)
    const { hub } = this.options
    if (hub.isHeard()) {
      hub.publish({
        _tag: "RequestStopped",
        ...this.named(),
        result: this.result,
        status: this.status,
        retries,
        duration,
        bytesSent: this.bytesSent,
        bytesReceived: this.bytesReceived
      })
    }
  }

  private named() {
    const { at, method, operation, path } = this
    return { operation, method, path, traffic: trafficOf(path), at }
  }
}
