/** What a training request asks for, in the terms of an engine, or why it cannot be computed. */
import { TokenLoss } from "@effect-tinker/losses"
import type { Datum } from "effect-tinker/Datum"
import * as ModelInput from "effect-tinker/ModelInput"
import * as TensorData from "effect-tinker/TensorData"
import type { ForwardBackwardRequest } from "effect-tinker/TrainingApi"
import * as Either from "effect/Either"
import type { BaseModel, Loss, TrainingDatum } from "../Engine.js"

export interface TrainingPass {
  readonly data: ReadonlyArray<TrainingDatum>
  readonly loss: Loss
}

/** Left: what is wrong, naming the datum, for the user to read. */
export const make = (
  request: Pick<ForwardBackwardRequest, "data" | "lossFn" | "lossFnConfig">,
  baseModel: BaseModel
): Either.Either<TrainingPass, string> =>
  Either.gen(function*() {
    if (request.data.length === 0) return yield* Either.left("there is no datum")
    const loss = yield* lossOf(request.lossFn, request.lossFnConfig)
    const data: Array<TrainingDatum> = []
    for (let i = 0; i < request.data.length; i++) {
      const datum = datumOf(request.data[i]!, loss, baseModel)
      if (Either.isLeft(datum)) return yield* Either.left(`datum ${i}: ${datum.left}`)
      data.push(datum.right)
    }
    return { data, loss }
  })

/** Settings of PPO, with the names that clients write. */
const thresholds: ReadonlyMap<string, string> = new Map([
  ["clipLowThreshold", "clip_low_threshold"],
  ["clipHighThreshold", "clip_high_threshold"]
])

const lossOf = (
  lossFn: string,
  config: Readonly<Record<string, number | string>>
): Either.Either<Loss, string> => {
  if (lossFn !== "cross_entropy" && lossFn !== "importance_sampling" && lossFn !== "ppo") {
    return Either.left(
      `the loss ${lossFn} is not computed by this server; it computes cross_entropy, importance_sampling and ppo`
    )
  }
  for (const [name, value] of Object.entries(config)) {
    const wireName = lossFn === "ppo" ? thresholds.get(name) : undefined
    if (wireName === undefined) {
      const settings = lossFn === "ppo" ? `clip_low_threshold and clip_high_threshold alone` : "no settings"
      return Either.left(`${name} was given, and the loss ${lossFn} has ${settings}`)
    }
    if (typeof value !== "number" || !Number.isFinite(value)) {
      return Either.left(`the setting ${wireName} must be a finite number`)
    }
  }
  return Either.right(
    lossFn === "ppo"
      ? {
        _tag: "ppo",
        clipLowThreshold: Number(config.clipLowThreshold ?? TokenLoss.defaultClipLowThreshold),
        clipHighThreshold: Number(config.clipHighThreshold ?? TokenLoss.defaultClipHighThreshold)
      }
      : { _tag: lossFn }
  )
}

/** `mask` is for the caller's own use. */
const knownInputs = new Set(["targetTokens", "weights", "logprobs", "advantages", "mask"])

const datumOf = (datum: Datum, loss: Loss, baseModel: BaseModel): Either.Either<TrainingDatum, string> =>
  Either.gen(function*() {
    const inputs = datum.lossFnInputs
    const tokens = yield* tokensOf(datum.modelInput, baseModel)
    const unknown = Object.keys(inputs).find((name) => !knownInputs.has(name))
    if (unknown !== undefined) return yield* Either.left(`the loss ${loss._tag} does not read the input ${unknown}`)
    const targets = inputs.targetTokens
    if (targets === undefined) return yield* Either.left("target_tokens is missing")
    if (targets.dtype !== "int64") return yield* Either.left(`target_tokens is ${targets.dtype}; it must be int64`)
    yield* checkShape("target_tokens", targets, tokens.length)
    yield* checkTargets(targets.data, baseModel)
    const floats = (name: "weights" | "logprobs" | "advantages", required: boolean) =>
      Either.gen(function*() {
        const tensor = inputs[name]
        if (tensor === undefined) {
          return required ? yield* Either.left(`${name} is missing, and the loss ${loss._tag} needs it`) : undefined
        }
        if (tensor.dtype !== "float32") return yield* Either.left(`${name} is ${tensor.dtype}; it must be float32`)
        yield* checkShape(name, tensor, tokens.length)
        return tensor.data
      })
    const policy = loss._tag !== "cross_entropy"
    return {
      tokens,
      targetTokens: TensorData.toInt32Array(targets),
      weights: yield* floats("weights", false),
      logprobs: yield* floats("logprobs", policy),
      advantages: yield* floats("advantages", policy)
    }
  })

const checkShape = (name: string, tensor: TensorData.TensorData, length: number): Either.Either<void, string> => {
  if (tensor.sparse !== undefined) return Either.left(`${name} is sparse, which this server does not compute`)
  if (tensor.shape.length !== 1 || tensor.shape[0] !== length || tensor.data.length !== length) {
    return Either.left(`${name} has shape [${tensor.shape}], and the model input has ${length} tokens`)
  }
  return Either.right(undefined)
}

const checkTargets = (targets: BigInt64Array, baseModel: BaseModel): Either.Either<void, string> => {
  const size = BigInt(baseModel.vocabularySize)
  const outside = targets.find((token) => token < 0n || token >= size)
  return outside === undefined
    ? Either.right(undefined)
    : Either.left(`target_tokens has ${outside}, and the vocabulary of ${baseModel.name} has ${size} tokens`)
}

/** The tokens of a text, checked against vocabulary and context. */
export const tokensOf = (
  input: ModelInput.ModelInput,
  baseModel: BaseModel
): Either.Either<Int32Array, string> => {
  const tokens = ModelInput.toTokens(input)
  if (tokens === undefined) return Either.left("this server reads text alone, and the model input has other chunks")
  if (tokens.length === 0) return Either.left("the model input has no tokens")
  if (tokens.length > baseModel.maxContextLength) {
    return Either.left(
      `the model input has ${tokens.length} tokens, and the context of ${baseModel.name} ${baseModel.maxContextLength}`
    )
  }
  const size = baseModel.vocabularySize
  const outside = tokens.find((token) => token < 0 || token >= size)
  return outside === undefined
    ? Either.right(tokens)
    : Either.left(`the model input has token ${outside}, and the vocabulary of ${baseModel.name} ${size} tokens`)
}
