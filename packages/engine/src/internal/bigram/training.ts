/** A model being trained: its adapter, the gradient since the last step, and the optimizer. */
import { TokenLoss } from "@effect-tinker/losses"
import * as Either from "effect/Either"
import * as AdamW from "../../AdamW.js"
import * as Engine from "../../Engine.js"
import * as Sampler from "../../Sampler.js"
import { type Base, failure, row, tensor, tensorName, withAdapter } from "./logitTable.js"

export interface Model {
  readonly base: Base
  readonly lora: Engine.LoraSpec
  adapter: Float32Array
  optimizer: AdamW.State
  gradient: Float32Array | undefined
}

export const create = (base: Base, lora: Engine.LoraSpec): Model => {
  const { maxRank } = base.model
  if (!Number.isInteger(lora.rank) || lora.rank < 1 || lora.rank > maxRank) {
    throw failure("InvalidRequest", `rank ${lora.rank} is not between 1 and ${maxRank}`)
  }
  return {
    base,
    lora,
    adapter: new Float32Array(base.table.length),
    optimizer: AdamW.make(),
    gradient: undefined
  }
}

export const forwardBackward = (
  model: Model,
  { data, gradient, loss }: Parameters<Engine.Service["forwardBackward"]>[1]
): Engine.LossResult => {
  const { vocabularySize } = model.base.model
  data.forEach((datum, i) => checkDatum(datum, i, vocabularySize))
  const table = withAdapter(model.base, model.adapter)
  const added = gradient ? new Float64Array(table.length) : undefined
  const outputs = data.map((datum) => datumLoss(table, vocabularySize, datum, loss, added))
  const total = outputs.reduce((sum, output) => sum + output.elementwiseLoss.reduce((a, b) => a + b, 0), 0)
  if (!Number.isFinite(total)) throw failure("NonFinite", `the loss is ${total}`)
  if (added !== undefined) {
    const sum = model.gradient?.slice() ?? new Float32Array(table.length)
    for (let i = 0; i < added.length; i++) sum[i] = sum[i]! + added[i]!
    if (!sum.every(Number.isFinite)) throw failure("NonFinite", "the sum of the gradients is not finite")
    model.gradient = sum
  }
  return { outputs, loss: total }
}

export const optimStep = (model: Model, params: Engine.AdamWParams): Engine.OptimStepResult => {
  if (model.gradient === undefined) return { unclippedGradNorm: 0 }
  const step = AdamW.attempt(
    new Map([[tensorName, model.adapter]]),
    new Map([[tensorName, model.gradient]]),
    model.optimizer,
    params
  )
  model.gradient = undefined
  if (Either.isLeft(step)) throw failure("NonFinite", step.left)
  const { parameters, state, unclippedGradNorm } = step.right
  model.adapter = parameters.get(tensorName)!
  model.optimizer = state
  return { unclippedGradNorm }
}

export const snapshot = ({ adapter, base, lora, optimizer }: Model): Engine.Snapshot => ({
  baseModel: base.model.name,
  lora,
  step: optimizer.step,
  weights: tensorsOf(base, new Map([[tensorName, adapter]])),
  expAvg: tensorsOf(base, optimizer.expAvg),
  expAvgSq: tensorsOf(base, optimizer.expAvgSq)
})

/** The gradient since the last step, if there is one. */
export const accumulated = ({ base, gradient }: Model): ReadonlyMap<string, Engine.Tensor> | undefined =>
  gradient && tensorsOf(base, new Map([[tensorName, gradient]]))

export const restore = (
  base: Base,
  snapshot: Engine.Snapshot,
  { accumulated, optimizer }: Parameters<Engine.Service["restore"]>[2]
): Model => {
  const { vocabularySize } = base.model
  const moments = (tensors: ReadonlyMap<string, Engine.Tensor>) =>
    new Map(Array.from(tensors, ([name]) => [name, tensor(tensors, name, vocabularySize).slice()]))
  return {
    base,
    lora: snapshot.lora,
    adapter: tensor(snapshot.weights, tensorName, vocabularySize).slice(),
    optimizer: optimizer
      ? { step: snapshot.step, expAvg: moments(snapshot.expAvg), expAvgSq: moments(snapshot.expAvgSq) }
      : AdamW.make(),
    gradient: accumulated && tensor(accumulated, tensorName, vocabularySize).slice()
  }
}

/** Copies of the arrays, with the shape that each has. */
const tensorsOf = (
  { model: { vocabularySize } }: Base,
  arrays: ReadonlyMap<string, Float32Array>
): ReadonlyMap<string, Engine.Tensor> =>
  new Map(Array.from(arrays, ([name, data]) => [name, { shape: [vocabularySize, vocabularySize], data: data.slice() }]))

const checkDatum = (datum: Engine.TrainingDatum, index: number, vocabulary: number): void => {
  const { length } = datum.tokens
  const perToken = datum.targetsPerToken ?? 1
  for (const name of ["targetTokens", "weights", "logprobs", "advantages"] as const) {
    const input = datum[name]
    if (input !== undefined && input.length !== length * perToken) {
      const wanted = perToken === 1 ? `${length} tokens` : `${length} tokens with ${perToken} targets each`
      throw failure("InvalidRequest", `datum ${index}: ${name} has ${input.length} elements for ${wanted}`)
    }
  }
  for (const name of ["tokens", "targetTokens"] as const) {
    const outside = Engine.firstOutside(datum[name], vocabulary)
    if (outside !== undefined) {
      throw failure("InvalidRequest", `datum ${index}: ${name} has ${outside}, and the vocabulary ${vocabulary} tokens`)
    }
  }
}

/** One datum's loss; its gradient by the table is added to `added`. */
const datumLoss = (
  table: Float32Array,
  vocabulary: number,
  datum: Engine.TrainingDatum,
  loss: Engine.Loss,
  added: Float64Array | undefined
): Engine.LossOutput => {
  const { targetTokens, tokens } = datum
  const perToken = datum.targetsPerToken ?? 1
  const logprobs = new Float32Array(targetTokens.length)
  for (let i = 0; i < logprobs.length; i++) {
    const previous = tokens[Math.floor(i / perToken)]!
    logprobs[i] = Sampler.logprobAt(row(table, vocabulary, previous), targetTokens[i]!)
  }
  const { elementwiseLoss, gradient } = TokenLoss.compute(loss, {
    logprobs,
    weights: datum.weights,
    samplingLogprobs: datum.logprobs,
    advantages: datum.advantages,
    sequenceRatioMask: datum.sequenceRatioMask
  })
  if (added !== undefined) {
    for (let t = 0; t < tokens.length; t++) {
      const offset = tokens[t]! * vocabulary
      let total = 0
      for (let i = t * perToken; i < (t + 1) * perToken; i++) {
        const e = gradient[i]!
        total += e
        added[offset + targetTokens[i]!] = added[offset + targetTokens[i]!]! + e
      }
      if (total === 0) continue
      const logits = row(table, vocabulary, tokens[t]!)
      const normalizer = Sampler.logSumExp(logits)
      for (let j = 0; j < vocabulary; j++) {
        added[offset + j] = added[offset + j]! - total * Math.exp(logits[j]! - normalizer)
      }
    }
  }
  return { logprobs, elementwiseLoss }
}
