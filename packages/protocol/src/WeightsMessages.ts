/**
 * Messages of checkpoints made and read by models.
 */
import * as Schema from "effect/Schema"
import { ModelId, SamplingSessionId, SessionId } from "./Identifiers.js"
import { OptimizerConfig } from "./ModelsMessages.js"
import { defaulted, field, literal, nullable, nullish, optional, sentType } from "./WireField.js"

const StringMap = Schema.Record({ key: Schema.String, value: Schema.String })

/**
 * @since 0.1.0
 * @category schemas
 */
export const SaveWeightsRequest = Schema.Struct({
  modelId: field(ModelId, "model_id"),
  /** The checkpoint's name. */
  path: nullish(Schema.String),
  seqId: field(Schema.Int, "seq_id"),
  ttlSeconds: optional(Schema.Int, "ttl_seconds"),
  overwrite: defaulted(Schema.Boolean, () => false),
  userMetadata: optional(StringMap, "user_metadata"),
  type: literal("save_weights")
})

/**
 * @since 0.1.0
 * @category models
 */
export type SaveWeightsRequest = typeof SaveWeightsRequest.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const SaveWeightsResponse = Schema.Struct({ path: Schema.String, type: sentType("save_weights") })

/**
 * @since 0.1.0
 * @category models
 */
export type SaveWeightsResponse = typeof SaveWeightsResponse.Type

/**
 * Named by `path`, or unnamed for the sampling session with the number `samplingSessionSeqId`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SaveWeightsForSamplerRequest = Schema.Struct({
  modelId: field(ModelId, "model_id"),
  path: nullish(Schema.String),
  samplingSessionSeqId: optional(Schema.Int, "sampling_session_seq_id"),
  kind: defaulted(Schema.String, () => "snapshot"),
  seqId: field(Schema.Int, "seq_id"),
  ttlSeconds: optional(Schema.Int, "ttl_seconds"),
  userMetadata: optional(StringMap, "user_metadata"),
  type: literal("save_weights_for_sampler")
})

/**
 * @since 0.1.0
 * @category models
 */
export type SaveWeightsForSamplerRequest = typeof SaveWeightsForSamplerRequest.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const SaveWeightsForSamplerResponse = Schema.Struct({
  path: nullable(Schema.String),
  samplingSessionId: optional(SamplingSessionId, "sampling_session_id"),
  type: sentType("save_weights_for_sampler")
}).pipe(
  Schema.filter(({ path, samplingSessionId }) => path !== undefined || samplingSessionId !== undefined)
)

/**
 * @since 0.1.0
 * @category schemas
 */
export const SaveWeightsExternalRequest = Schema.Struct({
  modelId: field(ModelId, "model_id"),
  path: Schema.String,
  seqId: field(Schema.Int, "seq_id"),
  ttlSeconds: optional(Schema.Int, "ttl_seconds"),
  ageEncryptionRecipients: optional(Schema.Array(Schema.String), "age_encryption_recipients"),
  type: literal("save_weights_external")
})

/**
 * @since 0.1.0
 * @category models
 */
export type SaveWeightsExternalRequest = typeof SaveWeightsExternalRequest.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const SaveWeightsExternalResponse = Schema.Struct({
  path: Schema.String,
  sizeBytes: optional(Schema.Number, "size_bytes"),
  type: sentType("save_weights_external")
})

/**
 * @since 0.1.0
 * @category models
 */
export type SaveWeightsExternalResponse = typeof SaveWeightsExternalResponse.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const WeightsInfoRequest = Schema.Struct({ tinkerPath: field(Schema.String, "tinker_path") })

/**
 * Flags that the server does not tell are absent.
 *
 * @since 0.1.0
 * @category schemas
 */
export const WeightsInfoResponse = Schema.Struct({
  baseModel: field(Schema.String, "base_model"),
  isLora: optional(Schema.Boolean, "is_lora"),
  loraRank: optional(Schema.Int, "lora_rank"),
  trainUnembed: optional(Schema.Boolean, "train_unembed"),
  trainMlp: optional(Schema.Boolean, "train_mlp"),
  trainAttn: optional(Schema.Boolean, "train_attn"),
  optimizerConfig: optional(OptimizerConfig, "optimizer_config")
})

/**
 * @since 0.1.0
 * @category models
 */
export type WeightsInfoResponse = typeof WeightsInfoResponse.Type

/**
 * What tells one checkpoint from another. Servers leave out what they like.
 *
 * @since 0.1.0
 * @category schemas
 */
export const CheckpointEntry = Schema.Struct({
  checkpointId: field(Schema.String, "checkpoint_id"),
  checkpointType: optional(Schema.String, "checkpoint_type"),
  tinkerPath: optional(Schema.String, "tinker_path")
})

/**
 * @since 0.1.0
 * @category models
 */
export type CheckpointEntry = typeof CheckpointEntry.Type

/**
 * The checkpoints of a model, as far as they are needed to know one again.
 *
 * @since 0.1.0
 * @category schemas
 */
export const CheckpointEntries = Schema.Struct({ checkpoints: Schema.Array(CheckpointEntry) })

/**
 * Into a model that exists (`modelId`, `seqId`), or into a new one made by the same request (`sessionId`, `modelSeqId`).
 *
 * @since 0.1.0
 * @category schemas
 */
export const LoadWeightsRequest = Schema.Struct({
  modelId: optional(ModelId, "model_id"),
  seqId: optional(Schema.Int, "seq_id"),
  sessionId: optional(SessionId, "session_id"),
  modelSeqId: optional(Schema.Int, "model_seq_id"),
  baseModel: optional(Schema.String, "base_model"),
  userMetadata: optional(Schema.Record({ key: Schema.String, value: Schema.Unknown }), "user_metadata"),
  optimizerConfig: optional(OptimizerConfig, "optimizer_config"),
  path: Schema.String,
  /** Whether the optimizer's state is loaded too. */
  optimizer: Schema.Boolean,
  weightsAccessToken: optional(Schema.String, "weights_access_token"),
  type: literal("load_weights")
})

/**
 * @since 0.1.0
 * @category models
 */
export type LoadWeightsRequest = typeof LoadWeightsRequest.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const LoadWeightsResponse = Schema.Struct({
  path: nullish(Schema.String),
  modelId: optional(Schema.String, "model_id"),
  type: sentType("load_weights")
})

/**
 * @since 0.1.0
 * @category models
 */
export type LoadWeightsResponse = typeof LoadWeightsResponse.Type
