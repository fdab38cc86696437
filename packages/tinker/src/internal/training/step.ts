/** A step of the optimizer. */
import * as AdamParams from "@effect-tinker/protocol/AdamParams"
import { isObject, kindOf, named, optionIssues } from "@effect-tinker/protocol/CallOptions"
import type { Check } from "@effect-tinker/protocol/Checks"
import * as OptimizerParams from "@effect-tinker/protocol/OptimizerParams"
import * as TrainingMessages from "@effect-tinker/protocol/TrainingMessages"
import * as Effect from "effect/Effect"
import type { Service } from "../../TrainingClient.js"
import * as NumberedCall from "./numberedCall.js"
import type { TrainedModel } from "./trainedModel.js"

const name = "TrainingClient.optimStep"

/** The step of a model that was made with an optimizer of this family. */
export const make = (model: TrainedModel, family: string): Effect.Effect<Service["optimStep"]> =>
  Effect.map(
    Effect.once(Effect.logWarning(
      `${name}: model ${model.modelId} takes a step without a gradient, which teaches it nothing: `
        + "call forwardBackward before each step"
    )),
    (warnOfFutileStep) =>
      model.checked(name, { params: paramsOf(family) }, (params) =>
        NumberedCall.run(model, {
          operation: name,
          requestType: "OptimStep",
          submit: (seqId, options) =>
            Effect.tap(
              model.training.optimStep({
                ...(params instanceof AdamParams.AdamParams ? { adamParams: params } : { optimizerParams: params }),
                modelId: model.modelId,
                seqId,
                type: "optim_step"
              }, options),
              () =>
                Effect.sync(() => {
                  model.hasGradient = false
                })
            ),
          begins: Effect.zipRight(
            model.tellIgnored(name, "step", params),
            Effect.suspend(() => model.hasGradient ? Effect.void : warnOfFutileStep)
          ),
          result: TrainingMessages.OptimStepResponse,
          resent: model.resending
        }))
  )

/** The check of the settings of a step. */
const paramsOf = (family: string): Check => (value, field) => {
  if (!isObject(value)) {
    return [{ field, description: `are ${kindOf(value)}; make them with AdamParams.make({ learningRate }).` }]
  }
  const isAdam = value instanceof AdamParams.AdamParams
  if (!isAdam && !("type" in value)) {
    const unknown = optionIssues(value, AdamParams.names)
    return [
      ...unknown,
      {
        field,
        description: unknown.length === 0
          ? "are a plain object; pass it through AdamParams.make, which adds the settings that it leaves out."
          : "are none of AdamW; make them with AdamParams.make({ learningRate })."
      }
    ]
  }
  const wanted = isAdam ? "adamw" : value.type
  const issues = isAdam ? AdamParams.issues(value) : OptimizerParams.issues(value as OptimizerParams.OptimizerParams)
  return wanted === family || issues.length > 0
    ? issues
    : [{ field, description: `are of ${named(wanted)}, and the model was made with ${family}.` }]
}
