/**
 * How the learning rate changes over a run: functions from a step to a factor of the highest rate.
 */

/**
 * The factor at `step` (from 0) of `totalSteps`.
 *
 * @since 0.1.0
 * @category models
 */
export type LearningRateSchedule = (step: number, totalSteps: number) => number

/**
 * Always 1.
 *
 * @since 0.1.0
 * @category constructors
 */
export const constant: LearningRateSchedule = () => 1

/**
 * A line from 1 down to 0: `1 - step / totalSteps`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const linear: LearningRateSchedule = (step, totalSteps) => 1 - progress(step, totalSteps)

/**
 * Half a cosine from 1 down to 0: `(1 + cos(π step / totalSteps)) / 2`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const cosine: LearningRateSchedule = (step, totalSteps) =>
  0.5 * (1 + Math.cos(Math.PI * progress(step, totalSteps)))

/**
 * Rises to 1 over the first `steps` steps, `(step + 1) / steps` at each, then follows `schedule` over the steps that are
 * left. Adam's first steps are as large as all others, whatever the gradient; this tames them.
 *
 * `steps` is a whole number, 0 or more. Nothing is checked here, so that nothing throws: what makes no sense gives NaN, which
 * `Supervised.steps` refuses before its first step.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withWarmUp =
  (schedule: LearningRateSchedule, steps: number): LearningRateSchedule => (step, totalSteps) => {
    if (typeof schedule !== "function" || !Number.isSafeInteger(steps) || steps < 0) return NaN
    return step < steps ? (step + 1) / steps : schedule(step - steps, totalSteps - steps)
  }

const progress = (step: number, totalSteps: number): number => {
  if (!Number.isFinite(step) || !Number.isFinite(totalSteps)) return NaN
  return totalSteps > 0 ? Math.min(Math.max(step / totalSteps, 0), 1) : 0
}
