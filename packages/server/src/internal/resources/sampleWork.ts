/** What a sample has the engine do, and what its client is told of it. */
import type * as Engine from "@effect-tinker/engine/Engine"
import type * as SampleResponse from "@effect-tinker/protocol/SampleResponse"
import * as SamplingMessages from "@effect-tinker/protocol/SamplingMessages"
import * as SamplingParams from "@effect-tinker/protocol/SamplingParams"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Completed } from "../../Futures.js"
import * as Eithers from "../effect/eithers.js"
import type * as Http from "../http/http.js"
import { wireName } from "../http/wording.js"
import type * as State from "../models/serverState.js"
import * as Work from "../models/work.js"
import * as Results from "./results.js"
import * as SampleScores from "./sampleScores.js"
import * as TrainingData from "./trainingData.js"

/** What has a sample computed that is wanted of a sampler. */
export type SampleWork = (sampler: State.Sampler, wanted: SamplingMessages.SampleRequest) => Work.Work

/** `logprobs` is the kind of log-probabilities that samples have. */
export const make =
  (engine: Engine.Service, logprobs: Engine.SampleRequest["logprobs"]): SampleWork => (sampler, wanted) =>
    Effect.flatMap(seedOf(wanted), (seed) =>
      Effect.flatMap(
        Eithers.toEffect(engineRequest(wanted, sampler.baseModel, { seed, logprobs })),
        (request) =>
          Effect.flatMap(
            engine.sample(sampler.id, request),
            (result) => Eithers.toEffect(finished(wanted, request.prompt.length, result))
          )
      ))

/** Seeds of samples are this and the numbers after it. */
const seedOf = ({ samplingParams: { seed } }: SamplingMessages.SampleRequest): Effect.Effect<number> =>
  seed === undefined ? Work.randomSeed : Effect.succeed(Work.seedFrom(seed))

const userError = (detail: string) => new Work.UserError({ detail })

/** What the log-probabilities of an answer may take. A token of the prompt takes a digit and a comma or more. */
export const scoreBytes = (
  request: Http.Received,
  { maxContextLength }: Engine.BaseModel,
  wanted: SamplingMessages.SampleRequest
): number => {
  const promptTokens = Math.min(maxContextLength, request.body.length / 2)
  const answerTokens = Math.min(maxContextLength, wanted.samplingParams.maxTokens ?? Infinity) * wanted.numSamples
  return 8 * Math.min(SampleScores.count(wanted, promptTokens, answerTokens), SampleScores.maxScores)
}

/** What an engine is asked for. Left: what is wrong, for the user to read. */
const engineRequest = (
  wanted: SamplingMessages.SampleRequest,
  baseModel: Engine.BaseModel,
  { logprobs, seed }: Pick<Engine.SampleRequest, "seed" | "logprobs">
): Either.Either<Engine.SampleRequest, Work.UserError> => {
  const params = wanted.samplingParams
  // Clients in other languages have seeds of 64 bits.
  const isLargeSeed = Number.isInteger(params.seed) && !Number.isSafeInteger(params.seed)
  const invalid = isLargeSeed
    ? SamplingParams.issues(params).find(({ field }) => field !== "seed")
    : SamplingParams.firstInvalid(params)
  if (invalid !== undefined) {
    return Either.left(userError(`sampling_params: ${wireName(invalid.field)} ${invalid.description}`))
  }
  const request = Either.flatMap(TrainingData.tokensOf(wanted.prompt, baseModel), (prompt) => {
    const room = baseModel.maxContextLength - prompt.length
    if (room < 1) {
      return Either.left(`the prompt has ${prompt.length} tokens and fills the context of ${baseModel.name}`)
    }
    const maxTokens = Math.min(params.maxTokens ?? room, room)
    const answerTokens = maxTokens * wanted.numSamples
    return Either.map(SampleScores.forEngine(wanted, prompt, answerTokens, baseModel), (scores) => {
      const stop = typeof params.stop === "string" ? [params.stop] : params.stop
      // No word about stops means the model's own end; an empty list means no end but the length.
      const eosTokens = stop === undefined || stop.length > 0 ? baseModel.eosTokens : []
      // Written out, here and below: to spread one object into another that has more costs what a hundred fields cost.
      return {
        promptLogprobs: scores.promptLogprobs,
        topkPromptLogprobs: scores.topkPromptLogprobs,
        topkSampleLogprobs: scores.topkSampleLogprobs,
        targetPromptLogprobs: scores.targetPromptLogprobs,
        promptAltTokensK: scores.promptAltTokensK,
        prompt,
        seed,
        logprobs,
        numSamples: wanted.numSamples,
        maxTokens,
        temperature: params.temperature,
        topK: params.topK,
        topP: params.topP,
        stopTokens: [...(stop ?? []).filter((stop) => typeof stop === "number"), ...eosTokens],
        stopStrings: (stop ?? []).filter((stop) => typeof stop === "string")
      }
    })
  })
  return Either.mapLeft(request, userError)
}

const finished = (
  wanted: SamplingMessages.SampleRequest,
  promptLength: number,
  result: Engine.SampleResult
): Either.Either<Work.Finished, Work.UserError> => {
  const missing = SampleScores.missing(wanted, result)
  if (missing !== undefined) return Either.left(userError(`the engine of this server does not compute ${missing}`))
  const sampled = result.sequences.reduce((sum, { tokens }) => sum + tokens.length, 0)
  const { _tag, bytes, form, json } = sampleResult(result, SampleScores.answerOf(wanted, promptLength, result))
  return Either.right({
    _tag,
    bytes,
    form,
    json,
    usage: [["sampling_prefill", promptLength], ["sampling_sample", sampled]]
  })
}

const sampleResult = (result: Engine.SampleResult, prompt: SampleScores.PromptAnswer): Completed => {
  const response: SampleResponse.SampleResponse = {
    sequences: result.sequences.map(({ logprobs, stopReason, tokens, topkLogprobs }) => ({
      // Clients have it from the answer to the submission.
      sequenceId: "",
      tokens,
      logprobs,
      topkLogprobs,
      stopReason
    })),
    promptLogprobs: prompt.promptLogprobs,
    topkPromptLogprobs: prompt.topkPromptLogprobs,
    targetPromptLogprobs: prompt.targetPromptLogprobs,
    promptAltTokens: prompt.promptAltTokens,
    promptCacheHitTokens: result.promptCacheHitTokens ?? 0
  }
  return Results.ofBytes("sample", SamplingMessages.encodeSampleResponse(response))
}
