/**
 * The two passes of a loss that is computed here: the first asks for log-probabilities, the second sends back the
 * gradient of the loss as weights of cross entropy, whose own gradient for a log-probability is minus its weight.
 */
import * as Either from "effect/Either"
import type { Datum } from "../Datum.js"
import type { ForwardBackwardOutput } from "../ForwardBackwardOutput.js"
import * as TensorData from "../TensorData.js"
import type { Issue } from "../TinkerError.js"

/** Inputs of the loss itself stay here. Left, when a datum has no targets. */
export const forwardData = (
  data: ReadonlyArray<Datum>
): Either.Either<ReadonlyArray<Datum>, ReadonlyArray<Issue>> => {
  const issues: Array<Issue> = []
  const sent = data.map((datum, i): Datum => {
    const { targetTokens, weights } = datum.lossFnInputs
    if (targetTokens === undefined) {
      issues.push({ field: `data[${i}].lossFnInputs.targetTokens`, description: "is missing." })
      return datum
    }
    return { ...datum, lossFnInputs: { targetTokens, weights: weights ?? zeros(targetTokens.shape) } }
  })
  return issues.length === 0 ? Either.right(sent) : Either.left(issues)
}

const zeros = (shape: ReadonlyArray<number>): TensorData.TensorData =>
  TensorData.float32(new Float32Array(TensorData.elementCount(shape)), shape)

/** `gradients`: ∂loss/∂logprobs of each datum, in the shape of its targets. Checked for length, shape and kind by the caller. */
export const backwardData = (
  data: ReadonlyArray<Datum>,
  gradients: ReadonlyArray<Float32Array>
): ReadonlyArray<Datum> =>
  data.map((datum, i) => {
    const targetTokens = datum.lossFnInputs.targetTokens!
    // 0 - x, so that a gradient of 0 gives the weight 0 and not -0.
    const weights = TensorData.float32(gradients[i]!.map((derivative) => 0 - derivative), targetTokens.shape)
    return { ...datum, lossFnInputs: { targetTokens, weights: TensorData.toSparse(weights) } }
  })

/** What the server computed with those weights is no loss of the user's; it keeps its value under another name. */
export const customLossMetrics = (
  server: ForwardBackwardOutput["metrics"],
  user: Readonly<Record<string, number>>,
  loss: number
): Readonly<Record<string, number>> => {
  const { "loss:sum": surrogate, ...others } = server
  return {
    ...others,
    ...(surrogate === undefined ? {} : { "surrogate_loss:sum": surrogate }),
    ...user,
    "loss:sum": loss
  }
}
