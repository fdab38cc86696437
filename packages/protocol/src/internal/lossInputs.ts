import type { DType } from "../TensorData.js"

/** The inputs of a datum whose meaning is known, with their dtypes. Any other name is passed on with a tensor's own. */
export const inputDtypes: ReadonlyMap<string, DType> = new Map<string, DType>([
  ["targetTokens", "int64"],
  ["weights", "float32"],
  ["advantages", "float32"],
  ["logprobs", "float32"],
  ["clipLowThreshold", "float32"],
  ["clipHighThreshold", "float32"],
  ["sequenceRatioMask", "float32"]
])
