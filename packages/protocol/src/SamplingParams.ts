/**
 * How answers are drawn.
 */
import * as Schema from "effect/Schema"
import { checkFields, must, notNegative, optional, share, whole, wholeFrom } from "./Checks.js"
import { settingsOf } from "./internal/settingsOf.js"
import type { Issue } from "./TinkerError.js"
import { defaulted, fieldDefaulted, nullish, optional as optionalField } from "./WireField.js"

/** Some servers refuse a bare text, so it is sent as a list of one. */
const Stop = Schema.transform(
  Schema.Union(Schema.String, Schema.Array(Schema.String), Schema.Array(Schema.Int)),
  Schema.typeSchema(Schema.Union(Schema.String, Schema.Array(Schema.String), Schema.Array(Schema.Int))),
  { strict: true, decode: (stop) => stop, encode: (stop) => typeof stop === "string" ? [stop] : stop }
)

/**
 * @since 0.1.0
 * @category models
 */
export class SamplingParams extends Schema.Class<SamplingParams>("@effect-tinker/protocol/SamplingParams")({
  /** Longest answer, in tokens. Without it the server takes what the context leaves. */
  maxTokens: optionalField(Schema.Number, "max_tokens"),
  /** The same seed and prompt give the same answer. */
  seed: nullish(Schema.Number),
  /**
   * An answer ends with any of these texts or tokens, which is kept. Without it the model's own end tokens count; an
   * empty list turns those off too.
   */
  stop: nullish(Stop),
  /** 0 takes the most probable token each time. Default 1. */
  temperature: defaulted(Schema.Number, () => 1),
  /** Number of most probable tokens to choose from; -1, the default, for all. */
  topK: fieldDefaulted(Schema.Number, "top_k", () => -1),
  /** Choose from the most probable tokens that together have this probability. Default 1. */
  topP: fieldDefaulted(Schema.Number, "top_p", () => 1)
}) {}

/**
 * Nothing is checked here, so that nothing throws; see {@link issues}.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: ConstructorParameters<typeof SamplingParams>[0] = {}): SamplingParams =>
  settingsOf(SamplingParams, options)

/**
 * Every parameter out of its range and every field that is none.
 *
 * @since 0.1.0
 * @category utils
 */
export const issues = (params: SamplingParams): ReadonlyArray<Issue> => checkFields(params, rules)

const stop = must(
  (value) =>
    typeof value === "string"
    || (Array.isArray(value)
      && (value.every((item) => typeof item === "string") ||
        value.every((item) => Number.isInteger(item) && item >= 0))),
  "a text, a list of texts, or a list of token ids"
)

/**
 * The check of each parameter, by its name.
 *
 * @since 0.1.0
 * @category utils
 */
export const rules = {
  maxTokens: optional(wholeFrom(1)),
  seed: optional(whole),
  stop: optional(stop),
  temperature: notNegative,
  topK: must(
    (value: unknown) => Number.isSafeInteger(value) && (value as number) >= -1,
    "-1 for all, or a whole number"
  ),
  topP: share
}

/**
 * The first of {@link issues}.
 *
 * @since 0.1.0
 * @category utils
 */
export const firstInvalid = (params: SamplingParams): Issue | undefined => issues(params)[0]
