import { Engine } from "@effect-tinker/engine"
import { assert, describe, it } from "@effect/vitest"
import * as Llama from "../src/Llama.js"
import {
  adam,
  everything,
  hashedSnapshot,
  localEngine,
  maxDifference,
  smallLlama,
  smallRequest
} from "./internal/localEngine.js"
import { hashedArray, hashedTokens, hashedWeights } from "./internal/numbers.js"

const config: Llama.Config = { ...smallLlama, tiedEmbeddings: true, queryKeyNorm: true }
const weights = hashedWeights(Llama.weightShapes(config))
const lora = { rank: 4, seed: 7, ...everything }
const crossEntropy = { _tag: "cross_entropy" } as const

const datum = (stream: number, length: number): Engine.TrainingDatum => {
  const row = hashedTokens(stream, length + 1, config.vocabularySize)
  return { tokens: row.slice(0, -1), targetTokens: row.slice(1), weights: hashedArray(stream + 100, length, 0.5, 1) }
}
const data = [datum(1, 9), datum(2, 3), datum(3, 14), datum(4, 9), datum(5, 1)]

const request = smallRequest

const make = (options: Parameters<typeof localEngine>[2] = {}) => localEngine(config, weights, options)

/** An engine with a model called `model` whose adapter changes the output, and a sampler of it called `sampler`. */
const makeTrained = async (options: Parameters<typeof localEngine>[2] = {}) => {
  const engine = await make(options)
  await engine.restore("model", hashedSnapshot(config, 4), { optimizer: false })
  await engine.createSampler("sampler", { baseModel: "base", snapshot: await engine.snapshot("model") })
  return engine
}

const failure = async (promise: Promise<unknown>): Promise<Engine.EngineError> => {
  const error = await promise.then(() => undefined, (error: unknown) => error)
  assert.instanceOf(error, Engine.EngineError)
  return error as Engine.EngineError
}

describe("training", () => {
  it("begins as the base model and gives the same adapter for the same seed", async () => {
    const engine = await make()
    await engine.createModel("one", { baseModel: "base", lora })
    await engine.createModel("two", { baseModel: "base", lora })
    await engine.createModel("other", { baseModel: "base", lora: { ...lora, seed: 8 } })
    await engine.createSampler("base", { baseModel: "base" })
    const { outputs } = await engine.forwardBackward("one", { data: [data[2]!], loss: crossEntropy, gradient: false })
    const { promptLogprobs } = await engine.sample("base", {
      ...request,
      prompt: Int32Array.from([...data[2]!.tokens, data[2]!.targetTokens.at(-1)!]),
      promptLogprobs: true
    })
    assert.isBelow(maxDifference(outputs[0]!.logprobs, promptLogprobs!.slice(1)), 1e-5)

    const tensor = async (id: string) =>
      (await engine.snapshot(id)).weights.get("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight")!
    const one = await tensor("one")
    assert.deepStrictEqual(one, await tensor("two"))
    assert.notDeepEqual(one, await tensor("other"))
    assert.deepStrictEqual(one.shape, [4, 16])
    const bound = 1 / Math.sqrt(16)
    assert.isTrue(one.data.every((value) => Math.abs(value) <= bound))
    assert.isAbove(Math.max(...one.data), 0.8 * bound)
    assert.isBelow(Math.min(...one.data), -0.8 * bound)
  })

  it("adapts only the parts that were asked for", async () => {
    const engine = await make()
    await engine.createModel("model", {
      baseModel: "base",
      lora: { ...lora, trainMlp: false, trainUnembed: false }
    })
    const names = Array.from((await engine.snapshot("model")).weights.keys())
    assert.strictEqual(names.length, 2 * 4 * 2)
    assert.isTrue(names.every((name) => name.includes("self_attn")))
    await engine.forwardBackward("model", { data, loss: crossEntropy, gradient: true })
    assert.isAbove((await engine.optimStep("model", adam)).unclippedGradNorm, 0)
  })

  it("memorizes a sequence and then says it", async () => {
    const engine = await make()
    await engine.createModel("model", { baseModel: "base", lora: { ...lora, rank: 8 } })
    const row = hashedTokens(77, 12, config.vocabularySize)
    const memorized = [{ tokens: row.slice(0, -1), targetTokens: row.slice(1) }]
    const losses: Array<number> = []
    for (let step = 0; step < 40; step++) {
      losses.push((await engine.forwardBackward("model", { data: memorized, loss: crossEntropy, gradient: true })).loss)
      await engine.optimStep("model", { ...adam, learningRate: 2e-2 })
    }
    assert.isBelow(losses.at(-1)!, 0.1 * losses[0]!)
    await engine.createSampler("sampler", { baseModel: "base", snapshot: await engine.snapshot("model") })
    const answer = await engine.sample("sampler", {
      ...request,
      prompt: row.slice(0, 3),
      maxTokens: 9,
      temperature: 0
    })
    assert.deepStrictEqual(Array.from(answer.sequences[0]!.tokens), Array.from(row.slice(3)))
  })

  it("gives each sequence the same numbers alone, in any company and in any order", async () => {
    const engine = await makeTrained()
    const together = await engine.forwardBackward("model", { data, loss: crossEntropy, gradient: false })
    const reversed = await engine.forwardBackward("model", {
      data: data.slice().reverse(),
      loss: crossEntropy,
      gradient: false
    })
    for (const [i, each] of data.entries()) {
      const alone = await engine.forwardBackward("model", { data: [each], loss: crossEntropy, gradient: false })
      assert.isBelow(maxDifference(alone.outputs[0]!.logprobs, together.outputs[i]!.logprobs), 1e-5)
      assert.isBelow(maxDifference(reversed.outputs.at(-1 - i)!.logprobs, together.outputs[i]!.logprobs), 1e-5)
      assert.strictEqual(together.outputs[i]!.logprobs.length, each.tokens.length)
    }
  })

  it("has the same gradient in one call, in several, in any order, and in batches as small as they go", async () => {
    const step = async (options: Parameters<typeof localEngine>[2], calls: ReadonlyArray<typeof data>) => {
      const engine = await makeTrained(options)
      for (const data of calls) await engine.forwardBackward("model", { data, loss: crossEntropy, gradient: true })
      const gradients = (await engine.accumulated("model"))!
      const { unclippedGradNorm } = await engine.optimStep("model", { ...adam, eps: 1e-4 })
      const { weights } = await engine.snapshot("model")
      return { gradients, unclippedGradNorm, weights }
    }
    const whole = await step({}, [data])
    const variants = [
      await step({}, [data.slice(0, 2), data.slice(2)]),
      await step({}, data.map((each) => [each])),
      await step({}, [data.slice().reverse()]),
      await step({ maxActivationBytes: 1 }, [data])
    ]
    for (const { gradients, unclippedGradNorm, weights } of variants) {
      assert.closeTo(unclippedGradNorm, whole.unclippedGradNorm, 1e-6 * whole.unclippedGradNorm)
      for (const [name, { data }] of gradients) {
        const expected = whole.gradients.get(name)!.data
        const difference = Math.hypot(...data.map((each, i) => each - expected[i]!))
        assert.isBelow(difference, 1e-6 * Math.hypot(...expected), name)
      }
      for (const [name, { data }] of weights) {
        assert.isBelow(maxDifference(data, whole.weights.get(name)!.data), 1e-6, name)
      }
    }
  })

  it("forward gives the numbers of forward and backward, and no gradient", async () => {
    const engine = await makeTrained()
    const forward = await engine.forwardBackward("model", { data, loss: crossEntropy, gradient: false })
    assert.strictEqual((await engine.optimStep("model", adam)).unclippedGradNorm, 0)
    const both = await engine.forwardBackward("model", { data, loss: crossEntropy, gradient: true })
    assert.deepStrictEqual(forward, both)
  })

  it("forward leaves what was accumulated, and the next step, as they were", async () => {
    const engine = await makeTrained()
    await engine.restore("other", await engine.snapshot("model"), { optimizer: false })
    for (const id of ["model", "other"]) {
      await engine.forwardBackward(id, { data, loss: crossEntropy, gradient: true })
    }
    const accumulated = await engine.accumulated("model")
    await engine.forwardBackward("model", { data: [datum(6, 12)], loss: crossEntropy, gradient: false })
    assert.deepStrictEqual(await engine.accumulated("model"), accumulated)
    assert.deepStrictEqual(await engine.optimStep("model", adam), await engine.optimStep("other", adam))
    assert.deepStrictEqual(await engine.snapshot("model"), await engine.snapshot("other"))
  })

  it("computes every loss by its formula, at the clips' edges and where weights are 0 too", async () => {
    const engine = await makeTrained()
    const plain = (await engine.forwardBackward("model", { data: [data[2]!], loss: crossEntropy, gradient: false }))
      .outputs[0]!.logprobs
    // Ratios around both thresholds, advantages of both signs, and positions that nothing may leak from.
    const ratios = [0.5, 0.79, 0.81, 1, 1.19, 1.21, 2, 0.5, 0.79, 1.21, 2, 1, Infinity, 1]
    const advantages = Float32Array.from([1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, 0, 0, -2])
    const rlWeights = Float32Array.from([1, 1, 1, 1, 1, 1, 1, 1, 0.5, -1, 1, 1, 1, 0])
    const logprobs = Float32Array.from(plain, (lp, i) => lp - Math.log(ratios[i]!))
    const rl = [{ ...data[2]!, weights: rlWeights, logprobs, advantages }]
    const losses: ReadonlyArray<Engine.Loss> = [
      { _tag: "importance_sampling" },
      { _tag: "ppo", clipLowThreshold: 0.8, clipHighThreshold: 1.2 }
    ]
    for (const loss of losses) {
      const { outputs } = await engine.forwardBackward("model", { data: rl, loss, gradient: false })
      const expected = ratios.map((ratio, i) => {
        const advantage = advantages[i]!
        if (advantage === 0 || rlWeights[i] === 0) return 0
        const clipped = Math.min(Math.max(ratio, 0.8), 1.2)
        const value = loss._tag === "ppo" ? Math.min(ratio * advantage, clipped * advantage) : ratio * advantage
        return -rlWeights[i]! * value
      })
      assert.isBelow(maxDifference(outputs[0]!.elementwiseLoss, expected), 1e-5, loss._tag)
    }
  })

  it("fills in weights of one and no advantages", async () => {
    const engine = await makeTrained()
    const { targetTokens, tokens } = data[0]!
    const result = await engine.forwardBackward("model", {
      data: [{ tokens, targetTokens }],
      loss: crossEntropy,
      gradient: false
    })
    const { elementwiseLoss, logprobs } = result.outputs[0]!
    assert.deepStrictEqual(Array.from(elementwiseLoss), Array.from(logprobs, (lp) => -lp))
    assert.closeTo(result.loss, elementwiseLoss.reduce((sum, each) => sum + each, 0), 1e-4)
    const rl = await engine.forwardBackward("model", {
      data: [{ tokens, targetTokens }],
      loss: { _tag: "importance_sampling" },
      gradient: false
    })
    assert.strictEqual(rl.loss, 0)
  })

  it("takes no step without a gradient", async () => {
    const engine = await makeTrained()
    const before = await engine.snapshot("model")
    assert.deepStrictEqual(await engine.optimStep("model", adam), { unclippedGradNorm: 0 })
    assert.deepStrictEqual(await engine.snapshot("model"), before)
  })

  it("goes on from a snapshot with its optimizer as if it had never stopped", async () => {
    const step = async (engine: Awaited<ReturnType<typeof make>>, id: string) => {
      await engine.forwardBackward(id, { data, loss: crossEntropy, gradient: true })
      await engine.optimStep(id, adam)
    }
    const engine = await make()
    await engine.createModel("model", { baseModel: "base", lora })
    for (let i = 0; i < 3; i++) await step(engine, "model")
    const saved = await engine.snapshot("model")
    assert.strictEqual(saved.step, 3)
    for (let i = 0; i < 2; i++) await step(engine, "model")

    const elsewhere = await make()
    await elsewhere.restore("resumed", saved, { optimizer: true })
    await elsewhere.restore("fresh", saved, { optimizer: false })
    for (let i = 0; i < 2; i++) {
      await step(elsewhere, "resumed")
      await step(elsewhere, "fresh")
    }
    const uninterrupted = await engine.snapshot("model")
    assert.deepStrictEqual(await elsewhere.snapshot("resumed"), uninterrupted)
    assert.notDeepEqual((await elsewhere.snapshot("fresh")).weights, uninterrupted.weights)
  })

  it("goes on bit for bit with the gradient that it had accumulated", async () => {
    const engine = await make()
    await engine.createModel("model", { baseModel: "base", lora })
    const pass = (on: typeof engine, id: string) => on.forwardBackward(id, { data, loss: crossEntropy, gradient: true })
    await pass(engine, "model")
    await engine.optimStep("model", adam)
    assert.isUndefined(await engine.accumulated("model"))
    await pass(engine, "model")
    const elsewhere = await make()
    const accumulated = await engine.accumulated("model")
    await elsewhere.restore("resumed", await engine.snapshot("model"), { optimizer: true, accumulated })
    for (const [on, id] of [[engine, "model"], [elsewhere, "resumed"]] as const) {
      await pass(on, id)
      await on.optimStep(id, { ...adam, gradClipNorm: 0.1 })
    }
    assert.deepStrictEqual(await elsewhere.snapshot("resumed"), await engine.snapshot("model"))
  })

  it("is not changed by training on after a snapshot", async () => {
    const engine = await makeTrained()
    const before = await engine.sample("sampler", request)
    await engine.forwardBackward("model", { data, loss: crossEntropy, gradient: true })
    await engine.optimStep("model", adam)
    const after = await engine.sample("sampler", request)
    assert.deepStrictEqual(after.sequences[0]!.tokens, before.sequences[0]!.tokens)
    assert.isBelow(maxDifference(after.sequences[0]!.logprobs, before.sequences[0]!.logprobs), 1e-5)
  })
})

describe("refusals, which leave the accumulated gradient as it was", () => {
  const refusals: ReadonlyArray<readonly [string, Engine.TrainingDatum, Engine.Loss, Engine.EngineError["reason"]]> = [
    [
      "a token outside the vocabulary",
      { ...datum(1, 3), tokens: Int32Array.of(1, 40, 2) },
      crossEntropy,
      "InvalidRequest"
    ],
    ["a negative target", { ...datum(1, 3), targetTokens: Int32Array.of(1, -1, 2) }, crossEntropy, "InvalidRequest"],
    ["a sequence longer than the context", datum(1, 21), crossEntropy, "InvalidRequest"],
    ["a sequence of nothing", datum(1, 0), crossEntropy, "InvalidRequest"],
    ["arrays of unequal length", { ...datum(1, 3), advantages: new Float32Array(2) }, crossEntropy, "InvalidRequest"],
    [
      "a loss that is not finite",
      { ...datum(1, 3), weights: Float32Array.of(1, Infinity, 1) },
      crossEntropy,
      "NonFinite"
    ],
    [
      "a ratio that overflows",
      { ...datum(1, 2), logprobs: Float32Array.of(-1e6, 0), advantages: Float32Array.of(1, 1) },
      { _tag: "importance_sampling" },
      "NonFinite"
    ]
  ]
  for (const [name, bad, loss, reason] of refusals) {
    it(name, async () => {
      const engine = await makeTrained({ maxContextLength: 20 })
      await engine.restore("clean", await engine.snapshot("model"), { optimizer: false })
      for (const id of ["model", "clean"]) {
        await engine.forwardBackward(id, { data, loss: crossEntropy, gradient: true })
      }
      const error = await failure(engine.forwardBackward("model", { data: [data[1]!, bad], loss, gradient: true }))
      assert.strictEqual(error.reason, reason)
      assert.deepStrictEqual(await engine.optimStep("model", adam), await engine.optimStep("clean", adam))
    })
  }

  /** All that a model has. */
  const stateOf = async (engine: Awaited<ReturnType<typeof make>>) => ({
    snapshot: await engine.snapshot("model"),
    accumulated: await engine.accumulated("model")
  })
  const weighted = (weight: number) => ({
    data: [{ ...datum(1, 9), weights: new Float32Array(9).fill(weight) }],
    loss: crossEntropy,
    gradient: true
  })

  it("a gradient that is not finite, though the loss is", async () => {
    const engine = await makeTrained()
    const pass = weighted(2e37)
    assert.isTrue(Number.isFinite((await engine.forwardBackward("model", { ...pass, gradient: false })).loss))
    const error = await failure(engine.forwardBackward("model", pass))
    assert.strictEqual(error.reason, "NonFinite")
    assert.include(error.message, "gradient of")
    assert.isUndefined(await engine.accumulated("model"))
  })

  it("a finite gradient with which the sum is not finite", async () => {
    const engine = await makeTrained()
    let before = await stateOf(engine)
    let error: unknown
    for (let pass = 0; pass < 100 && error === undefined; pass++) {
      before = await stateOf(engine)
      error = await engine.forwardBackward("model", weighted(1e36)).then(() => undefined, (error: unknown) => error)
    }
    assert.instanceOf(error, Engine.EngineError)
    assert.strictEqual((error as Engine.EngineError).reason, "NonFinite")
    assert.isDefined(before.accumulated)
    assert.deepStrictEqual(await stateOf(engine), before)
    assert.isAbove((await engine.optimStep("model", { ...adam, gradClipNorm: 1 })).unclippedGradNorm, 1e36)
  })

  it("a step with which a moment is not finite, whose gradient is dropped, and nothing else changed", async () => {
    const engine = await makeTrained()
    await engine.forwardBackward("model", { data, loss: crossEntropy, gradient: true })
    await engine.optimStep("model", adam)
    const before = await stateOf(engine)
    await engine.restore("clean", before.snapshot, { optimizer: true })
    await engine.forwardBackward("model", weighted(1e22))
    const error = await failure(engine.optimStep("model", adam))
    assert.strictEqual(error.reason, "NonFinite")
    assert.include(error.message, "is dropped, and nothing else has changed: go on with the next pass")
    assert.isUndefined(before.accumulated)
    assert.deepStrictEqual(await stateOf(engine), before)
    const steps: Array<Engine.OptimStepResult> = []
    for (const id of ["model", "clean"]) {
      await engine.forwardBackward(id, { data, loss: crossEntropy, gradient: true })
      steps.push(await engine.optimStep(id, adam))
    }
    assert.deepStrictEqual(steps[0], steps[1])
    assert.deepStrictEqual(await engine.snapshot("model"), await engine.snapshot("clean"))
  })

  it("ranks, targets, base models and ids that there are not", async () => {
    const engine = await make()
    const create = (change: Partial<Engine.LoraSpec>, baseModel = "base") =>
      failure(engine.createModel("model", { baseModel, lora: { ...lora, ...change } }))
    assert.strictEqual((await create({ rank: 0 })).reason, "InvalidRequest")
    assert.strictEqual((await create({ rank: 129 })).reason, "InvalidRequest")
    assert.strictEqual(
      (await create({ trainAttn: false, trainMlp: false, trainUnembed: false })).reason,
      "InvalidRequest"
    )
    assert.strictEqual((await create({}, "another")).reason, "UnknownModel")
    assert.strictEqual((await failure(engine.snapshot("model"))).reason, "UnknownModel")
    assert.strictEqual((await failure(engine.sample("sampler", request))).reason, "UnknownModel")
    await engine.unloadModel("model")
    await engine.unloadSampler("sampler")
  })

  it("snapshots of another shape", async () => {
    const engine = await make()
    const snapshot = hashedSnapshot(config, 4)
    const wrong = { ...snapshot, lora: { ...snapshot.lora, rank: 5 } }
    assert.strictEqual((await failure(engine.restore("model", wrong, { optimizer: false }))).reason, "InvalidRequest")
    const sampler = engine.createSampler("sampler", { baseModel: "base", snapshot: wrong })
    assert.strictEqual((await failure(sampler)).reason, "InvalidRequest")
  })
})

describe("sampling", () => {
  it("reports the log-probabilities that training gives, for prompts longer than a chunk too", async () => {
    const engine = await makeTrained()
    for (const length of [1, 6, 300]) {
      const prompt = hashedTokens(9, length, config.vocabularySize)
      const { promptLogprobs, sequences } = await engine.sample("sampler", {
        ...request,
        prompt,
        numSamples: 3,
        promptLogprobs: true
      })
      for (const { logprobs, tokens } of sequences) {
        const row = Int32Array.from([...prompt, ...tokens])
        const { outputs } = await engine.forwardBackward("model", {
          data: [{ tokens: row.slice(0, -1), targetTokens: row.slice(1) }],
          loss: crossEntropy,
          gradient: false
        })
        assert.isNaN(promptLogprobs![0])
        const expected = outputs[0]!.logprobs
        assert.isBelow(maxDifference([...promptLogprobs!.slice(1), ...logprobs], expected), 1e-5)
      }
    }
  })

  it("lists the most probable tokens of each prompt position, the greedy choice first", async () => {
    const engine = await makeTrained()
    const { promptLogprobs, topkPromptLogprobs } = await engine.sample("sampler", {
      ...request,
      promptLogprobs: true,
      topkPromptLogprobs: 40
    })
    const { k, length, logprobs, tokenIds } = topkPromptLogprobs!
    assert.deepStrictEqual([k, length], [40, 6])
    assert.isTrue(logprobs.slice(0, 40).every((value) => value === -99999))
    for (let t = 1; t < 6; t++) {
      const row = Array.from(logprobs.slice(t * 40, (t + 1) * 40))
      assert.deepStrictEqual(row, row.slice().sort((a, b) => b - a))
      assert.closeTo(row.reduce((sum, value) => sum + Math.exp(value), 0), 1, 1e-5)
      const at = tokenIds.slice(t * 40, (t + 1) * 40).indexOf(request.prompt[t]!)
      assert.closeTo(row[at]!, promptLogprobs![t]!, 1e-6)
    }
    const greedy = await engine.sample("sampler", {
      ...request,
      prompt: request.prompt.slice(0, 5),
      temperature: 0,
      maxTokens: 1
    })
    assert.strictEqual(greedy.sequences[0]!.tokens[0], tokenIds[5 * 40])
  })

  it("scores chosen and drawn tokens of the prompt, and the best at each token of an answer", async () => {
    const engine = await makeTrained()
    const vocabulary = 40
    const { promptAltTokens, sequences, targetPromptLogprobs, topkPromptLogprobs } = await engine.sample("sampler", {
      ...request,
      temperature: 0,
      topkPromptLogprobs: vocabulary,
      topkSampleLogprobs: 2,
      promptAltTokensK: 1,
      targetPromptLogprobs: {
        offsets: Int32Array.of(0, 2, 2, 2, 2, 3),
        tokens: Int32Array.of(request.prompt[1]!, -1, 3)
      }
    })
    const logprob = (position: number, token: number) => {
      const row = topkPromptLogprobs!.tokenIds.subarray(position * vocabulary, (position + 1) * vocabulary)
      return topkPromptLogprobs!.logprobs[position * vocabulary + row.indexOf(token)]
    }
    assert.deepStrictEqual(Array.from(targetPromptLogprobs!), [logprob(1, request.prompt[1]!), 0, logprob(5, 3)])
    assert.strictEqual(promptAltTokens!.tokens.length, 5)
    for (let position = 1; position < 6; position++) {
      assert.strictEqual(promptAltTokens!.tokens[position - 1], topkPromptLogprobs!.tokenIds[position * vocabulary])
      assert.strictEqual(promptAltTokens!.logprobs[position - 1], topkPromptLogprobs!.logprobs[position * vocabulary])
    }
    const [{ logprobs, tokens, topkLogprobs }] = sequences as [Engine.SampledSequence]
    assert.deepStrictEqual([topkLogprobs!.k, topkLogprobs!.length], [2, tokens.length])
    assert.deepStrictEqual(topkLogprobs!.tokenIds.filter((_, i) => i % 2 === 0), tokens)
    assert.deepStrictEqual(topkLogprobs!.logprobs.filter((_, i) => i % 2 === 0), logprobs)
  })

  it("refuses targets that do not fit the prompt or the vocabulary", async () => {
    const engine = await makeTrained()
    for (const [offsets, tokens] of [[[0, 1], [1]], [[0, 1, 1, 1, 1, 1], [40]]] as const) {
      const error = await engine.sample("sampler", {
        ...request,
        targetPromptLogprobs: { offsets: Int32Array.from(offsets), tokens: Int32Array.from(tokens) }
      }).then(() => undefined, (error: unknown) => error)
      assert.strictEqual((error as Engine.EngineError).reason, "InvalidRequest")
    }
  })

  it("refuses numbers by which no token can be chosen, by the name of the field", async () => {
    const engine = await makeTrained()
    for (
      const [field, options] of [
        ["temperature", { temperature: Infinity }],
        ["temperature", { temperature: NaN }],
        ["temperature", { temperature: -1 }],
        ["topP", { topP: NaN }],
        ["topP", { topP: 1.5 }],
        ["topK", { topK: 0.5 }],
        ["topK", { topK: NaN }],
        ["seed", { seed: 0.5 }],
        ["seed", { seed: Infinity }]
      ] as const
    ) {
      const error = await failure(engine.sample("sampler", { ...request, ...options }))
      assert.strictEqual(error.reason, "InvalidRequest")
      assert.include(error.message, `${field} is `)
    }
  })

  it("repeats itself at temperature 0 and with the same seed; sample i uses the seed plus i", async () => {
    const engine = await makeTrained()
    const sample = async (change: Partial<Engine.SampleRequest>) =>
      (await engine.sample("sampler", { ...request, ...change })).sequences.map(({ tokens }) => Array.from(tokens))
    const greedy = await sample({ temperature: 0, numSamples: 2 })
    assert.deepStrictEqual(greedy[0], greedy[1])
    assert.deepStrictEqual(greedy, await sample({ temperature: 0, numSamples: 2, seed: 99 }))
    assert.deepStrictEqual(greedy[0], (await sample({ topK: 1 }))[0])

    const [first, second] = await sample({ numSamples: 2 })
    assert.notDeepEqual(first, second)
    assert.deepStrictEqual([first, second], await sample({ numSamples: 2 }))
    assert.deepStrictEqual([second], await sample({ seed: request.seed + 1 }))
  })

  it("ends with a stop token, which is kept, while other samples go on", async () => {
    const engine = await makeTrained()
    const free = (await engine.sample("sampler", { ...request, numSamples: 4 })).sequences
    const stop = free[1]!.tokens[2]!
    const stopped = (await engine.sample("sampler", { ...request, numSamples: 4, stopTokens: [stop] })).sequences
    for (const [i, { logprobs, stopReason, tokens }] of stopped.entries()) {
      const end = free[i]!.tokens.indexOf(stop)
      assert.strictEqual(stopReason, end < 0 ? "length" : "stop")
      assert.deepStrictEqual(tokens, end < 0 ? free[i]!.tokens : free[i]!.tokens.slice(0, end + 1))
      assert.strictEqual(logprobs.length, tokens.length)
    }
    assert.strictEqual(stopped[1]!.stopReason, "stop")
  })

  it("ends with the token that completes a stop text, across tokens", async () => {
    const decode = (tokens: ReadonlyArray<number>) => tokens.map((token) => String.fromCharCode(97 + token)).join("")
    const engine = await makeTrained({ decode })
    const [free] = (await engine.sample("sampler", request)).sequences
    const stop = decode(Array.from(free!.tokens.slice(4, 7)))
    const end = decode(Array.from(free!.tokens)).indexOf(stop) + 3
    const [stopped] = (await engine.sample("sampler", { ...request, stopStrings: ["\u0000", stop] })).sequences
    assert.strictEqual(stopped!.stopReason, "stop")
    assert.deepStrictEqual(stopped!.tokens, free!.tokens.slice(0, end))
  })

  it("refuses stop texts without a tokenizer", async () => {
    const engine = await makeTrained()
    const error = await failure(engine.sample("sampler", { ...request, stopStrings: ["."] }))
    assert.strictEqual(error.reason, "InvalidRequest")
  })

  it("stops at the end of the context and refuses a prompt that fills it", async () => {
    const engine = await makeTrained({ maxContextLength: 10 })
    const [sequence] = (await engine.sample("sampler", { ...request, maxTokens: 1000 })).sequences
    assert.strictEqual(sequence!.tokens.length, 4)
    assert.strictEqual(sequence!.stopReason, "length")
    const full = { ...request, prompt: hashedTokens(9, 10, config.vocabularySize) }
    assert.strictEqual((await failure(engine.sample("sampler", full))).reason, "InvalidRequest")
    const empty = { ...request, prompt: new Int32Array(0) }
    assert.strictEqual((await failure(engine.sample("sampler", empty))).reason, "InvalidRequest")
  })

  it("refuses to sample from an adapter whose logits overflow", async () => {
    const engine = await make()
    const { weights, ...rest } = hashedSnapshot(config, 4)
    const huge = new Map(Array.from(weights, ([name, { data, shape }]) => [
      name,
      { shape, data: data.map((value) => value * 1e20) }
    ]))
    await engine.createSampler("sampler", { baseModel: "base", snapshot: { ...rest, weights: huge } })
    assert.strictEqual((await failure(engine.sample("sampler", request))).reason, "NonFinite")
  })

  it("goes on while models are trained, and both have the numbers that they have alone", async () => {
    const [engine, other] = [await makeTrained({ maxActivationBytes: 1 }), await makeTrained({ maxActivationBytes: 1 })]
    const long = { ...request, maxTokens: 60 }
    const pass = { data, loss: crossEntropy, gradient: true }
    const [trained, sampled, step] = await Promise.all([
      engine.forwardBackward("model", pass),
      engine.sample("sampler", long),
      engine.forwardBackward("model", pass).then(() => engine.optimStep("model", adam))
    ])
    assert.deepStrictEqual(await other.forwardBackward("model", pass), trained)
    await other.forwardBackward("model", pass)
    assert.deepStrictEqual(await other.optimStep("model", adam), step)
    assert.deepStrictEqual(await other.sample("sampler", long), sampled)
  })

  it("ends between two tokens when it is told to", async () => {
    const engine = await makeTrained()
    const controller = new AbortController()
    const sampling = engine.sample("sampler", { ...request, maxTokens: 400 }, controller.signal)
    controller.abort(new Error("no longer wanted"))
    const error = await sampling.then(() => undefined, (error: unknown) => error)
    assert.strictEqual(String(error), "Error: no longer wanted")
  })

  it("draws as many samples as asked, in groups when their caches would not fit together", async () => {
    const roomy = await (await makeTrained()).sample("sampler", { ...request, numSamples: 7 })
    const tight = await (await makeTrained({ maxActivationBytes: 1 })).sample("sampler", { ...request, numSamples: 7 })
    assert.deepStrictEqual(tight.sequences.map(({ tokens }) => tokens), roomy.sequences.map(({ tokens }) => tokens))
  })
})
