/** How models come to be: new, or from a checkpoint, by one request where the server has such a one, and otherwise by two. */
import type * as FuturesMessages from "@effect-tinker/protocol/FuturesMessages"
import { ModelId } from "@effect-tinker/protocol/Identifiers"
import * as LoraConfig from "@effect-tinker/protocol/LoraConfig"
import * as ModelsMessages from "@effect-tinker/protocol/ModelsMessages"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import type * as WeightsMessages from "@effect-tinker/protocol/WeightsMessages"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as FuturesApi from "../../FuturesApi.js"
import * as ModelsApi from "../../ModelsApi.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import type { FromStateOptions, LoraTrainingOptions } from "../../ServiceClient.js"
import type { Session } from "../../SessionManager.js"
import type * as TinkerConfig from "../../TinkerConfig.js"
import * as WeightsApi from "../../WeightsApi.js"
import * as IgnoredOptions from "../call/ignoredOptions.js"
import { annotate } from "../call/operation.js"
import * as ThrottledWarning from "../call/throttledWarning.js"
import * as DispatchLimiter from "../dispatch/dispatchLimiter.js"
import * as Retrieval from "../futures/retrieval.js"
import type { Decoder } from "../futures/submitted.js"
import { isMissing } from "../isMissing.js"
import { decodeValue } from "../transport/decodeJson.js"

export interface ModelCreation {
  readonly create: (
    session: Session,
    operation: string,
    options: Pick<LoraTrainingOptions, "baseModel" | "optimizer" | "userMetadata">,
    loraConfig: LoraConfig.LoraConfig
  ) => Effect.Effect<ModelId, TinkerError>
  readonly fromState: (load: Load) => Effect.Effect<LoadedModel, TinkerError>
}

/** A model to be made from a checkpoint, in a session. */
export interface Load {
  readonly session: Session
  /** Named in errors. */
  readonly operation: string
  readonly path: string
  /** Whether its optimizer's state is loaded too. */
  readonly optimizer: boolean
  readonly options: FromStateOptions & { readonly optimizer?: ModelsMessages.OptimizerConfig | undefined }
}

export interface LoadedModel {
  readonly modelId: ModelId
  readonly baseModel: string | undefined
  /** The number of its next request. */
  readonly firstSeqId: number
}

type Requirements =
  | DispatchLimiter.DispatchLimiter
  | FuturesApi.FuturesApi
  | ModelsApi.ModelsApi
  | TinkerConfig.TinkerConfig
  | WeightsApi.WeightsApi

export const make: Effect.Effect<ModelCreation, never, Requirements> = Effect.gen(function*() {
  const models = yield* ModelsApi.ModelsApi
  const weights = yield* WeightsApi.WeightsApi
  const tellIgnored = yield* IgnoredOptions.make
  const awaited = yield* awaiting
  /** This server has refused to make a model and load it in one request. */
  let loadsInSteps = false

  const create: ModelCreation["create"] = (session, operation, options, loraConfig) =>
    Effect.gen(function*() {
      const { sessionId } = session
      yield* tellIgnored(operation, "model", options)
      const modelSeqId = yield* session.nextModelSeqId
      const submitted = yield* RetryPolicy.retry(
        models.createModel({
          sessionId,
          modelSeqId,
          baseModel: options.baseModel,
          userMetadata: options.userMetadata,
          loraConfig,
          optimizerConfig: options.optimizer ?? ModelsMessages.adamw,
          type: "create_model"
        }, { session })
      )
      yield* annotate({ sessionId, requestId: submitted.requestId })
      const { modelId } = yield* awaited(
        session,
        operation,
        "CreateModel",
        submitted,
        `a new model of ${options.baseModel}`,
        (value, origin) => decodeValue(origin, value, ModelsMessages.CreateModelResponse)
      )
      yield* annotate({ modelId })
      return modelId
    })

  /** One request makes the model and loads it. */
  const loadAtOnce = ({ operation, optimizer, options, path, session }: Load) =>
    Effect.gen(function*() {
      const { sessionId } = session
      yield* tellIgnored(operation, "model", options)
      const modelSeqId = yield* session.nextModelSeqId
      const submitted = yield* RetryPolicy.retry(
        weights.loadWeights({
          sessionId,
          modelSeqId,
          baseModel: options.baseModel,
          userMetadata: options.userMetadata,
          path,
          optimizer,
          optimizerConfig: optimizer ? undefined : options.optimizer,
          weightsAccessToken: tokenOf(options),
          type: "load_weights"
        }, { session })
      )
      // The service derives the id in this way; its answer need not repeat it.
      const modelId = ModelId.make(`${sessionId}:train:${modelSeqId}`)
      yield* annotate({ sessionId, modelId, requestId: submitted.requestId })
      yield* awaited(session, operation, "LoadWeights", submitted, `model ${modelId}`, () => Effect.void)
      return { modelId, baseModel: options.baseModel, firstSeqId: 1 }
    })

  /** Makes the model and loads it in two steps, for servers that refuse the request above. The load is the model's request 1. */
  const loadInSteps = ({ operation, optimizer, options, path, session }: Load) =>
    Effect.gen(function*() {
      const info = yield* Effect.catchIf(
        RetryPolicy.retry(weights.weightsInfo(path, options.weightsAccessToken)),
        (error) => isMissing(error) && options.baseModel !== undefined,
        () => Effect.succeed<Partial<WeightsMessages.WeightsInfoResponse>>({})
      )
      const baseModel = options.baseModel ?? info.baseModel ?? ""
      const loraConfig = LoraConfig.make({
        rank: info.loraRank ?? options.rank ?? 32,
        trainAttn: info.trainAttn ?? options.trainAttn ?? true,
        trainMlp: info.trainMlp ?? options.trainMlp ?? true,
        trainUnembed: info.trainUnembed ?? options.trainUnembed ?? true
      })
      const modelId = yield* create(session, operation, { ...options, baseModel }, loraConfig)
      const submitted = yield* RetryPolicy.retry(
        weights.loadWeights({
          modelId,
          seqId: 1,
          path,
          optimizer,
          weightsAccessToken: tokenOf(options),
          type: "load_weights"
        }, { session })
      )
      yield* awaited(session, operation, "LoadWeights", submitted, `model ${modelId}`, () => Effect.void)
      return { modelId, baseModel, firstSeqId: 2 }
    })

  return {
    create,
    fromState: (load) =>
      Effect.suspend(() =>
        loadsInSteps
          ? loadInSteps(load)
          : Effect.catchIf(
            loadAtOnce(load),
            mayMeanNoLoading,
            (refusal) =>
              loadInSteps(load).pipe(
                Effect.map((loaded) => {
                  loadsInSteps = true
                  return loaded
                }),
                // Then it was not for the form of the request.
                Effect.catchIf((error) => error._tag === "ApiStatusError", () => Effect.fail(refusal))
              )
          )
      )
  }
})

/** Waits for a model to be there, in the caller's fiber: nobody else can want the result. */
const awaiting = Effect.gen(function*() {
  const futures = yield* FuturesApi.FuturesApi
  const { responses } = yield* DispatchLimiter.DispatchLimiter
  const warn = ThrottledWarning.make()
  const warnOfQueue = ThrottledWarning.make()
  return <A>(
    session: Session,
    operation: string,
    requestType: FuturesMessages.RequestType,
    { requestId }: ModelsMessages.UntypedFuture,
    label: string,
    json: Decoder<A>["json"]
  ): Effect.Effect<A, TinkerError> =>
    Retrieval.retrieve(
      { futures, responseBudget: responses, label, warn, warnOfQueue, progress: { at: -Infinity } },
      { requestId, requestType, operation, session, decode: { json } }
    )
})

const tokenOf = ({ weightsAccessToken }: Load["options"]): string | undefined =>
  weightsAccessToken && Redacted.value(weightsAccessToken)

const mayMeanNoLoading = (error: TinkerError): boolean =>
  error._tag === "ApiStatusError" && (error.status === 400 || error.status === 422)
