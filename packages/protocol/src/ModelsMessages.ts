/**
 * Messages of models: creating one, and asking what it is.
 */
import * as Schema from "effect/Schema"
import { ModelId, RequestId, SessionId } from "./Identifiers.js"
import { LoraConfig } from "./LoraConfig.js"
import { field, literal, nullish, optional, optionalDefaulted, sentType } from "./WireField.js"

/**
 * The answer to a submitted request: the id by which its result is fetched.
 *
 * @since 0.1.0
 * @category schemas
 */
export const UntypedFuture = Schema.Struct({
  requestId: field(RequestId, "request_id"),
  modelId: optional(Schema.String, "model_id"),
  /** The ids of the sequences, in order; samples alone have them. */
  sampleSequenceIds: optional(Schema.Array(Schema.String), "sample_sequence_ids")
})

/**
 * @since 0.1.0
 * @category models
 */
export type UntypedFuture = typeof UntypedFuture.Type

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
export const CreateModelResponse = Schema.Struct({
  modelId: field(ModelId, "model_id"),
  type: sentType("create_model")
})

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
      arch: nullish(Schema.String),
      modelName: optional(Schema.String, "model_name"),
      tokenizerId: optional(Schema.String, "tokenizer_id")
    }),
    "model_data"
  ),
  isLora: optional(Schema.Boolean, "is_lora"),
  loraRank: optional(Schema.Int, "lora_rank"),
  modelName: optional(Schema.String, "model_name"),
  optimizerConfig: optionalDefaulted(OptimizerConfig, "optimizer_config", () => adamw)
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
 * What comes of the request to unload a model.
 *
 * @since 0.1.0
 * @category schemas
 */
export const UnloadModelResult = Schema.Struct({ modelId: field(ModelId, "model_id"), type: sentType("unload_model") })

/**
 * @since 0.1.0
 * @category models
 */
export type GetInfoResponse = typeof GetInfoResponse.Type
