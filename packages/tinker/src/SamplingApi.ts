/**
 * The endpoint of sampling.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { SamplingSessionId } from "./Identifiers.js"
import { post } from "./internal/endpoint.js"
import * as Protobuf from "./internal/protobuf.js"
import { field, literal, optional } from "./internal/wireField.js"
import { ModelInput } from "./ModelInput.js"
import { UntypedFuture } from "./ModelsApi.js"
import { SamplingParams } from "./SamplingParams.js"
import type { TinkerError } from "./TinkerError.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class SamplingApi extends Context.Tag("effect-tinker/SamplingApi")<SamplingApi, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly asample: (request: SampleRequest) => Effect.Effect<UntypedFuture, TinkerError>
}

const count = (key: string, value: number) =>
  Schema.optionalWith(Schema.Int, { default: () => value, nullable: true }).pipe(Schema.fromKey(key))

/**
 * @since 0.1.0
 * @category schemas
 */
export const SampleRequest = Schema.Struct({
  numSamples: count("num_samples", 1),
  prompt: ModelInput,
  samplingParams: field(SamplingParams, "sampling_params"),
  baseModel: optional(Schema.String, "base_model"),
  modelPath: optional(Schema.String, "model_path"),
  samplingSessionId: optional(SamplingSessionId, "sampling_session_id"),
  /** Needed with a sampling session. Sending the same number again asks for the same samples. */
  seqId: optional(Schema.Number, "seq_id"),
  promptLogprobs: Schema.optionalWith(Schema.Boolean, { default: () => false, nullable: true }).pipe(
    Schema.fromKey("prompt_logprobs")
  ),
  topkPromptLogprobs: count("topk_prompt_logprobs", 0),
  topkSampleLogprobs: count("topk_sample_logprobs", 0),
  type: literal("sample")
})

/**
 * @since 0.1.0
 * @category models
 */
export type SampleRequest = typeof SampleRequest.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const encodeSampleResponse = Protobuf.encodeSampleResponse

/**
 * The ids of the sequences come with the answer to the submission. Throws an `Error` that names the field when the bytes
 * are no such response.
 *
 * @since 0.1.0
 * @category schemas
 */
export const decodeSampleResponse = Protobuf.decodeSampleResponse

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, TinkerHttpClient.TinkerHttpClient> = Effect.map(
  TinkerHttpClient.TinkerHttpClient,
  (http) => {
    const asample = post(http, "asample", SampleRequest, UntypedFuture)
    return SamplingApi.of({
      // Announces that 429 is understood as "slow down".
      asample: (request) => asample(request, { headers: { "x-tinker-sampling-backpressure": "1" } })
    })
  }
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<SamplingApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(
  SamplingApi,
  make
)
