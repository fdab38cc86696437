/** The checks of the options with which a model is made. */
import { isObject, kindOf } from "@effect-tinker/protocol/CallOptions"
import {
  type Check,
  type Fields,
  fitting,
  flag,
  isText,
  json,
  optional,
  record,
  secret,
  wholeFrom
} from "@effect-tinker/protocol/Checks"
import * as LoraConfig from "@effect-tinker/protocol/LoraConfig"
import type { FromStateOptions, LoraTrainingOptions } from "../../ServiceClient.js"

export const modelName = fitting(isText, "pass the name of a model")

const optimizer: Check = (value, field) =>
  isObject(value) && isText(value.type)
    ? json(value, field)
    : [{
      field,
      description: `is ${kindOf(value)}; pass ModelsMessages.adamw, ModelsMessages.dimuon, or an object with a type.`
    }]

const modelFields = {
  userMetadata: optional(record(json)),
  vocabularySize: optional(wholeFrom(1))
}

export const loraFields: Fields = {
  baseModel: fitting(isText, "pass the name of the model to train"),
  rank: optional(LoraConfig.rules.rank),
  seed: LoraConfig.rules.seed,
  trainAttn: optional(flag),
  trainMlp: optional(flag),
  trainUnembed: optional(flag),
  optimizer: optional(optimizer),
  ...modelFields
} satisfies Record<keyof LoraTrainingOptions, Check>

/** The checks for a model whose optimizer comes from its checkpoint. */
export const fromStateFields: Fields = {
  baseModel: optional(modelName),
  rank: optional(LoraConfig.rules.rank),
  trainAttn: optional(flag),
  trainMlp: optional(flag),
  trainUnembed: optional(flag),
  weightsAccessToken: optional(secret),
  ...modelFields
} satisfies Record<keyof FromStateOptions, Check>

/** The checks for a model of a checkpoint, whose optimizer may be chosen. */
export const fromWeightsFields: Fields = { ...fromStateFields, optimizer: optional(optimizer) }
