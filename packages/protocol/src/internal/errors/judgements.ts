/** What can be told of errors, by which callers decide what to do. */
import type { ApiConnectionError, ApiTimeoutError, StatusReason, TinkerError } from "../../TinkerError.js"

/** The reason that a status stands for. */
export const reasonOfStatus = (status: number): StatusReason => {
  switch (status) {
    case 400:
      return "BadRequest"
    case 401:
      return "Authentication"
    case 402:
      return "Billing"
    case 403:
      return "PermissionDenied"
    case 404:
      return "NotFound"
    case 405:
    case 501:
    case 505:
      return "Unsupported"
    case 408:
      return "RequestTimeout"
    case 409:
      return "Conflict"
    case 410:
      return "Expired"
    case 422:
      return "UnprocessableEntity"
    case 429:
      return "RateLimit"
    default:
      return status >= 500 ? "InternalServer" : "Other"
  }
}

const retryableReasons: ReadonlySet<StatusReason> = new Set(["RequestTimeout", "RateLimit", "InternalServer"])

/** A request of this size or form stays what it is. */
const finalForeignStatuses: ReadonlySet<number> = new Set([405, 413, 414, 431])

/**
 * Whether sending the same request again may succeed. The only place that decides.
 *
 * | error | sent again |
 * | --- | --- |
 * | `ApiConnectionError` | yes, unless `isUntrusted` |
 * | `ApiTimeoutError` | of reason `request` |
 * | `ApiStatusError` | as its header `x-should-retry` says; without one 408, 429, 5xx but 501 and 505, and {@link isPuzzling} |
 * | `ApiResponseValidationError` | when {@link isPuzzling} |
 * | every other | no |
 *
 * 409 is final: what exists already exists after a minute too.
 */
export const isRetryable = (error: TinkerError): boolean => {
  switch (error._tag) {
    case "ApiConnectionError":
      return error.isUntrusted !== true
    case "ApiTimeoutError":
      return error.reason === "request"
    case "ApiStatusError":
      return error.shouldRetry ?? (retryableReasons.has(error.reason) || isPuzzling(error))
    case "ApiResponseValidationError":
      return isPuzzling(error)
    case "RequestFailedError":
    case "InvalidInputError":
    case "SessionClosedError":
    case "BudgetExceededError":
    case "OutcomeUnknownError":
      return false
  }
}

/**
 * Whether the answer makes no sense as one of the service: a refusal that a proxy has written, or a success that is a page, empty
 * or cut off. It may pass, as when a gateway restarts, or mean a wrong address, so requests are sent again a few times only.
 */
export const isPuzzling = (error: TinkerError): boolean => {
  switch (error._tag) {
    case "ApiStatusError":
      return error.isForeign === true && !retryableReasons.has(error.reason) && !finalForeignStatuses.has(error.status)
    case "ApiResponseValidationError":
      return error.isUnreadable === true
    default:
      return false
  }
}

/**
 * Whether a save was refused because there is a checkpoint of its name. Servers tell it in two ways: as an `ApiStatusError` of
 * reason `Conflict` when they are asked, and as a `RequestFailedError` of category `user`, whose description says so, when the
 * save is run.
 */
export const isNameTaken = (error: TinkerError): boolean => {
  switch (error._tag) {
    case "ApiStatusError":
      return error.reason === "Conflict" && error.isForeign !== true && isSave.test(error.operation)
    case "RequestFailedError":
      return error.category === "user" && isSave.test(error.operation) && saysTaken.test(error.description)
    default:
      return false
  }
}

const isSave = /save/i
const saysTaken = /\b(exists already|already exists)\b/i

/** Whether a request stayed without an answer: no connection, or none in time. */
export const isUnanswered = (error: TinkerError): error is ApiConnectionError | ApiTimeoutError =>
  error._tag === "ApiConnectionError" || (error._tag === "ApiTimeoutError" && error.reason === "request")

/**
 * Whether the one who holds the client is at fault, rather than the service or the way to it: a status from 400 to 499 of the
 * service itself other than 408 and 429 (a wrong key and a lost model among them), input refused here, a budget exceeded, or a
 * failure that the server puts in the category `user`. A backend that passes requests of others on asks more narrowly.
 */
export const isUserError = (error: TinkerError): boolean => {
  switch (error._tag) {
    case "ApiStatusError":
      return error.status >= 400 && error.status < 500 && error.status !== 408 && error.status !== 429
        && error.isForeign !== true
    case "RequestFailedError":
      return error.category === "user"
    case "InvalidInputError":
    case "BudgetExceededError":
      return true
    case "ApiConnectionError":
    case "ApiTimeoutError":
    case "ApiResponseValidationError":
    case "SessionClosedError":
    case "OutcomeUnknownError":
      return false
  }
}

/**
 * Whether what was asked for is at fault, so that whoever asked can mend it, rather than the key, the account, the service or
 * the way to it: input refused here or by the service (400, 422), or a failure that the server puts in the category `user`.
 */
export const isInputError = (error: TinkerError): boolean =>
  error._tag === "InvalidInputError"
  || (error._tag === "RequestFailedError" && error.category === "user")
  || (error._tag === "ApiStatusError" && error.isForeign !== true
    && (error.reason === "BadRequest" || error.reason === "UnprocessableEntity"))

/** Whether the server certainly did not take the request, so that its sequence number is free for the next one. */
export const isDefinitelyRefused = (error: TinkerError): boolean => {
  switch (error._tag) {
    case "InvalidInputError":
    case "SessionClosedError":
    case "BudgetExceededError":
      return true
    case "ApiStatusError":
      return error.status >= 400 && error.status < 500 && !undecidedStatuses.has(error.status)
        && error.isForeign !== true
    case "ApiConnectionError":
    case "ApiTimeoutError":
    case "ApiResponseValidationError":
    case "RequestFailedError":
    case "OutcomeUnknownError":
      return false
  }
}

/** Too Early may come while the request is already queued; the others are answered on the way after forwarding. */
const undecidedStatuses: ReadonlySet<number> = new Set([408, 425, 429])
