import type * as TelemetryMessages from "@effect-tinker/protocol/TelemetryMessages"
import { isTinkerError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Cause from "effect/Cause"
import * as Predicate from "effect/Predicate"

/** The error of a failure, unless it is an interruption. */
export const errorIn = (cause: Cause.Cause<unknown>): { readonly error: unknown } | undefined =>
  Cause.isInterruptedOnly(cause) ? undefined : { error: Cause.squash(cause) }

/** What fails because its own client was closed has not failed. */
export const isOwnClose = (error: unknown): boolean =>
  isTinkerError(error) && error._tag === "SessionClosedError" && error.reason === "closed"

type Content =
  | Omit<typeof TelemetryMessages.GenericEvent.Type, "eventId" | "eventSessionIndex" | "timestamp">
  | Omit<typeof TelemetryMessages.UnhandledExceptionEvent.Type, "eventId" | "eventSessionIndex" | "timestamp">

/**
 * A mistake of the caller, found anywhere in the chain of causes, is a generic event; anything else an exception. Messages
 * of errors that are not the SDK's may hold what the user gave them, so they are told only on the user's own word.
 */
export const eventOf = (error: unknown, options: {
  readonly severity?: TelemetryMessages.Severity | undefined
  readonly operation?: string | undefined
  readonly tellsMessage: boolean
}): Content => {
  const { operation } = options
  const errorType = typeOf(error)
  const message = isTinkerError(error)
    ? messageOf(error)
    : options.tellsMessage
    ? error instanceof Error ? error.message : String(error)
    : ""
  const mistake = userError(error)
  if (mistake !== undefined) {
    return {
      event: "GENERIC_EVENT",
      severity: options.severity ?? "WARNING",
      eventName: "user_error",
      eventData: {
        error_type: errorType,
        message,
        ...(operation === undefined ? {} : { operation }),
        ...(mistake.status === undefined ? {} : { status_code: mistake.status })
      }
    }
  }
  return {
    event: "UNHANDLED_EXCEPTION",
    severity: options.severity ?? "ERROR",
    errorType,
    errorMessage: message !== "" || operation === undefined ? message : `in ${operation}`,
    traceback: error instanceof Error ? frames(error) : undefined
  }
}

const typeOf = (error: unknown): string => {
  if (Predicate.hasProperty(error, "_tag") && typeof error._tag === "string") return error._tag
  return error instanceof Error ? error.name : typeof error
}

/** The message of an error, without the words of the server and of the user's own functions, which may repeat what they were given. */
export const messageOf = (error: TinkerError): string => {
  switch (error._tag) {
    case "ApiStatusError":
      return `${error.operation}: ${error.status} (${error.reason})`
    case "RequestFailedError":
      return `${error.operation}: request ${error.requestId} failed (${error.category})`
    case "ApiConnectionError":
      return `${error.operation}: no response (${error.description})`
    case "ApiTimeoutError":
      return `${error.operation}: ${error.reason}${error.requestId === undefined ? "" : `, request ${error.requestId}`}`
    case "InvalidInputError":
      return `${error.operation}: ${error.field}`
    case "ApiResponseValidationError":
    case "SessionClosedError":
    case "BudgetExceededError":
      return error.message
    case "OutcomeUnknownError":
      return `${error.operation}: the outcome of ${error.unknownCall} is unknown`
  }
}

/** Where it happened, without the message, which is on the lines before. */
const frames = (error: Error): string | undefined => {
  const lines = (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line))
  return lines.length === 0 ? undefined : lines.join("\n")
}

const userError = (error: unknown): { readonly status: number | undefined } | undefined => {
  const seen = new Set<unknown>()
  for (let one = error; typeof one === "object" && one !== null && !seen.has(one);) {
    seen.add(one)
    if (isTinkerError(one)) {
      if (one._tag === "InvalidInputError" || one._tag === "BudgetExceededError") return { status: undefined }
      if (one._tag === "RequestFailedError" && one.category === "user") return { status: undefined }
    }
    const status = Predicate.hasProperty(one, "status") ? one.status : undefined
    if (typeof status === "number" && Number.isInteger(status) && status >= 400 && status < 500 && status !== 408) {
      return { status }
    }
    one = Predicate.hasProperty(one, "cause") ? one.cause : undefined
  }
  return undefined
}
