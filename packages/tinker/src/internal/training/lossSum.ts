import type { Datum } from "@effect-tinker/protocol/Datum"
import type { ForwardBackwardOutput } from "@effect-tinker/protocol/ForwardBackwardOutput"
import type { LossFn } from "@effect-tinker/protocol/LossFn"

/**
 * The output with the metric `loss:sum` of cross entropy where the server sent none: minus the sum of weight times log-probability
 * over all targets. Whatever the server takes the mean over, this does not depend on it. The output as it is for other losses, and
 * where log-probabilities are missing.
 */
export const withLossSum = (
  call: { readonly data: ReadonlyArray<Datum>; readonly lossFn: LossFn },
  output: ForwardBackwardOutput
): ForwardBackwardOutput => {
  if (call.lossFn !== "cross_entropy" || name in output.metrics) return output
  let loss = 0
  for (let i = 0; i < call.data.length; i++) {
    const logprobs = output.lossFnOutputs[i]?.["logprobs"]?.data
    const weights = call.data[i]!.lossFnInputs["weights"]
    if (!(logprobs instanceof Float32Array) || weights?.sparse !== undefined) return output
    if (weights !== undefined && weights.data.length !== logprobs.length) return output
    for (let j = 0; j < logprobs.length; j++) {
      loss -= weights === undefined
        ? logprobs[j]!
        : Number(weights.data[j]) * logprobs[j]!
    }
  }
  return { ...output, metrics: { ...output.metrics, [name]: loss } }
}

const name = "loss:sum"
