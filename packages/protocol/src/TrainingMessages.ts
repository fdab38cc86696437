/**
 * Messages of training: passes over data, and optimizer steps.
 */
import * as Schema from "effect/Schema"
import { AdamParams } from "./AdamParams.js"
import { ModelId } from "./Identifiers.js"
import * as LegacyJson from "./internal/legacyJson.js"
import * as Protobuf from "./internal/protobuf.js"
import { OptimizerParams } from "./OptimizerParams.js"
import { field, literal, nullishDefaulted, optional } from "./WireField.js"

/**
 * @since 0.1.0
 * @category models
 */
export type ForwardBackwardRequest = Protobuf.ForwardBackwardRequest

/**
 * @since 0.1.0
 * @category schemas
 */
export const encodeForwardBackwardRequest: (request: ForwardBackwardRequest) => Uint8Array =
  Protobuf.encodeForwardBackwardRequest

/**
 * Encodes the data of a request once, for a number that is known only when it is sent.
 *
 * @since 0.1.0
 * @category schemas
 */
export const encodeForwardBackwardData = Protobuf.encodeForwardBackwardData

/**
 * The JSON form of a request, for servers without protobuf. Throws an `Error` that names what it cannot carry.
 *
 * @since 0.1.0
 * @category schemas
 */
export const encodeForwardBackwardJson = LegacyJson.encodeForwardBackwardJson

/**
 * Throws an `Error` that names the field when the value is no such output.
 *
 * @since 0.1.0
 * @category schemas
 */
export const decodeForwardBackwardOutputJson = LegacyJson.decodeForwardBackwardOutputJson

/**
 * Throws an `Error` that names the field when the bytes are no such request.
 *
 * @since 0.1.0
 * @category schemas
 */
export const decodeForwardBackwardRequest: (bytes: Uint8Array) => ForwardBackwardRequest =
  Protobuf.decodeForwardBackwardRequest

/**
 * All data must have fields of the same names.
 *
 * @since 0.1.0
 * @category schemas
 */
export const encodeForwardBackwardOutput = Protobuf.encodeForwardBackwardOutput

/**
 * Throws an `Error` that names the field when the bytes are no such output.
 *
 * @since 0.1.0
 * @category schemas
 */
export const decodeForwardBackwardOutput = Protobuf.decodeForwardBackwardOutput

/**
 * @since 0.1.0
 * @category schemas
 */
export const OptimStepRequest = Schema.Struct({
  /** The settings of Adam; every other optimizer has `optimizerParams`. */
  adamParams: optional(AdamParams, "adam_params"),
  optimizerParams: optional(OptimizerParams, "optimizer_params"),
  modelId: field(ModelId, "model_id"),
  seqId: field(Schema.Int, "seq_id"),
  type: literal("optim_step")
})

/**
 * @since 0.1.0
 * @category models
 */
export type OptimStepRequest = typeof OptimStepRequest.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const OptimStepResponse = Schema.Struct({
  /** Named `name:reduction`, e.g. `unclipped_grad_l2:mean`. */
  metrics: nullishDefaulted(Schema.Record({ key: Schema.String, value: Schema.Number }), () => ({}))
})

/**
 * @since 0.1.0
 * @category models
 */
export type OptimStepResponse = typeof OptimStepResponse.Type
