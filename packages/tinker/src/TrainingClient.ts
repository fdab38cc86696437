/**
 * A LoRA model being trained. Its requests run on the server in the order in which they were made here.
 */
import * as AdamParams from "@effect-tinker/protocol/AdamParams"
import { isObject, kindOf, named, optionIssues } from "@effect-tinker/protocol/CallOptions"
import {
  anyText,
  type Check,
  type Fields,
  fitting,
  flag,
  none,
  oneOf,
  optional,
  optionsOf,
  record,
  secret
} from "@effect-tinker/protocol/Checks"
import * as Datum from "@effect-tinker/protocol/Datum"
import type { ForwardBackwardOutput } from "@effect-tinker/protocol/ForwardBackwardOutput"
import * as FuturesMessages from "@effect-tinker/protocol/FuturesMessages"
import type { ModelId } from "@effect-tinker/protocol/Identifiers"
import { data } from "@effect-tinker/protocol/InputShape"
import * as LossFn from "@effect-tinker/protocol/LossFn"
import * as ModelsMessages from "@effect-tinker/protocol/ModelsMessages"
import * as OptimizerParams from "@effect-tinker/protocol/OptimizerParams"
import {
  ApiResponseValidationError,
  failOnIssues,
  isDefinitelyRefused,
  isNameTaken,
  type TinkerError
} from "@effect-tinker/protocol/TinkerError"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as TrainingMessages from "@effect-tinker/protocol/TrainingMessages"
import * as WeightsMessages from "@effect-tinker/protocol/WeightsMessages"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as ApiFuture from "./ApiFuture.js"
import * as ClientConfig from "./ClientConfig.js"
import * as CustomLoss from "./CustomLoss.js"
import * as DispatchLimiter from "./DispatchLimiter.js"
import * as FuturesApi from "./FuturesApi.js"
import * as IgnoredOptions from "./internal/call/ignoredOptions.js"
import { observers } from "./internal/call/observers.js"
import { operations } from "./internal/call/operation.js"
import * as ThrottledWarning from "./internal/call/throttledWarning.js"
import { count } from "./internal/call/watchedCall.js"
import * as Monotonic from "./internal/monotonic.js"
import * as PathChecks from "./internal/pathChecks.js"
import { samplerFields } from "./internal/sampling/retryConfig.js"
import { samplingPlace } from "./internal/sampling/samplingPlace.js"
import { serviceClient } from "./internal/serviceClientTag.js"
import { combineOutputs } from "./internal/training/combineOutputs.js"
import * as CustomPasses from "./internal/training/customLoss.js"
import { withLossSum } from "./internal/training/lossSum.js"
import * as Passes from "./internal/training/passes.js"
import * as Resending from "./internal/training/resending.js"
import * as SavedCheckpoint from "./internal/training/savedCheckpoint.js"
import * as SaveFields from "./internal/training/saveOptions.js"
import * as TrainingWatch from "./internal/training/trainingWatch.js"
import { decodeValue } from "./internal/transport/decodeJson.js"
import * as ModelsApi from "./ModelsApi.js"
import * as RequestSequence from "./RequestSequence.js"
import * as RetryPolicy from "./RetryPolicy.js"
import * as SamplingClient from "./SamplingClient.js"
import * as ServiceApi from "./ServiceApi.js"
import type * as ServiceClient from "./ServiceClient.js"
import * as SessionManager from "./SessionManager.js"
import type * as TelemetryReporter from "./TelemetryReporter.js"
import * as TinkerConfig from "./TinkerConfig.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"
import * as TrainingApi from "./TrainingApi.js"
import * as UsageMeter from "./UsageMeter.js"
import * as WaitingPolicy from "./WaitingPolicy.js"
import * as WeightsApi from "./WeightsApi.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class TrainingClient extends Context.Tag("effect-tinker/TrainingClient")<TrainingClient, Service>() {}

/**
 * Each call succeeds once the server has accepted the request; its future gives the result. Input that cannot be right is
 * an `InvalidInputError`, and then nothing was sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly modelId: ModelId

  /** What reports failures of this client, for events of yours; `undefined` when the option `telemetry` is false. */
  readonly telemetry: TelemetryReporter.Service | undefined

  /** What the server said of the model when it was made. */
  readonly info: ModelsMessages.GetInfoResponse

  /** The loss and log-probabilities of the data. Changes nothing. */
  readonly forward: (
    options: PassOptions
  ) => Effect.Effect<ApiFuture.ApiFuture<ForwardBackwardOutput>, TinkerError>

  /** Runs a pass as {@link Service.forward} does, and adds the gradient of the summed loss to what the model has accumulated. */
  readonly forwardBackward: (
    options: PassOptions
  ) => Effect.Effect<ApiFuture.ApiFuture<ForwardBackwardOutput>, TinkerError>

  /**
   * Runs {@link Service.forwardBackward} with a loss that is computed here, in two passes: the first gives log-probabilities, the second
   * sends the gradient. Later calls run after the second. A loss that fails fails this call alone: `await` gives its error, or an
   * `InvalidInputError` when it throws or its gradients do not fit. Inputs other than `targetTokens` and `weights` stay here, for the loss.
   *
   * Metric `loss:sum` is the custom loss; what the server calls so comes as `surrogate_loss:sum`.
   */
  readonly forwardBackwardCustom: <E = never, R = never>(options: {
    readonly data: ReadonlyArray<Datum.Datum>
    readonly lossFn: CustomLoss.CustomLoss<E, R>
  }) => Effect.Effect<ApiFuture.ApiFuture<ForwardBackwardOutput, TinkerError | E>, TinkerError, R>

  /** Applies the accumulated gradient with the model's optimizer and clears it. */
  readonly optimStep: (
    params: AdamParams.AdamParams | OptimizerParams.OptimizerParams
  ) => Effect.Effect<ApiFuture.ApiFuture<TrainingMessages.OptimStepResponse>, TinkerError>

  /** Saves weights and optimizer state, from which training can go on. The result is the checkpoint's path. */
  readonly saveState: (
    options: SaveOptions & {
      /** Replace a checkpoint of the same name, its metadata included. Default false: then `TinkerError.isNameTaken` tells. */
      readonly overwrite?: boolean | undefined
    }
  ) => Effect.Effect<ApiFuture.ApiFuture<WeightsMessages.SaveWeightsResponse>, TinkerError>

  /**
   * Loads the weights of a checkpoint into this model. Servers allow that as its first request alone; prefer
   * `ServiceClient.createTrainingClientFromState`.
   */
  readonly loadState: (
    path: string,
    options?: LoadOptions
  ) => Effect.Effect<ApiFuture.ApiFuture<WeightsMessages.LoadWeightsResponse>, TinkerError>

  /** Loads as {@link Service.loadState} does, with the optimizer's state. */
  readonly loadStateWithOptimizer: (
    path: string,
    options?: LoadOptions
  ) => Effect.Effect<ApiFuture.ApiFuture<WeightsMessages.LoadWeightsResponse>, TinkerError>

  /** Saves weights to sample from. The result is the checkpoint's path. */
  readonly saveWeightsForSampler: (
    options: SaveOptions
  ) => Effect.Effect<ApiFuture.ApiFuture<WeightsMessages.SaveWeightsResponse>, TinkerError>

  /** Saves weights in a form that can be downloaded and used elsewhere. The result is the checkpoint's path and size. */
  readonly saveWeightsExternal: (
    options: Omit<SaveOptions, "userMetadata"> & {
      /** Encrypt the files for these age or SSH recipients, ten at most; their names then end in `.age`. */
      readonly ageEncryptionRecipients?: string | ReadonlyArray<string> | undefined
    }
  ) => Effect.Effect<ApiFuture.ApiFuture<WeightsMessages.SaveWeightsExternalResponse>, TinkerError>

  /** A client that samples from the weights as they are now. They are kept by no name and end with the session. */
  readonly saveWeightsAndGetSamplingClient: (
    options?: SamplerOptions & {
      /**
       * `inflight`: all such clients of a model share weights, which later saves of this kind replace, so that an answer
       * may come from newer ones. Default `snapshot`: they never change.
       */
      readonly kind?: "snapshot" | "inflight" | undefined
    }
  ) => Effect.Effect<SamplingClient.Service, TinkerError>

  /** A client that samples from a checkpoint, in the session of this model. */
  readonly createSamplingClient: (
    modelPath: string,
    options?: SamplerOptions
  ) => Effect.Effect<SamplingClient.Service, TinkerError>

  /** Frees the model on servers that offer it; `NotFound` on others, which changes nothing. */
  readonly unloadModel: Effect.Effect<void, TinkerError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface PassOptions {
  readonly data: ReadonlyArray<Datum.Datum>
  readonly lossFn: LossFn.LossFn
  readonly lossFnConfig?: LossFn.LossFnConfig | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface SaveOptions {
  /** Letters, digits, `-`, `_` and `.`. */
  readonly name: string
  /** How long the checkpoint is kept, from an hour to ten years. For ever when not given. */
  readonly ttl?: Duration.DurationInput | undefined
  /** Kept with the checkpoint. */
  readonly userMetadata?: Readonly<Record<string, string>> | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface LoadOptions {
  /** A credential of the account that owns the checkpoint. */
  readonly weightsAccessToken?: Redacted.Redacted | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface SamplerOptions {
  readonly retryConfig?: SamplingClient.RetryConfig | undefined
  readonly recordStabilityInfo?: boolean | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export type Requirements =
  | TrainingApi.TrainingApi
  | WeightsApi.WeightsApi
  | ModelsApi.ModelsApi
  | ServiceApi.ServiceApi
  | TinkerConfig.TinkerConfig
  | SamplingClient.Requirements

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly modelId: ModelId
  /** The session in which the model was made. */
  readonly session: SessionManager.Session
  readonly info: ModelsMessages.GetInfoResponse
  /** Number of the next request. Default 1. */
  readonly firstSeqId?: number | undefined
  /** What is known of the base model, for checks before anything is sent. */
  readonly vocabularySize?: number | undefined
  readonly maxContextLength?: number | undefined
}

/**
 * The client of a model that exists. Results are polled for in the scope, and end with it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<Service, never, Requirements | Scope.Scope> =>
  Effect.gen(function*() {
    const { info, modelId } = options
    const training = yield* TrainingApi.TrainingApi
    const weights = yield* WeightsApi.WeightsApi
    const models = yield* ModelsApi.ModelsApi
    const api = yield* ServiceApi.ServiceApi
    const futures = yield* FuturesApi.FuturesApi
    const clientConfig = yield* ClientConfig.ClientConfig
    const limiter = yield* DispatchLimiter.DispatchLimiter
    const { session } = options
    const sessions = yield* SessionManager.SessionManager
    const { serverProfile } = yield* TinkerConfig.TinkerConfig
    const zstd = yield* Effect.serviceOption(TinkerHttpClient.Zstd)
    const context = yield* Effect.context<Requirements | Scope.Scope>()
    const scope = yield* Scope.Scope
    const { checked, operation } = yield* operations
    const paths = PathChecks.make(sessions.knownPaths)
    const watching = yield* observers
    const { metrics, telemetry } = watching
    const tellIgnored = yield* IgnoredOptions.make
    const waiting: ApiFuture.Waiting = {
      futures,
      observers: watching,
      responseBudget: limiter.responses,
      label: `model ${modelId}`,
      warn: ThrottledWarning.make(),
      warnOfQueue: ThrottledWarning.make(),
      progress: { at: -Infinity }
    }

    const recognizesRepeats = () => serverProfile.recognizesRepeats && clientConfig.current().recognizesRepeatedRequests
    const resending = Resending.make(recognizesRepeats)
    const passes = Passes.make({
      modelId,
      training,
      limiter,
      settings: clientConfig.current,
      session,
      resending,
      zstd
    })
    const sequence = RequestSequence.make({
      scope,
      fillers: passes.fillers,
      first: options.firstSeqId,
      // A server that does not know a number again does not go by numbers.
      keepsNumbers: recognizesRepeats
    })

    const checkPass = (name: string, call: PassOptions) =>
      Effect.zipRight(
        session.check(name),
        Effect.suspend(() =>
          failOnIssues(
            name,
            LossFn.issues({
              ...call,
              vocabularySize: options.vocabularySize,
              maxContextLength: options.maxContextLength
            })
          )
        )
      )

    /** Whether a step would find a gradient, as far as this client has made one. */
    let hasGradient = false
    const warnOfFutileStep = yield* Effect.once(Effect.logWarning(
      `${stepName}: model ${modelId} takes a step without a gradient, which teaches it nothing: `
        + "call forwardBackward before each step"
    ))

    const { inTurn, settled, watched } = TrainingWatch.make(watching, session, waiting.progress, () => ({
      sessionId: session.sessionId,
      modelId
    }))

    const pass = (name: string, forwardOnly: boolean) =>
      checked(
        name,
        { options: optionsOf(passFields) },
        (call: PassOptions) =>
          watched(name, (watch) =>
            sequence.run<number, ApiFuture.ApiFuture<ForwardBackwardOutput>>({
              operation: name,
              prepare: checkPass(name, call).pipe(
                Effect.zipRight(watch.reserve(() => TrainingWatch.usageOf(call.data, Infinity))),
                Effect.zipRight(inTurn(watch))
              ),
              submit: (started, turn) =>
                Effect.flatMap(
                  passes.send(name, passes.chunksOf(call), forwardOnly, turn, started, watch),
                  (submitted) => {
                    watch.annotate({ requestId: TrainingWatch.requestIdsOf(submitted) })
                    hasGradient ||= !forwardOnly
                    return ApiFuture.make(
                      waiting,
                      scope,
                      submitted,
                      (outputs) => withLossSum(call, combineOutputs(outputs)),
                      settled(name, watch, TrainingWatch.usageOf(call.data, 0))
                    )
                  }
                ),
              unwanted: ({ cancel }) => cancel
            }))
      )

    const forwardBackwardCustom: Service["forwardBackwardCustom"] = <E, R>(call: {
      readonly data: ReadonlyArray<Datum.Datum>
      readonly lossFn: CustomLoss.CustomLoss<E, R>
    }) =>
      watched(customName, (watch) =>
        Effect.contextWithEffect((environment: Context.Context<R>) => {
          interface Accepted {
            readonly chunks: ReadonlyArray<PassOptions>
            readonly submitted: ReadonlyArray<ApiFuture.Submitted<ForwardBackwardOutput>>
            readonly pending: ApiFuture.Pending<ForwardBackwardOutput, TinkerError | E>
          }
          const prepare = Effect.suspend(() => {
            const data = CustomPasses.sentData(call.data)
            return Effect.map(
              checkPass(customName, { data, lossFn: "cross_entropy" }),
              () => CustomPasses.withWeights(data)
            )
          })
          // Each of the two passes reads all data.
          const reserved = watch.reserve(() => TrainingWatch.usageOf(call.data, Infinity))
          const used = TrainingWatch.usageOf(call.data, 0)
          return sequence.run<readonly [ReadonlyArray<Datum.Datum>, number], Accepted>({
            operation: customName,
            prepare: Effect.zip(
              Effect.zipLeft(prepare, Effect.zipRight(reserved, reserved)),
              inTurn(watch)
            ),
            submit: ([data, started], turn) => {
              const chunks = passes.chunksOf({ data, lossFn: "cross_entropy" })
              return Effect.map(passes.send(customName, chunks, true, turn, started, watch), (submitted) => {
                watch.annotate({ requestId: TrainingWatch.requestIdsOf(submitted) })
                return {
                  chunks,
                  submitted,
                  pending: ApiFuture.makePending<ForwardBackwardOutput, TinkerError | E>(
                    customName,
                    submitted.map(({ requestId }) => requestId),
                    settled(customName, watch, used)
                  )
                }
              })
            },
            afterwards: ({ chunks, pending, submitted }, [data, started], turn) =>
              Effect.gen(function*() {
                const first = yield* pending.part(
                  Effect.gen(function*() {
                    const output = combineOutputs(yield* ApiFuture.retrieveAll(waiting, submitted, pending.report))
                    count(metrics, used)
                    watch.partUsed(used)
                    watch.track.enter("loss")
                    const logprobs = yield* CustomPasses.logprobsOf(customName, output, data)
                    const result = yield* Effect.provide(
                      CustomPasses.computeLoss(customName, call, logprobs),
                      environment
                    )
                    yield* failOnIssues(customName, CustomLoss.issues(result, logprobs))
                    return { result, data: CustomPasses.backwardData(data, result.gradients) }
                  })
                )
                if (first === undefined) return
                // The boundaries of the first pass hold for the second, whatever the server wants by now.
                let start = 0
                const parts = chunks.map((chunk): PassOptions => ({
                  ...chunk,
                  data: first.data.slice(start, start += chunk.data.length)
                }))
                const second = yield* Effect.either(passes.send(customName, parts, false, turn, started, watch))
                hasGradient ||= Either.isRight(second)
                yield* ApiFuture.settleIn(
                  scope,
                  pending,
                  Either.isLeft(second)
                    ? Effect.fail(second.left)
                    : Effect.map(ApiFuture.retrieveAll(waiting, second.right, pending.report), (outputs) => {
                      const output = combineOutputs(outputs)
                      const { loss, metrics = {} } = first.result
                      return { ...output, metrics: CustomPasses.customLossMetrics(output.metrics, metrics, loss) }
                    })
                )
              }).pipe(
                Effect.interruptible,
                Effect.catchAllCause((cause) => pending.settleWith(Effect.failCause(cause)))
              ),
            unwanted: ({ pending }) => pending.future.cancel
          }).pipe(Effect.map(({ pending }) => pending.future))
        }))

    /** Paths that earlier saves of this client have taken. */
    const taken = new Set<string>()

    /** A request that is not split, and whose result is JSON. */
    const single = <A, I>(request: {
      readonly operation: string
      readonly requestType: FuturesMessages.RequestType
      readonly submit: (
        seqId: number,
        options: TinkerHttpClient.CallOptions
      ) => Effect.Effect<ModelsMessages.UntypedFuture, TinkerError>
      readonly result: Schema.Schema<A, I>
      /** The checkpoint that it makes: a save whose answer was lost finds its own name taken when it is sent again. */
      readonly saves?: Pick<TinkerPath.TinkerPath, "checkpointType" | "name"> | undefined
      /** Runs when its turn has come. */
      readonly begins?: Effect.Effect<void> | undefined
      /** How it is sent again. Default: as often as the policy wants. */
      readonly resent?: Resending.Resending | undefined
    }): Effect.Effect<ApiFuture.ApiFuture<A>, TinkerError> => {
      const { operation: name, requestType, resent = Resending.always, result } = request
      const path = request.saves && { trainingRunId: modelId, ...request.saves }
      return watched(name, (watch) =>
        sequence.run<number, ApiFuture.ApiFuture<A>>({
          operation: name,
          prepare: Effect.zipRight(session.check(name), inTurn(watch)),
          submit: (started, turn) =>
            Effect.zipRight(
              request.begins ?? Effect.void,
              turn.send((seqId, note) => {
                let unknown = false
                const { track } = watch
                const wasTaken = path !== undefined && taken.has(TinkerPath.format(path))
                track.enter("submit", { seqId })
                watch.sent()
                const onSettled = settled(name, watch, UsageMeter.none)
                /** What was saved, where the name is taken by an attempt whose answer was lost. */
                const foundAgain = (error: TinkerError): Effect.Effect<A, TinkerError> =>
                  path === undefined || wasTaken || !unknown || !(isConflict(error) || isNameTaken(error))
                    ? Effect.fail(error)
                    : SavedCheckpoint.find(weights.checkpoints(modelId), path, error).pipe(
                      // What else a save tells, such as its size, was in the answer that was lost.
                      Effect.flatMap((found) => Effect.orDie(Schema.decodeUnknown(result)(found))),
                      Effect.tap(rememberPath)
                    )
                const sent = (attempts: TinkerHttpClient.Attempts) =>
                  Effect.suspend(() => {
                    track.attribute("attempt", attempts.retryCount + 1)
                    return Effect.tapError(request.submit(seqId, { attempts, call: name, session }), (error) =>
                      Effect.sync(() => {
                        unknown ||= mayBeTaken(error)
                        note(error)
                      }))
                  })
                return resent({ seqId, call: name }, sent).pipe(
                  Effect.zip(Monotonic.now),
                  Effect.tap(([{ requestId }]) => watch.annotate({ requestId })),
                  Effect.flatMap(([{ requestId }, now]) => {
                    const pending = ApiFuture.makePending<A, never>(name, [requestId], onSettled)
                    const retrieved = ApiFuture.retrieve(waiting, {
                      requestId,
                      track,
                      requestType,
                      operation: name,
                      roundTrip: (now - started) / 1000,
                      began: started,
                      session,
                      decode: {
                        json: (value, origin) => Effect.tap(decodeValue(origin, value, result), rememberPath)
                      }
                    }, pending.report)
                    const work = Effect.catchAll(retrieved, foundAgain)
                    return Effect.as(ApiFuture.settleIn(scope, pending, work), pending.future)
                  }),
                  Effect.catchAll((error) =>
                    Effect.flatMap(foundAgain(error), (value) => ApiFuture.succeed(name, value, onSettled))
                  ),
                  Effect.tap(() => {
                    if (path !== undefined) taken.add(TinkerPath.format(path))
                  })
                )
              })
            ),
          unwanted: ({ cancel }) => cancel
        }))
    }

    const rememberPath = (value: unknown): Effect.Effect<void> =>
      Effect.sync(() => {
        if (Predicate.hasProperty(value, "path") && typeof value.path === "string") sessions.knownPaths.add(value.path)
      })

    const load = (name: string, optimizer: boolean) =>
      checked(
        name,
        { path: paths.state, options: optional(optionsOf({ weightsAccessToken: optional(secret) })) },
        (path: string, call: LoadOptions = {}) =>
          single({
            operation: name,
            requestType: "LoadWeights",
            submit: (seqId, options) =>
              weights.loadWeights({
                modelId,
                seqId,
                path,
                optimizer,
                weightsAccessToken: call.weightsAccessToken && Redacted.value(call.weightsAccessToken),
                type: "load_weights"
              }, options),
            result: WeightsMessages.LoadWeightsResponse
          })
      )

    const saveForSampler = <A, I>(
      name: string,
      target: Partial<WeightsMessages.SaveWeightsForSamplerRequest>,
      result: Schema.Schema<A, I>,
      saves?: Pick<TinkerPath.TinkerPath, "checkpointType" | "name">
    ) =>
      single({
        operation: name,
        requestType: "SaveWeightsForSampler",
        submit: (seqId, options) =>
          weights.saveWeightsForSampler({
            modelId,
            kind: "snapshot",
            seqId,
            type: "save_weights_for_sampler",
            ...target
          }, options),
        begins: tellIgnored(name, "save", { ttl: target.ttlSeconds, userMetadata: target.userMetadata }),
        result,
        saves
      })

    const samplingClient = (
      place: SamplingClient.Place,
      call: SamplerOptions,
      renew?: Effect.Effect<SamplingClient.Place, TinkerError>
    ) =>
      Effect.provide(
        SamplingClient.make({
          place,
          renew,
          baseModel: info.modelData.modelName ?? info.modelName ?? "",
          maxContextLength: options.maxContextLength,
          ...call
        }),
        context
      )

    return TrainingClient.of({
      modelId,
      info,
      telemetry,
      forward: pass("TrainingClient.forward", true),
      forwardBackward: pass("TrainingClient.forwardBackward", false),
      forwardBackwardCustom: checked(customName, { options: optionsOf(customFields) }, forwardBackwardCustom),
      optimStep: checked(stepName, { params: stepCheck(info.optimizerConfig.type) }, (params) =>
        single({
          operation: stepName,
          requestType: "OptimStep",
          submit: (seqId, options) =>
            Effect.tap(
              training.optimStep({
                ...(params instanceof AdamParams.AdamParams ? { adamParams: params } : { optimizerParams: params }),
                modelId,
                seqId,
                type: "optim_step"
              }, options),
              () =>
                Effect.sync(() => {
                  hasGradient = false
                })
            ),
          begins: Effect.zipRight(
            tellIgnored(stepName, "step", params),
            Effect.suspend(() => hasGradient ? Effect.void : warnOfFutileStep)
          ),
          result: TrainingMessages.OptimStepResponse,
          resent: resending
        })),
      saveState: checked(
        "TrainingClient.saveState",
        { options: optionsOf({ ...saveFields, userMetadata, overwrite: optional(flag) }) },
        (call) =>
          single({
            operation: "TrainingClient.saveState",
            requestType: "SaveWeights",
            begins: tellIgnored("TrainingClient.saveState", "save", call),
            submit: (seqId, options) =>
              weights.saveWeights({
                modelId,
                path: call.name,
                seqId,
                ttlSeconds: SaveFields.ttlSeconds(call),
                overwrite: call.overwrite ?? false,
                userMetadata: call.userMetadata,
                type: "save_weights"
              }, options),
            result: WeightsMessages.SaveWeightsResponse,
            saves: { checkpointType: "training", name: call.name }
          })
      ),
      loadState: load("TrainingClient.loadState", false),
      loadStateWithOptimizer: load("TrainingClient.loadStateWithOptimizer", true),
      saveWeightsForSampler: checked(
        "TrainingClient.saveWeightsForSampler",
        { options: optionsOf({ ...saveFields, userMetadata }) },
        (call) =>
          saveForSampler(
            "TrainingClient.saveWeightsForSampler",
            { path: call.name, ttlSeconds: SaveFields.ttlSeconds(call), userMetadata: call.userMetadata },
            WeightsMessages.SaveWeightsResponse,
            { checkpointType: "sampler", name: call.name }
          )
      ),
      saveWeightsExternal: checked(
        "TrainingClient.saveWeightsExternal",
        { options: optionsOf({ ...saveFields, ageEncryptionRecipients: optional(SaveFields.recipients) }) },
        (call) => {
          const recipients = call.ageEncryptionRecipients
          return single({
            operation: "TrainingClient.saveWeightsExternal",
            requestType: "SaveWeightsExternal",
            submit: (seqId, options) =>
              weights.saveWeightsExternal({
                modelId,
                path: call.name,
                seqId,
                ttlSeconds: SaveFields.ttlSeconds(call),
                ageEncryptionRecipients: typeof recipients === "string" ? [recipients] : recipients,
                type: "save_weights_external"
              }, options),
            result: WeightsMessages.SaveWeightsExternalResponse,
            saves: { checkpointType: "external", name: call.name }
          })
        }
      ),
      saveWeightsAndGetSamplingClient: checked(
        "TrainingClient.saveWeightsAndGetSamplingClient",
        { options: unnamedOptions },
        ({ kind = "snapshot", ...rest } = {}) =>
          Effect.gen(function*() {
            const name = "TrainingClient.saveWeightsAndGetSamplingClient"
            const save = Effect.flatMap(session.nextSamplingSessionSeqId, (samplingSessionSeqId) =>
              ApiFuture.flatten(
                saveForSampler(name, { samplingSessionSeqId, kind }, WeightsMessages.SaveWeightsForSamplerResponse)
              ))
            // It has no name that could be taken, so the conflict is with its own first attempt.
            const { samplingSessionId } = yield* Effect.retry(save, { while: isConflict, times: 2 })
            if (samplingSessionId === undefined) {
              return yield* new ApiResponseValidationError({
                operation: name,
                description: "there is no sampling session id"
              })
            }
            return yield* samplingClient({ samplingSessionId, session }, rest)
          }).pipe((call) =>
            WaitingPolicy.bounded(call, () => ({
              operation: "TrainingClient.saveWeightsAndGetSamplingClient",
              state: "the weights are being saved"
            }))
          )
      ),
      createSamplingClient: checked(
        "TrainingClient.createSamplingClient",
        { modelPath: paths.sampler, options: optional(optionsOf(samplerFields)) },
        (modelPath, call = {}) => {
          const place = samplingPlace(api, { modelPath })
          return Effect.flatMap(
            session.noteLoss(place(session)),
            (placed) => samplingClient(placed, call, sessions.use(place))
          ).pipe(operation("TrainingClient.createSamplingClient", { modelId, modelPath }))
        }
      ),
      unloadModel: operation("TrainingClient.unloadModel", { modelId })(Effect.gen(function*() {
        const name = "TrainingClient.unloadModel"
        const { requestId } = yield* RetryPolicy.retry(models.unloadModel(modelId, { session }))
        if (requestId === undefined) return
        yield* ApiFuture.retrieve(waiting, {
          requestId,
          requestType: "UnloadModel",
          operation: name,
          session,
          decode: { json: () => Effect.void }
        })
      }))
    })
  })

/**
 * The client of a new model, as `ServiceClient.createLoraTrainingClient` makes it, for programs that ask for a `TrainingClient` and do
 * not care where it comes from. The model is made when the Layer is built, once for all that it is provided to. Fails as that does.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Tinker, TrainingClient } from "effect-tinker"
 * import { FetchHttpClient } from "@effect/platform"
 *
 * const program = Effect.gen(function*() {
 *   const training = yield* TrainingClient.TrainingClient
 *   const saving = yield* training.saveState({ name: "untrained" })
 *   return (yield* saving.await).path
 * })
 *
 * const Live = TrainingClient.layer({ baseModel: "meta-llama/Llama-3.2-1B", rank: 16 }).pipe(
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
  options: ServiceClient.LoraTrainingOptions
): Layer.Layer<TrainingClient, TinkerError, ServiceClient.ServiceClient> =>
  Layer.effect(TrainingClient, Effect.flatMap(serviceClient, (service) => service.createLoraTrainingClient(options)))

/**
 * The client of a model that goes on from a checkpoint of `saveState`, with its optimizer, as
 * `ServiceClient.createTrainingClientFromStateWithOptimizer` makes it. Fails as that does.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFromState = (
  path: string,
  options?: ServiceClient.FromStateOptions
): Layer.Layer<TrainingClient, TinkerError, ServiceClient.ServiceClient> =>
  Layer.effect(
    TrainingClient,
    Effect.flatMap(serviceClient, (service) => service.createTrainingClientFromStateWithOptimizer(path, options))
  )

const customName = "TrainingClient.forwardBackwardCustom"
const stepName = "TrainingClient.optimStep"

const isConflict = (error: TinkerError): boolean => error._tag === "ApiStatusError" && error.reason === "Conflict"

/** Whether the server may have done what was asked although the client was told of a failure. */
const mayBeTaken = (error: TinkerError): boolean =>
  !isDefinitelyRefused(error) && !(error._tag === "ApiStatusError" && error.reason === "RateLimit")

/** The check of the settings of a step of a model that was made with an optimizer of this family. */
const stepCheck = (family: string): Check => (value, field) => {
  if (!isObject(value)) {
    return [{ field, description: `are ${kindOf(value)}; make them with AdamParams.make({ learningRate }).` }]
  }
  const isAdam = value instanceof AdamParams.AdamParams
  if (!isAdam && !("type" in value)) {
    const unknown = optionIssues(value, AdamParams.names)
    return [
      ...unknown,
      {
        field,
        description: unknown.length === 0
          ? "are a plain object; pass it through AdamParams.make, which adds the settings that it leaves out."
          : "are none of AdamW; make them with AdamParams.make({ learningRate })."
      }
    ]
  }
  const wanted = isAdam ? "adamw" : value.type
  const issues = isAdam ? AdamParams.issues(value) : OptimizerParams.issues(value as OptimizerParams.OptimizerParams)
  return wanted === family || issues.length > 0
    ? issues
    : [{ field, description: `are of ${named(wanted)}, and the model was made with ${family}.` }]
}

/** What is in them is looked at with the loss, once. */
const anything: Check = () => none

const passFields: Fields = { data: anything, lossFn: anything, lossFnConfig: anything } satisfies Record<
  keyof PassOptions,
  Check
>

const customFields: Fields = {
  data,
  lossFn: fitting(
    (value) => typeof value === "function",
    "pass a function of log-probabilities and data; losses that have a name go to forwardBackward"
  )
}

const userMetadata = optional(record(anyText))

const saveFields: Fields = { name: SaveFields.checkpointName, ttl: optional(SaveFields.ttl) }

/** The check of the options of a save that keeps no name. */
const unnamedOptions: Check = (value, field) =>
  isObject(value) && "name" in value
    ? [{ field: "name", description: "is not kept; use saveWeightsForSampler for a checkpoint with a name." }]
    : optional(optionsOf({ ...samplerFields, kind: optional(oneOf("snapshot", "inflight")) }))(value, field)
