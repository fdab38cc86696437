import { Engine } from "@effect-tinker/engine"
import { TokenLoss } from "@effect-tinker/losses"
import { assert, describe, it } from "@effect/vitest"
import * as Llama from "../src/Llama.js"
import type { LocalEngine } from "../src/LocalEngine.js"
import { adam, everything, hashedSnapshot, localEngine, maxDifference, smallLlama } from "./internal/localEngine.js"
import { hashedArray, hashedTokens, hashedWeights } from "./internal/numbers.js"

const config: Llama.Config = { ...smallLlama, queryKeyNorm: true }
const weights = hashedWeights(Llama.weightShapes(config))
const crossEntropy = { _tag: "cross_entropy" } as const
const losses: ReadonlyArray<Engine.Loss> = [
  crossEntropy,
  { _tag: "importance_sampling" },
  { _tag: "ppo", clipLowThreshold: 0.8, clipHighThreshold: 1.2 },
  { _tag: "cispo", clipLowThreshold: 0.8, clipHighThreshold: 1.2 },
  { _tag: "dro", beta: 0.05 },
  { _tag: "gspo", clipLowThreshold: 0.8, clipHighThreshold: 1.2 }
]

const make = async (options?: Parameters<typeof localEngine>[2]) => {
  const engine = await localEngine(config, weights, options)
  await engine.restore("model", hashedSnapshot(config, 4), { optimizer: false })
  return engine
}

const row = hashedTokens(1, 15, config.vocabularySize)
const plain: Engine.TrainingDatum = { tokens: row.slice(0, -1), targetTokens: row.slice(1) }

const logprobsOf = async (engine: LocalEngine): Promise<Float32Array> =>
  (await engine.forwardBackward("model", { data: [plain], loss: crossEntropy, gradient: false })).outputs[0]!.logprobs

/** What the adapter's gradient is after one pass: with β₁ = 0, the first moment after a step. */
const gradientOf = async (engine: LocalEngine, data: ReadonlyArray<Engine.TrainingDatum>, loss: Engine.Loss) => {
  await engine.restore("model", hashedSnapshot(config, 4), { optimizer: false })
  const result = await engine.forwardBackward("model", { data, loss, gradient: true })
  const gradients = (await engine.accumulated("model"))!
  return { ...result, gradients }
}

describe("losses", () => {
  for (const loss of losses) {
    it(`${loss._tag} is that of its formula at each position, masked ones too, and so is its gradient`, async () => {
      const engine = await make()
      const logprobs = await logprobsOf(engine)
      const ratios = [0.5, 0.79, 0.81, 1, 1.19, 1.21, 2, 0.5, 0.79, 1.21, 2, 1, 1, 1]
      const datum: Engine.TrainingDatum = {
        ...plain,
        weights: Float32Array.of(1, 1, 1, 1, 1, 1, 1, 1, 0.5, -1, 1, 0, 0, 1),
        advantages: Float32Array.of(1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, 2, NaN, 0),
        logprobs: Float32Array.from(logprobs, (lp, i) => lp - Math.log(ratios[i]!))
      }
      datum.logprobs![11] = -Infinity
      datum.logprobs![13] = -Infinity
      const { gradients, outputs } = await gradientOf(engine, [datum], loss)
      const expected = TokenLoss.compute(loss, {
        logprobs,
        weights: datum.weights,
        samplingLogprobs: datum.logprobs,
        advantages: datum.advantages
      })
      assert.isBelow(maxDifference(outputs[0]!.elementwiseLoss, expected.elementwiseLoss), 1e-6)
      assert.deepStrictEqual(Array.from(outputs[0]!.elementwiseLoss.slice(11, 13)), [0, 0])
      // Cross entropy with these derivatives as weights has the same gradient.
      const linear = { ...plain, weights: expected.gradient.map((e) => -e) }
      const same = (await gradientOf(engine, [linear], crossEntropy)).gradients
      for (const [name, { data }] of gradients) {
        const largest = same.get(name)!.data.reduce((max, value) => Math.max(max, Math.abs(value)), 0)
        assert.isBelow(maxDifference(data, same.get(name)!.data), 1e-5 * largest, name)
      }
    })
  }

  it("gspo takes each sequence's own ratio over the tokens that its mask marks, in one call", async () => {
    const engine = await make()
    const loss = { _tag: "gspo", clipLowThreshold: 0.8, clipHighThreshold: 1.2 } as const
    const logprobs = await logprobsOf(engine)
    const datum = (difference: number, marked: ReadonlyArray<number>): Engine.TrainingDatum => ({
      ...plain,
      advantages: new Float32Array(14).fill(1),
      logprobs: logprobs.map((logprob, t) => logprob - (marked.includes(t) ? difference : 5)),
      sequenceRatioMask: Float32Array.from({ length: 14 }, (_, t) => marked.includes(t) ? 1 : 0)
    })
    const data = [datum(0.1, [3, 4, 5]), datum(1, [0, 13]), datum(-2, [7])]
    const { gradients, outputs } = await gradientOf(engine, data, loss)
    for (const [i, ratio] of [Math.exp(0.1), 1.2, Math.exp(-2)].entries()) {
      for (const value of outputs[i]!.elementwiseLoss) assert.closeTo(value, -ratio, 1e-5)
    }
    // The second is beyond the threshold, and has no gradient.
    const linear = [0, 2].map((i) => ({ ...plain, weights: outputs[i]!.elementwiseLoss.map((value) => -value) }))
    const same = (await gradientOf(engine, linear, crossEntropy)).gradients
    for (const [name, { data }] of gradients) {
      const largest = same.get(name)!.data.reduce((max, value) => Math.max(max, Math.abs(value)), 0)
      assert.isBelow(maxDifference(data, same.get(name)!.data), 1e-5 * largest, name)
    }
  })

  it("cross entropy of several targets a token is the sum of as many data, and weight 0 costs nothing", async () => {
    const engine = await make()
    const k = 3
    const soft = (stream: number, length: number): Engine.TrainingDatum => ({
      tokens: hashedTokens(stream, length, config.vocabularySize),
      targetTokens: hashedTokens(stream + 1, k * length, config.vocabularySize),
      targetsPerToken: k,
      weights: hashedArray(stream + 2, k * length).map((weight, i) => i % 4 === 0 ? 0 : weight)
    })
    const data = [soft(10, 5), soft(20, 9)]
    const columns = data.flatMap((datum) =>
      Array.from({ length: k }, (_, column): Engine.TrainingDatum => ({
        tokens: datum.tokens,
        targetTokens: datum.targetTokens.filter((_, i) => i % k === column),
        weights: datum.weights!.filter((_, i) => i % k === column)
      }))
    )
    const one = await gradientOf(engine, data, crossEntropy)
    const many = await gradientOf(engine, columns, crossEntropy)
    // With data of other widths in the same call.
    const mixed = await engine.forwardBackward("model", {
      data: [plain, data[1]!, columns[0]!],
      loss: crossEntropy,
      gradient: false
    })
    assert.isBelow(maxDifference(mixed.outputs[1]!.logprobs, one.outputs[1]!.logprobs), 1e-5)
    assert.closeTo(one.loss, many.loss, 1e-5)
    for (const [i, { elementwiseLoss, logprobs }] of one.outputs.entries()) {
      assert.strictEqual(logprobs.length, k * data[i]!.tokens.length)
      for (let column = 0; column < k; column++) {
        const alone = many.outputs[k * i + column]!.logprobs
        assert.isBelow(maxDifference(logprobs.filter((_, j) => j % k === column), alone), 1e-5)
      }
      elementwiseLoss.forEach((loss, j) => j % 4 === 0 && assert.isTrue(loss === 0))
    }
    for (const [name, { data }] of one.gradients) {
      assert.isBelow(maxDifference(data, many.gradients.get(name)!.data), 1e-5, name)
    }
  })

  it("and gradients are the same with layers computed again and the vocabulary's rows in parts", async () => {
    const vast = { ...config, vocabularySize: 200_000, hiddenSize: 8, layers: 1 }
    const vastWeights = hashedWeights(Llama.weightShapes(vast))
    const rows = hashedTokens(1, 51, vast.vocabularySize)
    const data = [{ tokens: rows.slice(0, -1), targetTokens: rows.slice(1) }]
    const run = async (maxActivationBytes: number) => {
      const engine = await localEngine(vast, vastWeights, { maxActivationBytes })
      await engine.restore("model", hashedSnapshot(vast, 2), { optimizer: false })
      const { outputs } = await engine.forwardBackward("model", { data, loss: crossEntropy, gradient: true })
      return { outputs, gradients: (await engine.accumulated("model"))! }
    }
    // 50 rows of 800 kB go in parts either way, 20 do not.
    const kept = await run(2 ** 30)
    const again = await run(1)
    assert.isBelow(maxDifference(kept.outputs[0]!.logprobs, again.outputs[0]!.logprobs), 1e-5)
    const engine = await localEngine(vast, vastWeights)
    await engine.restore("model", hashedSnapshot(vast, 2), { optimizer: false })
    const start = [{ tokens: rows.slice(0, 20), targetTokens: rows.slice(1, 21) }]
    const { outputs } = await engine.forwardBackward("model", { data: start, loss: crossEntropy, gradient: false })
    assert.isBelow(maxDifference(outputs[0]!.logprobs, kept.outputs[0]!.logprobs.slice(0, 20)), 1e-5)
    for (const [name, { data }] of kept.gradients) {
      assert.isBelow(maxDifference(data, again.gradients.get(name)!.data), 1e-4, name)
    }
  })
})

describe("results that are not finite change nothing", () => {
  const failing: ReadonlyArray<readonly [string, Engine.TrainingDatum, Engine.Loss]> = [
    ...losses.slice(1).map((loss) =>
      [
        `${loss._tag} of a token that was impossible, with an advantage`,
        { ...plain, logprobs: new Float32Array(14).fill(-Infinity), advantages: new Float32Array(14).fill(1) },
        // Bounds would make the ratio finite again.
        "clipHighThreshold" in loss ? { ...loss, clipHighThreshold: Infinity } : loss
      ] as const
    ).filter(([, , loss]) => loss._tag !== "ppo"),
    [
      "ppo of a bad token that was impossible",
      { ...plain, logprobs: new Float32Array(14).fill(-Infinity), advantages: new Float32Array(14).fill(-1) },
      losses[2]!
    ],
    ["weights beyond float32 as a sum", { ...plain, weights: new Float32Array(14).fill(3e38) }, crossEntropy],
    ["weights that are no numbers", { ...plain, weights: new Float32Array(14).fill(NaN) }, crossEntropy]
  ]
  for (const [what, datum, loss] of failing) {
    it(what, async () => {
      const engine = await make()
      await engine.forwardBackward("model", { data: [plain], loss: crossEntropy, gradient: true })
      const before = await engine.snapshot("model")
      const accumulated = await engine.accumulated("model")
      const error = await engine.forwardBackward("model", { data: [plain, datum], loss, gradient: true })
        .then(() => undefined, (error: unknown) => error)
      assert.instanceOf(error, Engine.EngineError)
      assert.strictEqual((error as Engine.EngineError).reason, "NonFinite")
      assert.deepStrictEqual(await engine.accumulated("model"), accumulated)
      assert.deepStrictEqual(await engine.snapshot("model"), before)
    })
  }

  it("a learning rate that leads out of float32, but for the gradient, which is dropped", async () => {
    const engine = await make()
    await engine.forwardBackward("model", { data: [plain], loss: crossEntropy, gradient: true })
    const before = await engine.snapshot("model")
    const error = await engine.optimStep("model", { ...adam, learningRate: 1e30, weightDecay: 1e30 })
      .then(() => undefined, (error: unknown) => error)
    assert.strictEqual((error as Engine.EngineError).reason, "NonFinite")
    assert.deepStrictEqual(await engine.snapshot("model"), before)
    // The gradient is dropped, so that it cannot fail the next step too.
    assert.isUndefined(await engine.accumulated("model"))
    await engine.forwardBackward("model", { data: [plain], loss: crossEntropy, gradient: true })
    assert.isAbove((await engine.optimStep("model", adam)).unclippedGradNorm, 0)
  })
})

describe("adapters", () => {
  const step = async (engine: LocalEngine, id: string, data: ReadonlyArray<Engine.TrainingDatum>, rate = 1e-2) => {
    const { loss } = await engine.forwardBackward(id, { data, loss: crossEntropy, gradient: true })
    await engine.optimStep(id, { ...adam, learningRate: rate })
    return loss
  }
  const sentences = [2, 3, 4, 5].map((stream): Engine.TrainingDatum => {
    const tokens = hashedTokens(stream, 11, config.vocabularySize)
    return { tokens: tokens.slice(0, -1), targetTokens: tokens.slice(1) }
  })

  it("learn alike at any rank, and to say four sentences by heart in few steps", async () => {
    const engine = await make()
    const curve = async (rank: number) => {
      await engine.createModel(`${rank}`, { baseModel: "base", lora: { rank, seed: 1, ...everything } })
      const losses: Array<number> = []
      for (let i = 0; i < 20; i++) losses.push(await step(engine, `${rank}`, sentences, 2e-2))
      return losses
    }
    const [narrow, wide] = [await curve(8), await curve(16)]
    assert.closeTo(narrow[0]!, wide[0]!, 1e-4)
    assert.closeTo(narrow[4]! / wide[4]!, 1, 0.15)
    assert.isBelow(narrow[19]!, 0.7 * narrow[0]!)
    for (let i = 0; i < 20; i++) await step(engine, "16", sentences, 2e-2)
    await engine.createSampler("sampler", { baseModel: "base", snapshot: await engine.snapshot("16") })
    for (const { targetTokens, tokens } of sentences) {
      const { sequences } = await engine.sample("sampler", {
        prompt: tokens.slice(0, 2),
        numSamples: 1,
        maxTokens: 9,
        temperature: 0,
        topK: -1,
        topP: 1,
        seed: 0,
        stopTokens: [],
        stopStrings: [],
        promptLogprobs: false,
        topkPromptLogprobs: 0
      })
      assert.deepStrictEqual(sequences[0]!.tokens, targetTokens.slice(1))
    }
  })

  it("restored without their optimizer go on as new ones with the same weights do", async () => {
    const engine = await make()
    for (let i = 0; i < 2; i++) await step(engine, "model", sentences)
    const saved = await engine.snapshot("model")
    await engine.restore("restored", saved, { optimizer: false })
    await engine.restore("new", { ...saved, step: 0, expAvg: new Map(), expAvgSq: new Map() }, { optimizer: true })
    assert.deepStrictEqual((await engine.snapshot("restored")).weights, saved.weights)
    for (const id of ["restored", "new"]) await step(engine, id, sentences)
    assert.deepStrictEqual(await engine.snapshot("restored"), await engine.snapshot("new"))
  })

  for (let bits = 1; bits < 8; bits++) {
    const lora = { rank: 2, seed: 1, trainAttn: (bits & 1) > 0, trainMlp: (bits & 2) > 0, trainUnembed: (bits & 4) > 0 }
    const parts = Object.entries(lora).filter(([, wanted]) => wanted === true).map(([name]) => name)
    it(`of ${parts.join(" and ")} train, and have the gradients of those of everything`, async () => {
      const engine = await make()
      const whole = hashedSnapshot(config, 4)
      const isPart = (name: string) =>
        (lora.trainAttn && name.includes("self_attn")) || (lora.trainMlp && name.includes(".mlp.")) ||
        (lora.trainUnembed && name.includes("lm_head"))
      // Adapters of the other parts that add nothing.
      const zeroed = new Map(Array.from(whole.weights, ([name, { data, shape }]) => [
        name,
        { shape, data: isPart(name) ? data : new Float32Array(data.length) }
      ]))
      const part = new Map(Array.from(whole.weights).filter(([name]) => isPart(name)))
      await engine.restore("whole", { ...whole, weights: zeroed }, { optimizer: false })
      await engine.restore("part", { ...whole, lora: { ...lora, rank: 4 }, weights: part }, { optimizer: false })
      for (const id of ["whole", "part"]) {
        await engine.forwardBackward(id, { data: sentences, loss: crossEntropy, gradient: true })
      }
      const expected = (await engine.accumulated("whole"))!
      const found = (await engine.accumulated("part"))!
      assert.deepStrictEqual(Array.from(found.keys()).sort(), Array.from(part.keys()).sort())
      for (const [name, { data }] of found) {
        assert.isBelow(maxDifference(data, expected.get(name)!.data), 1e-4, name)
      }
    })
  }

  it("of rank 128 and of rank 1 train", async () => {
    const engine = await make()
    for (const rank of [1, 128]) {
      await engine.createModel("extreme", { baseModel: "base", lora: { rank, seed: 1, ...everything } })
      const first = await step(engine, "extreme", sentences)
      assert.isBelow(await step(engine, "extreme", sentences), first)
    }
  })
})
