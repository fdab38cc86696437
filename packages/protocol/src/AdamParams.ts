/**
 * Settings of one optimizer step. All may change from step to step.
 */
import * as Schema from "effect/Schema"
import { checkFields, decay, notNegative, positive } from "./Checks.js"
import { settingsOf } from "./internal/settingsOf.js"
import type { Issue } from "./TinkerError.js"
import { defaulted, fieldDefaulted } from "./WireField.js"

/**
 * AdamW with decoupled weight decay. Every field is sent, so a change of the server's defaults changes no run.
 *
 * Defaults: those of the Python SDK 0.38.0.
 *
 * @since 0.1.0
 * @category models
 */
export class AdamParams extends Schema.Class<AdamParams>("@effect-tinker/protocol/AdamParams")({
  /** Step size. Default 1e-4. */
  learningRate: fieldDefaulted(Schema.Number, "learning_rate", () => 1e-4),
  /** Decay of the first moment. Default 0.9. */
  beta1: defaulted(Schema.Number, () => 0.9),
  /** Decay of the second moment. Default 0.95. */
  beta2: defaulted(Schema.Number, () => 0.95),
  /** Added to the root of the second moment. Default 1e-12. */
  eps: defaulted(Schema.Number, () => 1e-12),
  /** Share of each weight that a step of size 1 takes away. Default 0. */
  weightDecay: fieldDefaulted(Schema.Number, "weight_decay", () => 0),
  /** Largest global gradient norm; larger gradients are scaled down to it. 0, the default, leaves them. */
  gradClipNorm: fieldDefaulted(Schema.Number, "grad_clip_norm", () => 0)
}) {}

/**
 * Nothing is checked here, so that nothing throws; see {@link issues}.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: ConstructorParameters<typeof AdamParams>[0] = {}): AdamParams =>
  settingsOf(AdamParams, options)

/**
 * Every setting out of its range and every field that is none. A learning rate of 0 is in range: such a step clears the
 * gradients.
 *
 * @since 0.1.0
 * @category utils
 */
export const issues = (params: AdamParams): ReadonlyArray<Issue> => checkFields(params, rules)

const rules = {
  learningRate: notNegative,
  beta1: decay,
  beta2: decay,
  eps: positive,
  weightDecay: notNegative,
  gradClipNorm: notNegative
}

/**
 * The first of {@link issues}.
 *
 * @since 0.1.0
 * @category utils
 */
export const firstInvalid = (params: AdamParams): Issue | undefined => issues(params)[0]

/**
 * The names of all settings.
 *
 * @since 0.1.0
 * @category utils
 */
export const names: ReadonlyArray<string> = Object.keys(rules)
