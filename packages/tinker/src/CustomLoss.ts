/**
 * A loss that is computed here: from the log-probabilities of the targets to a number and its gradient.
 */
import { isObject, kindOf } from "@effect-tinker/protocol/CallOptions"
import { type Check, checkFields, fitting, must, optional, record } from "@effect-tinker/protocol/Checks"
import type { Datum } from "@effect-tinker/protocol/Datum"
import type { Issue } from "@effect-tinker/protocol/TinkerError"
import type * as Effect from "effect/Effect"

/**
 * - `logprobs`: one array a datum, `[targets] float32`, nats, row-major where the targets have two dimensions
 * - `data`: as they were given, with inputs of the loss's own
 *
 * Runs in the caller's environment. A failure fails the call alone; what was submitted after it goes on.
 *
 * @since 0.1.0
 * @category models
 */
export type CustomLoss<E = never, R = never> = (
  logprobs: ReadonlyArray<Float32Array>,
  data: ReadonlyArray<Datum>
) => Result | Effect.Effect<Result, E, R>

/**
 * @since 0.1.0
 * @category models
 */
export interface Result {
  readonly loss: number
  /** ∂loss/∂logprobs, one array a datum, of the length of its log-probabilities. */
  readonly gradients: ReadonlyArray<Float32Array>
  /** Named `name:reduction`. They go before the server's; `loss:sum` is always the loss. */
  readonly metrics?: Readonly<Record<string, number>> | undefined
}

/**
 * Everything that keeps a result from being trained on.
 *
 * @internal
 */
export const issues = (result: Result, logprobs: ReadonlyArray<Float32Array>): ReadonlyArray<Issue> => {
  const given: unknown = result
  if (!isObject(given)) {
    const advice = given instanceof Promise ? "wrap it in Effect.promise" : "it must be { loss, gradients }"
    return [{ field: "lossFn", description: `gave ${kindOf(given)}; ${advice}.` }]
  }
  const found: Array<Issue> = [...checkFields(given, fields, "part of a result")]
  const { gradients } = given
  if (!Array.isArray(gradients)) return found
  if (gradients.length !== logprobs.length) {
    found.push({
      field: "gradients",
      description: `has ${gradients.length} arrays, and there are ${logprobs.length} data.`
    })
    return found
  }
  for (let i = 0; i < logprobs.length; i++) {
    const gradient: unknown = gradients[i]
    const field = `gradients[${i}]`
    if (!(gradient instanceof Float32Array)) {
      found.push({ field, description: `is ${kindOf(gradient)}; it must be a Float32Array.` })
      continue
    }
    if (gradient.length !== logprobs[i]!.length) {
      found.push({
        field,
        description: `has ${gradient.length} numbers, and datum ${i} has ${logprobs[i]!.length} log-probabilities.`
      })
    }
    const position = gradient.findIndex((value) => !Number.isFinite(value))
    if (position >= 0) {
      found.push({ field, description: `is ${gradient[position]} at ${position}; it must be finite.` })
    }
  }
  return found
}

const fields: Readonly<Record<keyof Result, Check>> = {
  loss: must(Number.isFinite, "a finite number"),
  gradients: fitting(Array.isArray, "it must be a list with a Float32Array for each datum"),
  metrics: optional(record(fitting((value) => typeof value === "number", "it must be a number")))
}
