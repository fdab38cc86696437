/** The results of SkyRL. */
import * as Effect from "effect/Effect"
import type { Answer } from "../../../Dialect.js"
import { detail, type Endpoint, internalServerError, type Received, text } from "../foreignServer.js"
import * as Foreign from "../foreignServer.js"
import type * as State from "./state.js"

export const retrieveFuture = (state: State.State): Endpoint => (received) => {
  const id = text(received.call.json, "request_id") ?? ""
  if (!/^\s*[+-]?\d+\s*$/.test(id)) return Effect.succeed(internalServerError)
  const future = state.futures.get(id)
  return future === undefined ? Effect.succeed(detail(404, "Future not found")) : retrieve(received, future)
}

export const retrieve = (received: Received, future: State.Future): Effect.Effect<Answer> => {
  if ("failure" in future.result) return Effect.succeed(detail(400, future.result.failure))
  return Effect.flatMap(Foreign.retrieve(received, future.result.requestId, holdMillis), (response) => {
    if (Foreign.isGone(response)) return future.onLost(received)
    if (Foreign.isNotYet(response)) return Effect.succeed(detail(408, "Timeout waiting for result"))
    const failure = text(response.body, "error")
    if (failure !== undefined) {
      future.onFailure?.(failure)
      return Effect.succeed(detail(400, failure))
    }
    return Effect.succeed(response.status === 200 ? { ...response, body: future.toResult(response.body) } : response)
  })
}

/** How long a question is held, in milliseconds. */
const holdMillis = 300_000
