import type { Datum } from "@effect-tinker/protocol/Datum"
import type { ForwardBackwardOutput } from "@effect-tinker/protocol/ForwardBackwardOutput"

export interface Nll {
  /** Nats; a mean by weight, NaN without any. */
  readonly nllPerToken: number
  /** Sum of the weights. */
  readonly weight: number
}

/** Mean negative log-likelihood of the targets of `data` in what a forward pass gave back for it. */
export const meanNll = (data: ReadonlyArray<Datum>, output: ForwardBackwardOutput): Nll => {
  let sum = 0
  let weight = 0
  for (let i = 0; i < data.length; i++) {
    const weights = data[i]!.lossFnInputs["weights"]?.data
    const logprobs = output.lossFnOutputs[i]?.["logprobs"]?.data
    if (!(weights instanceof Float32Array) || !(logprobs instanceof Float32Array)) continue
    for (let t = 0; t < weights.length; t++) {
      // A weight of 0 hides the token, also one whose log-probability is -∞.
      if (weights[t] === 0) continue
      sum -= weights[t]! * logprobs[t]!
      weight += weights[t]!
    }
  }
  return { nllPerToken: sum / weight, weight }
}

/** The mean of both, by their weights. */
export const combine = (a: Nll, b: Nll): Nll => {
  if (a.weight === 0) return b
  if (b.weight === 0) return a
  const weight = a.weight + b.weight
  return { nllPerToken: (a.nllPerToken * a.weight + b.nllPerToken * b.weight) / weight, weight }
}
