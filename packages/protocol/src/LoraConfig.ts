/**
 * The adapter that a model trains: its rank and the parts of the base model that get one.
 */
import * as Schema from "effect/Schema"
import { checkFields, flag, optional, whole, wholeFrom } from "./Checks.js"
import { settingsOf } from "./internal/settingsOf.js"
import type { Issue } from "./TinkerError.js"
import { defaulted, fieldDefaulted, nullish } from "./WireField.js"

/**
 * @since 0.1.0
 * @category models
 */
export class LoraConfig extends Schema.Class<LoraConfig>("@effect-tinker/protocol/LoraConfig")({
  /** Default 32. */
  rank: defaulted(Schema.Number, () => 32),
  /** The same seed gives the same initial weights; without one the server draws it. */
  seed: nullish(Schema.Number),
  /** Adapt the unembedding. Default true. */
  trainUnembed: fieldDefaulted(Schema.Boolean, "train_unembed", () => true),
  /** Adapt the feed-forward layers. Default true. */
  trainMlp: fieldDefaulted(Schema.Boolean, "train_mlp", () => true),
  /** Adapt the attention layers. Default true. */
  trainAttn: fieldDefaulted(Schema.Boolean, "train_attn", () => true)
}) {}

/**
 * Nothing is checked here, so that nothing throws; see {@link issues}.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: ConstructorParameters<typeof LoraConfig>[0] = {}): LoraConfig =>
  settingsOf(LoraConfig, options)

/**
 * Every setting out of its range and every field that is none.
 *
 * @since 0.1.0
 * @category utils
 */
export const issues = (config: LoraConfig): ReadonlyArray<Issue> => checkFields(config, rules)

/**
 * The check of each setting, by its name.
 *
 * @since 0.1.0
 * @category utils
 */
export const rules = {
  rank: wholeFrom(1),
  seed: optional(whole),
  trainUnembed: flag,
  trainMlp: flag,
  trainAttn: flag
}
