/**
 * The options by which answers are drawn.
 */
import * as SamplingParams from "@effect-tinker/protocol/SamplingParams"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { UsageError } from "./UsageError.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface SamplingOptions {
  readonly maxTokens: number
  readonly temperature: number
  readonly topK: number
  readonly topP: number
  readonly seed: Option.Option<number>
}

/**
 * The parameters of a request. `UsageError`, which names the option, for one that is out of its range.
 *
 * @since 0.1.0
 * @category constructors
 */
export const params = (
  { maxTokens, seed, temperature, topK, topP }: SamplingOptions
): Effect.Effect<SamplingParams.SamplingParams, UsageError> => {
  const made = SamplingParams.make({ maxTokens, temperature, topK, topP, seed: Option.getOrUndefined(seed) })
  const issue = SamplingParams.firstInvalid(made)
  return issue === undefined
    ? Effect.succeed(made)
    : new UsageError({
      description: `--${issue.field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} ${issue.description}`
    })
}
