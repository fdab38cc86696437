/**
 * The losses that a Tinker server computes, target by target, with their derivatives. All arrays are `[targets] float32`;
 * log-probabilities and losses are in nats; the loss of a sequence is the sum over them, never a mean.
 */

/**
 * A loss at each position, and its derivative by the log-probability that the model gave there.
 *
 * @since 0.1.0
 * @category models
 */
export interface TokenLoss {
  readonly elementwiseLoss: Float32Array
  /** The derivative ∂loss/∂logprobs of each target. */
  readonly gradient: Float32Array
}

/**
 * What a policy-gradient loss reads.
 *
 * @since 0.1.0
 * @category models
 */
export interface PolicyInputs {
  /** The log-probabilities of the targets under the model being trained. */
  readonly logprobs: Float32Array
  /** The log-probabilities that the targets had when they were sampled. */
  readonly samplingLogprobs: Float32Array
  readonly advantages: Float32Array
  /** Factor of each position's loss; ones when absent. Where it is 0, nothing else is looked at, not even a NaN. */
  readonly weights?: Float32Array | undefined
}

/**
 * A loss by its name, with its settings.
 *
 * @since 0.1.0
 * @category models
 */
export type Loss =
  | { readonly _tag: "cross_entropy" }
  | { readonly _tag: "importance_sampling" }
  | { readonly _tag: "ppo"; readonly clipLowThreshold: number; readonly clipHighThreshold: number }
  | { readonly _tag: "cispo"; readonly clipLowThreshold: number; readonly clipHighThreshold: number }
  | { readonly _tag: "dro"; readonly beta: number }
  | { readonly _tag: "gspo"; readonly clipLowThreshold: number; readonly clipHighThreshold: number }

/**
 * Smallest ratio that `ppo` and `gspo` reward, unless told otherwise.
 *
 * Source: the defaults of the hosted service, as its cookbook's tutorial on losses gives them.
 *
 * @since 0.1.0
 * @category config
 */
export const defaultClipLowThreshold = 0.8

/**
 * Largest ratio that `ppo` and `gspo` reward, unless told otherwise. The source is that of the smallest.
 *
 * @since 0.1.0
 * @category config
 */
export const defaultClipHighThreshold = 1.2

/**
 * The settings of each loss, with their defaults. `dro` has none for its `beta`: no public one is known, so it must be
 * given; the examples of the hosted service's documentation pass 0.05.
 *
 * Source of the bounds of `cispo`: as for those of `ppo`. The lower one is none, for a ratio is never below 0. For `gspo`
 * no public ones are known; those of `ppo` are taken, whose names it shares.
 *
 * @since 0.1.0
 * @category config
 */
export const settings: { readonly [Name in Loss["_tag"]]: Readonly<Record<string, number | undefined>> } = {
  cross_entropy: {},
  importance_sampling: {},
  ppo: { clipLowThreshold: defaultClipLowThreshold, clipHighThreshold: defaultClipHighThreshold },
  cispo: { clipLowThreshold: 0, clipHighThreshold: 4 },
  dro: { beta: undefined },
  gspo: { clipLowThreshold: defaultClipLowThreshold, clipHighThreshold: defaultClipHighThreshold }
}

/**
 * Weighted negative log likelihood: `-w logprob`. Weights may be any real numbers, also negative; they are ones when
 * absent.
 *
 * @since 0.1.0
 * @category constructors
 */
export const crossEntropy = (logprobs: Float32Array, weights?: Float32Array): TokenLoss => {
  const elementwiseLoss = new Float32Array(logprobs.length)
  const gradient = new Float32Array(logprobs.length)
  for (let t = 0; t < logprobs.length; t++) {
    const w = weights === undefined ? 1 : weights[t]!
    if (w === 0) continue
    elementwiseLoss[t] = -w * logprobs[t]!
    gradient[t] = -w
  }
  return { elementwiseLoss, gradient }
}

/**
 * Policy gradient with importance weights: `-r A` with `r = exp(logprob - samplingLogprob)`.
 *
 * The ratio is computed in float32 and may overflow, except where the weight or the advantage is 0: there the loss is 0.
 *
 * @since 0.1.0
 * @category constructors
 */
export const importanceSampling = (inputs: PolicyInputs): TokenLoss => {
  const { advantages, logprobs, samplingLogprobs, weights } = inputs
  const elementwiseLoss = new Float32Array(logprobs.length)
  const gradient = new Float32Array(logprobs.length)
  for (let t = 0; t < logprobs.length; t++) {
    const advantage = advantages[t]!
    const w = weights === undefined ? 1 : weights[t]!
    if (w === 0 || advantage === 0) continue
    const loss = -w * ratio(logprobs[t]!, samplingLogprobs[t]!) * advantage
    elementwiseLoss[t] = loss
    gradient[t] = loss
  }
  return { elementwiseLoss, gradient }
}

/**
 * Clipped policy gradient: `-min(r A, clip(r, low, high) A)` with `r = exp(logprob - samplingLogprob)`. Where the clipped
 * term is the smaller one the derivative is 0; where both are equal it is that of `-r A`.
 *
 * The thresholds bound the ratio itself: 0.8 and 1.2, not 0.2.
 *
 * Source: Schulman et al. 2017, "Proximal Policy Optimization Algorithms", eq. 7.
 *
 * @since 0.1.0
 * @category constructors
 */
export const ppo = (
  inputs: PolicyInputs & {
    readonly clipLowThreshold?: number | undefined
    readonly clipHighThreshold?: number | undefined
  }
): TokenLoss => {
  const { advantages, logprobs, samplingLogprobs, weights } = inputs
  const low = inputs.clipLowThreshold ?? defaultClipLowThreshold
  const high = inputs.clipHighThreshold ?? defaultClipHighThreshold
  const elementwiseLoss = new Float32Array(logprobs.length)
  const gradient = new Float32Array(logprobs.length)
  for (let t = 0; t < logprobs.length; t++) {
    const advantage = advantages[t]!
    const w = weights === undefined ? 1 : weights[t]!
    if (w === 0 || advantage === 0) continue
    const r = ratio(logprobs[t]!, samplingLogprobs[t]!)
    const plain = r * advantage
    const clipped = Math.min(Math.max(r, low), high) * advantage
    elementwiseLoss[t] = -w * Math.min(plain, clipped)
    gradient[t] = plain <= clipped ? -w * plain : 0
  }
  return { elementwiseLoss, gradient }
}

/**
 * Policy gradient weighted by the clipped ratio, which counts as a constant: `-clip(r, low, high) logprob A`. Unlike with
 * `ppo`, a clipped position keeps its gradient, `-clip(r, low, high) A`.
 *
 * Source: MiniMax 2025, "MiniMax-M1: Scaling Test-Time Compute Efficiently with Lightning Attention".
 *
 * @since 0.1.0
 * @category constructors
 */
export const cispo = (
  inputs: PolicyInputs & {
    readonly clipLowThreshold?: number | undefined
    readonly clipHighThreshold?: number | undefined
  }
): TokenLoss => {
  const { advantages, logprobs, samplingLogprobs, weights } = inputs
  const low = inputs.clipLowThreshold ?? settings.cispo.clipLowThreshold!
  const high = inputs.clipHighThreshold ?? settings.cispo.clipHighThreshold!
  const elementwiseLoss = new Float32Array(logprobs.length)
  const gradient = new Float32Array(logprobs.length)
  for (let t = 0; t < logprobs.length; t++) {
    const advantage = advantages[t]!
    const w = weights === undefined ? 1 : weights[t]!
    if (w === 0 || advantage === 0) continue
    const r = ratio(logprobs[t]!, samplingLogprobs[t]!)
    const slope = -w * Math.min(Math.max(r, low), high) * advantage
    elementwiseLoss[t] = slope * logprobs[t]!
    gradient[t] = slope
  }
  return { elementwiseLoss, gradient }
}

/**
 * Policy gradient with a quadratic pull towards the policy that sampled: `-(logprob A - ½ beta (logprob - q)²)` with
 * `q = samplingLogprob`.
 *
 * The pull also holds where the advantage is 0; weight 0 leaves a position out. An advantage of 0 where q is not finite
 * leaves it out too.
 *
 * Source: Richemond et al. 2024, "Offline Regularised Reinforcement Learning for Large Language Models Alignment", by
 * tokens, as the hosted service's documentation writes it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const dro = (inputs: PolicyInputs & { readonly beta: number }): TokenLoss => {
  const { advantages, beta, logprobs, samplingLogprobs, weights } = inputs
  const elementwiseLoss = new Float32Array(logprobs.length)
  const gradient = new Float32Array(logprobs.length)
  for (let t = 0; t < logprobs.length; t++) {
    const advantage = advantages[t]!
    const w = weights === undefined ? 1 : weights[t]!
    if (w === 0 || (advantage === 0 && !Number.isFinite(samplingLogprobs[t]!))) continue
    const distance = logprobs[t]! - samplingLogprobs[t]!
    elementwiseLoss[t] = -w * (logprobs[t]! * advantage - 0.5 * beta * distance * distance)
    gradient[t] = -w * (advantage - beta * distance)
  }
  return { elementwiseLoss, gradient }
}

/**
 * PPO with one ratio for the whole sequence: `-min(s A, clip(s, low, high) A)`, where `log s` is the mean of
 * `logprob - samplingLogprob` over the tokens that `sequenceRatioMask` marks with anything but 0. `s` is a constant to the
 * gradient, but at each token for a factor `exp(logprob)` over its own value, so that the derivative is `-s A` where the
 * clipped term is not the smaller one, and 0 where it is.
 *
 * Without a mask the marked tokens are those with a weight and an advantage, which in data of reinforcement learning are
 * the sampled ones. A mask that marks none gives NaN wherever a weight and an advantage are.
 *
 * Source: Zheng et al. 2025, "Group Sequence Policy Optimization", the token variant (section 4.3), as the hosted service's
 * documentation writes it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const gspo = (
  inputs: PolicyInputs & {
    readonly sequenceRatioMask?: Float32Array | undefined
    readonly clipLowThreshold?: number | undefined
    readonly clipHighThreshold?: number | undefined
  }
): TokenLoss => {
  const { advantages, logprobs, samplingLogprobs, sequenceRatioMask, weights } = inputs
  const isAtStake = (t: number) => advantages[t] !== 0 && (weights === undefined || weights[t] !== 0)
  const isMarked = sequenceRatioMask === undefined ? isAtStake : (t: number) => sequenceRatioMask[t] !== 0
  let sum = 0
  let count = 0
  for (let t = 0; t < logprobs.length; t++) {
    if (!isMarked(t)) continue
    sum += logprobs[t]! - samplingLogprobs[t]!
    count += 1
  }
  // One ratio, held against the thresholds at every token.
  const mean = sum / count
  return ppo({
    ...inputs,
    logprobs: new Float32Array(logprobs.length).fill(mean),
    samplingLogprobs: new Float32Array(logprobs.length)
  })
}

/**
 * The loss that `loss` names. An input that it needs and that is absent counts as zeros.
 *
 * @since 0.1.0
 * @category constructors
 */
export const compute = (
  loss: Loss,
  inputs: {
    readonly logprobs: Float32Array
    readonly weights?: Float32Array | undefined
    readonly samplingLogprobs?: Float32Array | undefined
    readonly advantages?: Float32Array | undefined
    readonly sequenceRatioMask?: Float32Array | undefined
  }
): TokenLoss => {
  const zeros = () => new Float32Array(inputs.logprobs.length)
  const policy = (): PolicyInputs => ({
    logprobs: inputs.logprobs,
    weights: inputs.weights,
    samplingLogprobs: inputs.samplingLogprobs ?? zeros(),
    advantages: inputs.advantages ?? zeros()
  })
  switch (loss._tag) {
    case "cross_entropy":
      return crossEntropy(inputs.logprobs, inputs.weights)
    case "importance_sampling":
      return importanceSampling(policy())
    case "ppo":
      return ppo({
        ...policy(),
        clipLowThreshold: loss.clipLowThreshold,
        clipHighThreshold: loss.clipHighThreshold
      })
    case "cispo":
      return cispo({
        ...policy(),
        clipLowThreshold: loss.clipLowThreshold,
        clipHighThreshold: loss.clipHighThreshold
      })
    case "dro":
      return dro({ ...policy(), beta: loss.beta })
    case "gspo":
      return gspo({
        ...policy(),
        sequenceRatioMask: inputs.sequenceRatioMask,
        clipLowThreshold: loss.clipLowThreshold,
        clipHighThreshold: loss.clipHighThreshold
      })
  }
}

/** exp(p − q) in float32, as every server computes it. */
const ratio = (logprob: number, samplingLogprob: number): number =>
  Math.fround(Math.exp(Math.fround(logprob - samplingLogprob)))
