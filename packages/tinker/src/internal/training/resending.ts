import { isDefinitelyRefused, OutcomeUnknownError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as RetryPolicy from "../../RetryPolicy.js"
import type { Attempts } from "../transport/attempts.js"

/** Sends a training request, and sends it again where the server knows it again by its number. */
export type Resending = <A>(
  request: { readonly seqId: number; readonly call: string | undefined },
  attempt: (attempts: Attempts) => Effect.Effect<A, TinkerError>
) => Effect.Effect<A, TinkerError>

/** Sends again as often as the policy wants. */
export const always: Resending = (_, attempt) => RetryPolicy.resend(attempt)

/**
 * Servers that do a repeated request twice get each request once, unless they said that they did not take it. If that stays unknown
 * the call fails with `OutcomeUnknownError`.
 */
export const make = (recognizesRepeats: () => boolean): Resending => ({ call, seqId }, attempt) =>
  Effect.suspend(() => {
    if (recognizesRepeats()) return always({ call, seqId }, attempt)
    return RetryPolicy.resend(attempt, {
      when: (error, { retryable }) => retryable(error) && isNotTaken(error)
    }).pipe(
      Effect.mapError((error) =>
        isNotTaken(error) || !mayBeTaken(error) ? error : new OutcomeUnknownError({
          operation: call ?? error.operation,
          unknownCall: call ?? error.operation,
          seqId,
          description: `${error.message} This server does a repeated request twice, so it was not sent again`,
          cause: error
        })
      )
    )
  })

const isNotTaken = (error: TinkerError): boolean =>
  isDefinitelyRefused(error)
  || (error._tag === "ApiStatusError" && error.reason === "RateLimit" && error.isForeign !== true)

const mayBeTaken = (error: TinkerError): boolean => {
  switch (error._tag) {
    case "ApiConnectionError":
    case "ApiTimeoutError":
    case "ApiStatusError":
    case "ApiResponseValidationError":
      return true
    default:
      return false
  }
}
