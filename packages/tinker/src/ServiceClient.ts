/**
 * Where a program begins: it makes the clients that train and sample, all in one session. When the server has lost that, the next
 * client is made in a new one.
 */
import { anyText, type Fields, fitting, id, isText, oneOf, optional, optionsOf } from "@effect-tinker/protocol/Checks"
import type { SamplingSessionId } from "@effect-tinker/protocol/Identifiers"
import * as LoraConfig from "@effect-tinker/protocol/LoraConfig"
import * as ModelsMessages from "@effect-tinker/protocol/ModelsMessages"
import * as ServiceMessages from "@effect-tinker/protocol/ServiceMessages"
import { failOnIssues, InvalidInputError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as ClientConfig from "./ClientConfig.js"
import * as Credentials from "./Credentials.js"
import type * as FuturesApi from "./FuturesApi.js"
import { annotate, operations } from "./internal/call/operation.js"
import * as DispatchLimiter from "./internal/dispatch/dispatchLimiter.js"
import { isMissing } from "./internal/isMissing.js"
import * as PathChecks from "./internal/pathChecks.js"
import { samplerFields } from "./internal/sampling/retryConfig.js"
import * as SampleCancellation from "./internal/sampling/sampleCancellation.js"
import type * as Sampler from "./internal/sampling/sampler.js"
import * as SamplerHandle from "./internal/sampling/samplerHandle.js"
import { samplingPlace } from "./internal/sampling/samplingPlace.js"
import * as ServiceClientTag from "./internal/serviceClientTag.js"
import { type KnownModels, untrainable } from "./internal/training/knownModels.js"
import * as ModelCreation from "./internal/training/modelCreation.js"
import { fromStateFields, fromWeightsFields, loraFields, modelName } from "./internal/training/modelFields.js"
import type * as TrainedModel from "./internal/training/trainedModel.js"
import * as ModelsApi from "./ModelsApi.js"
import * as RetryPolicy from "./RetryPolicy.js"
import type * as SamplingApi from "./SamplingApi.js"
import * as SamplingClient from "./SamplingClient.js"
import * as ServiceApi from "./ServiceApi.js"
import * as SessionManager from "./SessionManager.js"
import type * as TelemetryReporter from "./TelemetryReporter.js"
import type * as TinkerConfig from "./TinkerConfig.js"
import type * as TrainingApi from "./TrainingApi.js"
import * as TrainingClient from "./TrainingClient.js"
import type * as WeightsApi from "./WeightsApi.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class ServiceClient extends Context.Tag(ServiceClientTag.key)<ServiceClient, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The models that the server has. Needs no session. */
  readonly getServerCapabilities: Effect.Effect<ServiceMessages.GetServerCapabilitiesResponse, TinkerError>

  /** Asks whether the server is there and well. */
  readonly healthCheck: Effect.Effect<void, TinkerError>

  /**
   * Asks once whether the server lets this client in; fails at once if it does not, for want of credit too.
   */
  readonly checkAccess: Effect.Effect<void, TinkerError>

  /** Whether there is a credential. Sends nothing, runs no command. */
  readonly hasCredentials: Effect.Effect<boolean, TinkerError>

  /** Makes a model that answers as its base model does, ready to be trained. */
  readonly createLoraTrainingClient: (
    options: LoraTrainingOptions
  ) => Effect.Effect<TrainingClient.Service, TinkerError>

  /** Makes a model from the weights of a checkpoint, with a fresh optimizer. */
  readonly createTrainingClientFromState: (
    path: string,
    options?: FromStateOptions & {
      /** Default: AdamW. */
      readonly optimizer?: ModelsMessages.OptimizerConfig | undefined
    }
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

  /** A client of a sampling session that exists. Sends nothing but, without `baseModel`, one question for it. */
  readonly getSamplingClient: (
    samplingSessionId: SamplingSessionId,
    options?: TrainingClient.SamplerOptions & { readonly baseModel?: string | undefined }
  ) => Effect.Effect<SamplingClient.Service, TinkerError>

  /**
   * The client that `SamplingClient.handle` stands for, in this process: it samples in the session of the other, keeps that
   * session alive, and numbers its requests apart.
   */
  readonly createSamplingClientFromHandle: (handle: string) => Effect.Effect<SamplingClient.Service, TinkerError>

  /** The session of all these clients, or the latest of them: one that the server has lost is followed by a new one. */
  readonly session: {
    readonly states: Stream.Stream<SessionManager.State>
    readonly messages: Effect.Effect<SessionManager.Messages | undefined>
  }

  /**
   * Ends the session, telling the server why. Without it the end of the scope does, by how it ended; an earlier reason
   * counts. Whatever is under way fails with `SessionClosedError`, as does every later call.
   */
  readonly close: (
    status: ServiceMessages.FinishReason,
    detail?: string | undefined
  ) => Effect.Effect<void, TinkerError>

  /** What reports failures of this client, for events of yours; `undefined` when the option `telemetry` is false. */
  readonly telemetry: TelemetryReporter.Service | undefined
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
  /** Fixed for the life of the model. Default AdamW; `ModelsMessages.dimuon` is another. */
  readonly optimizer?: ModelsMessages.OptimizerConfig | undefined
  /** Kept with the model. */
  readonly userMetadata?: Readonly<Record<string, unknown>> | undefined
  /** Number of tokens that the model knows, if you know it: data beyond it are refused before they are sent. */
  readonly vocabularySize?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface FromStateOptions {
  /**
   * Another variant of the checkpoint's base model, e.g. one with a longer context. Needed with servers that do not tell what a
   * checkpoint was made of, as are the next ones if they are not the defaults of {@link LoraTrainingOptions}.
   */
  readonly baseModel?: string | undefined
  /** Size of the checkpoint's adapter, for servers that do not tell it. */
  readonly rank?: number | undefined
  /** Whether the attention layers were adapted, for servers that do not tell it. */
  readonly trainAttn?: boolean | undefined
  /** Whether the feed-forward layers were adapted, for servers that do not tell it. */
  readonly trainMlp?: boolean | undefined
  /** Whether the unembedding was adapted, for servers that do not tell it. */
  readonly trainUnembed?: boolean | undefined
  readonly userMetadata?: Readonly<Record<string, unknown>> | undefined
  /** A credential of the account that owns the checkpoint. */
  readonly weightsAccessToken?: Redacted.Redacted | undefined
  /** Number of tokens that the model knows, if you know it: data beyond it are refused before they are sent. */
  readonly vocabularySize?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export type SamplingOptions =
  & TrainingClient.SamplerOptions
  & (
    | { readonly baseModel: string; readonly modelPath?: string | undefined }
    | { readonly modelPath: string; readonly baseModel?: string | undefined }
  )

const make = Effect.gen(function*() {
  const api = yield* ServiceApi.ServiceApi
  const sessions = yield* SessionManager.SessionManager
  const clientConfig = yield* ClientConfig.ClientConfig
  const credentials = yield* Credentials.Credentials
  const { checked, operation, telemetry } = yield* operations
  const paths = PathChecks.make(sessions.knownPaths)
  const known: KnownModels = new Map()

  // The settings have retries of their own, which those of the question must not repeat.
  const capabilities = Effect.zipRight(
    clientConfig.get,
    RetryPolicy.retry(api.getServerCapabilities, { policy: "firstContact" })
  ).pipe(
    Effect.tap(({ supportedModels }) =>
      Effect.sync(() => {
        for (const model of supportedModels) if (model.modelName !== undefined) known.set(model.modelName, model)
      })
    )
  )

  return ServiceClient.of({
    getServerCapabilities: operation("ServiceClient.getServerCapabilities")(capabilities),
    healthCheck: operation("ServiceClient.healthCheck")(RetryPolicy.retry(api.healthz, { policy: "firstContact" })),
    checkAccess: operation("ServiceClient.checkAccess")(RetryPolicy.withPolicies(
      Effect.asVoid(Effect.zipRight(clientConfig.get, api.checkAccess)),
      { firstContact: RetryPolicy.none, request: RetryPolicy.none }
    )),
    hasCredentials: credentials.present,
    ...yield* trainingMethods(known, paths),
    ...yield* samplingMethods(known, paths),
    session: { states: sessions.states, messages: sessions.messages },
    close: checked(
      "ServiceClient.close",
      { status: oneOf(...ServiceMessages.FinishReason.literals), detail: optional(anyText) },
      (status, detail) => operation("ServiceClient.close")(sessions.close(status, detail))
    ),
    telemetry
  })
})

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  ServiceClient,
  never,
  | ServiceApi.ServiceApi
  | ModelsApi.ModelsApi
  | TrainingApi.TrainingApi
  | SamplingApi.SamplingApi
  | WeightsApi.WeightsApi
  | FuturesApi.FuturesApi
  | ClientConfig.ClientConfig
  | Credentials.Credentials
  | SessionManager.SessionManager
  | TinkerConfig.TinkerConfig
> = Layer.provide(
  Layer.scoped(ServiceClient, make),
  [DispatchLimiter.layer, SampleCancellation.layer]
)

/** The methods that make clients which train. */
const trainingMethods = (known: KnownModels, paths: PathChecks.PathChecks) =>
  Effect.gen(function*() {
    const models = yield* ModelsApi.ModelsApi
    const sessions = yield* SessionManager.SessionManager
    const creation = yield* ModelCreation.make
    const context = yield* Effect.context<
      TrainedModel.Requirements | Sampler.Requirements | ModelsApi.ModelsApi | ServiceApi.ServiceApi | Scope.Scope
    >()
    const { checked, operation } = yield* operations

    const clientOf = (
      session: SessionManager.Session,
      { baseModel, firstSeqId, modelId }: ModelCreation.LoadedModel,
      vocabularySize: number | undefined
    ): Effect.Effect<TrainingClient.Service, TinkerError> =>
      Effect.gen(function*() {
        const info = yield* RetryPolicy.retry(models.getInfo(modelId, { session })).pipe(
          // Some servers know no such question.
          Effect.catchIf(isMissing, () =>
            Effect.succeed<ModelsMessages.GetInfoResponse>({
              modelId,
              modelData: { modelName: baseModel },
              optimizerConfig: ModelsMessages.adamw
            }))
        )
        const name = info.modelData.modelName ?? baseModel ?? ""
        // Some servers have one model, whatever they are asked for.
        if (baseModel !== undefined && name !== baseModel) {
          yield* Effect.logWarning(`a model of ${baseModel} was asked for, and the server made one of ${name}`)
        }
        const maxContextLength = known.get(name)?.maxContextLength
        return yield* TrainingClient.make({ modelId, session, info, firstSeqId, vocabularySize, maxContextLength })
      }).pipe(Effect.provide(context))

    const createLoraTrainingClient: Service["createLoraTrainingClient"] = (options) => {
      const name = "ServiceClient.createLoraTrainingClient"
      return Effect.gen(function*() {
        const loraConfig = LoraConfig.make({
          rank: options.rank ?? 32,
          seed: options.seed,
          trainAttn: options.trainAttn ?? true,
          trainMlp: options.trainMlp ?? true,
          trainUnembed: options.trainUnembed ?? true
        })
        yield* failOnIssues(name, untrainable(loraConfig, options.baseModel, known))
        return yield* sessions.use((session) =>
          Effect.flatMap(
            creation.create(session, name, options, loraConfig),
            (modelId) =>
              clientOf(session, { modelId, baseModel: options.baseModel, firstSeqId: 1 }, options.vocabularySize)
          )
        )
      }).pipe(operation(name, { baseModel: options.baseModel }))
    }

    const fromState = (name: string, optimizer: boolean, fields: Fields) =>
      checked(
        name,
        { path: paths.state, options: optional(optionsOf(fields)) },
        (path: string, options: ModelCreation.Load["options"] = {}) =>
          sessions.use((session) =>
            Effect.flatMap(
              creation.fromState({ session, operation: name, path, optimizer, options }),
              (model) => clientOf(session, model, options.vocabularySize)
            )
          ).pipe(operation(name, { path }))
      )

    return {
      createLoraTrainingClient: checked(
        "ServiceClient.createLoraTrainingClient",
        { options: optionsOf(loraFields) },
        createLoraTrainingClient
      ),
      createTrainingClientFromState: fromState(
        "ServiceClient.createTrainingClientFromState",
        false,
        fromWeightsFields
      ),
      createTrainingClientFromStateWithOptimizer: fromState(
        "ServiceClient.createTrainingClientFromStateWithOptimizer",
        true,
        fromStateFields
      )
    }
  })

/** The methods that make clients which sample. */
const samplingMethods = (known: KnownModels, paths: PathChecks.PathChecks) =>
  Effect.gen(function*() {
    const api = yield* ServiceApi.ServiceApi
    const sessions = yield* SessionManager.SessionManager
    const clientConfig = yield* ClientConfig.ClientConfig
    const context = yield* Effect.context<Sampler.Requirements | Scope.Scope>()
    const { checked, operation } = yield* operations

    const clientOf = (options: Sampler.Options) =>
      Effect.provide(
        SamplingClient.make({ ...options, maxContextLength: known.get(options.baseModel)?.maxContextLength }),
        context
      )

    const baseModelOf = (samplingSessionId: SamplingSessionId, baseModel: string | undefined) =>
      baseModel === undefined
        ? RetryPolicy.retry(api.getSampler(samplingSessionId)).pipe(
          Effect.map((sampler) => sampler.baseModel),
          Effect.catchIf(isMissing, () => Effect.succeed(""))
        )
        : Effect.succeed(baseModel)

    const createSamplingClient: Service["createSamplingClient"] = ({ baseModel, modelPath, ...options }) => {
      const name = "ServiceClient.createSamplingClient"
      return Effect.gen(function*() {
        if (modelPath === undefined && baseModel === undefined) {
          return yield* new InvalidInputError({
            operation: name,
            field: "baseModel, modelPath",
            description: "are both missing; pass what to sample from."
          })
        }
        const created = sessions.use(samplingPlace(api, { baseModel, modelPath }))
        const place = yield* created
        const { samplingSessionId, session: { sessionId } } = place
        yield* annotate({ sessionId, samplingSessionId })
        return yield* clientOf({
          ...options,
          place,
          renew: created,
          baseModel: yield* baseModelOf(samplingSessionId, baseModel)
        })
      }).pipe(operation(name))
    }

    const getSamplingClient: Service["getSamplingClient"] = (samplingSessionId, { baseModel, ...options } = {}) =>
      Effect.flatMap(
        Effect.zipRight(clientConfig.get, baseModelOf(samplingSessionId, baseModel)),
        (baseModel) => clientOf({ place: { samplingSessionId, session: sessions.life }, baseModel, ...options })
      ).pipe(operation("ServiceClient.getSamplingClient", { samplingSessionId }))

    const createSamplingClientFromHandle = (text: string) =>
      Effect.gen(function*() {
        const handle = yield* SamplerHandle.decode(text)
        const { baseModel, recordStabilityInfo, retryConfig, samplingSessionId, sessionId } = handle
        yield* annotate({ sessionId, samplingSessionId })
        const { sampleJoinSamplingSession } = yield* clientConfig.get
        const session = yield* sessions.keepAlive(sessionId)
        const drawn = Random.nextIntBetween(1, 1_000_000_000)
        const clone = sampleJoinSamplingSession
          ? Effect.catchIf(RetryPolicy.retry(api.joinSamplingSession(samplingSessionId)), isMissing, () => drawn)
          : drawn
        return yield* clientOf({
          place: { samplingSessionId, session },
          baseModel,
          recordStabilityInfo,
          retryConfig,
          restored: { handle, clone: Effect.map(clone, BigInt) }
        })
      }).pipe(operation("ServiceClient.createSamplingClientFromHandle"))

    return {
      createSamplingClient: checked(
        "ServiceClient.createSamplingClient",
        {
          options: optionsOf({ ...samplerFields, baseModel: optional(modelName), modelPath: optional(paths.sampler) })
        },
        createSamplingClient
      ),
      getSamplingClient: checked(
        "ServiceClient.getSamplingClient",
        { samplingSessionId: id, options: optional(optionsOf({ ...samplerFields, baseModel: optional(modelName) })) },
        getSamplingClient
      ),
      createSamplingClientFromHandle: checked(
        "ServiceClient.createSamplingClientFromHandle",
        { handle: fitting(isText, "pass the text that SamplingClient.handle gave") },
        createSamplingClientFromHandle
      )
    }
  })
