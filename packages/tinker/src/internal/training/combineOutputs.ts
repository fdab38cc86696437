import type { ForwardBackwardOutput } from "@effect-tinker/protocol/ForwardBackwardOutput"

/**
 * The output of a call from those of its chunks. The part of a metric's name after its last colon says how its values are
 * joined; one chunk alone is passed on as it is. A metric that some chunks lack is joined over those that have it, and one
 * whose reduction is not known keeps every value.
 */
export const combineOutputs = (outputs: ReadonlyArray<ForwardBackwardOutput>): ForwardBackwardOutput => {
  if (outputs.length === 1) return outputs[0]!
  const names = new Set(outputs.flatMap((output) => Object.keys(output.metrics)))
  const metrics: Record<string, number> = {}
  for (const name of names) {
    const present = outputs.filter((output) => Object.hasOwn(output.metrics, name))
    const values = present.map((output) => output.metrics[name]!)
    const reduced = reduce(reductionOf(name), values, present.map((output) => output.lossFnOutputs.length))
    if (reduced !== undefined) metrics[name] = reduced
    else keepAll(name, values, names, metrics)
  }
  return {
    lossFnOutputType: outputs[0]?.lossFnOutputType ?? "",
    lossFnOutputs: outputs.flatMap((output) => output.lossFnOutputs),
    metrics
  }
}

const reductionOf = (name: string): string | undefined => {
  const colon = name.lastIndexOf(":")
  return colon < 0 ? undefined : name.slice(colon + 1)
}

/** Nothing for `unique`, and for reductions that are not known. */
const reduce = (
  reduction: string | undefined,
  values: ReadonlyArray<number>,
  weights: ReadonlyArray<number>
): number | undefined => {
  switch (reduction) {
    case "sum":
      return sum(values)
    case "min":
      return values.reduce((a, b) => Math.min(a, b))
    case "max":
      return values.reduce((a, b) => Math.max(a, b))
    case "mean":
      return weightedMean(values, weights)
    case "slack":
      return values.reduce((a, b) => Math.max(a, b)) - weightedMean(values, weights)
    case "hash2":
    // Servers before it call it so. Each has its own way to join them; a sum knows no order either.
    case "hash_unordered":
      return values.every(Number.isFinite) ? hashSum(values) : NaN
    default:
      return undefined
  }
}

const sum = (values: ReadonlyArray<number>): number => values.reduce((a, b) => a + b, 0)

/** Chunks without outputs weigh nothing, unless all are so. */
const weightedMean = (values: ReadonlyArray<number>, weights: ReadonlyArray<number>): number => {
  const total = sum(weights)
  return total === 0
    ? sum(values) / values.length
    : sum(values.map((value, i) => value * weights[i]!)) / total
}

/** Modulo 2^64. As a double it is rounded, as each value already was. */
const hashSum = (values: ReadonlyArray<number>): number =>
  Number(BigInt.asUintN(64, values.reduce((total, value) => total + BigInt(Math.trunc(value)), 0n)))

/** The first value under the name, the others under the name with a number that no metric has. */
const keepAll = (
  name: string,
  values: ReadonlyArray<number>,
  names: ReadonlySet<string>,
  metrics: Record<string, number>
): void => {
  let number = 0
  values.forEach((value, i) => {
    if (i > 0) {
      do number++
      while (names.has(`${name}_${number}`))
    }
    metrics[number === 0 ? name : `${name}_${number}`] = value
  })
}
