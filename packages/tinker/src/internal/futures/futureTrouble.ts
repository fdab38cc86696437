import { isUserError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import type * as FuturesApi from "../../FuturesApi.js"
import type { FutureFailureKind } from "../../TinkerEvents.js"
import type { Observers } from "../call/observers.js"
import type { Submitted } from "./submitted.js"

type Named = Pick<Submitted<unknown>, "operation" | "requestId" | "requestType">

/** What went otherwise than well while one result was waited for. Made by the first thing that did. */
export class FutureTrouble {
  private readonly observers: Observers
  private readonly submitted: Named
  private readonly counted = new Map<string, Counted>()
  private queue = ""

  constructor(observers: Observers, submitted: Named) {
    this.observers = observers
    this.submitted = submitted
  }

  /** The server says that the queue stands still. Tells of it when it did not say the same before. */
  paused({ queueState = "unknown", reason }: FuturesApi.Pending): void {
    this.state(queueState, reason)
  }

  /** The server says that it runs. */
  resumed(reason: string | undefined): void {
    if (this.queue !== "") this.state("active", reason)
  }

  stuck(): void {
    const { hub, metrics } = this.observers
    const { operation, requestId } = this.submitted
    metrics?.futureStuck()
    if (hub.isHeard()) hub.publish({ _tag: "FutureStuck", operation, requestId })
  }

  /** The answer to a question was 408. */
  timedOut(iteration: number): void {
    this.count("api_status_error", iteration, { status: 408, isUserError: false, type: "ApiStatusError" })
  }

  failed(error: TinkerError, iteration: number, isRetried: boolean, inProtobuf: boolean): void {
    const kind = kindOf(error, inProtobuf)
    if (kind === undefined) return
    const { hub } = this.observers
    const { operation, requestId, requestType } = this.submitted
    if (hub.isHeard()) {
      hub.publish({ _tag: "FutureFailed", kind, operation, requestId, requestType, iteration, error, isRetried })
    }
    this.count(kind, iteration, {
      status: error._tag === "ApiStatusError" ? error.status : undefined,
      isUserError: isUserError(error),
      type: error._tag
    })
  }

  /** Reports to the service, each kind once, however often it happened. */
  readonly finish: Effect.Effect<void> = Effect.suspend(() => {
    const { telemetry } = this.observers
    if (telemetry === undefined || this.counted.size === 0) return Effect.void
    const { requestId, requestType } = this.submitted
    const reports = Array.from(
      this.counted.values(),
      ({ count, isUserError, iteration, kind, status, type }) =>
        telemetry.log(`APIFuture.result_async.${kind}`, {
          severity: isUserError || status !== undefined || kind === "connection_error" ? "WARNING" : "ERROR",
          data: {
            request_id: requestId,
            request_type: requestType,
            exception_type: type,
            is_user_error: isUserError,
            iteration,
            count,
            ...(status === undefined ? {} : { status_code: status })
          }
        })
    )
    this.counted.clear()
    return Effect.all(reports, { discard: true })
  })

  private state(queueState: string, reason: string | undefined): void {
    const queue = `${queueState} ${reason ?? ""}`
    if (queue === this.queue) return
    this.queue = queue
    const { hub, metrics } = this.observers
    if (queueState !== "active") metrics?.queuePaused(queueState)
    const { operation, requestId } = this.submitted
    if (hub.isHeard()) hub.publish({ _tag: "QueueStateChanged", operation, requestId, queueState, reason })
  }

  private count(kind: FutureFailureKind, iteration: number, what: Pick<Counted, "status" | "isUserError" | "type">) {
    const key = `${kind} ${what.status ?? ""}`
    const known = this.counted.get(key)
    if (known === undefined) this.counted.set(key, { kind, iteration, count: 1, ...what })
    else {
      known.count += 1
      known.iteration = iteration
    }
  }
}

interface Counted {
  readonly kind: FutureFailureKind
  readonly status: number | undefined
  readonly isUserError: boolean
  readonly type: string
  count: number
  /** The last one. */
  iteration: number
}

const kindOf = (error: TinkerError, inProtobuf: boolean): FutureFailureKind | undefined => {
  switch (error._tag) {
    case "ApiStatusError":
      return "api_status_error"
    case "ApiConnectionError":
      return "connection_error"
    case "ApiTimeoutError":
      return "timeout"
    case "RequestFailedError":
      return "application_error"
    case "ApiResponseValidationError":
      return inProtobuf ? "proto_deserialization_error" : "validation_error"
    case "InvalidInputError":
    case "SessionClosedError":
    case "BudgetExceededError":
    case "OutcomeUnknownError":
      return undefined
  }
}
