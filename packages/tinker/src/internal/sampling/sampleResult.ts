/** How the result of a sample is waited for: with the others of its place, by one poll, or alone. */
import type { SampleResponse } from "@effect-tinker/protocol/SampleResponse"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ApiFuture from "../../ApiFuture.js"
import type * as FuturesApi from "../../FuturesApi.js"
import * as WaitingPolicy from "../../WaitingPolicy.js"
import { queueWarning } from "../call/queueWarning.js"
import { stuckWarning } from "../call/stuckWarning.js"
import { FutureTrouble } from "../futures/futureTrouble.js"
import * as Retrieval from "../futures/retrieval.js"
import type { Submitted } from "../futures/submitted.js"
import type { ActivePlace } from "./places.js"
import type { Sampler } from "./sampler.js"

export const retrieve = (
  sampler: Sampler,
  { poller }: ActivePlace,
  submitted: Submitted<SampleResponse>,
  report: (state: ApiFuture.State) => void
): Effect.Effect<SampleResponse, TinkerError> => {
  const alone = (finishedSize: number | undefined) =>
    Retrieval.retrieve(
      sampler.waiting,
      finishedSize === undefined ? submitted : { ...submitted, finishedSize },
      report
    )
  return sampler.clientConfig.current().sampleUseRetrieveFutures
    ? Effect.flatMap(
      WaitingPolicy.CurrentWaitingPolicy,
      (policy) =>
        // The common poll tells nothing of a single sample.
        policy.failsWhenStuck || Duration.isFinite(policy.deadline)
          ? alone(undefined)
          : Effect.flatMap(poller, (poller) =>
            Effect.flatMap(poller.finished(submitted.requestId, peek(sampler, submitted, policy)), (size) =>
              Effect.tapBoth(alone(size), {
                onFailure: () =>
                  poller.acknowledge(submitted.requestId),
                onSuccess: () =>
                  poller.acknowledge(submitted.requestId)
              })))
    )
    : alone(undefined)
}

/** Asks for the state of the queue, of which the common poll tells nothing. Whether the result is there. */
const peek = (
  { futures, label, observers, waiting, warn }: Sampler,
  submitted: Submitted<unknown>,
  { stuckAfter }: WaitingPolicy.WaitingPolicy
) => {
  const { operation, requestId } = submitted
  let told = false
  let trouble: FutureTrouble | undefined
  const checkStuck = (waited: number, state: string) => {
    if (told || waited < Duration.toMillis(stuckAfter)) return Effect.void
    told = true
    trouble ??= new FutureTrouble(observers, submitted)
    trouble.stuck()
    return waiting.warn(stuckWarning({ operation, requestId, label, state, stuckAfter }))
  }
  const onQueued = (reply: FuturesApi.Pending) =>
    reply.queueState === undefined || reply.queueState === "active"
      ? Effect.void
      : warn(queueWarning(label, reply))
  return (waited: number): Effect.Effect<boolean> =>
    futures.retrieve({
      requestId,
      requestType: "Sample",
      iteration: 0,
      allowMetadataOnly: true,
      protobuf: true,
      session: submitted.session
    }).pipe(
      Effect.matchEffect({
        onFailure: (error) => Effect.as(checkStuck(waited, error.message), false),
        onSuccess: (reply) => {
          if (reply._tag !== "Pending") return Effect.succeed(true)
          if (reply.queueState === "active") {
            trouble?.resumed(reply.reason)
            submitted.track?.enter("running")
            return Effect.succeed(false)
          }
          if (reply.queueState !== undefined || reply.reason !== undefined) {
            trouble ??= new FutureTrouble(observers, submitted)
            trouble.paused(reply)
          }
          return Effect.as(
            Effect.zipRight(onQueued(reply), checkStuck(waited, reply.queueState ?? "submitted")),
            false
          )
        }
      })
    )
}
