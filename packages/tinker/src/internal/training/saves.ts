/** What keeps a model's weights, and what brings them back. */
import { anyText, type Fields, flag, optional, optionsOf, record, secret } from "@effect-tinker/protocol/Checks"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import type * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as WeightsMessages from "@effect-tinker/protocol/WeightsMessages"
import type * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import type * as ApiFuture from "../../ApiFuture.js"
import type { LoadOptions, Service } from "../../TrainingClient.js"
import type { PathChecks } from "../pathChecks.js"
import * as NumberedCall from "./numberedCall.js"
import * as SaveOptions from "./saveOptions.js"
import type { TrainedModel } from "./trainedModel.js"

export const saveState = (model: TrainedModel): Service["saveState"] => {
  const operation = "TrainingClient.saveState"
  return model.checked(
    operation,
    { options: optionsOf({ ...fields, userMetadata, overwrite: optional(flag) }) },
    (call) =>
      NumberedCall.run(model, {
        operation,
        requestType: "SaveWeights",
        begins: model.tellIgnored(operation, "save", call),
        submit: (seqId, options) =>
          model.weights.saveWeights({
            modelId: model.modelId,
            path: call.name,
            seqId,
            ttlSeconds: SaveOptions.ttlSeconds(call),
            overwrite: call.overwrite ?? false,
            userMetadata: call.userMetadata,
            type: "save_weights"
          }, options),
        result: WeightsMessages.SaveWeightsResponse,
        saves: { checkpointType: "training", name: call.name }
      })
  )
}

/** `loadState`, or with `optimizer` `loadStateWithOptimizer`. */
export const load = (
  model: TrainedModel,
  operation: string,
  paths: PathChecks,
  optimizer: boolean
): Service["loadState"] =>
  model.checked(
    operation,
    { path: paths.state, options: optional(optionsOf({ weightsAccessToken: optional(secret) })) },
    (path: string, call: LoadOptions = {}) =>
      NumberedCall.run(model, {
        operation,
        requestType: "LoadWeights",
        submit: (seqId, options) =>
          model.weights.loadWeights({
            modelId: model.modelId,
            seqId,
            path,
            optimizer,
            weightsAccessToken: call.weightsAccessToken && Redacted.value(call.weightsAccessToken),
            type: "load_weights"
          }, options),
        result: WeightsMessages.LoadWeightsResponse
      })
  )

export const saveWeightsForSampler = (model: TrainedModel): Service["saveWeightsForSampler"] => {
  const operation = "TrainingClient.saveWeightsForSampler"
  return model.checked(operation, { options: optionsOf({ ...fields, userMetadata }) }, (call) =>
    saveForSampler(
      model,
      operation,
      { path: call.name, ttlSeconds: SaveOptions.ttlSeconds(call), userMetadata: call.userMetadata },
      WeightsMessages.SaveWeightsResponse,
      { checkpointType: "sampler", name: call.name }
    ))
}

/** Saves weights to sample from, under a name or as the weights of a sampling session. */
export const saveForSampler = <A, I>(
  model: TrainedModel,
  operation: string,
  target: Partial<WeightsMessages.SaveWeightsForSamplerRequest>,
  result: Schema.Schema<A, I>,
  saves?: Pick<TinkerPath.TinkerPath, "checkpointType" | "name">
): Effect.Effect<ApiFuture.ApiFuture<A>, TinkerError> =>
  NumberedCall.run(model, {
    operation,
    requestType: "SaveWeightsForSampler",
    submit: (seqId, options) =>
      model.weights.saveWeightsForSampler({
        modelId: model.modelId,
        kind: "snapshot",
        seqId,
        type: "save_weights_for_sampler",
        ...target
      }, options),
    begins: model.tellIgnored(operation, "save", { ttl: target.ttlSeconds, userMetadata: target.userMetadata }),
    result,
    saves
  })

export const saveWeightsExternal = (model: TrainedModel): Service["saveWeightsExternal"] => {
  const operation = "TrainingClient.saveWeightsExternal"
  return model.checked(
    operation,
    { options: optionsOf({ ...fields, ageEncryptionRecipients: optional(SaveOptions.recipients) }) },
    (call) => {
      const recipients = call.ageEncryptionRecipients
      return NumberedCall.run(model, {
        operation,
        requestType: "SaveWeightsExternal",
        submit: (seqId, options) =>
          model.weights.saveWeightsExternal({
            modelId: model.modelId,
            path: call.name,
            seqId,
            ttlSeconds: SaveOptions.ttlSeconds(call),
            ageEncryptionRecipients: typeof recipients === "string" ? [recipients] : recipients,
            type: "save_weights_external"
          }, options),
        result: WeightsMessages.SaveWeightsExternalResponse,
        saves: { checkpointType: "external", name: call.name }
      })
    }
  )
}

const fields: Fields = { name: SaveOptions.checkpointName, ttl: optional(SaveOptions.ttl) }

const userMetadata = optional(record(anyText))
