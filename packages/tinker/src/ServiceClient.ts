/**
 * Where a program begins: it makes the clients that train and sample, all in one session.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as ApiFuture from "./ApiFuture.js"
import * as FuturesApi from "./FuturesApi.js"
import { ModelId, type SamplingSessionId } from "./Identifiers.js"
import { decodeValue } from "./internal/decodeJson.js"
import * as LoraConfig from "./LoraConfig.js"
import * as ModelsApi from "./ModelsApi.js"
import * as RetryPolicy from "./RetryPolicy.js"
import * as SamplingClient from "./SamplingClient.js"
import * as ServiceApi from "./ServiceApi.js"
import * as SessionManager from "./SessionManager.js"
import { InvalidInputError, type TinkerError } from "./TinkerError.js"
import * as TrainingClient from "./TrainingClient.js"
import * as WeightsApi from "./WeightsApi.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class ServiceClient extends Context.Tag("effect-tinker/ServiceClient")<ServiceClient, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The models that the server has. Needs no session. */
  readonly getServerCapabilities: Effect.Effect<ServiceApi.GetServerCapabilitiesResponse, TinkerError>

  /** Makes a model that answers as its base model does, ready to be trained. */
  readonly createLoraTrainingClient: (
    options: LoraTrainingOptions
  ) => Effect.Effect<TrainingClient.Service, TinkerError>

  /** Makes a model from the weights of a checkpoint, with a fresh optimizer. */
  readonly createTrainingClientFromState: (
    path: string,
    options?: FromStateOptions
  ) => Effect.Effect<TrainingClient.Service, TinkerError>

  /** Makes a model from a checkpoint, going on exactly where it was saved. */
  readonly createTrainingClientFromStateWithOptimizer: (
    path: string,
    options?: FromStateOptions
  ) => Effect.Effect<TrainingClient.Service, TinkerError>

  /** A client that samples from a base model, or from a checkpoint saved for sampling. */
  readonly createSamplingClient: (
    options: SamplingOptions
  ) => Effect.Effect<SamplingClient.Service, TinkerError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface LoraTrainingOptions {
  readonly baseModel: string
  /** Size of the adapter. Default 32. */
  readonly rank?: number | undefined
  /** The same seed gives the same initial weights. Default: the server draws one. */
  readonly seed?: number | undefined
  /** Adapt the attention layers. Default true. */
  readonly trainAttn?: boolean | undefined
  /** Adapt the feed-forward layers. Default true. */
  readonly trainMlp?: boolean | undefined
  /** Adapt the unembedding. Default true. */
  readonly trainUnembed?: boolean | undefined
  /** Kept with the model. */
  readonly userMetadata?: Readonly<Record<string, unknown>> | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface FromStateOptions {
  /** Another variant of the checkpoint's base model, e.g. one with a longer context. */
  readonly baseModel?: string | undefined
  readonly userMetadata?: Readonly<Record<string, unknown>> | undefined
  /** A credential of the account that owns the checkpoint. */
  readonly weightsAccessToken?: Redacted.Redacted | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export type SamplingOptions =
  | { readonly baseModel: string; readonly modelPath?: string | undefined }
  | { readonly modelPath: string; readonly baseModel?: string | undefined }

/**
 * @since 0.1.0
 * @category models
 */
export type Requirements = TrainingClient.Requirements | ServiceApi.ServiceApi | ModelsApi.ModelsApi

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, Requirements | Scope.Scope> = Effect.gen(function*() {
  const api = yield* ServiceApi.ServiceApi
  const models = yield* ModelsApi.ModelsApi
  const weights = yield* WeightsApi.WeightsApi
  const futures = yield* FuturesApi.FuturesApi
  const session = yield* SessionManager.SessionManager
  const scope = yield* Effect.scope
  const context = yield* Effect.context<Requirements>()

  const trainingClient = (modelId: ModelId): Effect.Effect<TrainingClient.Service, TinkerError> =>
    Effect.gen(function*() {
      const info = yield* RetryPolicy.retry(models.getInfo(modelId))
      return yield* TrainingClient.make({ modelId, info }).pipe(
        Effect.provide(Context.add(context, Scope.Scope, scope))
      )
    })

  /** Waits for a model to be there, in the caller's fiber: nobody else can want the result. */
  const created = (operation: string, requestType: FuturesApi.RequestType, submitted: ModelsApi.UntypedFuture) =>
    ApiFuture.retrieve(futures, {
      requestId: submitted.requestId,
      requestType,
      operation,
      decode: { _tag: "Json", decode: Effect.succeed }
    }, () => Effect.void)

  const createLoraTrainingClient = Effect.fn("ServiceClient.createLoraTrainingClient")(
    function*(options: LoraTrainingOptions) {
      const operation = "ServiceClient.createLoraTrainingClient"
      const rank = options.rank ?? 32
      if (!(Number.isInteger(rank) && rank >= 1)) {
        return yield* new InvalidInputError({
          operation,
          field: "rank",
          description: `is ${rank}; it must be a whole number, 1 or more.`
        })
      }
      const loraConfig = LoraConfig.make({
        rank,
        seed: options.seed,
        trainAttn: options.trainAttn ?? true,
        trainMlp: options.trainMlp ?? true,
        trainUnembed: options.trainUnembed ?? true
      })
      if (!(loraConfig.trainAttn || loraConfig.trainMlp || loraConfig.trainUnembed)) {
        return yield* new InvalidInputError({
          operation,
          field: "trainAttn, trainMlp, trainUnembed",
          description: "are all false, so there is nothing to train; set at least one."
        })
      }
      const sessionId = yield* session.sessionId
      const modelSeqId = yield* session.nextModelSeqId
      const submitted = yield* RetryPolicy.retry(
        models.createModel({
          sessionId,
          modelSeqId,
          baseModel: options.baseModel,
          userMetadata: options.userMetadata,
          loraConfig,
          optimizerConfig: { type: "adamw" },
          type: "create_model"
        })
      )
      const result = yield* created(operation, "CreateModel", submitted)
      const { modelId } = yield* decodeValue(operation, result, ModelsApi.CreateModelResponse)
      return yield* trainingClient(modelId)
    }
  )

  const fromState = (operation: string, optimizer: boolean) =>
    Effect.fn(operation)(function*(path: string, options: FromStateOptions = {}) {
      yield* checkPath(operation, "path", path)
      const sessionId = yield* session.sessionId
      const modelSeqId = yield* session.nextModelSeqId
      const submitted = yield* RetryPolicy.retry(
        weights.loadWeights({
          sessionId,
          modelSeqId,
          baseModel: options.baseModel,
          userMetadata: options.userMetadata,
          path,
          optimizer,
          weightsAccessToken: options.weightsAccessToken && Redacted.value(options.weightsAccessToken),
          type: "load_weights"
        })
      )
      yield* created(operation, "LoadWeights", submitted)
      // The service derives the id in this way; its answer need not repeat it.
      return yield* trainingClient(ModelId.make(`${sessionId}:train:${modelSeqId}`))
    })

  const baseModelOf = (samplingSessionId: SamplingSessionId, options: SamplingOptions) =>
    options.baseModel === undefined
      ? Effect.map(RetryPolicy.retry(api.getSampler(samplingSessionId)), (sampler) => sampler.baseModel)
      : Effect.succeed(options.baseModel)

  const createSamplingClient = Effect.fn("ServiceClient.createSamplingClient")(function*(options: SamplingOptions) {
    const operation = "ServiceClient.createSamplingClient"
    if (options.modelPath !== undefined) yield* checkPath(operation, "modelPath", options.modelPath)
    const sessionId = yield* session.sessionId
    const samplingSessionSeqId = yield* session.nextSamplingSessionSeqId
    const { samplingSessionId } = yield* RetryPolicy.retry(
      api.createSamplingSession({
        sessionId,
        samplingSessionSeqId,
        baseModel: options.baseModel,
        modelPath: options.modelPath,
        type: "create_sampling_session"
      })
    )
    const baseModel = yield* baseModelOf(samplingSessionId, options)
    return yield* Effect.provide(SamplingClient.make({ samplingSessionId, baseModel }), context)
  })

  return ServiceClient.of({
    getServerCapabilities: RetryPolicy.retry(api.getServerCapabilities, RetryPolicy.firstContact),
    createLoraTrainingClient,
    createTrainingClientFromState: fromState("ServiceClient.createTrainingClientFromState", false),
    createTrainingClientFromStateWithOptimizer: fromState(
      "ServiceClient.createTrainingClientFromStateWithOptimizer",
      true
    ),
    createSamplingClient
  })
})

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<ServiceClient, never, Requirements> = Layer.scoped(ServiceClient, make)

/** Servers other than the hosted one write paths in other ways, so only the scheme is checked. */
const checkPath = (operation: string, field: string, path: string): Effect.Effect<void, InvalidInputError> =>
  path.startsWith("tinker://")
    ? Effect.void
    : new InvalidInputError({
      operation,
      field,
      description: `${JSON.stringify(path)} is no checkpoint path. Pass what a save returned; it starts with tinker://.`
    })
