import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { TinkerError } from "../TinkerError.js"
import type * as TinkerHttpClient from "../TinkerHttpClient.js"

/**
 * One JSON endpoint: encodes the payload, sends it once, decodes the answer. A payload that does not fit its own schema
 * is a mistake of this package, so it is a defect.
 */
export const post = <A, I, B, J>(
  http: TinkerHttpClient.Service,
  operation: string,
  request: Schema.Schema<A, I>,
  response: Schema.Schema<B, J>
) =>
(payload: A, options?: Partial<TinkerHttpClient.Request>): Effect.Effect<B, TinkerError> =>
  Effect.flatMap(Effect.orDie(Schema.encode(request)(payload)), (encoded) =>
    http.json({
      operation,
      method: "POST",
      path: `/api/v1/${operation}`,
      body: {
        contentType: "application/json",
        bytes: new TextEncoder().encode(JSON.stringify(encoded))
      },
      ...options
    }, response))
