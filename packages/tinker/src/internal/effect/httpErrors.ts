/** What the platform's `HttpClient` fails with, and what the SDK has to know of that. The reason of a failure is its `cause`. */
import * as HttpClientError from "@effect/platform/HttpClientError"

export const isHttpClientError: (error: unknown) => error is HttpClientError.HttpClientError =
  HttpClientError.isHttpClientError

/** Whether the address was none, so that nothing was sent. */
export const isOfAddress = (error: HttpClientError.HttpClientError): boolean =>
  error._tag === "RequestError" && error.reason === "InvalidUrl"

/** Whether an answer has no body, of which platforms give no stream. */
export const isOfEmptyBody = (error: HttpClientError.HttpClientError): boolean =>
  error._tag === "ResponseError" && error.reason === "EmptyBody"
