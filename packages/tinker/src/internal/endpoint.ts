import { ApiStatusError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as TinkerHttpClient from "../TinkerHttpClient.js"

/**
 * One JSON endpoint: encodes the payload, sends it once, decodes the answer. A payload that does not fit its own schema
 * is a mistake of this package, so it is a defect.
 */
export const post = <A, I, B, J>(
  http: TinkerHttpClient.Service,
  operation: string,
  request: Schema.Schema<A, I>,
  response: Schema.Schema<B, J>,
  always?: Partial<TinkerHttpClient.Request>
) => {
  const encode = Schema.encodeSync(request)
  return (payload: A, options?: Partial<TinkerHttpClient.Request>): Effect.Effect<B, TinkerError> =>
    Effect.suspend(() =>
      http.json({
        operation,
        method: "POST",
        path: `/api/v1/${operation}`,
        body: TinkerHttpClient.jsonBody(encode(payload)),
        ...always,
        ...options
      }, response)
    )
}

/**
 * For an endpoint whose address names no one thing that may be missing: 404 there means that the server has no such
 * endpoint.
 */
export const ofCollection = <A>(request: Effect.Effect<A, TinkerError>): Effect.Effect<A, TinkerError> =>
  Effect.mapError(
    request,
    (error) => error._tag === "ApiStatusError" && error.status === 404 ? unsupported(error) : error
  )

export const unsupported = (error: ApiStatusError): ApiStatusError =>
  new ApiStatusError({ ...error, reason: "Unsupported" })
