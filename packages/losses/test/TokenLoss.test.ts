import { assert, describe, it } from "@effect/vitest"
import { TokenLoss } from "../src/index.js"

const floats = (...numbers: ReadonlyArray<number>) => Float32Array.from(numbers)

const logprobs = floats(-0.5, -1.2, -2, -0.1, -3)
const samplingLogprobs = floats(-0.6, -0.9, -2.05, -0.9, -2.4)
const advantages = floats(1.5, -0.7, 2, 0.3, -1)
const weights = floats(1, 0.5, -2, 1, 3)

/** The ratio in float32 costs about three digits, so the step is wide and the tolerance small but not tiny. */
const agreesWithDifferences = (loss: (logprobs: Float32Array) => TokenLoss.TokenLoss) => {
  const { gradient } = loss(logprobs)
  for (let t = 0; t < logprobs.length; t++) {
    const at = (h: number) => loss(logprobs.map((value, i) => i === t ? value + h : value)).elementwiseLoss[t]!
    assert.closeTo(gradient[t]!, (at(1e-2) - at(-1e-2)) / 2e-2, 2e-4 * Math.max(1, Math.abs(gradient[t]!)), `at ${t}`)
  }
}

/** PPO at one token with advantage and ratio as given. */
const ppoAt = (ratio: number, advantage: number, weight = 1) => {
  const { elementwiseLoss, gradient } = TokenLoss.ppo({
    logprobs: floats(Math.log(ratio)),
    samplingLogprobs: floats(0),
    advantages: floats(advantage),
    weights: floats(weight)
  })
  return { loss: elementwiseLoss[0]!, gradient: gradient[0]! }
}

describe("TokenLoss", () => {
  it("cross entropy is the weighted negative log likelihood, with weights of one when there are none", () => {
    const { elementwiseLoss, gradient } = TokenLoss.crossEntropy(logprobs, weights)
    assert.deepStrictEqual([...elementwiseLoss], [...floats(0.5, 0.6, -4, 0.1, 9)])
    assert.deepStrictEqual([...gradient], [-1, -0.5, 2, -1, -3])
    assert.deepStrictEqual([...TokenLoss.crossEntropy(logprobs).gradient], [-1, -1, -1, -1, -1])
  })

  it("gradients agree with finite differences", () => {
    const inputs = { samplingLogprobs, advantages, weights }
    agreesWithDifferences((logprobs) => TokenLoss.crossEntropy(logprobs, weights))
    agreesWithDifferences((logprobs) => TokenLoss.importanceSampling({ ...inputs, logprobs }))
    agreesWithDifferences((logprobs) => TokenLoss.ppo({ ...inputs, logprobs }))
    agreesWithDifferences((logprobs) =>
      TokenLoss.ppo({ ...inputs, logprobs, clipLowThreshold: 0.5, clipHighThreshold: 1.01 })
    )
    agreesWithDifferences((logprobs) => TokenLoss.dro({ ...inputs, logprobs, beta: 0.3 }))
  })

  it("gspo agrees with finite differences of its objective, whose ratio of the sequence is held fixed", () => {
    const mask = floats(0, 1, 2, 1, 0)
    const marked = [1, 2, 3]
    for (const [low, high] of [[0.8, 1.2], [0.5, 1.01], [1.5, 2]] as const) {
      const { elementwiseLoss, gradient } = TokenLoss.gspo({
        logprobs,
        samplingLogprobs,
        advantages,
        weights,
        sequenceRatioMask: mask,
        clipLowThreshold: low,
        clipHighThreshold: high
      })
      const mean = marked.reduce((sum, t) => sum + logprobs[t]! - samplingLogprobs[t]!, 0) / marked.length
      logprobs.forEach((logprob, t) => {
        const objective = (p: number) => {
          const ratio = Math.exp(mean + p - logprob)
          const clipped = Math.min(Math.max(ratio, low), high)
          return -weights[t]! * Math.min(ratio * advantages[t]!, clipped * advantages[t]!)
        }
        assert.closeTo(elementwiseLoss[t]!, objective(logprob), 1e-5)
        const slope = (objective(logprob + 1e-6) - objective(logprob - 1e-6)) / 2e-6
        assert.closeTo(gradient[t]!, slope, 1e-5 * Math.max(1, Math.abs(slope)), `at ${t} of ${low} to ${high}`)
      })
    }
  })

  it("gspo clips whole sequences, and keeps the gradient where the ratio lies exactly on a threshold", () => {
    const at = (mean: number, sign: number, low: number, high: number) =>
      Array.from(
        TokenLoss.gspo({
          logprobs: floats(mean - 1, mean - 3, mean - 2),
          samplingLogprobs: floats(-1, -3, -2),
          advantages: floats(sign, sign, sign),
          clipLowThreshold: low,
          clipHighThreshold: high
        }).gradient
      )
    assert.deepStrictEqual(at(1, 1, 0.8, 1.2), [0, 0, 0])
    assert.isTrue(at(1, -1, 0.8, 1.2).every((slope) => Math.abs(slope - Math.E) < 1e-5))
    assert.deepStrictEqual(at(-1, -1, 0.8, 1.2), [0, 0, 0])
    assert.deepStrictEqual(at(0, 1, 1, 1), [-1, -1, -1])
    assert.deepStrictEqual(at(0, -1, 1, 1), [1, 1, 1])
  })

  it("gspo takes its ratio over the tokens at stake where no mask says over which", () => {
    const inputs = {
      logprobs: floats(-5, -1, -2, -4),
      samplingLogprobs: floats(0, -1.1, -1.95, -Infinity),
      advantages: floats(0, 1, 1, 1),
      weights: floats(1, 1, 1, 0)
    }
    assert.deepStrictEqual(
      TokenLoss.gspo(inputs),
      TokenLoss.gspo({ ...inputs, sequenceRatioMask: floats(0, 1, 1, 0) })
    )
    const nothing = TokenLoss.gspo({ ...inputs, advantages: floats(0, 0, 0, 0) })
    assert.deepStrictEqual(Array.from(nothing.elementwiseLoss), [0, 0, 0, 0])
    assert.deepStrictEqual(Array.from(nothing.gradient), [0, 0, 0, 0])
  })

  it("cispo weighs the log-probability with the clipped ratio, which is a constant to its gradient", () => {
    const ratios = [0.01, 0.8, 1, 3.9, 4, 4.1, 50]
    for (const advantage of [2, -0.5]) {
      for (const weight of [1, -0.25]) {
        for (const [low, high] of [[undefined, undefined], [0.8, 1.2]] as const) {
          const logprobs = Float32Array.from(ratios, (ratio) => Math.log(ratio) - 2)
          const { elementwiseLoss, gradient } = TokenLoss.cispo({
            logprobs,
            samplingLogprobs: new Float32Array(7).fill(-2),
            advantages: new Float32Array(7).fill(advantage),
            weights: new Float32Array(7).fill(weight),
            clipLowThreshold: low,
            clipHighThreshold: high
          })
          ratios.forEach((ratio, t) => {
            const slope = -weight * Math.min(Math.max(ratio, low ?? 0), high ?? 4) * advantage
            assert.closeTo(gradient[t]!, slope, 1e-6 * Math.abs(slope), `gradient at ratio ${ratio}`)
            const loss = slope * logprobs[t]!
            assert.closeTo(elementwiseLoss[t]!, loss, 1e-6 * Math.abs(loss), `loss at ratio ${ratio}`)
          })
        }
      }
    }
  })

  it("dro pulls towards the policy that sampled, also without an advantage", () => {
    const { elementwiseLoss, gradient } = TokenLoss.dro({
      logprobs: floats(-1, -1),
      samplingLogprobs: floats(-3, -3),
      advantages: floats(0.5, 0),
      weights: floats(2, 1),
      beta: 0.1
    })
    assert.closeTo(elementwiseLoss[0]!, -2 * (-0.5 - 0.5 * 0.1 * 4), 1e-6)
    assert.closeTo(gradient[0]!, -2 * (0.5 - 0.1 * 2), 1e-6)
    assert.closeTo(elementwiseLoss[1]!, 0.2, 1e-6)
    assert.closeTo(gradient[1]!, 0.2, 1e-6)
  })

  it("importance sampling weighs the advantage with the ratio of probabilities", () => {
    const { elementwiseLoss } = TokenLoss.importanceSampling({
      logprobs: floats(Math.log(0.4)),
      samplingLogprobs: floats(Math.log(0.2)),
      advantages: floats(3)
    })
    assert.closeTo(elementwiseLoss[0]!, -6, 1e-5)
  })

  it("ppo gives no reward beyond the upper threshold for a good token, and goes on below the lower", () => {
    assert.closeTo(ppoAt(1.3, 2).loss, -2.4, 1e-6)
    assert.strictEqual(ppoAt(1.3, 2).gradient, 0)
    assert.closeTo(ppoAt(0.5, 2).loss, -1, 1e-6)
    assert.closeTo(ppoAt(0.5, 2).gradient, -1, 1e-6)
  })

  it("ppo gives no reward below the lower threshold for a bad token, and goes on above the upper", () => {
    assert.closeTo(ppoAt(0.5, -2).loss, 1.6, 1e-6)
    assert.strictEqual(ppoAt(0.5, -2).gradient, 0)
    assert.closeTo(ppoAt(1.3, -2).loss, 2.6, 1e-6)
    assert.closeTo(ppoAt(1.3, -2).gradient, 2.6, 1e-6)
  })

  it("ppo keeps the gradient where the ratio lies exactly on a threshold", () => {
    const { gradient } = TokenLoss.ppo({
      logprobs: floats(0),
      samplingLogprobs: floats(0),
      advantages: floats(1),
      clipLowThreshold: 1,
      clipHighThreshold: 1
    })
    assert.strictEqual(gradient[0], -1)
  })

  it("ppo multiplies loss and gradient by the weight", () => {
    assert.closeTo(ppoAt(0.9, 2, 0.5).loss, -0.9, 1e-6)
    assert.closeTo(ppoAt(0.9, 2, 0.5).gradient, -0.9, 1e-6)
  })

  it("looks at nothing where the weight is zero, not even at infinities", () => {
    const inputs = {
      logprobs: floats(-1),
      samplingLogprobs: floats(-Infinity),
      advantages: floats(1),
      weights: floats(0)
    }
    for (
      const { elementwiseLoss, gradient } of [
        TokenLoss.importanceSampling(inputs),
        TokenLoss.ppo(inputs),
        TokenLoss.cispo(inputs),
        TokenLoss.dro({ ...inputs, beta: 0.05 }),
        TokenLoss.dro({ ...inputs, beta: 0.05, weights: undefined, advantages: floats(0) }),
        TokenLoss.importanceSampling({ ...inputs, advantages: floats(NaN) }),
        TokenLoss.cispo({ ...inputs, advantages: floats(0), weights: floats(NaN) }),
        TokenLoss.crossEntropy(floats(-Infinity), floats(0))
      ]
    ) {
      assert.strictEqual(elementwiseLoss[0], 0)
      assert.strictEqual(gradient[0], 0)
    }
  })

  it("is zero where the advantage is, however large the ratio", () => {
    const inputs = { logprobs: floats(-1), samplingLogprobs: floats(-500), advantages: floats(0) }
    assert.strictEqual(TokenLoss.importanceSampling(inputs).elementwiseLoss[0], 0)
    assert.strictEqual(TokenLoss.ppo(inputs).gradient[0], 0)
  })

  it("compute takes the loss that is named, with its settings", () => {
    const inputs = { logprobs, samplingLogprobs, advantages, weights }
    assert.deepStrictEqual(
      TokenLoss.compute({ _tag: "cross_entropy" }, inputs),
      TokenLoss.crossEntropy(logprobs, weights)
    )
    assert.deepStrictEqual(
      TokenLoss.compute({ _tag: "importance_sampling" }, inputs),
      TokenLoss.importanceSampling(inputs)
    )
    const thresholds = { clipLowThreshold: 0.99, clipHighThreshold: 1.01 }
    assert.deepStrictEqual(
      TokenLoss.compute({ _tag: "ppo", ...thresholds }, inputs),
      TokenLoss.ppo({ ...inputs, ...thresholds })
    )
    assert.deepStrictEqual(
      TokenLoss.compute({ _tag: "cispo", ...thresholds }, inputs),
      TokenLoss.cispo({ ...inputs, ...thresholds })
    )
    const sequenceRatioMask = floats(1, 1, 0, 0, 0)
    assert.deepStrictEqual(
      TokenLoss.compute({ _tag: "gspo", ...thresholds }, { ...inputs, sequenceRatioMask }),
      TokenLoss.gspo({ ...inputs, ...thresholds, sequenceRatioMask })
    )
    assert.deepStrictEqual(
      TokenLoss.compute({ _tag: "dro", beta: 2 }, inputs),
      TokenLoss.dro({ ...inputs, beta: 2 })
    )
  })
})
