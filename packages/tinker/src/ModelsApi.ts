/**
 * Endpoints of models: creating one, and asking what it is.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { ModelId, RequestId, SessionId } from "./Identifiers.js"
import { decodeValue, parseJson } from "./internal/decodeJson.js"
import { post } from "./internal/endpoint.js"
import { field, literal, optional } from "./internal/wireField.js"
import { LoraConfig } from "./LoraConfig.js"
import type { TinkerError } from "./TinkerError.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class ModelsApi extends Context.Tag("effect-tinker/ModelsApi")<ModelsApi, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly createModel: (
    request: CreateModelRequest,
    options?: TinkerHttpClient.CallOptions
  ) => Effect.Effect<UntypedFuture, TinkerError>
  readonly getInfo: (
    modelId: ModelId,
    options?: TinkerHttpClient.CallOptions
  ) => Effect.Effect<GetInfoResponse, TinkerError>
  /** Frees the model on the server. Some answer at once, without a request id. */
  readonly unloadModel: (
    modelId: ModelId,
    options?: TinkerHttpClient.CallOptions
  ) => Effect.Effect<UnloadModelResponse, TinkerError>
}

/**
 * The answer to a submitted request: the id by which its result is fetched.
 *
 * @since 0.1.0
 * @category schemas
 */
export const UntypedFuture = Schema.Struct({
  requestId: field(RequestId, "request_id"),
  modelId: optional(Schema.String, "model_id"),
  /** Of samples alone: the ids of the sequences, in order. */
  sampleSequenceIds: optional(Schema.Array(Schema.String), "sample_sequence_ids")
})

/**
 * @since 0.1.0
 * @category models
 */
export type UntypedFuture = typeof UntypedFuture.Type

/**
 * The answer to a submission. Thousands come a second, so the usual form is read without a schema.
 *
 * @since 0.1.0
 * @category schemas
 */
export const readSubmitted = (response: TinkerHttpClient.Response): Effect.Effect<UntypedFuture, TinkerError> => {
  const origin = { operation: response.request.operation, response }
  return Effect.flatMap(parseJson(origin), (value) => {
    if (Predicate.isRecord(value)) {
      const { model_id: modelId, request_id: requestId, sample_sequence_ids: ids } = value
      const usual = typeof requestId === "string" && requestId !== ""
        && (typeof modelId === "string" || modelId === undefined || modelId === null)
        && (ids === undefined || ids === null || (Array.isArray(ids) && ids.every(Predicate.isString)))
      if (usual) {
        return Effect.succeed({
          requestId: requestId as RequestId,
          ...(typeof modelId === "string" ? { modelId } : {}),
          ...(Array.isArray(ids) ? { sampleSequenceIds: ids } : {})
        })
      }
    }
    return decodeValue(origin, value, UntypedFuture)
  })
}

/**
 * The optimizer of a model, fixed for its life: `adamw`, `dimuon` with its version, or another that the server knows.
 *
 * @since 0.1.0
 * @category schemas
 */
export const OptimizerConfig = Schema.Struct({ type: Schema.String }, { key: Schema.String, value: Schema.Unknown })

/**
 * @since 0.1.0
 * @category models
 */
export type OptimizerConfig = typeof OptimizerConfig.Type

/**
 * The default.
 *
 * @since 0.1.0
 * @category constructors
 */
export const adamw: OptimizerConfig = { type: "adamw" }

/**
 * @since 0.1.0
 * @category constructors
 */
export const dimuon: OptimizerConfig = { type: "dimuon", version: 1 }

/**
 * @since 0.1.0
 * @category schemas
 */
export const CreateModelRequest = Schema.Struct({
  sessionId: field(SessionId, "session_id"),
  modelSeqId: field(Schema.Int, "model_seq_id"),
  baseModel: field(Schema.String, "base_model"),
  userMetadata: optional(Schema.Record({ key: Schema.String, value: Schema.Unknown }), "user_metadata"),
  loraConfig: field(LoraConfig, "lora_config"),
  optimizerConfig: optional(OptimizerConfig, "optimizer_config"),
  type: literal("create_model")
})

/**
 * @since 0.1.0
 * @category models
 */
export type CreateModelRequest = typeof CreateModelRequest.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const CreateModelResponse = Schema.Struct({ modelId: field(ModelId, "model_id") })

/**
 * @since 0.1.0
 * @category schemas
 */
export const GetInfoRequest = Schema.Struct({
  modelId: field(ModelId, "model_id"),
  type: literal("get_info")
})

/**
 * @since 0.1.0
 * @category schemas
 */
export const GetInfoResponse = Schema.Struct({
  modelId: field(Schema.String, "model_id"),
  modelData: field(
    Schema.Struct({
      arch: Schema.optionalWith(Schema.String, { nullable: true }),
      modelName: optional(Schema.String, "model_name"),
      tokenizerId: optional(Schema.String, "tokenizer_id")
    }),
    "model_data"
  ),
  isLora: optional(Schema.Boolean, "is_lora"),
  loraRank: optional(Schema.Int, "lora_rank"),
  modelName: optional(Schema.String, "model_name"),
  optimizerConfig: Schema.optionalWith(OptimizerConfig, { nullable: true, default: () => adamw }).pipe(
    Schema.fromKey("optimizer_config")
  )
})

/**
 * @since 0.1.0
 * @category schemas
 */
export const UnloadModelRequest = Schema.Struct({ modelId: field(ModelId, "model_id"), type: literal("unload_model") })

/**
 * @since 0.1.0
 * @category schemas
 */
export const UnloadModelResponse = Schema.Struct({
  requestId: optional(RequestId, "request_id"),
  modelId: optional(Schema.String, "model_id")
})

/**
 * @since 0.1.0
 * @category models
 */
export type UnloadModelResponse = typeof UnloadModelResponse.Type

/**
 * @since 0.1.0
 * @category models
 */
export type GetInfoResponse = typeof GetInfoResponse.Type

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, TinkerHttpClient.TinkerHttpClient> = Effect.map(
  TinkerHttpClient.TinkerHttpClient,
  (http) => {
    const getInfo = post(http, "get_info", GetInfoRequest, GetInfoResponse)
    const unloadModel = post(http, "unload_model", UnloadModelRequest, UnloadModelResponse)
    return ModelsApi.of({
      createModel: post(http, "create_model", CreateModelRequest, UntypedFuture),
      getInfo: (modelId, options) => getInfo({ modelId, type: "get_info" }, options),
      unloadModel: (modelId, options) => unloadModel({ modelId, type: "unload_model" }, options)
    })
  }
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<ModelsApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(ModelsApi, make)
