/**
 * One call for samples. The loops around its request, from the outside in: the deadline and the limits on how many samples run at
 * once; the policies of the client; the end of one that makes no progress; a lost sample submitted again; and each submission sent again
 * while it may be ({@link SampleRequest}).
 */
import type { RequestId } from "@effect-tinker/protocol/Identifiers"
import type { SampleResponse } from "@effect-tinker/protocol/SampleResponse"
import * as SamplingMessages from "@effect-tinker/protocol/SamplingMessages"
import { ApiTimeoutError, invalidInput, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as ApiFuture from "../../ApiFuture.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import type { SampleOptions } from "../../SamplingClient.js"
import * as WaitingPolicy from "../../WaitingPolicy.js"
import { type Progress, progressTimeout, shortestProgressTimeout, stuckAt } from "../call/progress.js"
import { watchdog } from "../call/watchdog.js"
import { beginIfWatched, count, type WatchedCall } from "../call/watchedCall.js"
import * as Fibers from "../effect/fibers.js"
import { FutureTrouble } from "../futures/futureTrouble.js"
import { inWords } from "../futures/stateWords.js"
import { isForgotten, isLostSample, isSamplerGone } from "./lostSample.js"
import * as SampleAnswer from "./sampleAnswer.js"
import { sampleIssues } from "./sampleIssues.js"
import * as SamplePolicies from "./samplePolicies.js"
import type { Sampler } from "./sampler.js"
import * as SampleRequest from "./sampleRequest.js"
import * as SampleResult from "./sampleResult.js"

/** What becomes of one call. */
interface SampleState {
  readonly progress: Progress
  requestId: RequestId | undefined
  state: string
  /** How often it has moved to another place. */
  moves: number
}

/** A method of the client; `alwaysRetries` also where the server wants samples not to be sent again. */
export const make = (sampler: Sampler, name: string, alwaysRetries: boolean) => {
  const { observers: { reporting }, places, sessions } = sampler
  const reported = reporting(name)
  const ids = () => ({ sessionId: sessions.current(), samplingSessionId: places.current().samplingSessionId })
  return (call: SampleOptions): Effect.Effect<SampleResponse, TinkerError> =>
    reported(Fibers.withRunning((fiber) => {
      // Where nobody reads how samples get on, they are not counted.
      const isObserved = Fibers.logsDebug(fiber)
      const watch = beginIfWatched(fiber, name, ids)
      return watch === undefined
        ? run(sampler, name, call, alwaysRetries, isObserved, undefined)
        : watch.around(run(sampler, name, call, alwaysRetries, isObserved, watch))
    }))
}

const run = (
  sampler: Sampler,
  name: string,
  call: SampleOptions,
  alwaysRetries: boolean,
  isObserved: boolean,
  watch: WatchedCall | undefined
): Effect.Effect<SampleResponse, TinkerError> => {
  const { clientConfig, limiter, maxContextLength, ownLimit, places, progress, tellIgnored } = sampler
  const issues = sampleIssues(call, maxContextLength)
  if (issues.length > 0) return invalidInput(name, issues)
  const { sampleNoRetries, sampleUseRetrieveFutures } = clientConfig.current()
  const retries = alwaysRetries || !sampleNoRetries
  const state: SampleState = {
    progress: { at: Infinity, isActive: false },
    requestId: undefined,
    state: "not accepted yet",
    moves: 0
  }
  const answered = Effect.zipRight(
    tellIgnored(name, "samplingParams", call.samplingParams),
    answer(sampler, name, call, retries, state, watch)
  )
  const underWay = isObserved ? progress.underWay(answered) : answered
  const limited = ownLimit === undefined ? underWay : ownLimit.withPermits(1)(underWay)
  const whole = sampleUseRetrieveFutures || !retries
    ? limited
    : limiter.samplesOf(places.current().samplingSessionId).withPermits(1)(limited)
  const bounded = WaitingPolicy.bounded(whole, () => ({
    operation: name,
    requestId: state.requestId,
    state: state.state
  }))
  const observed = isObserved ? progress.whole(bounded) : bounded
  if (watch === undefined) return observed
  return Effect.zipRight(
    watch.reserve(() => SampleAnswer.mostOf(call, maxContextLength)),
    Effect.suspend(() => {
      watch.track.enter("wait for turn")
      return observed
    })
  )
}

const answer = (
  sampler: Sampler,
  name: string,
  call: SampleOptions,
  retries: boolean,
  state: SampleState,
  watch: WatchedCall | undefined
): Effect.Effect<SampleResponse, TinkerError> =>
  Effect.suspend(() => {
    const { clientConfig, observers: { metrics }, retryConfig, warn } = sampler
    const guarded = endedWhenStuck(sampler, name, state, untilAnswered(sampler, name, call, state, watch))
    return Effect.flatMap(
      SamplePolicies.withConfig(
        clientConfig.current().sampleStuckDetection
          ? guarded
          : SamplePolicies.withWaiting(guarded, { failsWhenStuck: false }),
        retryConfig,
        retries
      ),
      (response) => {
        if (metrics !== undefined || watch !== undefined) {
          const used = SampleAnswer.usageOf(call, response)
          count(metrics, used)
          watch?.end(Exit.void, used)
        }
        return SampleAnswer.finish(name, call, response, warn)
      }
    )
  })

/** Ends a sample that makes no progress, or takes longer than it may, whatever it is doing. */
const endedWhenStuck = (
  { observers, waiting }: Sampler,
  name: string,
  asked: SampleState,
  answer: Effect.Effect<SampleResponse, TinkerError>
) =>
  Effect.flatMap(WaitingPolicy.CurrentWaitingPolicy, (policy) => {
    const failAsStuck = () => {
      const { requestId, state } = asked
      if (requestId !== undefined) {
        new FutureTrouble(observers, { requestId, requestType: "Sample", operation: name }).stuck()
      }
      const deadline = progressTimeout(asked.progress, policy)
      return Effect.fail(new ApiTimeoutError({ operation: name, reason: "stuck", deadline, requestId, state }))
    }
    return policy.failsWhenStuck
      ? watchdog(
        answer,
        () => stuckAt(asked.progress, waiting.progress.at, policy),
        shortestProgressTimeout(policy),
        failAsStuck
      )
      : answer
  })

/** The most moves of one call; a server that says so each time knows nothing of what is to be sampled from. */
const mostMoves = 3

/** Sends a lost sample again, where the server still is. */
const untilAnswered = (
  sampler: Sampler,
  name: string,
  call: SampleOptions,
  state: SampleState,
  watch: WatchedCall | undefined
): Effect.Effect<SampleResponse, TinkerError> => {
  const { places: { isRenewable }, progress, warn } = sampler
  return RetryPolicy.resend(() => once(sampler, name, call, state, watch), {
    policy: "sample",
    warn,
    onRetry: (_, error) =>
      Effect.zipRight(
        progress.retried,
        Effect.sync(() => {
          if (!isLostSample(error)) state.moves += 1
        })
      ),
    when: (error) =>
      isLostSample(error)
      || (state.moves < mostMoves && (isForgotten(error) || (isRenewable && isSamplerGone(error))))
  })
}

/** Submits it once and waits for its result. Once the server has it, it is told when nobody waits any more. */
const once = (
  sampler: Sampler,
  name: string,
  call: SampleOptions,
  state: SampleState,
  watch: WatchedCall | undefined
): Effect.Effect<SampleResponse, TinkerError> => {
  const { cancellation, places } = sampler
  const report = (reported: ApiFuture.State) => {
    state.state = inWords(reported)
  }
  return Effect.flatMap(
    places.available,
    (place) =>
      Effect.flatMap(places.nextSeqId(place), (seqId) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.flatMap(
            restore(SampleRequest.submit(sampler, name, call, place, seqId, state.progress, watch)),
            ({ requestId, sampleSequenceIds }) => {
              state.requestId = requestId
              state.state = "submitted"
              watch?.annotate({ requestId })
              watch?.track.enter("queued", { requestId })
              const ids = sampleSequenceIds ?? SampleAnswer.localIds(requestId, call.numSamples ?? 1)
              const result = SampleResult.retrieve(sampler, place, {
                requestId,
                requestType: "Sample",
                operation: name,
                track: watch?.track,
                roundTrip: 0,
                progress: state.progress,
                session: place.session,
                decode: {
                  protobuf: (bytes) => SamplingMessages.decodeSampleResponse(bytes, ids),
                  json: (value) => Effect.succeed(SamplingMessages.decodeSampleResponseJson(value, ids))
                }
              }, report)
              return Effect.onExit(
                restore(result),
                (exit) => isGivenUp(exit) ? cancellation.cancel(requestId) : Effect.void
              )
            }
          )
        ))
  )
}

/** Whether nobody waits for the result any more, though the server may still be at it. */
const isGivenUp = (exit: Exit.Exit<unknown, TinkerError>): boolean => {
  if (Exit.isSuccess(exit)) return false
  const { cause } = exit
  return Cause.isInterruptedOnly(cause)
    || Option.exists(Cause.failureOption(cause), (error) => error._tag === "ApiTimeoutError")
}
