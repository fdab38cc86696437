/** What went wrong on the way, as errors that say what to do. */
import type * as HttpClientError from "@effect/platform/HttpClientError"
import { RefusedAnswer } from "../ResponseLimits.js"
import { ApiConnectionError, ApiResponseValidationError, InvalidInputError, type TinkerError } from "../TinkerError.js"

export const asTinkerError = (
  operation: string,
  url: string,
  error: HttpClientError.HttpClientError | RefusedAnswer | TinkerError
): TinkerError => {
  switch (error._tag) {
    case "RefusedAnswer":
      return new ApiResponseValidationError({ operation, description: error.message, cause: error })
    case "RequestError":
      if (error.cause instanceof RefusedAnswer) return asTinkerError(operation, url, error.cause)
      return error.reason === "InvalidUrl"
        ? new InvalidInputError({
          operation,
          field: "baseUrl",
          description: `${JSON.stringify(url)} is no address. Check TINKER_BASE_URL.`
        })
        : connectionLost(operation, url, error.cause)
    case "ResponseError":
      return error.cause instanceof RefusedAnswer
        ? asTinkerError(operation, url, error.cause)
        : connectionLost(operation, url, error.cause)
    default:
      return error
  }
}

/** Proxies refuse connections so; a server that refuses a request says why. */
export const connectionRefused = (operation: string, url: string): ApiConnectionError =>
  new ApiConnectionError({
    operation,
    url,
    description: "an empty answer 400, as something before the server gives that refuses the connection"
  })

const connectionLost = (operation: string, url: string, cause: unknown): ApiConnectionError =>
  // Only errors go along: anything else may hold the request, and so the credential.
  new ApiConnectionError({ operation, url, description: describe(cause), ...(cause instanceof Error ? { cause } : {}) })

/** Runtimes bury the reason: an `Error` whose cause, or the causes of which, name it. */
const describe = (cause: unknown): string => {
  if (!(cause instanceof Error)) return "the connection failed"
  if (cause.cause instanceof Error) return describe(cause.cause)
  if (cause instanceof AggregateError && cause.errors[0] instanceof Error) return describe(cause.errors[0])
  // An address may hold a user and a password.
  return (cause.message || cause.name).replace(/\/\/[^/\s]*@/g, "//")
}
