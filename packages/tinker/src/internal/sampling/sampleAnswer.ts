/** What the answer to a sample is for its caller, and what it has used. */
import type { RequestId } from "@effect-tinker/protocol/Identifiers"
import * as ModelInputs from "@effect-tinker/protocol/ModelInput"
import type { SampleResponse } from "@effect-tinker/protocol/SampleResponse"
import * as SampleResponses from "@effect-tinker/protocol/SampleResponse"
import { ApiResponseValidationError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import type { SampleOptions } from "../../SamplingClient.js"
import type { Usage } from "../../UsageMeter.js"

/** The ids of samples from servers that give none. */
export const localIds = (requestId: RequestId, count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, i) => `${requestId}:${i}`)

/** What differs between servers is evened out, and what a server left out is told. */
export const finish = (
  name: string,
  call: SampleOptions,
  response: SampleResponse,
  warn: (message: string) => Effect.Effect<void>
): Effect.Effect<SampleResponse, TinkerError> => {
  const length = ModelInputs.textLength(call.prompt)
  const { promptLogprobs } = response
  const whole = length === undefined || promptLogprobs === undefined
    ? response
    : { ...response, promptLogprobs: SampleResponses.alignPromptLogprobs(promptLogprobs, length) ?? promptLogprobs }
  if ((call.promptAltTokensK ?? 0) > 0 && response.promptAltTokens === undefined) {
    return new ApiResponseValidationError({
      operation: name,
      description: "the server sent no alternative prompt tokens; it does not know promptAltTokensK",
      // Hidden from logs, but not lost.
      cause: Redacted.make(whole)
    })
  }
  if (call.promptLogprobsLastN === undefined) return Effect.succeed(whole)
  const { ignored, response: last } = SampleResponses.lastPromptLogprobs(whole, call.promptLogprobsLastN)
  return ignored
    ? Effect.as(warn("the server sent all prompt log-probabilities; it does not know promptLogprobsLastN"), last)
    : Effect.succeed(last)
}

/** Images count as nothing where they do not say how many tokens they are. */
export const usageOf = ({ prompt }: SampleOptions, response: SampleResponse): Usage => {
  const length = ModelInputs.textLength(prompt) ?? Either.getOrElse(ModelInputs.length(prompt), () => 0)
  const cachedPrefill = Math.min(response.promptCacheHitTokens, length)
  let sampled = 0
  for (const { tokens } of response.sequences) sampled += tokens.length
  return { training: 0, prefill: length - cachedPrefill, cachedPrefill, sampled }
}

/** The most that a call may use, in a context of so many tokens. */
export const mostOf = (
  { numSamples = 1, prompt, samplingParams }: SampleOptions,
  maxContextLength: number = Infinity
): Usage => {
  const prefill = Either.getOrElse(ModelInputs.length(prompt), () => Infinity)
  const room = maxContextLength - prefill
  const longest = Math.max(0, Math.min(samplingParams.maxTokens ?? Infinity, Number.isNaN(room) ? Infinity : room))
  return { training: 0, prefill, cachedPrefill: 0, sampled: numSamples * longest }
}
