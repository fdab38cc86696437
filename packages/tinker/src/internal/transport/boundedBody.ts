import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as HttpRuntime from "../../HttpRuntime.js"
import { encodingsOf, RefusedAnswer } from "../../HttpRuntime.js"
import { concatBytes } from "../concatBytes.js"
import * as HttpErrors from "../effect/httpErrors.js"

/** The body of an answer of any client, read until it is longer than it may be; then the connection closes. */
export const readWhole = (
  response: HttpClientResponse.HttpClientResponse,
  maxBytes: number
): Effect.Effect<HttpRuntime.DirectAnswer, HttpClientError.HttpClientError | RefusedAnswer> => {
  const { headers, status } = response
  const length = headers["content-length"]
  const encodings = encodingsOf(headers["content-encoding"])
  if (Either.isLeft(encodings)) return Effect.zipRight(closed(response), encodings.left)
  if (length !== undefined && Number(length) > maxBytes) return Effect.zipRight(closed(response), tooLong(maxBytes))
  // What says its length and is not packed is no longer than that, and read at once.
  const isBounded = length !== undefined && encodings.right.length === 0
  return Effect.map(
    isBounded ? Effect.map(response.arrayBuffer, (body) => new Uint8Array(body)) : collected(response, maxBytes),
    (body) => ({ status, headers, body })
  )
}

const collected = (response: HttpClientResponse.HttpClientResponse, maxBytes: number) =>
  Effect.suspend(() => {
    const parts: Array<Uint8Array> = []
    return bounded(response.stream, maxBytes).pipe(
      Stream.runForEach((part) => Effect.sync(() => parts.push(part))),
      // Platforms give no stream of a body that is empty.
      Effect.catchIf((error) => error._tag !== "RefusedAnswer" && HttpErrors.isOfEmptyBody(error), () => Effect.void),
      Effect.map(() => parts.length === 1 ? parts[0]! : concatBytes(parts))
    )
  })

/** The same parts, until they are more than they may be. */
export const bounded = <E>(
  stream: Stream.Stream<Uint8Array, E>,
  maxBytes: number
): Stream.Stream<Uint8Array, E | RefusedAnswer> =>
  Stream.suspend(() => {
    let bytes = 0
    return Stream.mapChunksEffect(stream, (parts) => {
      for (const part of parts) bytes += part.length
      return bytes > maxBytes ? tooLong(maxBytes) : Effect.succeed(parts)
    })
  })

/** Who stops reading a body closes its connection; no part of it need be there for that. */
const closed = (response: HttpClientResponse.HttpClientResponse) =>
  Effect.flatMap(
    Effect.fork(response.arrayBuffer),
    (reading) => Effect.zipRight(Effect.yieldNow(), Fiber.interrupt(reading))
  )

const tooLong = (limit: number) => new RefusedAnswer({ reason: "TooLong", limit })
