/**
 * A LoRA model being trained. Its requests run on the server in the order in which they were made here.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as AdamParams from "./AdamParams.js"
import * as ApiFuture from "./ApiFuture.js"
import * as ClientConfig from "./ClientConfig.js"
import type { Datum } from "./Datum.js"
import type { ForwardBackwardOutput } from "./ForwardBackwardOutput.js"
import * as FuturesApi from "./FuturesApi.js"
import type { ModelId } from "./Identifiers.js"
import { chunkData } from "./internal/chunkData.js"
import { combineOutputs } from "./internal/combineOutputs.js"
import { decodeValue } from "./internal/decodeJson.js"
import * as LossFn from "./LossFn.js"
import type { GetInfoResponse, UntypedFuture } from "./ModelsApi.js"
import * as RequestSequence from "./RequestSequence.js"
import * as SamplingApi from "./SamplingApi.js"
import * as SamplingClient from "./SamplingClient.js"
import * as SessionManager from "./SessionManager.js"
import { ApiResponseValidationError, InvalidInputError, type TinkerError } from "./TinkerError.js"
import * as TrainingApi from "./TrainingApi.js"
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

  /** What the server said of the model when it was made. */
  readonly info: GetInfoResponse

  /** The loss and log-probabilities of the data. Changes nothing. */
  readonly forward: (
    options: PassOptions
  ) => Effect.Effect<ApiFuture.ApiFuture<ForwardBackwardOutput>, TinkerError>

  /** As {@link Service.forward}, and adds the gradient of the summed loss to what the model has accumulated. */
  readonly forwardBackward: (
    options: PassOptions
  ) => Effect.Effect<ApiFuture.ApiFuture<ForwardBackwardOutput>, TinkerError>

  /** Applies the accumulated gradient with Adam and clears it. */
  readonly optimStep: (
    adamParams: AdamParams.AdamParams
  ) => Effect.Effect<ApiFuture.ApiFuture<TrainingApi.OptimStepResponse>, TinkerError>

  /** Saves weights and optimizer state, from which training can go on. The result is the checkpoint's path. */
  readonly saveState: (
    options: SaveOptions & {
      /** Replace a checkpoint of the same name. Default false. */
      readonly overwrite?: boolean | undefined
    }
  ) => Effect.Effect<ApiFuture.ApiFuture<WeightsApi.SaveWeightsResponse>, TinkerError>

  /** Saves weights to sample from. The result is the checkpoint's path. */
  readonly saveWeightsForSampler: (
    options: SaveOptions
  ) => Effect.Effect<ApiFuture.ApiFuture<WeightsApi.SaveWeightsResponse>, TinkerError>

  /** A client that samples from the weights as they are now. They are kept by no name and end with the session. */
  readonly saveWeightsAndGetSamplingClient: () => Effect.Effect<SamplingClient.Service, TinkerError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface PassOptions {
  readonly data: ReadonlyArray<Datum>
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
export type Requirements =
  | TrainingApi.TrainingApi
  | WeightsApi.WeightsApi
  | SamplingApi.SamplingApi
  | FuturesApi.FuturesApi
  | ClientConfig.ClientConfig
  | SessionManager.SessionManager

/**
 * The client of a model that exists. Results are polled for in the scope, and end with it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly modelId: ModelId
  readonly info: GetInfoResponse
}): Effect.Effect<Service, never, Requirements | Scope.Scope> =>
  Effect.gen(function*() {
    const { info, modelId } = options
    const training = yield* TrainingApi.TrainingApi
    const weights = yield* WeightsApi.WeightsApi
    const futures = yield* FuturesApi.FuturesApi
    const clientConfig = yield* ClientConfig.ClientConfig
    const session = yield* SessionManager.SessionManager
    const context = yield* Effect.context<Requirements>()
    const scope = yield* Effect.scope
    const sequence = RequestSequence.make(scope)

    const pass = (operation: string, forwardOnly: boolean) => (call: PassOptions) =>
      sequence.run({
        prepare: Effect.gen(function*() {
          yield* Option.match(LossFn.validate(operation, call.lossFn, call.data), {
            onNone: () => Effect.void,
            onSome: Effect.fail
          })
          const config = yield* clientConfig.get
          return chunkData(call.data, { maxLength: config.fwdbwdMaxChunkLen, maxBytes: config.fwdbwdMaxChunkBytes })
        }),
        submit: (chunks, send) =>
          Effect.gen(function*() {
            const submitted: Array<ApiFuture.Submitted<ForwardBackwardOutput>> = []
            for (const data of chunks) {
              const { requestId } = yield* send((seqId) =>
                training.forwardBackward(TrainingApi.encodeForwardBackwardRequest({
                  modelId,
                  seqId,
                  data,
                  lossFn: LossFn.nameOf(call.lossFn),
                  lossFnConfig: call.lossFnConfig ?? {},
                  forwardOnly
                }))
              )
              submitted.push({
                requestId,
                requestType: forwardOnly ? "Forward" : "ForwardBackward",
                operation,
                decode: { _tag: "Protobuf", decode: TrainingApi.decodeForwardBackwardOutput }
              })
            }
            return yield* ApiFuture.make(futures, scope, submitted, combineOutputs)
          })
      }).pipe(Effect.withSpan(operation, { attributes: { modelId }, captureStackTrace: false }))

    /** A request that is not split, and whose result is JSON. */
    const single = <A, I>(request: {
      readonly operation: string
      readonly requestType: FuturesApi.RequestType
      readonly prepare: Effect.Effect<void, TinkerError>
      readonly submit: (seqId: number) => Effect.Effect<UntypedFuture, TinkerError>
      readonly result: Schema.Schema<A, I>
    }): Effect.Effect<ApiFuture.ApiFuture<A>, TinkerError> =>
      sequence.run({
        prepare: request.prepare,
        submit: (_, send) =>
          Effect.flatMap(send(request.submit), ({ requestId }) =>
            ApiFuture.make(futures, scope, [{
              requestId,
              requestType: request.requestType,
              operation: request.operation,
              decode: { _tag: "Json", decode: (value) => decodeValue(request.operation, value, request.result) }
            }], (results) => results[0]!))
      }).pipe(Effect.withSpan(request.operation, { attributes: { modelId }, captureStackTrace: false }))

    const saveForSampler = <A, I>(
      operation: string,
      prepare: Effect.Effect<void, TinkerError>,
      target: Partial<WeightsApi.SaveWeightsForSamplerRequest>,
      result: Schema.Schema<A, I>
    ) =>
      single({
        operation,
        requestType: "SaveWeightsForSampler",
        prepare,
        submit: (seqId) =>
          weights.saveWeightsForSampler({
            modelId,
            kind: "snapshot",
            seqId,
            type: "save_weights_for_sampler",
            ...target
          }),
        result
      })

    return TrainingClient.of({
      modelId,
      info,
      forward: pass("TrainingClient.forward", true),
      forwardBackward: pass("TrainingClient.forwardBackward", false),
      optimStep: (adamParams) =>
        single({
          operation: "TrainingClient.optimStep",
          requestType: "OptimStep",
          prepare: Effect.suspend(() => {
            const invalid = AdamParams.firstInvalid(adamParams)
            return invalid === undefined
              ? Effect.void
              : new InvalidInputError({ operation: "TrainingClient.optimStep", ...invalid })
          }),
          submit: (seqId) => training.optimStep({ adamParams, modelId, seqId, type: "optim_step" }),
          result: TrainingApi.OptimStepResponse
        }),
      saveState: (call) =>
        single({
          operation: "TrainingClient.saveState",
          requestType: "SaveWeights",
          prepare: validateSave("TrainingClient.saveState", call),
          submit: (seqId) =>
            weights.saveWeights({
              modelId,
              path: call.name,
              seqId,
              ttlSeconds: ttlSeconds(call),
              overwrite: call.overwrite ?? false,
              userMetadata: call.userMetadata,
              type: "save_weights"
            }),
          result: WeightsApi.SaveWeightsResponse
        }),
      saveWeightsForSampler: (call) =>
        saveForSampler(
          "TrainingClient.saveWeightsForSampler",
          validateSave("TrainingClient.saveWeightsForSampler", call),
          { path: call.name, ttlSeconds: ttlSeconds(call), userMetadata: call.userMetadata },
          WeightsApi.SaveWeightsResponse
        ),
      saveWeightsAndGetSamplingClient: () =>
        Effect.gen(function*() {
          const operation = "TrainingClient.saveWeightsAndGetSamplingClient"
          const samplingSessionSeqId = yield* session.nextSamplingSessionSeqId
          const { samplingSessionId } = yield* ApiFuture.flatten(
            saveForSampler(operation, Effect.void, { samplingSessionSeqId }, WeightsApi.SaveWeightsForSamplerResponse)
          )
          if (samplingSessionId === undefined) {
            return yield* new ApiResponseValidationError({ operation, description: "there is no sampling session id" })
          }
          const baseModel = info.modelData.modelName ?? info.modelName ?? ""
          return yield* Effect.provide(SamplingClient.make({ samplingSessionId, baseModel }), context)
        })
    })
  })

const ttlSeconds = (call: SaveOptions): number | undefined =>
  call.ttl === undefined ? undefined : Math.round(Duration.toSeconds(call.ttl))

const validateSave = (operation: string, call: SaveOptions): Effect.Effect<void, InvalidInputError> =>
  Effect.suspend(() => {
    if (!/^[A-Za-z0-9._-]+$/.test(call.name)) {
      return new InvalidInputError({
        operation,
        field: "name",
        description: `${JSON.stringify(call.name)} is no name of a checkpoint. Use letters, digits, -, _ and .`
      })
    }
    const ttl = ttlSeconds(call)
    return ttl !== undefined && !(ttl >= 3600 && ttl <= tenYears)
      ? new InvalidInputError({ operation, field: "ttl", description: "must be between an hour and ten years." })
      : Effect.void
  })

/** In seconds. Source of the range: the Tinker documentation. */
const tenYears = 10 * 365 * 24 * 3600
