/**
 * Settings of one step of an optimizer other than Adam, whose own are `AdamParams`.
 */
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { checkFields, decay, fitting, json, must, notNegative } from "./Checks.js"
import { settingsOf } from "./internal/settingsOf.js"
import type { Issue } from "./TinkerError.js"
import { defaulted, field, fieldDefaulted } from "./WireField.js"

/**
 * Settings of a step of the optimizer Dimuon, with which the model must have been made. Every field is sent.
 *
 * Defaults: those of the Python SDK 0.38.0.
 *
 * @since 0.1.0
 * @category models
 */
export class Dimuon extends Schema.Class<Dimuon>("effect-tinker/OptimizerParams/Dimuon")({
  type: defaulted(Schema.Literal("dimuon"), () => "dimuon" as const),
  /** Step size. There is no default. */
  learningRate: field(Schema.Number, "learning_rate"),
  /** Largest global gradient norm; larger gradients are scaled down to it. 0, the default, leaves them. */
  gradClipNorm: fieldDefaulted(Schema.Number, "grad_clip_norm", () => 0),
  /** Decay of the momentum. Default 0.9. */
  beta1: defaulted(Schema.Number, () => 0.9)
}) {}

/**
 * Settings of an optimizer that this version does not know, sent as they are.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Raw = Schema.Struct(
  { type: Schema.NonEmptyString.pipe(Schema.filter((type) => type !== "dimuon")) },
  { key: Schema.String, value: Schema.Unknown }
)

/**
 * @since 0.1.0
 * @category schemas
 */
export const OptimizerParams = Schema.Union(Dimuon, Raw)

/**
 * @since 0.1.0
 * @category models
 */
export type OptimizerParams = typeof OptimizerParams.Type

/**
 * Nothing is checked here, so that nothing throws; see {@link issues}.
 *
 * @since 0.1.0
 * @category constructors
 */
export const dimuon = (options: Omit<ConstructorParameters<typeof Dimuon>[0], "type">): Dimuon =>
  settingsOf(Dimuon, options)

/**
 * Every setting out of its range and every field that is none. Of an optimizer that is not known only the name is asked
 * for.
 *
 * @since 0.1.0
 * @category utils
 */
export const issues = (params: OptimizerParams): ReadonlyArray<Issue> =>
  params.type === "dimuon"
    ? checkFields(params, rules)
    : [...optimizer(params.type, "type"), ...Object.entries(params).flatMap(([name, value]) => json(value, name))]

const optimizer = fitting(
  (type) => Predicate.isString(type) && type !== "",
  "it names the optimizer"
)

const rules = {
  type: must((value) => value === "dimuon", "dimuon"),
  learningRate: notNegative,
  gradClipNorm: notNegative,
  beta1: decay
}
