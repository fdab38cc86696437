/**
 * AdamW over named float32 arrays, with the mathematics of `torch.optim.AdamW` and `clip_grad_norm_`.
 */
import * as Either from "effect/Either"
import type { AdamWParams } from "./Engine.js"

/**
 * What the optimizer remembers of a model: steps taken and, for each parameter that ever had a gradient, the moving
 * averages of the gradient and of its square, `[parameter] float32`.
 *
 * @since 0.1.0
 * @category models
 */
export interface State {
  step: number
  readonly expAvg: Map<string, Float32Array>
  readonly expAvgSq: Map<string, Float32Array>
}

/**
 * The state before the first step.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (): State => ({ step: 0, expAvg: new Map(), expAvgSq: new Map() })

/**
 * L2 norm of all gradients taken as one vector, summed in float64.
 *
 * @since 0.1.0
 * @category utils
 */
export const gradNorm = (gradients: ReadonlyMap<string, Float32Array>): number => {
  let sum = 0
  for (const gradient of gradients.values()) {
    for (let i = 0; i < gradient.length; i++) {
      const g = gradient[i]!
      sum += g * g
    }
  }
  return Math.sqrt(sum)
}

/**
 * Takes one step, changing `parameters` and `state` in place and leaving `gradients` as they are. A parameter without a
 * gradient keeps its value and its moments.
 *
 * With gradient g (scaled down to `gradClipNorm` when that is positive), step number t:
 *
 *     θ ← θ (1 − lr·wd);  m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²
 *     θ ← θ − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)
 *
 * A quotient whose divisor is 0, which arises only with ε = 0, counts as 0. When the norm of the gradients is not finite, nothing is
 * changed: look at the returned norm.
 *
 * @since 0.1.0
 * @category utils
 */
export const step = (
  parameters: ReadonlyMap<string, Float32Array>,
  gradients: ReadonlyMap<string, Float32Array>,
  state: State,
  params: AdamWParams
): { readonly unclippedGradNorm: number } => {
  const unclippedGradNorm = gradNorm(gradients)
  if (!Number.isFinite(unclippedGradNorm)) return { unclippedGradNorm }
  const { beta1, beta2, eps, gradClipNorm, learningRate, weightDecay } = params
  // The 1e-6 is torch's: it keeps the quotient finite and makes a gradient of exactly the norm shrink very slightly.
  const scale = gradClipNorm > 0 ? Math.min(1, gradClipNorm / (unclippedGradNorm + 1e-6)) : 1
  state.step += 1
  const stepSize = learningRate / (1 - Math.pow(beta1, state.step))
  const rootCorrection = Math.sqrt(1 - Math.pow(beta2, state.step))
  const decay = 1 - learningRate * weightDecay
  for (const [name, gradient] of gradients) {
    const parameter = parameters.get(name)
    if (parameter === undefined) continue
    const m = moment(state.expAvg, name, parameter.length)
    const v = moment(state.expAvgSq, name, parameter.length)
    for (let i = 0; i < parameter.length; i++) {
      const g = gradient[i]! * scale
      const average = beta1 * m[i]! + (1 - beta1) * g
      const square = beta2 * v[i]! + (1 - beta2) * g * g
      m[i] = average
      v[i] = square
      const denominator = Math.sqrt(square) / rootCorrection + eps
      const update = denominator === 0 ? 0 : average / denominator
      parameter[i] = parameter[i]! * decay - stepSize * update
    }
  }
  return { unclippedGradNorm }
}

/**
 * What a step comes to, taken on copies; or why it cannot be taken, since it would lead out of the finite numbers, from where no
 * later step comes back. The reason is for people to read, and supposes that the gradients are dropped.
 *
 * @since 0.1.0
 * @category utils
 */
export const attempt = (
  parameters: ReadonlyMap<string, Float32Array>,
  gradients: ReadonlyMap<string, Float32Array>,
  { expAvg, expAvgSq, step: steps }: State,
  params: AdamWParams
): Either.Either<
  { readonly parameters: Map<string, Float32Array>; readonly state: State; readonly unclippedGradNorm: number },
  string
> => {
  const stepped = copyOf(parameters)
  const state: State = { step: steps, expAvg: copyOf(expAvg), expAvgSq: copyOf(expAvgSq) }
  const { unclippedGradNorm } = step(stepped, gradients, state, params)
  const name = Number.isFinite(unclippedGradNorm) ? firstNonFinite(stepped, state) : "the norm of the gradients"
  return name === undefined
    ? Either.right({ parameters: stepped, state, unclippedGradNorm })
    : Either.left(
      `no step was taken, as it would lead ${name} out of the finite numbers. The gradient that was accumulated for it is `
        + "dropped, and nothing else has changed: go on with the next pass. With grad_clip_norm above 0 a gradient that is "
        + "too large is scaled down instead"
    )
}

const copyOf = (arrays: ReadonlyMap<string, Float32Array>): Map<string, Float32Array> =>
  new Map(Array.from(arrays, ([name, array]) => [name, array.slice()]))

/**
 * The name of a parameter whose value or moments are not all finite numbers, if there is one: after a step that is to be
 * undone, since from a moment that overflowed no later step comes back.
 *
 * @since 0.1.0
 * @category utils
 */
export const firstNonFinite = (
  parameters: ReadonlyMap<string, Float32Array>,
  { expAvg, expAvgSq }: State
): string | undefined => {
  for (const arrays of [parameters, expAvg, expAvgSq]) {
    for (const [name, array] of arrays) {
      for (let i = 0; i < array.length; i++) if (!Number.isFinite(array[i]!)) return name
    }
  }
  return undefined
}

const moment = (moments: Map<string, Float32Array>, name: string, length: number): Float32Array => {
  const existing = moments.get(name)
  if (existing !== undefined) return existing
  const created = new Float32Array(length)
  moments.set(name, created)
  return created
}
