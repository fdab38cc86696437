import type { ForwardBackwardOutput } from "../ForwardBackwardOutput.js"

/**
 * The output of a call from those of its chunks. The part of a metric's name after the colon says how its values are
 * joined; one chunk alone is passed on as it is.
 */
export const combineOutputs = (outputs: ReadonlyArray<ForwardBackwardOutput>): ForwardBackwardOutput => {
  const first = outputs[0]!
  if (outputs.length === 1) return first
  const weights = outputs.map((output) => output.lossFnOutputs.length)
  const names = new Set(outputs.flatMap((output) => Object.keys(output.metrics)))
  const metrics: Record<string, number> = {}
  for (const name of names) {
    const present = outputs.flatMap((output, i) => name in output.metrics ? [i] : [])
    const values = present.map((i) => outputs[i]!.metrics[name]!)
    Object.assign(metrics, reduce(name, values, present.map((i) => weights[i]!)))
  }
  return {
    lossFnOutputType: first.lossFnOutputType,
    lossFnOutputs: outputs.flatMap((output) => output.lossFnOutputs),
    metrics
  }
}

const reduce = (
  name: string,
  values: ReadonlyArray<number>,
  weights: ReadonlyArray<number>
): Record<string, number> => {
  switch (name.slice(name.lastIndexOf(":") + 1)) {
    case "sum":
      return { [name]: values.reduce((a, b) => a + b, 0) }
    case "min":
      return { [name]: Math.min(...values) }
    case "max":
      return { [name]: Math.max(...values) }
    case "mean":
      return { [name]: weightedMean(values, weights) }
    case "slack":
      return { [name]: Math.max(...values) - weightedMean(values, weights) }
    case "hash2":
      return { [name]: Number(BigInt.asUintN(64, values.reduce((sum, x) => sum + BigInt(Math.trunc(x)), 0n))) }
    default:
      // `unique`, and reductions that are not known: every chunk's value, so that nothing is lost.
      return Object.fromEntries(values.map((value, i) => [i === 0 ? name : `${name}_${i}`, value]))
  }
}

/** Chunks without outputs weigh nothing, unless all are so. */
const weightedMean = (values: ReadonlyArray<number>, weights: ReadonlyArray<number>): number => {
  const total = weights.reduce((a, b) => a + b, 0)
  const weight = (i: number) => total === 0 ? 1 / weights.length : weights[i]! / total
  return values.reduce((sum, value, i) => sum + value * weight(i), 0)
}
