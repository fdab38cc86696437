/**
 * The losses that the service computes, and what each needs of a datum. Every loss is a sum over tokens, in nats.
 */
import * as Option from "effect/Option"
import type { Datum } from "./Datum.js"
import * as ModelInput from "./ModelInput.js"
import type { TensorData } from "./TensorData.js"
import { InvalidInputError } from "./TinkerError.js"

/**
 * With `p` the log-probability of the target, `q` the `logprobs` input, `A` the advantage, `w` the weight, `r = exp(p - q)`:
 *
 * | loss | inputs | per token |
 * | --- | --- | --- |
 * | `cross_entropy` | `targetTokens`, `weights` (default 1) | `-w p` |
 * | `importance_sampling` | `targetTokens`, `logprobs`, `advantages` | `-r A` |
 * | `ppo` | the same | `-min(r A, clip(r, clipLowThreshold, clipHighThreshold) A)` |
 *
 * The other names are computed by the hosted service; their formulas are its own. Any other string is passed on.
 *
 * Source: the losses pages of the Tinker documentation; PPO: Schulman et al. 2017, eq. 7.
 *
 * @since 0.1.0
 * @category models
 */
export type LossFn =
  | "cross_entropy"
  | "importance_sampling"
  | "ppo"
  | "cispo"
  | "dro"
  | "gspo"
  | "stable_reinforce"
  | (string & {})

/**
 * Settings of a loss, e.g. `{ clipLowThreshold: 0.8, clipHighThreshold: 1.2 }` of `ppo`, which are its defaults.
 *
 * @since 0.1.0
 * @category models
 */
export type LossFnConfig = Readonly<Record<string, number | string>>

const required: Readonly<Record<string, ReadonlyArray<string>>> = {
  cross_entropy: ["targetTokens"],
  importance_sampling: ["targetTokens", "logprobs", "advantages"],
  ppo: ["targetTokens", "logprobs", "advantages"],
  cispo: ["targetTokens", "logprobs", "advantages"],
  dro: ["targetTokens", "logprobs", "advantages"]
}

const dtypes: Readonly<Record<string, TensorData["dtype"]>> = {
  targetTokens: "int64",
  weights: "float32",
  logprobs: "float32",
  advantages: "float32",
  clipLowThreshold: "float32",
  clipHighThreshold: "float32",
  sequenceRatioMask: "float32"
}

/**
 * The first thing wrong with the data of a call, naming the datum and the input; none when they can be sent.
 *
 * @since 0.1.0
 * @category utils
 */
export const validate = (
  operation: string,
  lossFn: LossFn,
  data: ReadonlyArray<Datum>
): Option.Option<InvalidInputError> => {
  const wrong = (field: string, description: string) =>
    Option.some(new InvalidInputError({ operation, field, description }))
  if (data.length === 0) return wrong("data", "there is no datum; pass at least one.")
  for (let i = 0; i < data.length; i++) {
    const datum = data[i]!
    const length = ModelInput.textLength(datum.modelInput)
    if (datum.modelInput.chunks.some((chunk) => chunk.type === "image_asset_pointer")) {
      return wrong(`data[${i}].modelInput`, "an image asset pointer cannot be trained on; send the image itself.")
    }
    if (length === 0) return wrong(`data[${i}].modelInput`, "there are no tokens.")
    for (const name of required[lossFn] ?? []) {
      if (datum.lossFnInputs[name] === undefined) {
        return wrong(`data[${i}].lossFnInputs.${name}`, `missing, and the loss ${lossFn} needs it.`)
      }
    }
    for (const [name, tensor] of Object.entries(datum.lossFnInputs)) {
      const field = `data[${i}].lossFnInputs.${name}`
      const dtype = dtypes[name]
      if (dtype !== undefined && tensor.dtype !== dtype) return wrong(field, `is ${tensor.dtype}; it must be ${dtype}.`)
      if (tensor.sparse === undefined) {
        const size = tensor.shape.reduce((product, n) => product * n, 1)
        if (size !== tensor.data.length) {
          return wrong(field, `has ${tensor.data.length} elements, and its shape [${tensor.shape}] says ${size}.`)
        }
      }
      if (dtype !== undefined && length !== undefined && tensor.shape[0] !== length) {
        return wrong(field, `has shape [${tensor.shape}], and the model input has ${length} tokens.`)
      }
      if (tensor.dtype === "float32") {
        const position = firstNonFinite(tensor.data)
        if (position >= 0) return wrong(field, `is ${tensor.data[position]} at ${position}; it must be finite.`)
      }
    }
  }
  return Option.none()
}

const firstNonFinite = (data: Float32Array): number => {
  for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i])) return i
  return -1
}
