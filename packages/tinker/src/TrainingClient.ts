/**
 * A LoRA model being trained. Its requests run on the server in the order in which they were made here.
 */
import type * as AdamParams from "@effect-tinker/protocol/AdamParams"
import { isObject } from "@effect-tinker/protocol/CallOptions"
import { type Check, oneOf, optional, optionsOf } from "@effect-tinker/protocol/Checks"
import type * as Datum from "@effect-tinker/protocol/Datum"
import type { ForwardBackwardOutput } from "@effect-tinker/protocol/ForwardBackwardOutput"
import type { ModelId } from "@effect-tinker/protocol/Identifiers"
import type * as LossFn from "@effect-tinker/protocol/LossFn"
import type * as ModelsMessages from "@effect-tinker/protocol/ModelsMessages"
import type * as OptimizerParams from "@effect-tinker/protocol/OptimizerParams"
import { ApiResponseValidationError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import type { TokenizerError } from "@effect-tinker/protocol/TokenizerError"
import * as Tokenizers from "@effect-tinker/protocol/Tokenizers"
import type * as TrainingMessages from "@effect-tinker/protocol/TrainingMessages"
import * as WeightsMessages from "@effect-tinker/protocol/WeightsMessages"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as ApiFuture from "./ApiFuture.js"
import type * as CustomLoss from "./CustomLoss.js"
import * as Retrieval from "./internal/futures/retrieval.js"
import * as PathChecks from "./internal/pathChecks.js"
import { samplerFields } from "./internal/sampling/retryConfig.js"
import type * as Sampler from "./internal/sampling/sampler.js"
import { samplingPlace } from "./internal/sampling/samplingPlace.js"
import { serviceClient } from "./internal/serviceClientTag.js"
import * as CustomPass from "./internal/training/customPass.js"
import { isConflict } from "./internal/training/numberedCall.js"
import * as Pass from "./internal/training/pass.js"
import * as Saves from "./internal/training/saves.js"
import * as Step from "./internal/training/step.js"
import * as TrainedModel from "./internal/training/trainedModel.js"
import * as ModelsApi from "./ModelsApi.js"
import * as RetryPolicy from "./RetryPolicy.js"
import * as SamplingClient from "./SamplingClient.js"
import * as ServiceApi from "./ServiceApi.js"
import type * as ServiceClient from "./ServiceClient.js"
import * as SessionManager from "./SessionManager.js"
import type * as TelemetryReporter from "./TelemetryReporter.js"
import * as WaitingPolicy from "./WaitingPolicy.js"

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

  /** The tokenizer of the model, found by what the server said of it. `Tokenizer.layerTokenizers` finds it. */
  readonly tokenizer: Effect.Effect<Tokenizers.Tokenizer, TokenizerError, Tokenizers.Tokenizers>

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
 * The client of a model that exists. Results are polled for in the scope, and end with it.
 *
 * @internal
 */
export const make = (
  options: TrainedModel.Options
): Effect.Effect<
  Service,
  never,
  TrainedModel.Requirements | Sampler.Requirements | ModelsApi.ModelsApi | ServiceApi.ServiceApi | Scope.Scope
> =>
  Effect.gen(function*() {
    const { info, modelId } = options
    const model = yield* TrainedModel.make(options)
    const paths = PathChecks.make(model.knownPaths)
    const samplers = yield* samplersOf(model, options)
    return TrainingClient.of({
      modelId,
      info,
      tokenizer: Effect.flatMap(Tokenizers.Tokenizers, (tokenizers) => tokenizers.forModel(info)),
      telemetry: model.telemetry,
      forward: Pass.make(model, "TrainingClient.forward", true),
      forwardBackward: Pass.make(model, "TrainingClient.forwardBackward", false),
      forwardBackwardCustom: CustomPass.make(model),
      optimStep: yield* Step.make(model, info.optimizerConfig.type),
      saveState: Saves.saveState(model),
      loadState: Saves.load(model, "TrainingClient.loadState", paths, false),
      loadStateWithOptimizer: Saves.load(model, "TrainingClient.loadStateWithOptimizer", paths, true),
      saveWeightsForSampler: Saves.saveWeightsForSampler(model),
      saveWeightsExternal: Saves.saveWeightsExternal(model),
      saveWeightsAndGetSamplingClient: saveWeightsAndGetSamplingClient(model, samplers),
      createSamplingClient: yield* createSamplingClient(model, paths, samplers),
      unloadModel: yield* unloadModel(model)
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

/** Makes the clients that sample from this model, in the environment of its own client. */
type Samplers = (
  place: Sampler.Place,
  options: SamplerOptions,
  renew?: Effect.Effect<Sampler.Place, TinkerError>
) => Effect.Effect<SamplingClient.Service>

const samplersOf = (
  { limits: { maxContextLength } }: TrainedModel.TrainedModel,
  { info }: TrainedModel.Options
): Effect.Effect<Samplers, never, Sampler.Requirements | Scope.Scope> =>
  Effect.map(
    Effect.context<Sampler.Requirements | Scope.Scope>(),
    (context): Samplers => (place, options, renew) =>
      Effect.provide(
        SamplingClient.make({
          place,
          renew,
          baseModel: info.modelData.modelName ?? info.modelName ?? "",
          maxContextLength,
          ...options
        }),
        context
      )
  )

const saveWeightsAndGetSamplingClient = (
  model: TrainedModel.TrainedModel,
  samplers: Samplers
): Service["saveWeightsAndGetSamplingClient"] => {
  const operation = "TrainingClient.saveWeightsAndGetSamplingClient"
  const { session } = model
  return model.checked(
    operation,
    { options: unnamedOptions },
    ({ kind = "snapshot", ...rest } = {}) =>
      Effect.gen(function*() {
        const save = Effect.flatMap(session.nextSamplingSessionSeqId, (samplingSessionSeqId) =>
          ApiFuture.flatten(
            Saves.saveForSampler(
              model,
              operation,
              { samplingSessionSeqId, kind },
              WeightsMessages.SaveWeightsForSamplerResponse
            )
          ))
        // It has no name that could be taken, so the conflict is with its own first attempt.
        const { samplingSessionId } = yield* Effect.retry(save, { while: isConflict, times: 2 })
        if (samplingSessionId === undefined) {
          return yield* new ApiResponseValidationError({ operation, description: "there is no sampling session id" })
        }
        return yield* samplers({ samplingSessionId, session }, rest)
      }).pipe((call) => WaitingPolicy.bounded(call, () => ({ operation, state: "the weights are being saved" })))
  )
}

/** The check of the options of a save that keeps no name. */
const unnamedOptions: Check = (value, field) =>
  isObject(value) && "name" in value
    ? [{ field: "name", description: "is not kept; use saveWeightsForSampler for a checkpoint with a name." }]
    : optional(optionsOf({ ...samplerFields, kind: optional(oneOf("snapshot", "inflight")) }))(value, field)

const createSamplingClient = (
  { checked, modelId, operation, session }: TrainedModel.TrainedModel,
  paths: PathChecks.PathChecks,
  samplers: Samplers
): Effect.Effect<Service["createSamplingClient"], never, ServiceApi.ServiceApi | SessionManager.SessionManager> =>
  Effect.gen(function*() {
    const api = yield* ServiceApi.ServiceApi
    const sessions = yield* SessionManager.SessionManager
    const name = "TrainingClient.createSamplingClient"
    return checked(
      name,
      { modelPath: paths.sampler, options: optional(optionsOf(samplerFields)) },
      (modelPath: string, options: SamplerOptions = {}) => {
        const place = samplingPlace(api, { modelPath })
        return Effect.flatMap(
          session.noteLoss(place(session)),
          (placed) => samplers(placed, options, sessions.use(place))
        ).pipe(operation(name, { modelId, modelPath }))
      }
    )
  })

const unloadModel = (
  { modelId, operation, session, waiting }: TrainedModel.TrainedModel
): Effect.Effect<Service["unloadModel"], never, ModelsApi.ModelsApi> =>
  Effect.map(ModelsApi.ModelsApi, (models) => {
    const name = "TrainingClient.unloadModel"
    return RetryPolicy.retry(models.unloadModel(modelId, { session })).pipe(
      Effect.flatMap(({ requestId }) =>
        requestId === undefined ? Effect.void : Retrieval.retrieve(waiting, {
          requestId,
          requestType: "UnloadModel",
          operation: name,
          session,
          decode: { json: () => Effect.void }
        })
      ),
      operation(name, { modelId })
    )
  })
