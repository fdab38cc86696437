/**
 * A model to ask. Its weights never change, unless it was made of weights that training goes on to update.
 */
import { type Check, fitting, flag, none, optional, optionsOf, wholeFrom } from "@effect-tinker/protocol/Checks"
import type { RequestId, SamplingSessionId } from "@effect-tinker/protocol/Identifiers"
import type { ModelInput } from "@effect-tinker/protocol/ModelInput"
import * as ModelInputs from "@effect-tinker/protocol/ModelInput"
import type { SampleResponse } from "@effect-tinker/protocol/SampleResponse"
import * as SampleResponses from "@effect-tinker/protocol/SampleResponse"
import * as SamplingMessages from "@effect-tinker/protocol/SamplingMessages"
import * as SamplingParams from "@effect-tinker/protocol/SamplingParams"
import type { Int64Tensor } from "@effect-tinker/protocol/TensorData"
import {
  ApiResponseValidationError,
  type ApiStatusError,
  ApiTimeoutError,
  invalidInput,
  InvalidInputError,
  type SessionClosedError,
  type TinkerError
} from "@effect-tinker/protocol/TinkerError"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ApiFuture from "./ApiFuture.js"
import * as ClientConfig from "./ClientConfig.js"
import * as CompletionPoller from "./CompletionPoller.js"
import * as DispatchLimiter from "./DispatchLimiter.js"
import * as FuturesApi from "./FuturesApi.js"
import { cachedSuccess } from "./internal/cachedSuccess.js"
import * as IgnoredOptions from "./internal/call/ignoredOptions.js"
import { observers } from "./internal/call/observers.js"
import { operations } from "./internal/call/operation.js"
import { patienceFor, type Progress, shortestPatience, stuckAt } from "./internal/call/progress.js"
import { queueWarning } from "./internal/call/queueWarning.js"
import { stuckWarning } from "./internal/call/stuckWarning.js"
import * as ThrottledWarning from "./internal/call/throttledWarning.js"
import { watchdog } from "./internal/call/watchdog.js"
import { beginIfWatched, count, type WatchedCall } from "./internal/call/watchedCall.js"
import { FutureTrouble } from "./internal/futureTrouble.js"
import * as Monotonic from "./internal/monotonic.js"
import { answersInPlace } from "./internal/sampling/answersInPlace.js"
import { sampleIssues } from "./internal/sampling/sampleIssues.js"
import * as SampleProgress from "./internal/sampling/sampleProgress.js"
import { serviceClient } from "./internal/serviceClientTag.js"
import * as RetryPolicy from "./RetryPolicy.js"
import * as SampleCancellation from "./SampleCancellation.js"
import * as SamplerHandle from "./SamplerHandle.js"
import * as SamplingApi from "./SamplingApi.js"
import type * as ServiceClient from "./ServiceClient.js"
import * as SessionManager from "./SessionManager.js"
import type * as TelemetryReporter from "./TelemetryReporter.js"
import type * as TinkerConfig from "./TinkerConfig.js"
import type { Attempts, SessionLife } from "./TinkerHttpClient.js"
import type { Usage } from "./UsageMeter.js"
import * as WaitingPolicy from "./WaitingPolicy.js"

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
 * @since 0.1.0
 * @category models
 */
export type Requirements =
  | SamplingApi.SamplingApi
  | FuturesApi.FuturesApi
  | ClientConfig.ClientConfig
  | DispatchLimiter.DispatchLimiter
  | SampleCancellation.SampleCancellation
  | SessionManager.SessionManager
  | TinkerConfig.TinkerConfig

/**
 * Where a client samples: a sampling session, and the session that it belongs to.
 *
 * @since 0.1.0
 * @category models
 */
export interface Place {
  readonly samplingSessionId: SamplingSessionId
  readonly session: SessionLife
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly place: Place
  /** Makes the same again elsewhere, when the server has lost the place. */
  readonly renew?: Effect.Effect<Place, TinkerError> | undefined
  readonly baseModel: string
  readonly retryConfig?: RetryConfig | undefined
  /** Let the server record what some losses need to be stable. Default false. */
  readonly recordStabilityInfo?: boolean | undefined
  /** Longest prompt and answer together, in tokens, if it is known: prompts beyond it are refused before they are sent. */
  readonly maxContextLength?: number | undefined
  /** What a client made of a handle is made of: the session that it was made in, and what tells its requests from others'. */
  readonly restored?: {
    readonly handle: SamplerHandle.SamplerHandle
    readonly clone: Effect.Effect<bigint, TinkerError>
  }
}

/**
 * The client of a sampling session that exists.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<Service, never, Requirements | Scope.Scope> =>
  Effect.gen(function*() {
    const { baseModel, renew, restored } = options
    const api = yield* SamplingApi.SamplingApi
    const futures = yield* FuturesApi.FuturesApi
    const clientConfig = yield* ClientConfig.ClientConfig
    const limiter = yield* DispatchLimiter.DispatchLimiter
    const cancellation = yield* SampleCancellation.SampleCancellation
    const sessions = yield* SessionManager.SessionManager
    const scope = yield* Scope.Scope
    const watching = yield* observers
    const { metrics, reporting, telemetry } = watching
    const { checked, checkedStream } = yield* operations
    const warn = ThrottledWarning.make()
    const tellIgnored = yield* IgnoredOptions.make
    // Of its own: that a queue stands still is told every minute, which would leave no room for it.
    const warnOfStuck = ThrottledWarning.make()
    const label = `sampler ${options.place.samplingSessionId}${baseModel === "" ? "" : ` of ${baseModel}`}`
    const others = { at: -Infinity }
    const waiting: ApiFuture.Waiting = {
      futures,
      responseBudget: limiter.responses,
      label,
      warn: warnOfStuck,
      warnOfQueue: warn,
      progress: others,
      observers: watching
    }
    const progress = SampleProgress.make(label)
    const counted = { onRetry: () => progress.retried }
    const resent: RetryPolicy.RetryOptions = { ...notRateLimited, ...counted }
    const recordStabilityInfo = options.recordStabilityInfo ?? false
    const config = options.retryConfig ?? {}
    const own = config.maxConnections === undefined || config.maxConnections === null
      ? undefined
      : DispatchLimiter.makeBudget(() => config.maxConnections!)

    // A copy in another process counts from a number of its own, so that no two requests have the same.
    const base = restored === undefined ? Effect.succeed(0n) : yield* cachedSuccess(restored.clone)
    const seatAt = (place: Place): Effect.Effect<Seat> =>
      Effect.map(
        cachedSuccess(Effect.flatMap(base, (clone) =>
          CompletionPoller.make({ futures, ...place, clonedSamplerId: Number(clone), scope }))),
        (poller) => ({ ...place, poller, issued: 0, isLost: false })
      )
    let seat = yield* seatAt(options.place)
    const renewing = yield* Effect.makeSemaphore(1)

    const isVacant = () => seat.isLost || mayBeRenewed(seat.session.over())

    /** Where to sample now. */
    const taken: Effect.Effect<Seat, TinkerError> = Effect.suspend(() =>
      renew === undefined || !isVacant()
        ? Effect.succeed(seat)
        : renewing.withPermits(1)(Effect.suspend(() =>
          isVacant()
            ? Effect.tap(Effect.flatMap(renew, seatAt), (renewed) => {
              seat = renewed
            })
            : Effect.succeed(seat)
        ))
    )

    const nextSeqId = (seat: Seat) =>
      Effect.map(base, (base) => {
        const number = seat.issued++
        return base === 0n ? number : base * cloneRange + BigInt(number)
      })

    const submit = (
      name: string,
      call: SampleOptions,
      seat: Seat,
      seqId: number | bigint,
      asked: Asked,
      watch: WatchedCall | undefined
    ) => {
      const { samplingSessionId, session } = seat
      let before: Attempts | undefined
      const attempt = Effect.clockWith((clock) => {
        if (asked.progress.at === Infinity) asked.progress.at = Monotonic.unsafeNow(clock)
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
        }, resent)
      })
      watch?.track.enter("wait for budget")
      const submitted = limiter.submitSample(ModelInputs.byteLength(call.prompt, 10), attempt, warn)
      return renew === undefined ? submitted : Effect.tapError(submitted, (error) =>
        Effect.sync(() => {
          // The service does not know the sampling session.
          if (isGone(error)) seat.isLost = true
        }))
    }

    const onQueued = (reply: FuturesApi.Pending) =>
      reply.queueState === undefined || reply.queueState === "active"
        ? Effect.void
        : warn(queueWarning(label, reply))

    const sampleOnce = (
      name: string,
      call: SampleOptions,
      asked: Asked,
      watch: WatchedCall | undefined
    ): Effect.Effect<SampleResponse, TinkerError> =>
      Effect.flatMap(taken, (seat) =>
        Effect.flatMap(
          nextSeqId(seat),
          (seqId) =>
            Effect.uninterruptibleMask((restore) =>
              Effect.flatMap(restore(submit(name, call, seat, seqId, asked, watch)), (submitted) => {
                const { requestId } = submitted
                asked.requestId = requestId
                asked.state = "submitted"
                watch?.annotate({ requestId })
                watch?.track.enter("queued", { requestId })
                const ids = submitted.sampleSequenceIds ?? localIds(requestId, call.numSamples ?? 1)
                const wait = waitFor(seat, {
                  requestId,
                  requestType: "Sample",
                  operation: name,
                  track: watch?.track,
                  roundTrip: 0,
                  progress: asked.progress,
                  session: seat.session,
                  decode: {
                    protobuf: (bytes) => SamplingMessages.decodeSampleResponse(bytes, ids),
                    json: (value) => Effect.succeed(SamplingMessages.decodeSampleResponseJson(value, ids))
                  }
                }, asked)
                return Effect.onExit(
                  restore(wait),
                  (exit) => isGivenUp(exit) ? cancellation.cancel(requestId) : Effect.void
                )
              })
            )
        ))

    /** Sends a lost sample again, where the server still is. */
    const untilAnswered = (name: string, call: SampleOptions, asked: Asked, watch: WatchedCall | undefined) =>
      RetryPolicy.resend(() => sampleOnce(name, call, asked, watch), {
        ...counted,
        policy: "sample",
        warn,
        onRetry: (_, error) =>
          Effect.zipRight(
            progress.retried,
            Effect.sync(() => {
              if (!isLostSample(error)) asked.moves += 1
            })
          ),
        when: (error) =>
          isLostSample(error)
          || (asked.moves < mostMoves && (isForgotten(error) || (renew !== undefined && isElsewhere(error))))
      })

    const waitFor = (
      { poller }: Seat,
      submitted: ApiFuture.Submitted<SampleResponse>,
      asked: Asked
    ): Effect.Effect<SampleResponse, TinkerError> => {
      const report = (state: ApiFuture.State) => {
        asked.state = ApiFuture.describe(state)
      }
      const observed = (finishedSize: number | undefined) =>
        ApiFuture.retrieve(waiting, finishedSize === undefined ? submitted : { ...submitted, finishedSize }, report)
      return clientConfig.current().sampleUseRetrieveFutures
        ? Effect.flatMap(
          WaitingPolicy.CurrentWaitingPolicy,
          (policy) =>
            policy.failsWhenStuck || Duration.isFinite(policy.deadline)
              ? observed(undefined)
              : Effect.flatMap(poller, (poller) =>
                Effect.flatMap(poller.finished(submitted.requestId, peek(submitted, policy)), (size) =>
                  Effect.tapBoth(observed(size), {
                    onFailure: () =>
                      poller.acknowledge(submitted.requestId),
                    onSuccess: () =>
                      poller.acknowledge(submitted.requestId)
                  })))
        )
        : observed(undefined)
    }

    /** Asks for the state of the queue, of which the common poll tells nothing. Whether the result is there. */
    const peek = (
      submitted: ApiFuture.Submitted<unknown>,
      { stuckAfter }: WaitingPolicy.WaitingPolicy
    ) => {
      const { operation, requestId } = submitted
      let told = false
      let trouble: FutureTrouble | undefined
      const checkStuck = (waited: number, state: string) => {
        if (told || waited < Duration.toMillis(stuckAfter)) return Effect.void
        told = true
        trouble ??= new FutureTrouble(watching, submitted)
        trouble.stuck()
        return warnOfStuck(stuckWarning({ operation, requestId, label, state, stuckAfter }))
      }
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
                trouble ??= new FutureTrouble(watching, submitted)
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

    const withPolicies = <A>(effect: Effect.Effect<A, TinkerError>, retries: boolean) => {
      if (!retries || config.enableRetryLogic === false) {
        return RetryPolicy.withPolicies(effect, { request: RetryPolicy.none })
      }
      const { progressTimeout } = config
      const patient = progressTimeout === undefined || config.enableStuckDetection === false
        ? effect
        : withWaiting(effect, {
          stuckAfter: Duration.millis(progressTimeout),
          activeFor: Duration.millis(progressTimeout),
          failsWhenStuck: true
        })
      return hasSchedule(config) ? RetryPolicy.withPolicies(patient, policiesOf(config)) : patient
    }

    /** Ends a sample that makes no progress, or takes longer than it may, whatever it is doing. */
    const watchedOver = (name: string, asked: Asked, answer: Effect.Effect<SampleResponse, TinkerError>) =>
      Effect.flatMap(WaitingPolicy.CurrentWaitingPolicy, (policy) => {
        const failAsStuck = () => {
          const { requestId, state } = asked
          if (requestId !== undefined) {
            const submitted = { requestId, requestType: "Sample", operation: name } as const
            new FutureTrouble(watching, submitted).stuck()
          }
          const deadline = patienceFor(asked.progress, policy)
          return Effect.fail(new ApiTimeoutError({ operation: name, reason: "stuck", deadline, requestId, state }))
        }
        return policy.failsWhenStuck
          ? watchdog(answer, () => stuckAt(asked.progress, others.at, policy), shortestPatience(policy), failAsStuck)
          : answer
      })

    const once = (name: string, call: SampleOptions, retries: boolean, asked: Asked, watch: WatchedCall | undefined) =>
      Effect.suspend(() => {
        const whole = watchedOver(name, asked, untilAnswered(name, call, asked, watch))
        return Effect.flatMap(
          withPolicies(
            clientConfig.current().sampleStuckDetection
              ? whole
              : withWaiting(whole, { failsWhenStuck: false }),
            retries
          ),
          (response) => {
            if (metrics !== undefined || watch !== undefined) {
              const used = usageOf(call, response)
              count(metrics, used)
              watch?.end(Exit.void, used)
            }
            return finish(name, call, response, warn)
          }
        )
      })

    /** The most that a call may use. */
    const mostOf = ({ numSamples = 1, prompt, samplingParams }: SampleOptions) => (): Usage => {
      const prefill = Either.getOrElse(ModelInputs.length(prompt), () => Infinity)
      const room = (options.maxContextLength ?? Infinity) - prefill
      const longest = Math.max(0, Math.min(samplingParams.maxTokens ?? Infinity, Number.isNaN(room) ? Infinity : room))
      return { training: 0, prefill, cachedPrefill: 0, sampled: numSamples * longest }
    }

    const run = (
      name: string,
      call: SampleOptions,
      alwaysRetries: boolean,
      isObserved: boolean,
      watch: WatchedCall | undefined
    ): Effect.Effect<SampleResponse, TinkerError> => {
      const issues = sampleIssues(call, options.maxContextLength)
      if (issues.length > 0) return invalidInput(name, issues)
      const { sampleNoRetries, sampleUseRetrieveFutures } = clientConfig.current()
      const retries = alwaysRetries || !sampleNoRetries
      const asked: Asked = {
        progress: { at: Infinity, isActive: false },
        requestId: undefined,
        state: "not accepted yet",
        moves: 0
      }
      const answered = Effect.zipRight(
        tellIgnored(name, "samplingParams", call.samplingParams),
        once(name, call, retries, asked, watch)
      )
      const underWay = isObserved ? progress.underWay(answered) : answered
      const limited = own === undefined ? underWay : own.withPermits(1)(underWay)
      const whole = sampleUseRetrieveFutures || !retries
        ? limited
        : limiter.samplesOf(seat.samplingSessionId).withPermits(1)(limited)
      const bounded = WaitingPolicy.bounded(whole, () => ({
        operation: name,
        requestId: asked.requestId,
        state: asked.state
      }))
      const told = isObserved ? progress.whole(bounded) : bounded
      if (watch === undefined) return told
      return Effect.zipRight(
        watch.reserve(mostOf(call)),
        Effect.suspend(() => {
          watch.track.enter("wait for turn")
          return told
        })
      )
    }

    const publicCall = (name: string, alwaysRetries: boolean) => {
      const reported = reporting(name)
      const ids = () => ({ sessionId: sessions.current(), samplingSessionId: seat.samplingSessionId })
      return (call: SampleOptions): Effect.Effect<SampleResponse, TinkerError> =>
        reported(Effect.withFiberRuntime((fiber) => {
          const isObserved = SampleProgress.isObserved(fiber)
          const watch = beginIfWatched(fiber, name, ids)
          return watch === undefined
            ? run(name, call, alwaysRetries, isObserved, undefined)
            : watch.around(run(name, call, alwaysRetries, isObserved, watch))
        }))
    }
    const sample = publicCall(sampleName, false)
    const answerTo = (call: SampleOptions, index: number): Effect.Effect<StreamedSample> =>
      Effect.match(sample(call), {
        onFailure: (error) => ({ index, result: Either.left(error) }),
        onSuccess: (response) => ({ index, result: Either.right(response) })
      })
    const scorePrompt = publicCall(logprobsName, true)

    const computeLogprobs: Service["computeLogprobs"] = (prompt, { lastN } = {}) => {
      const call: SampleOptions = {
        prompt,
        samplingParams: SamplingParams.make({ maxTokens: 1 }),
        includePromptLogprobs: true,
        promptLogprobsLastN: lastN
      }
      return Effect.flatMap(
        Effect.mapError(scorePrompt(call), asLastN),
        ({ promptLogprobs }) =>
          promptLogprobs === undefined
            ? new ApiResponseValidationError({
              operation: logprobsName,
              description: "the server sent no prompt log-probabilities"
            })
            : Effect.succeed(promptLogprobs)
      )
    }

    return SamplingClient.of({
      get samplingSessionId() {
        return seat.samplingSessionId
      },
      baseModel,
      telemetry,
      sample,
      computeLogprobs: checked(
        logprobsName,
        { prompt: anything, options: optional(optionsOf({ lastN: optional(wholeFrom(1)) })) },
        computeLogprobs
      ),
      sampleStream: checkedStream(
        "SamplingClient.sampleStream",
        { requests: streamOfRequests, options: optional(optionsOf(streamFields)) },
        (requests, { concurrency = 64, unordered = false } = {}) =>
          answersInPlace(requests, answerTo, { concurrency, unordered })
      ),
      handle: restored === undefined
        ? Effect.map(sessions.sessionId, (sessionId) =>
          SamplerHandle.encode({
            sessionId,
            samplingSessionId: seat.samplingSessionId,
            baseModel,
            recordStabilityInfo,
            retryConfig: options.retryConfig
          }))
        : Effect.succeed(SamplerHandle.encode(restored.handle))
    })
  })

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

const sampleName = "SamplingClient.sample"
const logprobsName = "SamplingClient.computeLogprobs"

/** Requests of a copy are numbered from its own number times this. Source: the Python SDK 0.38.0. */
const cloneRange = 1_000_000_000n

/** 429 is not for one sample to wait out, but for all. */
const notRateLimited: RetryPolicy.RetryOptions = {
  when: (error, { retryable }) => retryable(error) && !(error._tag === "ApiStatusError" && error.reason === "RateLimit")
}

/** The server no longer knows the request: it is submitted anew, under another number. */
const isLostSample = (error: TinkerError): boolean =>
  isGone(error) && error.status === 410 && error.requestId !== undefined

/** The server has never heard of the request, as after a restart. */
const isForgotten = (error: TinkerError): boolean =>
  isGone(error) && error.status === 404 && error.requestId !== undefined

/** There is nothing to sample from where it was. */
const isElsewhere = (error: TinkerError): boolean =>
  (isGone(error) && error.requestId === undefined)
  || (error._tag === "SessionClosedError" && mayBeRenewed(error.reason))

/** The most moves of one call; a server that says so each time knows nothing of what is to be sampled from. */
const mostMoves = 3

/** Whether the service no longer knows what was to be sampled from. */
const isGone = (error: TinkerError): error is ApiStatusError =>
  error._tag === "ApiStatusError" && error.isForeign !== true && (error.status === 404 || error.status === 410)

const mayBeRenewed = (over: SessionClosedError["reason"] | undefined): boolean =>
  over !== undefined && over !== "closed"

/** One place at which a client samples, from its creation on. */
interface Seat extends Place {
  readonly poller: Effect.Effect<CompletionPoller.CompletionPoller, TinkerError>
  issued: number
  isLost: boolean
}

/** What becomes of one call. */
interface Asked {
  readonly progress: Progress
  requestId: RequestId | undefined
  state: string
  /** How often it has moved to another place. */
  moves: number
}

/** Changes the policy in force, of which a deadline stays. */
const withWaiting = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  changes: Partial<WaitingPolicy.WaitingPolicy>
): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    WaitingPolicy.CurrentWaitingPolicy,
    (policy) => WaitingPolicy.withWaitingPolicy(effect, { ...policy, ...changes })
  )

/** Whether nobody waits for the result any more, though the server may still be at it. */
const isGivenUp = (exit: Exit.Exit<unknown, TinkerError>): boolean => {
  if (Exit.isSuccess(exit)) return false
  const { cause } = exit
  return Cause.isInterruptedOnly(cause) || (cause._tag === "Fail" && cause.error._tag === "ApiTimeoutError")
}

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

/** Images count as nothing where they do not say how many tokens they are. */
const usageOf = ({ prompt }: SampleOptions, response: SampleResponse): Usage => {
  const length = ModelInputs.textLength(prompt) ?? Either.getOrElse(ModelInputs.length(prompt), () => 0)
  const cachedPrefill = Math.min(response.promptCacheHitTokens, length)
  let sampled = 0
  for (const { tokens } of response.sequences) sampled += tokens.length
  return { training: 0, prefill: length - cachedPrefill, cachedPrefill, sampled }
}

/** The ids of samples from servers that give none. */
const localIds = (requestId: RequestId, count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, i) => `${requestId}:${i}`)

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

/** What differs between servers is evened out, and what a server left out is told. */
const finish = (
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

const hasSchedule = (config: RetryConfig): boolean =>
  config.retryDelayBase !== undefined || config.retryDelayMax !== undefined || config.jitterFactor !== undefined
  || config.maxAttempts !== undefined

/** Defaults: those of the Python SDK 0.38.0. */
const policiesOf = (config: RetryConfig): Partial<RetryPolicy.Policies> => {
  const delays = RetryPolicy.backoff({
    first: Duration.millis(config.retryDelayBase ?? 500),
    longest: Duration.millis(config.retryDelayMax ?? 10_000),
    jitter: config.jitterFactor
  })
  if (config.maxAttempts === undefined) return { request: delays, sample: delays }
  const repeats = Schedule.recurs(config.maxAttempts - 1)
  const bounded = Schedule.intersect(delays, repeats)
  return { request: bounded, sample: bounded, backpressure: Schedule.intersect(RetryPolicy.backpressure, repeats) }
}
