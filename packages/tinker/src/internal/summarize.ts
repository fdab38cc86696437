import type { Summary } from "../TinkerMetrics.js"

/** Figures of a set of values, in any order. */
export const summarize = (values: ArrayLike<number>): Summary => {
  const sorted = Float64Array.from(values).sort()
  const count = sorted.length
  let sum = 0
  for (let i = 0; i < count; i++) sum += sorted[i]!
  const nearestRank = (percent: number): number | undefined => sorted[Math.ceil((count * percent) / 100) - 1]
  const upper = sorted[count >> 1]
  return {
    count,
    mean: count === 0 ? undefined : sum / count,
    min: sorted[0],
    max: sorted[count - 1],
    p50: upper === undefined || count % 2 === 1 ? upper : (sorted[count / 2 - 1]! + upper) / 2,
    p95: nearestRank(95),
    p99: nearestRank(99)
  }
}
