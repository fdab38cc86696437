/**
 * How answers are drawn.
 */
import * as Schema from "effect/Schema"

/**
 * @since 0.1.0
 * @category models
 */
export class SamplingParams extends Schema.Class<SamplingParams>("effect-tinker/SamplingParams")({
  /** Longest answer, in tokens. Without it the server takes what the context leaves. */
  maxTokens: Schema.optional(Schema.Number).pipe(Schema.fromKey("max_tokens")),
  /** The same seed and prompt give the same answer. */
  seed: Schema.optional(Schema.Number),
  /**
   * An answer ends with any of these texts or tokens, which is kept. Without it the model's own end tokens count; an
   * empty list turns those off too.
   */
  stop: Schema.optional(
    Schema.Union(Schema.String, Schema.Array(Schema.String), Schema.Array(Schema.Int))
  ),
  /** 0 takes the most probable token each time. Default 1. */
  temperature: Schema.optionalWith(Schema.Number, { default: () => 1 }),
  /** Number of most probable tokens to choose from; -1, the default, for all. */
  topK: Schema.optionalWith(Schema.Number, { default: () => -1 }).pipe(Schema.fromKey("top_k")),
  /** Choose from the most probable tokens that together have this probability. Default 1. */
  topP: Schema.optionalWith(Schema.Number, { default: () => 1 }).pipe(Schema.fromKey("top_p"))
}) {}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: ConstructorParameters<typeof SamplingParams>[0] = {}): SamplingParams =>
  new SamplingParams(options)

/**
 * The first parameter out of its range, with what it must be.
 *
 * @since 0.1.0
 * @category utils
 */
export const firstInvalid = (
  params: SamplingParams
): { readonly field: keyof SamplingParams; readonly description: string } | undefined => {
  const check = (field: keyof SamplingParams, fits: boolean, range: string) =>
    fits ? undefined : { field, description: `is ${params[field]}; it must be ${range}.` }
  const count = (n: number | undefined) => n === undefined || (Number.isInteger(n) && n >= 1)
  return check("maxTokens", count(params.maxTokens), "a whole number, 1 or more")
    ?? check("seed", params.seed === undefined || Number.isSafeInteger(params.seed), "a whole number")
    ?? check("temperature", params.temperature >= 0 && params.temperature < Infinity, "a finite number, 0 or more")
    ?? check("topK", Number.isInteger(params.topK) && params.topK >= -1, "-1 for all, or a whole number")
    ?? check("topP", params.topP > 0 && params.topP <= 1, "more than 0 and at most 1")
}
