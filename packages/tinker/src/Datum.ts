/**
 * One training example: what the model reads, and what its loss needs, aligned position by position.
 */
import type { ModelInput } from "./ModelInput.js"
import * as ModelInputs from "./ModelInput.js"
import * as TensorData from "./TensorData.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Datum {
  readonly modelInput: ModelInput
  /** Tensors by name, as the loss wants them; see `LossFn`. */
  readonly lossFnInputs: Readonly<Record<string, TensorData.TensorData>>
  /** Where the model input comes from, if it was sampled: spans that tile its tokens. Both span lists, or neither. */
  readonly modelInputSpans?: ReadonlyArray<ProvenanceSpan> | undefined
  /** Where the targets come from: spans that tile them. */
  readonly lossFnInputSpans?: ReadonlyArray<ProvenanceSpan> | undefined
}

/**
 * A run of tokens of a sampled sequence: of its prompt, or of what was sampled.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProvenanceSpan {
  readonly kind: "prompt" | "sampled"
  readonly sequenceId: string
  readonly offset: number
  readonly length: number
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Datum): Datum => options

/**
 * A datum of cross entropy from a whole sequence: each token but the last is read, and each but the first is a target.
 *
 * - `tokens`: `[tokens] int32`, two at least
 * - `weights`: `[tokens] float32`, the factor of each token as a target; that of the first is not used
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromTokens = (tokens: Int32Array, weights: Float32Array): Datum => ({
  modelInput: ModelInputs.fromTokens(tokens.subarray(0, tokens.length - 1)),
  lossFnInputs: {
    targetTokens: TensorData.int64(tokens.subarray(1)),
    weights: TensorData.float32(weights.subarray(1))
  }
})

/**
 * Bytes of the datum in a training request, by which calls are split into chunks.
 *
 * @since 0.1.0
 * @category utils
 */
export const byteLength = (datum: Datum): number => {
  let bytes = ModelInputs.byteLength(datum.modelInput)
  for (const tensor of Object.values(datum.lossFnInputs)) bytes += TensorData.byteLength(tensor)
  return bytes
}
