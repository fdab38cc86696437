/** What went wrong on the way, as errors that say what to do. */
import {
  ApiConnectionError,
  ApiResponseValidationError,
  InvalidInputError,
  type TinkerError
} from "@effect-tinker/protocol/TinkerError"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import { RefusedAnswer } from "../../HttpRuntime.js"
import * as HttpErrors from "../effect/httpErrors.js"

export const asTinkerError = (
  operation: string,
  url: string,
  error: HttpClientError.HttpClientError | RefusedAnswer | TinkerError
): TinkerError => {
  if (error._tag === "RefusedAnswer") {
    return new ApiResponseValidationError({ operation, description: error.message, cause: error })
  }
  if (!HttpErrors.isHttpClientError(error)) return error
  if (error.cause instanceof RefusedAnswer) return asTinkerError(operation, url, error.cause)
  return HttpErrors.isOfAddress(error)
    ? new InvalidInputError({
      operation,
      field: "baseUrl",
      description: `${JSON.stringify(url)} is no address. Check TINKER_BASE_URL.`
    })
    : connectionLost(operation, url, error.cause)
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
  new ApiConnectionError({
    operation,
    url,
    description: describe(cause),
    ...(isOfCertificates(reasonOf(cause)) ? { isUntrusted: true } : {}),
    ...(cause instanceof Error ? { cause } : {})
  })

/** Runtimes bury the reason: an `Error` whose cause, or the causes of which, name it. */
const reasonOf = (cause: unknown): unknown => {
  if (!(cause instanceof Error)) return cause
  if (cause.cause instanceof Error) return reasonOf(cause.cause)
  return cause instanceof AggregateError && cause.errors[0] instanceof Error ? reasonOf(cause.errors[0]) : cause
}

const describe = (cause: unknown): string => {
  const reason = reasonOf(cause)
  // An address may hold a user and a password.
  return reason instanceof Error
    ? (reason.message || reason.name).replace(/\/\/[^/\s]*@/g, "//")
    : "the connection failed"
}

/** Whether certificates are the reason, by the codes of OpenSSL and Node, or by the words of runtimes that have none. */
const isOfCertificates = (reason: unknown): boolean =>
  reason instanceof Error
  && (certificateCodes.has(String((reason as { readonly code?: unknown }).code)) ||
    /\bcertificate\b/i.test(reason.message))

const certificateCodes: ReadonlySet<string> = new Set([
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "CERT_REVOKED",
  "CERT_UNTRUSTED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
])
