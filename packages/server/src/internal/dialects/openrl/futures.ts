/** The results of Open-RL. */
import * as Effect from "effect/Effect"
import { answer, type Endpoint, field, text } from "../foreignServer.js"
import * as Foreign from "../foreignServer.js"
import type * as State from "./state.js"
import * as Validation from "./validation.js"

export const retrieveFuture = (state: State.State): Endpoint => (received) =>
  Effect.gen(function*() {
    const requestId = field(received.call.json, "request_id")
    if (!Validation.isString(requestId)) return Validation.refused("request_id is required")
    const future = state.futures.get(requestId)
    const notYet = answer({ type: "try_again", request_id: requestId, queue_state: "active" })
    if (future === undefined) return yield* Effect.as(Effect.sleep(holdMillis), notYet)
    if ("failure" in future.result) return failedAnswer(future.result.failure)
    const response = yield* Foreign.retrieve(
      { ...received, call: { ...received.call, headers: { ...received.call.headers, accept: "application/json" } } },
      future.result.requestId,
      holdMillis
    )
    if (Foreign.isGone(response)) {
      state.futures.delete(requestId)
      return yield* Effect.as(Effect.sleep(holdMillis), notYet)
    }
    if (Foreign.isNotYet(response)) return notYet
    const why = text(response.body, "error")
    if (why !== undefined) {
      return failedAnswer(why)
    }
    return response.status === 200 ? answer(future.toResult(response.body)) : response
  })

/** How long a question is held, in milliseconds. */
const holdMillis = 60_000

const failedAnswer = (why: string) => answer({ type: "RequestFailedResponse", error_message: why }, 400)
