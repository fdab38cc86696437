/**
 * Settings of one optimizer step. All may change from step to step.
 */
import * as Schema from "effect/Schema"

/**
 * AdamW with decoupled weight decay. Every field is sent, so a change of the server's defaults changes no run.
 *
 * Defaults: those of the Python SDK 0.38.0.
 *
 * @since 0.1.0
 * @category models
 */
export class AdamParams extends Schema.Class<AdamParams>("effect-tinker/AdamParams")({
  /** Step size. Default 1e-4. */
  learningRate: Schema.optionalWith(Schema.Number, { default: () => 1e-4 }).pipe(Schema.fromKey("learning_rate")),
  /** Decay of the first moment. Default 0.9. */
  beta1: Schema.optionalWith(Schema.Number, { default: () => 0.9 }),
  /** Decay of the second moment. Default 0.95. */
  beta2: Schema.optionalWith(Schema.Number, { default: () => 0.95 }),
  /** Added to the root of the second moment. Default 1e-12. */
  eps: Schema.optionalWith(Schema.Number, { default: () => 1e-12 }),
  /** Share of each weight that a step of size 1 takes away. Default 0. */
  weightDecay: Schema.optionalWith(Schema.Number, { default: () => 0 }).pipe(Schema.fromKey("weight_decay")),
  /** Largest global gradient norm; larger gradients are scaled down to it. 0, the default, leaves them. */
  gradClipNorm: Schema.optionalWith(Schema.Number, { default: () => 0 }).pipe(Schema.fromKey("grad_clip_norm"))
}) {}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: ConstructorParameters<typeof AdamParams>[0] = {}): AdamParams => new AdamParams(options)

/**
 * The first setting out of its range, with what it must be.
 *
 * @since 0.1.0
 * @category utils
 */
export const firstInvalid = (
  params: AdamParams
): { readonly field: keyof AdamParams; readonly description: string } | undefined => {
  const check = (field: keyof AdamParams, fits: boolean, range: string) =>
    fits ? undefined : { field, description: `is ${params[field]}; it must be ${range}.` }
  const positive = (n: number) => n >= 0 && n < Infinity
  const decay = (n: number) => n >= 0 && n < 1
  return check("learningRate", positive(params.learningRate), "a finite number, 0 or more")
    ?? check("beta1", decay(params.beta1), "0 or more and less than 1")
    ?? check("beta2", decay(params.beta2), "0 or more and less than 1")
    ?? check("eps", positive(params.eps), "a finite number, 0 or more")
    ?? check("weightDecay", positive(params.weightDecay), "a finite number, 0 or more")
    ?? check("gradClipNorm", positive(params.gradClipNorm), "a finite number, 0 or more")
}
