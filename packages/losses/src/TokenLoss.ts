/**
 * The losses that a Tinker server computes, token by token, with their derivatives. All arrays are `[tokens] float32`;
 * log-probabilities and losses are in nats; the loss of a sequence is the sum over its tokens, never a mean.
 */

/**
 * A loss at each position, and its derivative by the log-probability that the model gave there.
 *
 * @since 0.1.0
 * @category models
 */
export interface TokenLoss {
  readonly elementwiseLoss: Float32Array
  /** ∂loss/∂logprobs. */
  readonly gradient: Float32Array
}

/**
 * What a policy-gradient loss reads.
 *
 * @since 0.1.0
 * @category models
 */
export interface PolicyInputs {
  /** Of the targets, under the model being trained. */
  readonly logprobs: Float32Array
  /** Of the targets, when they were sampled. */
  readonly samplingLogprobs: Float32Array
  readonly advantages: Float32Array
  /** Factor of each position's loss; ones when absent. Where it is 0, nothing else is looked at. */
  readonly weights?: Float32Array | undefined
}

/**
 * Which loss, with its settings.
 *
 * @since 0.1.0
 * @category models
 */
export type Loss =
  | { readonly _tag: "cross_entropy" }
  | { readonly _tag: "importance_sampling" }
  | { readonly _tag: "ppo"; readonly clipLowThreshold: number; readonly clipHighThreshold: number }

/**
 * Smallest ratio that `ppo` rewards, unless told otherwise.
 *
 * Source: the defaults of the hosted service, as its cookbook's tutorial on losses gives them.
 *
 * @since 0.1.0
 * @category config
 */
export const defaultClipLowThreshold = 0.8

/**
 * Largest ratio that `ppo` rewards, unless told otherwise. Source: as for the smallest.
 *
 * @since 0.1.0
 * @category config
 */
export const defaultClipHighThreshold = 1.2

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
    const weighted = advantages[t]! * (weights === undefined ? 1 : weights[t]!)
    if (weighted === 0) continue
    const loss = -ratio(logprobs[t]!, samplingLogprobs[t]!) * weighted
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
  }
}

/** exp(p − q) in float32, as every server computes it. */
const ratio = (logprob: number, samplingLogprob: number): number =>
  Math.fround(Math.exp(Math.fround(logprob - samplingLogprob)))
