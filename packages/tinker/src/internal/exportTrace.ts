import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type { SessionTraceExportPollResponse } from "../SessionsApi.js"
import { ApiResponseValidationError, ApiTimeoutError, RequestFailedError, type TinkerError } from "../TinkerError.js"
import * as WaitingPolicy from "../WaitingPolicy.js"

/** Between two questions. Source: the Python SDK 0.38.0. */
const interval = Duration.seconds(5)

/** Asks until the file is there or will never be. */
export const exportTrace = (
  ask: Effect.Effect<SessionTraceExportPollResponse, TinkerError>,
  sessionId: string,
  given: Duration.DurationInput | undefined
): Effect.Effect<Redacted.Redacted, TinkerError> => {
  const name = "RestClient.exportSessionTrace"
  const requestId = `sessions/${sessionId}/trace_export`
  const poll: Effect.Effect<Redacted.Redacted, TinkerError> = Effect.flatMap(ask, ({ error, status, url }) => {
    if (status === "pending") return Effect.zipRight(Effect.sleep(interval), poll)
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
  return Effect.flatMap(WaitingPolicy.CurrentWaitingPolicy, (policy) => {
    const deadline = given === undefined ? policy.deadline : Duration.decode(given)
    return Duration.isFinite(deadline)
      ? Effect.timeoutFail(poll, {
        duration: deadline,
        onTimeout: () =>
          new ApiTimeoutError({ operation: name, reason: "waiting", deadline, requestId, state: "pending" })
      })
      : poll
  })
}
