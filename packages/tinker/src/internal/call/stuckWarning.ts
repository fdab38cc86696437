import { durationText } from "@effect-tinker/protocol/Prose"
import * as Duration from "effect/Duration"

/** What is logged of a request that is waited for although it makes no progress. */
export const stuckWarning = (request: {
  readonly operation: string
  readonly requestId: string
  /** Who waits, e.g. `model S:train:0`. */
  readonly label: string
  readonly stuckAfter: Duration.Duration
  /** What the server last said of it. */
  readonly state: string
}): string =>
  `${request.operation}: request ${request.requestId} of ${request.label} made no progress for `
  + `${durationText(request.stuckAfter)} (${request.state}). It is still waited for; `
  + "WaitingPolicy.failWhenStuck ends such a wait"
