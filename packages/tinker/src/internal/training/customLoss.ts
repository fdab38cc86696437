/**
 * The two passes of a loss that is computed here: the first asks for log-probabilities, the second sends back the
 * gradient of the loss as weights of cross entropy, whose own gradient for a log-probability is minus its weight.
 */
import type { Datum } from "@effect-tinker/protocol/Datum"
import type { ForwardBackwardOutput } from "@effect-tinker/protocol/ForwardBackwardOutput"
import * as TensorData from "@effect-tinker/protocol/TensorData"
import { ApiResponseValidationError, InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { CustomLoss, Result } from "../../CustomLoss.js"

/** Inputs of the loss itself stay here. */
export const sentData = (data: ReadonlyArray<Datum>): ReadonlyArray<Datum> =>
  data.map((datum): Datum => {
    const lossFnInputs: Record<string, TensorData.TensorData> = {}
    for (const name of ["targetTokens", "weights"]) {
      const tensor = datum.lossFnInputs[name]
      if (tensor !== undefined) lossFnInputs[name] = tensor
    }
    return { ...datum, lossFnInputs }
  })

/** Weights of 0 where there are none. The targets must be there, and as large as their shape says. */
export const withWeights = (data: ReadonlyArray<Datum>): ReadonlyArray<Datum> =>
  data.map((datum): Datum => {
    const { targetTokens, weights = zeros(targetTokens!.shape) } = datum.lossFnInputs
    return { ...datum, lossFnInputs: { targetTokens: targetTokens!, weights } }
  })

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

/** Runs the user's loss. One that throws is the caller's to fix. */
export const computeLoss = <E, R>(
  operation: string,
  { data, lossFn }: { readonly data: ReadonlyArray<Datum>; readonly lossFn: CustomLoss<E, R> },
  logprobs: ReadonlyArray<Float32Array>
): Effect.Effect<Result, InvalidInputError | E, R> => {
  const threw = (cause: unknown) =>
    new InvalidInputError({
      operation,
      field: "lossFn",
      description: `threw ${cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)}`
    })
  return Effect.suspend((): Effect.Effect<Result, InvalidInputError | E, R> => {
    try {
      const result = lossFn(logprobs, data)
      if (Effect.isEffect(result)) return result
      if (!Predicate.isPromiseLike(result)) return Effect.succeed(result)
      // Nobody waits for it, and one that fails would end the process.
      result.then(undefined, () => undefined)
      return new InvalidInputError({
        operation,
        field: "lossFn",
        description: "gave a Promise; give the result itself, or an Effect, as Effect.promise makes one."
      })
    } catch (cause) {
      return threw(cause)
    }
  }).pipe(Effect.catchAllDefect((defect) => threw(defect)))
}

/** The log-probabilities of the targets of each datum. */
export const logprobsOf = (
  operation: string,
  output: ForwardBackwardOutput,
  data: ReadonlyArray<Datum>
): Effect.Effect<ReadonlyArray<Float32Array>, ApiResponseValidationError> => {
  const logprobs: Array<Float32Array> = []
  for (let i = 0; i < data.length; i++) {
    const tensor = output.lossFnOutputs[i]?.logprobs
    const wanted = TensorData.elementCount(data[i]!.lossFnInputs.targetTokens!.shape)
    if (tensor?.dtype !== "float32" || tensor.data.length !== wanted) {
      return new ApiResponseValidationError({
        operation,
        description: `there are no ${wanted} log-probabilities for datum ${i}`
      })
    }
    logprobs.push(tensor.data)
  }
  return Effect.succeed(logprobs)
}
