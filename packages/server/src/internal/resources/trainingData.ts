/** What a training request asks for, in the terms of an engine, or why it cannot be computed. */
import { type BaseModel, firstOutside, type Loss, type TrainingDatum } from "@effect-tinker/engine/Engine"
import { TokenLoss } from "@effect-tinker/losses"
import type { Datum } from "@effect-tinker/protocol/Datum"
import * as ModelInput from "@effect-tinker/protocol/ModelInput"
import * as TensorData from "@effect-tinker/protocol/TensorData"
import type { ForwardBackwardRequest } from "@effect-tinker/protocol/TrainingMessages"
import * as Either from "effect/Either"
import { enumerated } from "../http/wording.js"

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
    const targets = request.data.reduce((sum, { lossFnInputs }) => sum + elementsOf(lossFnInputs.targetTokens), 0)
    if (targets > maxTargets) {
      return yield* Either.left(
        `the data have ${targets} target tokens, with those that sparse tensors leave out, and a request may have `
          + `${maxTargets}: send fewer data at a time`
      )
    }
    const data: Array<TrainingDatum> = []
    for (let i = 0; i < request.data.length; i++) {
      const datum = datumOf(request.data[i]!, loss, baseModel)
      if (Either.isLeft(datum)) return yield* Either.left(`datum ${i}: ${datum.left}`)
      if (i > 0 && datum.right.targetsPerToken !== data[0]!.targetsPerToken) {
        // The answer is one array for all data, whose rows have one length.
        return yield* Either.left(`datum ${i}: target_tokens has other columns than those of datum 0`)
      }
      data.push(datum.right)
    }
    return { data, loss }
  })

/** Names of settings and inputs on the wire, where they differ. */
const wireNames: ReadonlyMap<string, string> = new Map([
  ["targetTokens", "target_tokens"],
  ["clipLowThreshold", "clip_low_threshold"],
  ["clipHighThreshold", "clip_high_threshold"],
  ["sequenceRatioMask", "sequence_ratio_mask"],
  ["klCoeff", "kl_coeff"]
])

const wireName = (name: string): string => wireNames.get(name) ?? name

const isLoss = (name: string): name is Loss["_tag"] => Object.hasOwn(TokenLoss.settings, name)

/** Names that the hosted service takes too, and why they are not computed here. */
const refused: ReadonlyMap<string, string> = new Map([
  ["stable_reinforce", ", for no public formula of it is known: use importance_sampling, or cispo for a bounded ratio"],
  ["custom", ", for it takes no losses of others: compute yours on the client"]
])

const lossOf = (
  lossFn: string,
  config: Readonly<Record<string, number | string>>
): Either.Either<Loss, string> => {
  if (!isLoss(lossFn)) {
    return Either.left(
      `the loss ${lossFn} is not computed by this server${refused.get(lossFn) ?? ""}; it computes ${
        enumerated(Object.keys(TokenLoss.settings))
      }`
    )
  }
  const defaults = TokenLoss.settings[lossFn]
  const allowed = Object.keys(defaults)
  const values: Record<string, number> = {}
  for (const [name, value] of Object.entries(config)) {
    if (!allowed.includes(name)) {
      const settings = allowed.length === 0 ? "no settings" : `the settings ${enumerated(allowed.map(wireName))} alone`
      return Either.left(`${wireName(name)} was given, and the loss ${lossFn} has ${settings}`)
    }
    if (typeof value !== "number" || !Number.isFinite(value)) {
      return Either.left(`the setting ${wireName(name)} must be a finite number`)
    }
    values[name] = value
  }
  for (const name of allowed) {
    const value = values[name] ?? defaults[name]
    if (value === undefined) {
      return Either.left(`the loss ${lossFn} needs the setting ${wireName(name)}, which has no default`)
    }
    values[name] = value
  }
  const { beta = 0, clipHighThreshold = 0, clipLowThreshold = 0 } = values
  if (clipLowThreshold > clipHighThreshold) {
    return Either.left(`clip_low_threshold ${clipLowThreshold} is above clip_high_threshold ${clipHighThreshold}`)
  }
  if (beta < 0) return Either.left(`the setting beta is ${beta}; it must be 0 or more`)
  return Either.right({ _tag: lossFn, ...values } as Loss)
}

const policyInputs = ["targetTokens", "weights", "logprobs", "advantages"]

/** What each loss reads. Anything else fails, as on the hosted service, also what programs keep for themselves, as a mask. */
const inputsOf: Readonly<Record<Loss["_tag"], ReadonlyArray<string>>> = {
  cross_entropy: ["targetTokens", "weights"],
  importance_sampling: policyInputs,
  ppo: policyInputs,
  cispo: policyInputs,
  dro: policyInputs,
  gspo: [...policyInputs, "sequenceRatioMask"]
}

const datumOf = (datum: Datum, loss: Loss, baseModel: BaseModel): Either.Either<TrainingDatum, string> =>
  Either.gen(function*() {
    const inputs = datum.lossFnInputs
    const tokens = yield* tokensOf(datum.modelInput, baseModel)
    const known = inputsOf[loss._tag]
    const unknown = Object.keys(inputs).find((name) => !known.includes(name))
    if (unknown !== undefined) {
      return yield* Either.left(
        `the loss ${loss._tag} does not read the input ${wireName(unknown)}; it reads ${
          enumerated(known.map(wireName))
        }. `
          + "Leave out what is for your own program"
      )
    }
    const policy = loss._tag !== "cross_entropy"
    const given = inputs.targetTokens
    if (given === undefined) return yield* Either.left("target_tokens is missing")
    if (given.dtype !== "int64") return yield* Either.left(`target_tokens is ${given.dtype}; it must be int64`)
    if (policy && given.shape.length !== 1) {
      return yield* Either.left(`target_tokens has shape [${given.shape}], and the loss ${loss._tag} takes [tokens]`)
    }
    const [, perToken = 1] = given.shape
    if (perToken > baseModel.vocabularySize) {
      return yield* Either.left(
        `target_tokens has ${perToken} targets for each token, and the vocabulary of ${baseModel.name} `
          + `${baseModel.vocabularySize} tokens`
      )
    }
    const targets = yield* dense("target_tokens", given, [tokens.length, ...given.shape.slice(1, 2)])
    yield* checkTargets(targets.data, baseModel)
    const floats = (key: "weights" | "logprobs" | "advantages" | "sequenceRatioMask", required: boolean) =>
      Either.gen(function*() {
        const tensor = inputs[key]
        const name = wireNames.get(key) ?? key
        if (tensor === undefined) {
          return required ? yield* Either.left(`${name} is missing, and the loss ${loss._tag} needs it`) : undefined
        }
        if (tensor.dtype !== "float32") return yield* Either.left(`${name} is ${tensor.dtype}; it must be float32`)
        return (yield* dense(name, tensor, targets.shape)).data
      })
    const sequenceRatioMask = yield* floats("sequenceRatioMask", false)
    if (sequenceRatioMask?.every((mark) => mark === 0)) {
      return yield* Either.left(
        "sequence_ratio_mask marks no token, so there is no ratio: mark the sampled ones, or leave it out for those with an "
          + "advantage"
      )
    }
    return {
      tokens,
      targetTokens: TensorData.toInt32Array(targets),
      targetsPerToken: targets.shape[1],
      weights: yield* floats("weights", false),
      logprobs: yield* floats("logprobs", policy),
      advantages: yield* floats("advantages", policy),
      sequenceRatioMask
    }
  })

/** The most targets of all data of a request: more than fit in its body, unless they are sparse, and those take their full size here. */
const maxTargets = 2 ** 24

const elementsOf = (tensor: TensorData.TensorData | undefined): number =>
  tensor === undefined ? 0 : Math.max(0, TensorData.elementCount(tensor.shape))

/** All elements of a tensor that must have this shape; those that a sparse one leaves out are 0. */
const dense = <A extends TensorData.TensorData>(
  name: string,
  tensor: A,
  shape: ReadonlyArray<number>
): Either.Either<A, string> => {
  const size = TensorData.elementCount(shape)
  if (tensor.shape.join() !== shape.join() || size === 0) {
    return Either.left(
      `${name} has shape [${tensor.shape}], and the model input has ${shape[0]} tokens${
        shape.length === 1 ? "" : ` with ${shape[1]} targets each`
      }`
    )
  }
  const all = Either.mapLeft(TensorData.toDense(tensor), ({ description }) => `${name} ${description}`)
  return Either.flatMap(all, (whole) =>
    whole.data.length === size
      // With all its elements a tensor is of the dtype that it was.
      ? Either.right(whole as A)
      : Either.left(`${name} has ${whole.data.length} elements, and its shape [${shape}] says ${size}`))
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
  const only = input.chunks.length === 1 ? input.chunks[0] : undefined
  // Most have one chunk, whose tokens nobody else has.
  const tokens = only?.type === "encoded_text" ? only.tokens : ModelInput.toTokens(input)
  if (tokens === undefined) return Either.left("this server reads text alone, and the model input has other chunks")
  if (tokens.length === 0) return Either.left("the model input has no tokens")
  if (tokens.length > baseModel.maxContextLength) {
    return Either.left(
      `the model input has ${tokens.length} tokens, and the context of ${baseModel.name} ${baseModel.maxContextLength}`
    )
  }
  const size = baseModel.vocabularySize
  const outside = firstOutside(tokens, size)
  return outside === undefined
    ? Either.right(tokens)
    : Either.left(
      `the model input has token ${outside} at ${
        tokens.indexOf(outside)
      }, and the vocabulary of ${baseModel.name} ${size} tokens`
    )
}
