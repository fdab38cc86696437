/** A LoRA model being trained: its adapter, the gradient since the last step, and the optimizer. */
import * as AdamW from "@effect-tinker/engine/AdamW"
import { EngineError } from "@effect-tinker/engine/Engine"
import type * as Engine from "@effect-tinker/engine/Engine"
import * as ModelState from "@effect-tinker/engine/ModelState"
import * as Either from "effect/Either"
import { rmSync, writeFileSync } from "node:fs"
import type * as Llama from "../../Llama.js"
import * as Lora from "../../Lora.js"
import * as TrainingPass from "../../TrainingPass.js"
import { isFiniteSum, nonFinite } from "../finite.js"
import { adopt, adoptGradient, copied, shaped } from "./adapterTensors.js"

export interface LoraModel {
  readonly lora: Engine.LoraSpec
  adapter: Map<string, Float32Array>
  optimizer: AdamW.State
  /** Sum since the last step; absent when there was none. */
  gradient: Map<string, Float32Array> | undefined
}

export const create = (config: Llama.Config, lora: Engine.LoraSpec): LoraModel => ({
  lora,
  adapter: Lora.initialize(config, lora),
  optimizer: AdamW.make(),
  gradient: undefined
})

/** Adds the gradients of a pass to those since the last step; throws `NonFinite`, and then nothing was changed. */
export const accumulate = (model: LoraModel, gradients: ReadonlyMap<string, Float32Array>): void => {
  const sums = model.gradient ?? new Map<string, Float32Array>()
  // All before any is added to, so that a pass that fails has changed nothing.
  for (const [name, array] of gradients) {
    const sum = sums.get(name)
    if (sum !== undefined && !isFiniteSum(sum, array)) {
      throw nonFinite(`with this pass the sum of the gradients of ${name} is not finite`)
    }
  }
  for (const [name, array] of gradients) TrainingPass.accumulate(sums, name, array)
  model.gradient = sums
}

export const optimStep = (model: LoraModel, params: Engine.AdamWParams): Engine.OptimStepResult => {
  if (model.gradient === undefined || model.gradient.size === 0) return { unclippedGradNorm: 0 }
  const step = AdamW.attempt(model.adapter, model.gradient, model.optimizer, params)
  model.gradient = undefined
  if (Either.isLeft(step)) throw nonFinite(step.left)
  const { parameters, state, unclippedGradNorm } = step.right
  model.adapter = parameters
  model.optimizer = state
  return { unclippedGradNorm }
}

export const snapshot = (
  config: Llama.Config,
  baseModel: string,
  { adapter, lora, optimizer }: LoraModel
): Engine.Snapshot => ({
  baseModel,
  lora,
  step: optimizer.step,
  weights: copied(config, lora, adapter),
  expAvg: copied(config, lora, optimizer.expAvg),
  expAvgSq: copied(config, lora, optimizer.expAvgSq)
})

/** The gradient since the last step, if there is one. */
export const accumulated = (
  config: Llama.Config,
  { gradient, lora }: LoraModel
): ReadonlyMap<string, Engine.Tensor> | undefined => gradient && copied(config, lora, gradient)

/** Writes the weights with the optimizer's state, or the gradient, to a file; half of a file is not left behind. */
export const write = (
  config: Llama.Config,
  { adapter, gradient, lora, optimizer }: LoraModel,
  what: "weights" | "gradient",
  file: string
): { readonly bytes: number; readonly step: number } => {
  const { expAvg, expAvgSq, step } = optimizer
  if (what === "gradient" && gradient === undefined) return { bytes: 0, step }
  const bytes = what === "gradient"
    ? ModelState.encodeGradient(shaped(config, lora, gradient!))
    : ModelState.encodeSnapshot({
      weights: shaped(config, lora, adapter),
      expAvg: shaped(config, lora, expAvg),
      expAvgSq: shaped(config, lora, expAvgSq)
    })
  try {
    writeFileSync(file, bytes)
  } catch (cause) {
    // Half of it would take the room that is needed to say so.
    rmSync(file, { force: true })
    // The description is for clients, who need not know where on this machine it was to be.
    const why = /^[A-Z0-9]+: [^,]+/.exec(cause instanceof Error ? cause.message : "")?.[0] ?? "the disk refused it"
    throw new EngineError({ reason: "Unavailable", description: `its state cannot be written (${why})`, cause })
  }
  return { bytes: bytes.byteLength, step }
}

export const restore = (
  config: Llama.Config,
  { expAvg, expAvgSq, lora, step, weights }: Engine.Snapshot,
  { accumulated, optimizer }: Parameters<Engine.Service["restore"]>[2]
): LoraModel => ({
  lora,
  adapter: adopt(config, lora, weights, { complete: true }),
  optimizer: optimizer
    ? {
      step,
      expAvg: adopt(config, lora, expAvg, { complete: false }),
      expAvgSq: adopt(config, lora, expAvgSq, { complete: false })
    }
    : AdamW.make(),
  gradient: accumulated && adoptGradient(config, lora, accumulated)
})
