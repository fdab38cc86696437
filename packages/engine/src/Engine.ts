/**
 * The contract of what computes: models, gradients, optimizer steps, snapshots, sampling. It knows nothing of HTTP, of
 * futures or of paths, and callers choose the ids.
 *
 * Calls on one model are made one after another, in the order of its requests; calls on different models may overlap.
 */
import type { TokenLoss } from "@effect-tinker/losses"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"

/**
 * The engine that a program or a server computes with.
 *
 * @since 0.1.0
 * @category tags
 */
export class Engine extends Context.Tag("@effect-tinker/engine/Engine")<Engine, Service>() {}

/**
 * What an engine can do. Where it cannot, its methods fail with `EngineError`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly baseModels: ReadonlyArray<BaseModel>

  /** Makes an adapter that leaves the base model's output unchanged, with an empty gradient and a fresh optimizer. */
  readonly createModel: (
    modelId: string,
    options: { readonly baseModel: string; readonly lora: LoraSpec }
  ) => Effect.Effect<void, EngineError>

  /**
   * Computes the loss of each datum; with `gradient`, adds its gradient to the model's accumulator. A call that fails
   * leaves the accumulator as it was.
   */
  readonly forwardBackward: (
    modelId: string,
    options: { readonly data: ReadonlyArray<TrainingDatum>; readonly loss: Loss; readonly gradient: boolean }
  ) => Effect.Effect<LossResult, EngineError>

  /**
   * One step of AdamW with the accumulated gradient, which it clears. Without a gradient nothing changes. A step that would lead
   * out of the finite numbers fails as `NonFinite` and clears the gradient too, but changes nothing else.
   */
  readonly optimStep: (modelId: string, params: AdamWParams) => Effect.Effect<OptimStepResult, EngineError>

  /** A copy of the model's weights and optimizer state. The gradient is not part of it. */
  readonly snapshot: (modelId: string) => Effect.Effect<Snapshot, EngineError>

  /**
   * A copy of the gradient that was accumulated since the last step, under the names of the weights; nothing when there
   * was none.
   */
  readonly accumulated: (modelId: string) => Effect.Effect<ReadonlyMap<string, Tensor> | undefined, EngineError>

  /**
   * Writes the model's weights and moments, or its accumulated gradient, to a file, as `ModelState` encodes them: what an
   * engine in a process of its own does sooner than it could hand them over. Tells how many bytes that are, 0 without a
   * gradient, and how many optimizer steps were taken. Without it, callers write what they are given.
   */
  readonly writeState?: (
    modelId: string,
    what: "weights" | "gradient",
    file: string
  ) => Effect.Effect<{ readonly bytes: number; readonly step: number }, EngineError>

  /**
   * Makes a model from a snapshot; without `optimizer` it begins with a fresh one. With `accumulated` it has that gradient,
   * and goes on, bit for bit, as the model that both were taken of.
   */
  readonly restore: (
    modelId: string,
    snapshot: Snapshot,
    options: { readonly optimizer: boolean; readonly accumulated?: ReadonlyMap<string, Tensor> | undefined }
  ) => Effect.Effect<void, EngineError>

  /** Frees a model. One that does not exist is no error. */
  readonly unloadModel: (modelId: string) => Effect.Effect<void, EngineError>

  /** Makes a sampler of the base model, or of the snapshot's weights over it, which never change afterwards. */
  readonly createSampler: (
    samplerId: string,
    options: { readonly baseModel: string; readonly snapshot?: Snapshot | undefined }
  ) => Effect.Effect<void, EngineError>

  readonly sample: (samplerId: string, request: SampleRequest) => Effect.Effect<SampleResult, EngineError>

  /** Frees a sampler. One that does not exist is no error. */
  readonly unloadSampler: (samplerId: string) => Effect.Effect<void, EngineError>

  /**
   * Whether a model or sampler that was made is not there any more, because what computed it has ended and was started
   * anew: then calls on it fail with `Unavailable`, until `restore` or `createSampler` gives it back. Without this method
   * nothing is ever lost.
   */
  readonly hasLost?: (what: "model" | "sampler", id: string) => boolean

  /**
   * Why models and samplers were lost, each time after some may have been. Fails when what computes has ended for good.
   * Without it nothing is ever lost.
   */
  readonly losses?: Stream.Stream<EngineError, EngineError>
}

/**
 * A base model that the engine trains adapters of and samples from.
 *
 * @since 0.1.0
 * @category models
 */
export interface BaseModel {
  readonly name: string
  /** The most tokens that prompt and answer may have together. */
  readonly maxContextLength: number
  readonly vocabularySize: number
  /** Highest LoRA rank that `createModel` accepts. */
  readonly maxRank: number
  /** Tokens that end an answer when the request names no stops of its own. */
  readonly eosTokens: ReadonlyArray<number>
  /** The name that `config.json` gives the architecture, e.g. `LlamaForCausalLM`. */
  readonly architecture: string
  readonly tokenizerId: string
  /**
   * The files of the tokenizer and the configuration, by their names on the Hugging Face hub: what a server gives to whoever
   * loads a tokenizer from it. Default: none.
   */
  readonly files?: ReadonlyMap<string, Effect.Effect<Uint8Array, EngineError>> | undefined
}

/**
 * The rank of an adapter, and the parts of the base model that get one. The scale is 32 / rank, whatever the rank.
 *
 * @since 0.1.0
 * @category models
 */
export interface LoraSpec {
  readonly rank: number
  /** The same seed and settings give the same initial weights. */
  readonly seed: number
  readonly trainAttn: boolean
  readonly trainMlp: boolean
  readonly trainUnembed: boolean
}

/**
 * One sequence. Position t sees `tokens[0..t]` and is scored on `targetTokens[t]`. All arrays are `[tokens]`, unless
 * `targetsPerToken` says otherwise.
 *
 * @since 0.1.0
 * @category models
 */
export interface TrainingDatum {
  readonly tokens: Int32Array
  readonly targetTokens: Int32Array
  /**
   * The number K of targets that each token has: then `targetTokens` and `weights` are `[tokens, K]`, row-major, and so are
   * the results; only cross entropy takes them. Default 1.
   */
  readonly targetsPerToken?: number | undefined
  /** Factor of each position's loss. Ones when absent; may be negative. */
  readonly weights?: Float32Array | undefined
  /** Log-probabilities of the targets when they were sampled, in nats. */
  readonly logprobs?: Float32Array | undefined
  readonly advantages?: Float32Array | undefined
  /** What is not 0 marks the tokens over which `gspo` takes its ratio. */
  readonly sequenceRatioMask?: Float32Array | undefined
}

/**
 * A sum over all positions of all data, in nats. Formulas: `@effect-tinker/losses`.
 *
 * @since 0.1.0
 * @category models
 */
export type Loss = TokenLoss.Loss

/**
 * What a forward pass gives: the losses of a batch, datum by datum and in all.
 *
 * @since 0.1.0
 * @category models
 */
export interface LossResult {
  /** The output of each datum, in order. */
  readonly outputs: ReadonlyArray<LossOutput>
  /** Sum of every `elementwiseLoss`. */
  readonly loss: number
}

/**
 * The losses of one datum.
 *
 * @since 0.1.0
 * @category models
 */
export interface LossOutput {
  /** The log-probabilities of the targets, shaped as they are: `float32`, nats, at temperature 1. */
  readonly logprobs: Float32Array
  /** The loss of each target, shaped as they are: `float32`, nats. */
  readonly elementwiseLoss: Float32Array
}

/**
 * AdamW with decoupled weight decay; `gradClipNorm` 0 leaves gradients as they are.
 *
 * @since 0.1.0
 * @category models
 */
export interface AdamWParams {
  readonly learningRate: number
  readonly beta1: number
  readonly beta2: number
  readonly eps: number
  readonly weightDecay: number
  readonly gradClipNorm: number
}

/**
 * What a step of the optimizer tells of the gradient that it took.
 *
 * @since 0.1.0
 * @category models
 */
export interface OptimStepResult {
  /** Global L2 norm of the gradient before clipping; 0 when there was none. */
  readonly unclippedGradNorm: number
}

/**
 * A model at rest. Tensor names are those of PEFT, e.g.
 * `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Snapshot {
  readonly baseModel: string
  readonly lora: LoraSpec
  /** Optimizer steps taken. */
  readonly step: number
  readonly weights: ReadonlyMap<string, Tensor>
  /** Adam's first and second moments, under the names of the weights. */
  readonly expAvg: ReadonlyMap<string, Tensor>
  readonly expAvgSq: ReadonlyMap<string, Tensor>
}

/**
 * An array of float32 numbers, row-major.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tensor {
  readonly shape: ReadonlyArray<number>
  readonly data: Float32Array
}

/**
 * A prompt, how answers to it are drawn, and what is to be told of both.
 *
 * @since 0.1.0
 * @category models
 */
export interface SampleRequest {
  readonly prompt: Int32Array
  readonly numSamples: number
  readonly maxTokens: number
  /** The temperature of the draw; 0 takes the most probable token. */
  readonly temperature: number
  /** Number of most probable tokens to choose from; 0 or less for all. */
  readonly topK: number
  /** Smallest set of most probable tokens with at least this probability; 1 for all. */
  readonly topP: number
  /** Sample i uses `seed + i`. */
  readonly seed: number
  /** An answer ends with any of these tokens, which is kept. */
  readonly stopTokens: ReadonlyArray<number>
  /** An answer ends with the token that completes any of these texts, which is kept. */
  readonly stopStrings: ReadonlyArray<string>
  /**
   * The kind of log-probabilities that an answer has: `raw`, the default, those at temperature 1 over the whole vocabulary,
   * which a trainer computes too; or `processed`, those of the distribution that was drawn from, after temperature, top k and
   * top p. Greedy answers have raw ones in any case.
   */
  readonly logprobs?: "raw" | "processed" | undefined
  readonly promptLogprobs: boolean
  /** Number of most probable tokens to report at each prompt position. */
  readonly topkPromptLogprobs: number
  /** Number of most probable tokens to report at each position of an answer. Default 0. */
  readonly topkSampleLogprobs?: number | undefined
  /** Tokens to report the log-probabilities of at prompt positions, whatever stands there. */
  readonly targetPromptLogprobs?: PromptTargets | undefined
  /**
   * Number of tokens to draw at each prompt position but the first, independently, from the whole vocabulary at the
   * request's temperature. Default 0.
   */
  readonly promptAltTokensK?: number | undefined
}

/**
 * Row i, `tokens[offsets[i]]` up to before `tokens[offsets[i + 1]]`, belongs to prompt position i + 1. A token of -1
 * stands for none.
 *
 * @since 0.1.0
 * @category models
 */
export interface PromptTargets {
  /** Where each row begins, `[prompt] int32`. */
  readonly offsets: Int32Array
  readonly tokens: Int32Array
}

/**
 * The answers to a request, and what it asked about its prompt.
 *
 * @since 0.1.0
 * @category models
 */
export interface SampleResult {
  readonly sequences: ReadonlyArray<SampledSequence>
  /**
   * The log-probability of each prompt token, `[prompt] float32`, nats, at temperature 1; NaN at position 0, which nothing
   * precedes.
   */
  readonly promptLogprobs: Float32Array | undefined
  readonly topkPromptLogprobs: TopkLogprobs | undefined
  /** The log-probability of each of the request's target tokens, `float32`, nats; 0 where the token is -1. */
  readonly targetPromptLogprobs?: Float32Array | undefined
  /** The tokens drawn, `[prompt - 1, k]`, row i for position i + 1, with log-probabilities in nats at temperature 1. */
  readonly promptAltTokens?: { readonly tokens: Int32Array; readonly logprobs: Float32Array } | undefined
  /** Tokens of the prompt that were computed for an earlier request already. Default 0. */
  readonly promptCacheHitTokens?: number | undefined
}

/**
 * One answer: its tokens, what was asked about them, and why it ended.
 *
 * @since 0.1.0
 * @category models
 */
export interface SampledSequence {
  readonly tokens: Int32Array
  /** The log-probability of each token, `[tokens] float32`, nats, of the kind that was asked for. */
  readonly logprobs: Float32Array
  /** The most probable tokens where each token was chosen. Only if asked for. */
  readonly topkLogprobs?: TopkLogprobs | undefined
  readonly stopReason: "stop" | "length"
}

/**
 * Both arrays `[length, k]`, best first; an empty cell is token 0 with log-probability -99999.
 *
 * @since 0.1.0
 * @category models
 */
export interface TopkLogprobs {
  readonly k: number
  readonly length: number
  readonly tokenIds: Int32Array
  readonly logprobs: Float32Array
}

/**
 * Why an engine refused or failed:
 *
 * - `InvalidRequest`: the caller's data cannot be computed; fix it
 * - `UnknownModel`: no such base model, model or sampler
 * - `UnsupportedModel`: a folder that is no model, or of an architecture that the engine does not know
 * - `NonFinite`: the computation gave NaN or infinity; nothing was changed, but for the gradient of a step, which is dropped
 * - `Unavailable`: what computes could not start, or died; its models are lost, and may be given back
 *
 * @since 0.1.0
 * @category errors
 */
export class EngineError extends Schema.TaggedError<EngineError>("@effect-tinker/engine/EngineError")("EngineError", {
  reason: Schema.Literal("InvalidRequest", "UnknownModel", "UnsupportedModel", "NonFinite", "Unavailable"),
  description: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {
  override get message() {
    return this.description
  }
}

/**
 * The first token that a vocabulary of this size does not have; none when it has all.
 *
 * @since 0.1.0
 * @category utils
 */
export const firstOutside = (tokens: Int32Array, vocabularySize: number): number | undefined => {
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!
    if (token < 0 || token >= vocabularySize) return token
  }
  return undefined
}
