/** The results of SkyRL. */
import * as Effect from "effect/Effect"
import type { Answer } from "../../../Dialect.js"
import { type Asked, brokeDown, detail, type Endpoint, text } from "../foreignServer.js"
import * as Foreign from "../foreignServer.js"
import type * as State from "./state.js"

export const retrieveFuture = (state: State.State): Endpoint => (asked) => {
  const id = text(asked.call.json, "request_id") ?? ""
  if (!/^\s*[+-]?\d+\s*$/.test(id)) return Effect.succeed(brokeDown)
  const future = state.futures.get(id)
  return future === undefined ? Effect.succeed(detail(404, "Future not found")) : retrieve(asked, future)
}

export const retrieve = (asked: Asked, future: State.Future): Effect.Effect<Answer> => {
  if ("failure" in future.result) return Effect.succeed(detail(400, future.result.failure))
  return Effect.flatMap(Foreign.retrieve(asked, future.result.requestId, holdMillis), (said) => {
    if (Foreign.isGone(said)) return future.onLost(asked)
    if (Foreign.isNotYet(said)) return Effect.succeed(detail(408, "Timeout waiting for result"))
    const failure = text(said.body, "error")
    if (failure !== undefined) {
      future.onFailure?.(failure)
      return Effect.succeed(detail(400, failure))
    }
    return Effect.succeed(said.status === 200 ? { ...said, body: future.toResult(said.body) } : said)
  })
}

/** How long a question is held, in milliseconds. */
const holdMillis = 300_000
