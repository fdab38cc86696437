import { assert, describe, it } from "@effect/vitest"
import * as FullTraining from "../src/FullTraining.js"
import * as Llama from "../src/Llama.js"
import { hashed, hashedTokens, hashedWeights } from "./internal/numbers.js"

const config: Llama.Config = {
  vocabularySize: 24,
  hiddenSize: 16,
  intermediateSize: 20,
  layers: 2,
  heads: 4,
  keyValueHeads: 2,
  headDim: 4,
  normEpsilon: 1e-5,
  ropeTheta: 10_000,
  tiedEmbeddings: true,
  attentionBias: true,
  queryKeyNorm: true
}
const batch: FullTraining.Batch = {
  rows: 3,
  length: 6,
  tokens: hashedTokens(1, 18, config.vocabularySize),
  targets: hashedTokens(2, 18, config.vocabularySize),
  // The last row is shorter: padding has no weight.
  weights: Float32Array.from({ length: 18 }, (_, i) => i < 15 ? 1 : 0)
}

describe("training of every weight", () => {
  it("has gradients that predict how the loss changes, for each weight of a tied model", async () => {
    const weights = hashedWeights(Llama.weightShapes(config))
    const training = await FullTraining.make({ config, weights, threads: 1 })
    const { gradients, loss } = await training.step(batch)
    assert.strictEqual((await training.evaluate(batch)).loss, loss)
    assert.deepStrictEqual(Array.from(gradients.keys()), Array.from(weights.keys()))

    for (const [stream, [name, weight]] of Array.from(weights).entries()) {
      const original = weight.slice()
      const direction = original.map((_, i) => hashed(100 + stream, i))
      const shifted = async (step: number) => {
        weight.forEach((_, i) => weight[i] = original[i]! + step * direction[i]!)
        const { loss } = await training.evaluate(batch)
        weight.set(original)
        return loss
      }
      const difference = (await shifted(4e-3) - await shifted(-4e-3)) / 8e-3
      const slope = gradients.get(name)!.reduce((sum, each, i) => sum + each * direction[i]!, 0)
      assert.closeTo(slope, difference, 0.02 + 0.01 * Math.abs(difference), name)
    }
    await training.release()
  })

  it("reads weights that were changed in place, and learns by plain descent", async () => {
    const weights = hashedWeights(Llama.weightShapes(config))
    const training = await FullTraining.make({ config, weights, threads: 1 })
    const losses: Array<number> = []
    for (let step = 0; step < 30; step++) {
      const { gradients, loss } = await training.step(batch)
      losses.push(loss)
      for (const [name, gradient] of gradients) {
        const weight = weights.get(name)!
        gradient.forEach((each, i) => weight[i] = weight[i]! - 0.01 * each)
      }
    }
    assert.isBelow(losses.at(-1)!, 0.5 * losses[0]!)
    await training.release()
  })

  it("says which weight is missing", async () => {
    const weights = hashedWeights(Llama.weightShapes(config))
    weights.delete("model.norm.weight")
    const error: unknown = await FullTraining.make({ config, weights }).then(() => undefined, (error: unknown) => error)
    assert.include(String(error), "model.norm.weight")
  })
})
