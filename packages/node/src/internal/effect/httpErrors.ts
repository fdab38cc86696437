/** What a client of the platform fails with: a request that was not answered, or an answer that cannot be read. */
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"

/** The error of whoever reads an answer. */
export type BodyError = HttpClientError.ResponseError

/** The error of a request whose address is none. */
export const invalidUrl = (
  request: HttpClientRequest.HttpClientRequest,
  cause: unknown
): HttpClientError.RequestError => new HttpClientError.RequestError({ request, reason: "InvalidUrl", cause })

/** The error of a request that could not be sent, or whose answer did not come whole. */
export const transport = (
  request: HttpClientRequest.HttpClientRequest,
  cause: unknown
): HttpClientError.RequestError => new HttpClientError.RequestError({ request, reason: "Transport", cause })

/** The error of an answer whose body cannot be read. */
export const unreadable = (response: HttpClientResponse.HttpClientResponse, cause: unknown): BodyError =>
  new HttpClientError.ResponseError({ request: response.request, response, reason: "Decode", cause })
