import type { SessionTraceExportPollResponse } from "@effect-tinker/protocol/SessionsMessages"
import {
  ApiResponseValidationError,
  ApiTimeoutError,
  RequestFailedError,
  type TinkerError
} from "@effect-tinker/protocol/TinkerError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import * as RetryPolicy from "../../RetryPolicy.js"
import * as WaitingPolicy from "../../WaitingPolicy.js"
import * as PolicyRun from "../transport/policyRun.js"

/** Asks, by the policy `traceExport`, until the file is there or will never be. */
export const exportTrace = (
  ask: Effect.Effect<SessionTraceExportPollResponse, TinkerError>,
  sessionId: string,
  given: Duration.DurationInput | undefined
): Effect.Effect<Redacted.Redacted, TinkerError> => {
  const name = "RestClient.exportSessionTrace"
  const requestId = `sessions/${sessionId}/trace_export`
  const pending = new ApiTimeoutError({
    operation: name,
    reason: "waiting",
    deadline: Duration.zero,
    requestId,
    state: "pending"
  })
  const poll = (run: PolicyRun.PolicyRun): Effect.Effect<Redacted.Redacted, TinkerError> =>
    Effect.flatMap(ask, ({ error, status, url }) => {
      if (status === "pending") {
        return Effect.flatMap(run.pause(pending), (goesOn) => goesOn ? poll(run) : pending)
      }
      if (status === "ready" && url !== undefined) return Effect.succeed(url)
      return Effect.fail(
        status === "failed"
          ? new RequestFailedError({
            operation: name,
            requestId,
            category: "unknown",
            description: error ?? "the server does not say why"
          })
          : new ApiResponseValidationError({
            operation: name,
            description: "the trace is ready, but no url is given",
            requestId
          })
      )
    })
  const untilThere = Effect.flatMap(
    RetryPolicy.CurrentPolicies,
    ({ traceExport }) => poll(PolicyRun.begin(traceExport))
  )
  return Effect.flatMap(WaitingPolicy.CurrentWaitingPolicy, (policy) => {
    const deadline = given === undefined ? policy.deadline : Duration.decode(given)
    return Duration.isFinite(deadline)
      ? Effect.timeoutFail(untilThere, {
        duration: deadline,
        onTimeout: () =>
          new ApiTimeoutError({ operation: name, reason: "waiting", deadline, requestId, state: "pending" })
      })
      : untilThere
  })
}
