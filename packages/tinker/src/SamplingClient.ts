/**
 * A model to ask. Its weights never change, unless it was made of weights that training goes on to update.
 */
import { type Check, fitting, flag, none, optional, optionsOf, wholeFrom } from "@effect-tinker/protocol/Checks"
import type { SamplingSessionId } from "@effect-tinker/protocol/Identifiers"
import type { ModelInput } from "@effect-tinker/protocol/ModelInput"
import type { SampleResponse } from "@effect-tinker/protocol/SampleResponse"
import * as SamplingParams from "@effect-tinker/protocol/SamplingParams"
import type { Int64Tensor } from "@effect-tinker/protocol/TensorData"
import { ApiResponseValidationError, InvalidInputError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import type { TokenizerError } from "@effect-tinker/protocol/TokenizerError"
import * as Tokenizers from "@effect-tinker/protocol/Tokenizers"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { operations } from "./internal/call/operation.js"
import { answersInPlace } from "./internal/sampling/answersInPlace.js"
import * as SampleCall from "./internal/sampling/sampleCall.js"
import * as Sampler from "./internal/sampling/sampler.js"
import * as SamplerHandle from "./internal/sampling/samplerHandle.js"
import { serviceClient } from "./internal/serviceClientTag.js"
import type * as ServiceClient from "./ServiceClient.js"
import type * as TelemetryReporter from "./TelemetryReporter.js"

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
  /** Another one after the server has lost the session, where the client can be made anew. */
  readonly samplingSessionId: SamplingSessionId
  readonly baseModel: string

  /** The tokenizer of the base model. `Tokenizer.layerTokenizers` finds it. */
  readonly tokenizer: Effect.Effect<Tokenizers.Tokenizer, TokenizerError, Tokenizers.Tokenizers>

  /** What reports failures of this client, for events of yours; `undefined` when the option `telemetry` is false. */
  readonly telemetry: TelemetryReporter.Service | undefined

  /**
   * Answers to a prompt. A request that the server has lost is submitted again, so asking is safe to repeat; when it has lost the
   * whole session, a client that was made of a model or a checkpoint starts another one. Interrupting tells the server, if it
   * wants to know.
   *
   * `InvalidInputError` for a prompt without tokens or parameters out of range, before anything is sent.
   */
  readonly sample: (options: SampleOptions) => Effect.Effect<SampleResponse, TinkerError>

  /**
   * Log-probability of each token of the prompt after those before it: `[prompt] float32`, nats, NaN at the first token.
   * With `lastN` those of the last tokens alone, `[lastN] float32`.
   */
  readonly computeLogprobs: (
    prompt: ModelInput,
    options?: { readonly lastN?: number | undefined }
  ) => Effect.Effect<Float32Array, TinkerError>

  /**
   * Answers to many prompts, however many; no more than twice as many are drawn as may be answered at once. A prompt that fails
   * is an answer in its place, and ends nothing. What ends the prompts ends the stream, behind their answers; its consumer, by
   * stopping, interrupts what is under way.
   *
   * `Stream.mapEffect(({ result }) => result)` ends at the first failure. `InvalidInputError` for a concurrency that is none.
   */
  readonly sampleStream: <E, R>(
    requests: Stream.Stream<SampleOptions, E, R>,
    options?: SampleStreamOptions
  ) => Stream.Stream<StreamedSample, E | InvalidInputError, R>

  /**
   * A text by which other processes can sample from the same, with `ServiceClient.createSamplingClientFromHandle`. It holds
   * no credential.
   */
  readonly handle: Effect.Effect<string, TinkerError>
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
  /** Whether to give the log-probability of each prompt token too. Default false. */
  readonly includePromptLogprobs?: boolean | undefined
  /** The number of most probable tokens to give too at each prompt position. Default 0. */
  readonly topkPromptLogprobs?: number | undefined
  /** The number of most probable tokens to give too at each position of the answers. Default 0. */
  readonly topkSampleLogprobs?: number | undefined
  /** The tokens whose log-probabilities to give too at each prompt position but the first, `[prompt - 1, K]`; -1 for none. */
  readonly targetPromptLogprobs?: Int64Tensor | undefined
  /** The number of other tokens to draw too for each prompt position but the first. Default 0. */
  readonly promptAltTokensK?: number | undefined
  /** Give prompt log-probabilities of the last positions alone. */
  readonly promptLogprobsLastN?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface SampleStreamOptions {
  /** Most prompts being answered at once. Default 64. */
  readonly concurrency?: number | undefined
  /** Give answers as they come, rather than in the order of the prompts. Default false. */
  readonly unordered?: boolean | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface StreamedSample {
  /** The place of the prompt, counted from 0 in the order in which the prompts came. */
  readonly index: number
  readonly result: Either.Either<SampleResponse, TinkerError>
}

/**
 * How one sampling client sends again and waits, over `RetryPolicy` and `WaitingPolicy`. Plain data, so that it travels with
 * a handle. Durations are in milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryConfig {
  /** Most samples at once; the server's own limit holds beside it. Null for no limit of ours. */
  readonly maxConnections?: number | null | undefined
  /** A sample that gets no answer for this long, while no other of the client does and the server says nothing new, fails as stuck. */
  readonly progressTimeout?: number | undefined
  /** First delay. Default 500. */
  readonly retryDelayBase?: number | undefined
  /** Longest delay. Default 10,000. */
  readonly retryDelayMax?: number | undefined
  /** Delays vary by this share to either side. Default 0.25. */
  readonly jitterFactor?: number | undefined
  /** Attempts altogether. Default: no limit. */
  readonly maxAttempts?: number | undefined
  /** Default true. */
  readonly enableRetryLogic?: boolean | undefined
  /** Whether `progressTimeout` counts. Default true. */
  readonly enableStuckDetection?: boolean | undefined
}

/**
 * The client of a sampling session that exists.
 *
 * @internal
 */
export const make = (
  options: Sampler.Options
): Effect.Effect<Service, never, Sampler.Requirements | Scope.Scope> =>
  Effect.gen(function*() {
    const { baseModel } = options
    const sampler = yield* Sampler.make(options)
    const { checked, checkedStream, telemetry } = yield* operations
    const sample = SampleCall.make(sampler, "SamplingClient.sample", false)
    return SamplingClient.of({
      get samplingSessionId() {
        return sampler.places.current().samplingSessionId
      },
      baseModel,
      tokenizer: Effect.flatMap(Tokenizers.Tokenizers, (tokenizers) => tokenizers.forModel({ modelName: baseModel })),
      telemetry,
      sample,
      computeLogprobs: checked(
        logprobsName,
        { prompt: anything, options: optional(optionsOf({ lastN: optional(wholeFrom(1)) })) },
        computeLogprobs(SampleCall.make(sampler, logprobsName, true))
      ),
      sampleStream: checkedStream(
        "SamplingClient.sampleStream",
        { requests: streamOfRequests, options: optional(optionsOf(streamFields)) },
        (requests, { concurrency = 64, unordered = false } = {}) =>
          answersInPlace(requests, answerWith(sample), { concurrency, unordered })
      ),
      handle: handleOf(sampler, options)
    })
  })

const logprobsName = "SamplingClient.computeLogprobs"

const computeLogprobs = (score: Service["sample"]): Service["computeLogprobs"] => (prompt, { lastN } = {}) => {
  const call: SampleOptions = {
    prompt,
    samplingParams: SamplingParams.make({ maxTokens: 1 }),
    includePromptLogprobs: true,
    promptLogprobsLastN: lastN
  }
  return Effect.flatMap(
    Effect.mapError(score(call), asLastN),
    ({ promptLogprobs }) =>
      promptLogprobs === undefined
        ? new ApiResponseValidationError({
          operation: logprobsName,
          description: "the server sent no prompt log-probabilities"
        })
        : Effect.succeed(promptLogprobs)
  )
}

const answerWith = (sample: Service["sample"]) => (call: SampleOptions, index: number): Effect.Effect<StreamedSample> =>
  Effect.match(sample(call), {
    onFailure: (error) => ({ index, result: Either.left(error) }),
    onSuccess: (response) => ({ index, result: Either.right(response) })
  })

const handleOf = (
  { places, recordStabilityInfo, sessions }: Sampler.Sampler,
  { baseModel, restored, retryConfig }: Sampler.Options
): Service["handle"] =>
  restored === undefined
    ? Effect.map(sessions.sessionId, (sessionId) =>
      SamplerHandle.encode({
        sessionId,
        samplingSessionId: places.current().samplingSessionId,
        baseModel,
        recordStabilityInfo,
        retryConfig
      }))
    : Effect.succeed(SamplerHandle.encode(restored.handle))

/**
 * The client of a base model or of a checkpoint, as `ServiceClient.createSamplingClient` makes it, for programs that ask for a
 * `SamplingClient` and do not care where it comes from. Fails as that does.
 *
 * @example
 * ```ts
 * import { Console, Effect, Layer } from "effect"
 * import { ModelInput, SamplingClient, SamplingParams, Tinker } from "effect-tinker"
 * import { FetchHttpClient } from "@effect/platform"
 *
 * const program = Effect.gen(function*() {
 *   const sampling = yield* SamplingClient.SamplingClient
 *   const samplingParams = SamplingParams.make({ maxTokens: 4 })
 *   const answer = yield* sampling.sample({ prompt: ModelInput.fromTokens([1, 2, 3]), samplingParams })
 *   yield* Console.log(answer.sequences[0]?.tokens)
 * })
 *
 * const Live = SamplingClient.layer({ baseModel: "meta-llama/Llama-3.2-1B" }).pipe(
 *   Layer.provide(Tinker.layer()),
 *   Layer.provide(FetchHttpClient.layer)
 * )
 *
 * export const run = Effect.provide(program, Live)
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: ServiceClient.SamplingOptions
): Layer.Layer<SamplingClient, TinkerError, ServiceClient.ServiceClient> =>
  Layer.effect(SamplingClient, Effect.flatMap(serviceClient, (service) => service.createSamplingClient(options)))

/** Looked at with the rest of the request. */
const anything: Check = () => none

/** An option of a sample under the name that it has here. */
const asLastN = (error: TinkerError): TinkerError =>
  error._tag === "InvalidInputError" && error.field === "promptLogprobsLastN"
    ? new InvalidInputError({ ...error, field: "lastN" })
    : error

const streamOfRequests = fitting(
  (value) => Predicate.hasProperty(value, Stream.StreamTypeId),
  "pass a Stream of requests; Stream.fromIterable makes one of a list"
)

const streamFields = { concurrency: optional(wholeFrom(1)), unordered: optional(flag) }
