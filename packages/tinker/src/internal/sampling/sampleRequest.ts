/** How a sample is asked for: one request, sent again while it may be, within what may be sent at once. */
import type { SamplingSessionId } from "@effect-tinker/protocol/Identifiers"
import * as ModelInputs from "@effect-tinker/protocol/ModelInput"
import type { UntypedFuture } from "@effect-tinker/protocol/ModelsMessages"
import * as SamplingMessages from "@effect-tinker/protocol/SamplingMessages"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as RetryPolicy from "../../RetryPolicy.js"
import type { SampleOptions } from "../../SamplingClient.js"
import type { Progress } from "../call/progress.js"
import type { WatchedCall } from "../call/watchedCall.js"
import * as Monotonic from "../monotonic.js"
import type { Attempts } from "../transport/attempts.js"
import { isGone } from "./lostSample.js"
import type { ActivePlace } from "./places.js"
import type { Sampler } from "./sampler.js"

export const submit = (
  { api, limiter, places, progress, recordStabilityInfo, warn }: Sampler,
  name: string,
  call: SampleOptions,
  place: ActivePlace,
  seqId: number | bigint,
  since: Progress,
  watch: WatchedCall | undefined
): Effect.Effect<UntypedFuture, TinkerError> => {
  const { samplingSessionId, session } = place
  let before: Attempts | undefined
  const attempt = Effect.clockWith((clock) => {
    if (since.at === Infinity) since.at = Monotonic.unsafeNow(clock)
    // Encoded when it is sent: thousands may wait for their turn.
    const body = SamplingMessages.encodeSampleRequest(
      requestOf(call, samplingSessionId, seqId, recordStabilityInfo)
    )
    return RetryPolicy.resend((attempts) => {
      // What was refused for now is the same request when it is sent again.
      if (before !== undefined) {
        attempts.idempotencyKey = before.idempotencyKey
        attempts.retryCount = before.retryCount + 1
      }
      before = attempts
      const sent = api.asample(body, { attempts, call: name, session })
      return watch === undefined ? sent : watchedAttempt(watch, sent, attempts, seqId)
    }, { when: isSentAgain, onRetry: () => progress.retried })
  })
  watch?.track.enter("wait for budget")
  const submitted = limiter.submitSample(ModelInputs.byteLength(call.prompt, 10), attempt, warn)
  return places.isRenewable
    ? Effect.tapError(submitted, (error) =>
      Effect.sync(() => {
        // The service does not know the sampling session.
        if (isGone(error)) place.isLost = true
      }))
    : submitted
}

/** 429 is not for one sample to wait out, but for all. */
const isSentAgain: RetryPolicy.RetryOptions["when"] = (error, { retryable }) =>
  retryable(error) && !(error._tag === "ApiStatusError" && error.reason === "RateLimit")

/** One submission, as part of the call's span. While it is refused for now, it waits again. */
const watchedAttempt = <A>(
  watch: WatchedCall,
  sent: Effect.Effect<A, TinkerError>,
  { retryCount }: Attempts,
  seqId: number | bigint
): Effect.Effect<A, TinkerError> =>
  Effect.suspend(() => {
    watch.track.enter("submit", { seqId: Number(seqId), attempt: retryCount + 1 })
    watch.sent()
    return Effect.tapError(sent, (error) =>
      Effect.sync(() => {
        if (error._tag === "ApiStatusError" && error.reason === "RateLimit") watch.track.enter("wait for budget")
      }))
  })

const requestOf = (
  call: SampleOptions,
  samplingSessionId: SamplingSessionId,
  seqId: number | bigint,
  recordStabilityInfo: boolean
): SamplingMessages.SampleRequest => ({
  numSamples: call.numSamples ?? 1,
  // Some servers read the first chunk alone.
  prompt: ModelInputs.joinText(call.prompt),
  samplingParams: call.samplingParams,
  samplingSessionId,
  seqId,
  promptLogprobs: call.includePromptLogprobs ?? false,
  topkPromptLogprobs: call.topkPromptLogprobs ?? 0,
  topkSampleLogprobs: call.topkSampleLogprobs ?? 0,
  ...(call.targetPromptLogprobs === undefined ? {} : { targetPromptLogprobs: call.targetPromptLogprobs }),
  promptAltTokensK: call.promptAltTokensK ?? 0,
  ...(call.promptLogprobsLastN === undefined ? {} : { promptLogprobsLastN: call.promptLogprobsLastN }),
  recordStabilityInfo,
  type: "sample"
})
