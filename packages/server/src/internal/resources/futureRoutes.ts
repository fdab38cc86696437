/** Handlers of the results of requests, whichever they were. */
import type { Answer } from "@effect-tinker/protocol/Endpoint"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import * as FuturesMessages from "@effect-tinker/protocol/FuturesMessages"
import type { RequestId } from "@effect-tinker/protocol/Identifiers"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { Reply } from "../../Futures.js"
import { after } from "../fast/after.js"
import * as Http from "../http/http.js"
import type * as State from "../models/serverState.js"
import * as Lookups from "./lookups.js"

export const make = (state: State.ServerState) => {
  const { futures } = state

  const retrieveFuture: Http.Handler<Answer<typeof Endpoints.retrieveFuture>> = (request) =>
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
  ): Effect.Effect<Http.Answered<Answer<typeof Endpoints.retrieveFuture>>, Http.Refusal> => {
    switch (reply._tag) {
      case "Pending":
        return Effect.succeed(Http.answer({ answer: FuturesMessages.TryAgain }, {
          type: "try_again",
          requestId,
          queueState: reply.queue.state,
          queueStateReason: reply.queue.reason
        }))
      case "Large":
        return Effect.succeed(
          Http.answer({ answer: FuturesMessages.CompleteMetadata }, {
            status: "complete_metadata",
            responsePayloadSize: reply.size
          })
        )
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
        return Effect.succeed(
          Http.answer({ answer: FuturesMessages.RequestFailed }, { error: reply.error, category: reply.category })
        )
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

  const retrieveFutures: Http.Handler<Answer<typeof Endpoints.retrieveFutures>> = (request) =>
    Effect.gen(function*() {
      const wanted = yield* Http.decodeBody(FuturesMessages.FuturesRetrieveRequest, request)
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
      return Http.answer(Endpoints.retrieveFutures, {
        cursor,
        completions: completions.map(({ isFailed, requestId, size }) => ({
          state: isFailed ? "failed" : "finished",
          requestId: requestId as RequestId,
          size: isFailed ? undefined : size
        }))
      })
    })

  /** Stops a sample. For any other request, known or not, nothing happens. */
  const cancelFuture: Http.Handler<Answer<typeof Endpoints.cancelFuture>> = (request) =>
    Effect.gen(function*() {
      const { requestId } = yield* Http.decodeBody(FuturesMessages.FutureRetrieveRequest, request)
      yield* Lookups.requireRequest(state, requestId)
      const fiber = state.sampling.get(requestId)
      if (fiber !== undefined) yield* Fiber.interrupt(fiber)
      return Http.answer(Endpoints.cancelFuture, {})
    })

  return { retrieveFuture, retrieveFutures, cancelFuture }
}

/** Unless the client says otherwise. Source: the Python SDK 0.38.0. */
const longestPoll = Duration.seconds(30)
