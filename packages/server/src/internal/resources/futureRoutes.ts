/** Handlers of the results of requests, whichever they were. */
import * as FuturesMessages from "@effect-tinker/protocol/FuturesMessages"
import { fieldDefaulted } from "@effect-tinker/protocol/WireField"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Reply } from "../../Futures.js"
import { after } from "../fast/after.js"
import * as Http from "../http/http.js"
import type * as State from "../models/serverState.js"
import * as Lookups from "./lookups.js"

export const make = (state: State.ServerState) => {
  const { futures } = state

  const retrieveFuture: Http.Handler = (request) =>
    Effect.flatMap(
      Http.decodeBody(FuturesMessages.FutureRetrieveRequest, request),
      ({ allowMetadataOnly, requestId }) =>
        after(Lookups.requireRequest(state, requestId), () =>
          Effect.flatMap(futures.retrieve(requestId, { allowMetadataOnly }), (reply) =>
            Option.isNone(reply) ? unknownRequest(requestId) : answerTo(request, requestId, reply.value)))
    )

  const answerTo = (
    request: Http.Received,
    requestId: string,
    reply: Reply
  ): Effect.Effect<HttpServerResponse, Http.Refusal> => {
    switch (reply._tag) {
      case "Pending":
        return Effect.succeed(Http.json({
          type: "try_again",
          request_id: requestId,
          queue_state: reply.queue.state,
          queue_state_reason: reply.queue.reason
        }))
      case "Large":
        return Effect.succeed(Http.json({ status: "complete_metadata", response_payload_size: reply.size }))
      case "Lost": {
        const lost = state.models.get(requestId.slice(0, requestId.lastIndexOf(":")))?.lost
        if (lost !== undefined) return Http.refuse(410, `the request ${requestId} is lost with its model: ${lost}`)
        return Http.refuse(
          410,
          `what came of request ${requestId} is lost: the server was started anew before it was done, or could not keep it`
        )
      }
      case "Expired":
        return Http.refuse(410, `the result of request ${requestId} was kept for a while and is gone`)
      case "Failed":
        return Effect.succeed(Http.json({ error: reply.error, category: reply.category }))
      case "Completed":
        return Effect.sync(() =>
          reply.bytes !== undefined && Http.acceptsProtobuf(request)
            ? Http.protobuf(reply.bytes)
            : Http.json(reply.json())
        )
    }
  }

  /** The refusal of a request that there is not. Of a model of an earlier server it is known which requests there were. */
  const unknownRequest = (requestId: string): Http.Refusal => {
    const at = requestId.lastIndexOf(":")
    const model = state.models.get(requestId.slice(0, at))
    if (model?.lost !== undefined) return Http.refuse(410, `the model ${model.id} is lost: ${model.lost}`)
    const lost = state.lost.get(requestId.slice(0, at))
    if (lost !== undefined) return Http.refuse(410, `the request ${requestId} is lost: ${lost}`)
    const isPast = model !== undefined && Number(requestId.slice(at + 1)) < (model.journaled.progress?.next ?? 0)
    return isPast
      ? Http.refuse(410, `the result of request ${requestId} was kept for a while and is gone`)
      : Http.refuse(404, `there is no request ${requestId}`)
  }

  const retrieveFutures: Http.Handler = (request) =>
    Effect.gen(function*() {
      const wanted = yield* Http.decodeBody(FuturesRetrieveRequest, request)
      const sampler = yield* Lookups.requireSampler(state, wanted.target.samplingSessionId)
      for (const requestId of wanted.retrievedRequestIds) {
        if (requestId.startsWith(`${sampler.id}:`)) yield* futures.forget(requestId)
      }
      const longest = wanted.timeout === undefined ? longestPoll : Duration.seconds(wanted.timeout)
      const { completions, cursor } = yield* sampler.completions.after(
        wanted.target.clonedSamplerId,
        wanted.prevCursor,
        Duration.min(futures.holdTime, longest)
      )
      return Http.json({
        cursor,
        completions: completions.map(({ isFailed, requestId, size }) =>
          isFailed
            ? { state: "failed", request_id: requestId }
            : { state: "finished", request_id: requestId, response_payload_uncompressed_size: size }
        )
      })
    })

  /** Stops a sample. For any other request, known or not, nothing happens. */
  const cancelFuture: Http.Handler = (request) =>
    Effect.gen(function*() {
      const { requestId } = yield* Http.decodeBody(FuturesMessages.FutureRetrieveRequest, request)
      yield* Lookups.requireRequest(state, requestId)
      const fiber = state.sampling.get(requestId)
      if (fiber !== undefined) yield* Fiber.interrupt(fiber)
      return Http.json({})
    })

  return { retrieveFuture, retrieveFutures, cancelFuture }
}

/** Unless the client says otherwise. Source: the Python SDK 0.38.0. */
const longestPoll = Duration.seconds(30)

/** Clients before 0.36 do not say what they have fetched. */
export const FuturesRetrieveRequest = Schema.Struct({
  ...FuturesMessages.FuturesRetrieveRequest.fields,
  retrievedRequestIds: fieldDefaulted(Schema.Array(Schema.String), "retrieved_request_ids", () => [])
})
