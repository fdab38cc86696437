/** Whether numbers are finite, in plain loops: there are millions of them. */
import { EngineError } from "@effect-tinker/engine/Engine"

export const nonFinite = (description: string) => new EngineError({ reason: "NonFinite", description })

export const isFinite = (array: Float32Array): boolean => {
  for (let i = 0; i < array.length; i++) if (!Number.isFinite(array[i]!)) return false
  return true
}

/** Whether two arrays of one length have a sum that is finite. */
export const isFiniteSum = (a: Float32Array, b: Float32Array): boolean => {
  for (let i = 0; i < a.length; i++) if (!Number.isFinite(Math.fround(a[i]! + b[i]!))) return false
  return true
}
