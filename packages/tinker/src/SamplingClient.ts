/**
 * A model to ask. Its weights never change.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as ApiFuture from "./ApiFuture.js"
import * as FuturesApi from "./FuturesApi.js"
import type { SamplingSessionId } from "./Identifiers.js"
import type { ModelInput } from "./ModelInput.js"
import * as ModelInputs from "./ModelInput.js"
import * as RetryPolicy from "./RetryPolicy.js"
import type { SampleResponse } from "./SampleResponse.js"
import * as SamplingApi from "./SamplingApi.js"
import * as SamplingParams from "./SamplingParams.js"
import { ApiResponseValidationError, InvalidInputError, type TinkerError } from "./TinkerError.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class SamplingClient extends Context.Tag("effect-tinker/SamplingClient")<SamplingClient, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly samplingSessionId: SamplingSessionId
  readonly baseModel: string

  /**
   * Answers to a prompt. A request that the server has lost is submitted again, so asking is safe to repeat.
   *
   * `InvalidInputError` for a prompt without tokens or parameters out of range, before anything is sent.
   */
  readonly sample: (options: SampleOptions) => Effect.Effect<SampleResponse, TinkerError>

  /**
   * Log-probability of each token of the prompt after those before it: `[prompt] float32`, nats, NaN at the first token.
   */
  readonly computeLogprobs: (prompt: ModelInput) => Effect.Effect<Float32Array, TinkerError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface SampleOptions {
  readonly prompt: ModelInput
  readonly samplingParams: SamplingParams.SamplingParams
  /** Number of answers. Default 1. */
  readonly numSamples?: number | undefined
  /** Also give the log-probability of each prompt token. Default false. */
  readonly includePromptLogprobs?: boolean | undefined
  /** Also give this many most probable tokens at each prompt position. Default 0. */
  readonly topkPromptLogprobs?: number | undefined
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly samplingSessionId: SamplingSessionId
  readonly baseModel: string
}): Effect.Effect<Service, never, SamplingApi.SamplingApi | FuturesApi.FuturesApi> =>
  Effect.gen(function*() {
    const api = yield* SamplingApi.SamplingApi
    const futures = yield* FuturesApi.FuturesApi
    let nextSeqId = 0

    const submitOnce = (request: SamplingApi.SampleRequest): Effect.Effect<SampleResponse, TinkerError> =>
      Effect.gen(function*() {
        const seqId = nextSeqId++
        const submitted = yield* RetryPolicy.retry(api.asample({ ...request, seqId }))
        const ids = submitted.sampleSequenceIds
          ?? Array.from({ length: request.numSamples }, (_, i) => `${submitted.requestId}:${i}`)
        return yield* ApiFuture.retrieve(futures, {
          requestId: submitted.requestId,
          requestType: "Sample",
          operation: "SamplingClient.sample",
          decode: { _tag: "Protobuf", decode: (bytes) => SamplingApi.decodeSampleResponse(bytes, ids) }
        }, () => Effect.void)
      })

    const sample = Effect.fn("SamplingClient.sample")(function*(call: SampleOptions) {
      yield* validate(call)
      const request: SamplingApi.SampleRequest = {
        numSamples: call.numSamples ?? 1,
        prompt: call.prompt,
        samplingParams: withStopList(call.samplingParams),
        samplingSessionId: options.samplingSessionId,
        promptLogprobs: call.includePromptLogprobs ?? false,
        topkPromptLogprobs: call.topkPromptLogprobs ?? 0,
        topkSampleLogprobs: 0,
        type: "sample"
      }
      return yield* Effect.retry(submitOnce(request), {
        while: (error) => error._tag === "ApiStatusError" && error.reason === "Expired"
      })
    })

    return SamplingClient.of({
      samplingSessionId: options.samplingSessionId,
      baseModel: options.baseModel,
      sample,
      computeLogprobs: (prompt) =>
        Effect.flatMap(
          sample({ prompt, samplingParams: SamplingParams.make({ maxTokens: 1 }), includePromptLogprobs: true }),
          ({ promptLogprobs }) =>
            promptLogprobs === undefined
              ? new ApiResponseValidationError({
                operation: "SamplingClient.computeLogprobs",
                description: "the server sent no prompt log-probabilities"
              })
              : Effect.succeed(promptLogprobs)
        )
    })
  })

const validate = (call: SampleOptions): Effect.Effect<void, InvalidInputError> => {
  const wrong = (field: string, description: string) =>
    new InvalidInputError({ operation: "SamplingClient.sample", field, description })
  if (ModelInputs.textLength(call.prompt) === 0) return wrong("prompt", "there are no tokens.")
  const { numSamples = 1, topkPromptLogprobs = 0 } = call
  if (!(Number.isInteger(numSamples) && numSamples >= 1)) {
    return wrong("numSamples", `is ${numSamples}; it must be a whole number, 1 or more.`)
  }
  if (!(Number.isInteger(topkPromptLogprobs) && topkPromptLogprobs >= 0)) {
    return wrong("topkPromptLogprobs", `is ${topkPromptLogprobs}; it must be a whole number, 0 or more.`)
  }
  const invalid = SamplingParams.firstInvalid(call.samplingParams)
  return invalid === undefined ? Effect.void : wrong(`samplingParams.${invalid.field}`, invalid.description)
}

/** Some servers refuse a bare text. */
const withStopList = (params: SamplingParams.SamplingParams): SamplingParams.SamplingParams =>
  typeof params.stop === "string" ? SamplingParams.make({ ...params, stop: [params.stop] }) : params
