import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { BigramEngine, type Engine, Sampler } from "../src/index.js"

const lora: Engine.LoraSpec = { rank: 8, seed: 0, trainAttn: true, trainMlp: true, trainUnembed: true }
const settings = { baseModel: BigramEngine.defaultBaseModel, lora }
const adam: Engine.AdamWParams = {
  learningRate: 0.1,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-12,
  weightDecay: 0,
  gradClipNorm: 0
}
const crossEntropy: Engine.Loss = { _tag: "cross_entropy" }

const datum = (text: string): Engine.TrainingDatum => {
  const bytes = Int32Array.from(new TextEncoder().encode(text))
  return { tokens: bytes.subarray(0, -1), targetTokens: bytes.subarray(1) }
}

const request = (prompt: string, options: Partial<Engine.SampleRequest> = {}): Engine.SampleRequest => ({
  prompt: Int32Array.from(new TextEncoder().encode(prompt)),
  numSamples: 1,
  maxTokens: 10,
  temperature: 1,
  topK: -1,
  topP: 1,
  seed: 0,
  stopTokens: [],
  stopStrings: [],
  promptLogprobs: false,
  topkPromptLogprobs: 0,
  ...options
})

const text = (sequence: Engine.SampledSequence) => new TextDecoder().decode(Uint8Array.from(sequence.tokens))

const engineWithModel = Effect.gen(function*() {
  const engine = BigramEngine.make()
  yield* engine.createModel("m", settings)
  return engine
})

/** Trains `steps` steps on the texts and gives the loss of each. */
const train = (engine: Engine.Service, modelId: string, texts: ReadonlyArray<string>, steps: number) =>
  Effect.gen(function*() {
    const losses: Array<number> = []
    for (let i = 0; i < steps; i++) {
      const options = { data: texts.map(datum), loss: crossEntropy, gradient: true }
      losses.push((yield* engine.forwardBackward(modelId, options)).loss)
      yield* engine.optimStep(modelId, adam)
    }
    return losses
  })

const memorized = "the keeper lit"

describe("BigramEngine", () => {
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
    it.effect(`refuses ${JSON.stringify(Object.entries(options)[0]!.map(String))} by the name of the field`, () =>
      Effect.gen(function*() {
        const engine = yield* engineWithModel
        yield* engine.createSampler("s", { baseModel: BigramEngine.defaultBaseModel })
        const error = yield* Effect.flip(engine.sample("s", request("a", options)))
        assert.strictEqual(error.reason, "InvalidRequest")
        assert.include(error.message, `${field} is `)
      }))
  }

  it.effect("learns a text and then says it", () =>
    Effect.gen(function*() {
      const engine = yield* engineWithModel
      const losses = yield* train(engine, "m", ["abcdefg"], 60)
      assert.isBelow(losses.at(-1)!, losses[0]! / 10)
      yield* engine.createSampler("s", { ...settings, snapshot: yield* engine.snapshot("m") })
      const { sequences } = yield* engine.sample("s", request("a", { temperature: 0, maxTokens: 6 }))
      assert.strictEqual(text(sequences[0]!), "bcdefg")
      assert.strictEqual(sequences[0]!.stopReason, "length")
    }))

  it.effect("gives the derivative of its loss", () =>
    Effect.gen(function*() {
      const engine = BigramEngine.make({ vocabularySize: 5 })
      yield* engine.createModel("m", settings)
      const data: ReadonlyArray<Engine.TrainingDatum> = [{
        tokens: Int32Array.from([0, 1, 1]),
        targetTokens: Int32Array.from([1, 1, 4]),
        weights: Float32Array.from([1, -0.5, 2])
      }]
      const start = yield* engine.snapshot("m")
      const name = [...start.weights.keys()][0]!
      const lossAt = (index: number, h: number) =>
        Effect.gen(function*() {
          const values = start.weights.get(name)!
          const moved = values.data.slice()
          moved[index]! += h
          yield* engine.restore("moved", { ...start, weights: new Map([[name, { ...values, data: moved }]]) }, {
            optimizer: false
          })
          return (yield* engine.forwardBackward("moved", { data, loss: crossEntropy, gradient: false })).loss
        })
      // With β₁ = 0 the first moment is the gradient.
      yield* engine.forwardBackward("m", { data, loss: crossEntropy, gradient: true })
      yield* engine.optimStep("m", { ...adam, beta1: 0 })
      const gradient = (yield* engine.snapshot("m")).expAvg.get(name)!.data
      for (let i = 0; i < gradient.length; i++) {
        const difference = ((yield* lossAt(i, 1e-2)) - (yield* lossAt(i, -1e-2))) / 2e-2
        assert.closeTo(gradient[i]!, difference, 2e-4, `entry ${i}`)
      }
    }))

  it.effect("scores several targets a token, each with a weight, as so many data would", () =>
    Effect.gen(function*() {
      const engine = BigramEngine.make({ vocabularySize: 5 })
      const tokens = Int32Array.from([0, 1, 1])
      const soft: Engine.TrainingDatum = {
        tokens,
        targetTokens: Int32Array.from([1, 2, 0, 4, 4, 3]),
        targetsPerToken: 2,
        weights: Float32Array.from([0.25, 0.75, 1, 0, -1, 2])
      }
      const column = (k: number): Engine.TrainingDatum => ({
        tokens,
        targetTokens: soft.targetTokens.filter((_, i) => i % 2 === k),
        weights: soft.weights!.filter((_, i) => i % 2 === k)
      })
      const run = (id: string, data: ReadonlyArray<Engine.TrainingDatum>) =>
        Effect.gen(function*() {
          yield* engine.createModel(id, settings)
          const result = yield* engine.forwardBackward(id, { data, loss: crossEntropy, gradient: true })
          yield* engine.optimStep(id, { ...adam, beta1: 0 })
          return { ...result, gradient: Array.from((yield* engine.snapshot(id)).expAvg.values())[0]!.data }
        })
      const one = yield* run("one", [soft])
      const two = yield* run("two", [column(0), column(1)])
      assert.closeTo(one.loss, two.loss, 1e-6)
      one.gradient.forEach((value, i) => assert.closeTo(value, two.gradient[i]!, 1e-6))
      assert.deepStrictEqual(one.outputs[0]!.logprobs.filter((_, i) => i % 2 === 1), two.outputs[1]!.logprobs)
      assert.strictEqual(one.outputs[0]!.elementwiseLoss[3], 0)
    }))

  it.effect("adds the gradients of several calls, and a forward pass adds none", () =>
    Effect.gen(function*() {
      const engine = yield* engineWithModel
      yield* engine.createModel("other", settings)
      const pass = (model: string, texts: ReadonlyArray<string>, gradient: boolean) =>
        engine.forwardBackward(model, { data: texts.map(datum), loss: crossEntropy, gradient })
      yield* pass("m", ["hello", "world"], true)
      yield* pass("other", ["hello"], true)
      yield* pass("other", ["hello"], false)
      yield* pass("other", ["world"], true)
      const together = yield* engine.optimStep("m", adam)
      const apart = yield* engine.optimStep("other", adam)
      assert.closeTo(together.unclippedGradNorm, apart.unclippedGradNorm, 1e-6)
      assert.isAbove(together.unclippedGradNorm, 0)
    }))

  it.effect("goes on bit for bit from a snapshot with what was accumulated since", () =>
    Effect.gen(function*() {
      const engine = yield* engineWithModel
      const pass = (model: string, text: string) =>
        engine.forwardBackward(model, { data: [datum(text)], loss: crossEntropy, gradient: true })
      yield* pass("m", "hello")
      yield* engine.optimStep("m", adam)
      assert.isUndefined(yield* engine.accumulated("m"))
      yield* pass("m", "hello")
      const snapshot = yield* engine.snapshot("m")
      const accumulated = yield* engine.accumulated("m")
      yield* engine.restore("resumed", snapshot, { optimizer: true, accumulated })
      for (const model of ["m", "resumed"]) {
        yield* pass(model, "world")
        yield* engine.optimStep(model, adam)
      }
      assert.deepStrictEqual(yield* engine.snapshot("resumed"), yield* engine.snapshot("m"))
    }))

  it.effect("takes no optimizer step without a gradient", () =>
    Effect.gen(function*() {
      const engine = yield* engineWithModel
      yield* train(engine, "m", [memorized], 3)
      const before = yield* engine.snapshot("m")
      assert.deepStrictEqual(yield* engine.optimStep("m", adam), { unclippedGradNorm: 0 })
      assert.deepStrictEqual(yield* engine.snapshot("m"), before)
    }))

  it.effect("goes on from a snapshot with its optimizer exactly as if never stopped", () =>
    Effect.gen(function*() {
      const engine = yield* engineWithModel
      yield* train(engine, "m", [memorized], 4)
      yield* engine.restore("resumed", yield* engine.snapshot("m"), { optimizer: true })
      yield* train(engine, "m", [memorized], 3)
      yield* train(engine, "resumed", [memorized], 3)
      assert.deepStrictEqual(yield* engine.snapshot("resumed"), yield* engine.snapshot("m"))
    }))

  it.effect("begins with a fresh optimizer when only the weights are restored", () =>
    Effect.gen(function*() {
      const engine = yield* engineWithModel
      yield* train(engine, "m", [memorized], 4)
      const snapshot = yield* engine.snapshot("m")
      yield* engine.restore("resumed", snapshot, { optimizer: false })
      const restored = yield* engine.snapshot("resumed")
      assert.deepStrictEqual(restored.weights, snapshot.weights)
      assert.strictEqual(restored.step, 0)
      assert.strictEqual(restored.expAvg.size, 0)
    }))

  it.effect("samples with the log-probabilities that training sees", () =>
    Effect.gen(function*() {
      const engine = yield* engineWithModel
      yield* train(engine, "m", [memorized], 5)
      yield* engine.createSampler("s", { ...settings, snapshot: yield* engine.snapshot("m") })
      const { promptLogprobs, sequences } = yield* engine.sample("s", request("th", { promptLogprobs: true }))
      const all = Int32Array.from([...new TextEncoder().encode("th"), ...sequences[0]!.tokens])
      const { outputs } = yield* engine.forwardBackward("m", {
        data: [{ tokens: all.subarray(0, -1), targetTokens: all.subarray(1) }],
        loss: crossEntropy,
        gradient: false
      })
      assert.deepStrictEqual([...outputs[0]!.logprobs], [promptLogprobs![1]!, ...sequences[0]!.logprobs])
      assert.isNaN(promptLogprobs![0])
    }))

  it.effect("a sampler keeps the weights that it was made from", () =>
    Effect.gen(function*() {
      const engine = yield* engineWithModel
      yield* engine.createSampler("s", { ...settings, snapshot: yield* engine.snapshot("m") })
      yield* engine.createSampler("base", { baseModel: settings.baseModel })
      yield* train(engine, "m", [memorized], 5)
      assert.deepStrictEqual(yield* engine.sample("s", request("t")), yield* engine.sample("base", request("t")))
    }))

  it.effect("draws sample i with the seed plus i", () =>
    Effect.gen(function*() {
      const engine = BigramEngine.make()
      yield* engine.createSampler("s", settings)
      const three = yield* engine.sample("s", request("a", { numSamples: 3, seed: 5 }))
      const third = yield* engine.sample("s", request("a", { seed: 7 }))
      assert.deepStrictEqual(three.sequences[2], third.sequences[0])
      assert.notDeepEqual(three.sequences[0], three.sequences[1])
    }))

  it.effect("draws what the sampler draws, under any setting", () =>
    Effect.gen(function*() {
      const engine = BigramEngine.make()
      yield* engine.createSampler("s", { baseModel: settings.baseModel, snapshot: undefined })
      for (
        const [temperature, topK, topP] of [[1, -1, 1], [0.3, -1, 1], [2, 40, 1], [1, -1, 0.5], [1, 9, 0.7], [0, -1, 1]]
      ) {
        const options = { temperature: temperature!, topK: topK!, topP: topP!, seed: 11, maxTokens: 60 }
        const { sequences } = yield* engine.sample("s", request("a", { ...options, topkSampleLogprobs: 256 }))
        const { tokens, topkLogprobs } = sequences[0]!
        const random = Sampler.makeRandom(11)
        const drawn = Array.from(tokens, (_, i) => {
          const logits = new Float32Array(256)
          for (let j = 256 * i; j < 256 * (i + 1); j++) {
            logits[topkLogprobs!.tokenIds[j]!] = topkLogprobs!.logprobs[j]!
          }
          return Sampler.draw(Sampler.distribution(logits, options), random)
        })
        assert.deepStrictEqual(Array.from(tokens), drawn)
      }
    }))

  it.effect("stops after the token of a stop, or the one that completes a stop string", () =>
    Effect.gen(function*() {
      const engine = yield* engineWithModel
      yield* train(engine, "m", ["abcdefg"], 60)
      yield* engine.createSampler("s", { ...settings, snapshot: yield* engine.snapshot("m") })
      const greedy = { temperature: 0, maxTokens: 6 }
      const byToken = yield* engine.sample("s", request("a", { ...greedy, stopTokens: [100] }))
      assert.strictEqual(text(byToken.sequences[0]!), "bcd")
      const byString = yield* engine.sample("s", request("a", { ...greedy, stopStrings: ["zz", "de"] }))
      assert.strictEqual(text(byString.sequences[0]!), "bcde")
      assert.strictEqual(byString.sequences[0]!.stopReason, "stop")
    }))

  it.effect("reports the best tokens at each place of the prompt", () =>
    Effect.gen(function*() {
      const engine = BigramEngine.make({ vocabularySize: 5 })
      yield* engine.createSampler("s", settings)
      const prompt = Int32Array.from([1, 2])
      const result = yield* engine.sample("s", { ...request(""), prompt, promptLogprobs: true, topkPromptLogprobs: 6 })
      const { k, length, logprobs, tokenIds } = result.topkPromptLogprobs!
      assert.deepStrictEqual([k, length], [6, 2])
      assert.deepStrictEqual([...logprobs.subarray(0, 6)], new Array(6).fill(-99999))
      assert.deepStrictEqual([...tokenIds.subarray(6, 11)].sort(), [0, 1, 2, 3, 4])
      assert.strictEqual(logprobs[11], -99999)
      assert.strictEqual(logprobs[6 + tokenIds.subarray(6).indexOf(2)], result.promptLogprobs![1])
    }))

  it.effect("refuses what it cannot compute, and changes nothing", () =>
    Effect.gen(function*() {
      const engine = yield* engineWithModel
      const reason = <A>(effect: Effect.Effect<A, Engine.EngineError>) =>
        Effect.map(Effect.flip(effect), (error) => error.reason)
      const pass = (datum: Engine.TrainingDatum, loss: Engine.Loss = crossEntropy) =>
        engine.forwardBackward("m", { data: [datum], loss, gradient: true })
      const good = datum("ab")
      assert.strictEqual(yield* reason(engine.createModel("n", { ...settings, baseModel: "?" })), "UnknownModel")
      assert.strictEqual(
        yield* reason(engine.createModel("n", { ...settings, lora: { ...lora, rank: 65 } })),
        "InvalidRequest"
      )
      assert.strictEqual(yield* reason(engine.optimStep("n", adam)), "UnknownModel")
      assert.strictEqual(yield* reason(engine.sample("n", request("a"))), "UnknownModel")
      assert.strictEqual(yield* reason(pass({ ...good, tokens: Int32Array.from([256]) })), "InvalidRequest")
      assert.strictEqual(yield* reason(pass({ ...good, weights: new Float32Array(2) })), "InvalidRequest")
      assert.strictEqual(
        yield* reason(pass(
          { ...good, logprobs: Float32Array.from([-1000]), advantages: Float32Array.from([1]) },
          { _tag: "importance_sampling" }
        )),
        "NonFinite"
      )
      assert.deepStrictEqual(yield* engine.optimStep("m", adam), { unclippedGradNorm: 0 })
      yield* engine.createSampler("s", settings)
      assert.strictEqual(yield* reason(engine.sample("s", request("a", { maxTokens: 1024 }))), "InvalidRequest")
      assert.strictEqual(yield* reason(engine.sample("s", request(""))), "InvalidRequest")
    }))

  const weighted = (weight: number) => ({
    data: [{ ...datum("ab"), weights: Float32Array.from([weight]) }],
    loss: crossEntropy,
    gradient: true
  })

  it.effect("refuses what leads the sum of gradients out of the finite numbers, and changes nothing", () =>
    Effect.gen(function*() {
      const engine = yield* engineWithModel
      const state = Effect.all([engine.snapshot("m"), engine.accumulated("m")])
      for (let pass = 0; pass < 6; pass++) yield* engine.forwardBackward("m", weighted(5e37))
      const largest = yield* state
      assert.strictEqual((yield* Effect.flip(engine.forwardBackward("m", weighted(5e37)))).reason, "NonFinite")
      assert.deepStrictEqual(yield* state, largest)
      yield* engine.optimStep("m", { ...adam, gradClipNorm: 1 })
      assert.strictEqual((yield* engine.snapshot("m")).step, 1)
    }))

  it.effect("drops a gradient by which no step can be taken, changes nothing else, and takes the next one", () =>
    Effect.gen(function*() {
      const engine = yield* engineWithModel
      yield* engine.createModel("clean", settings)
      const both = (call: (id: string) => Effect.Effect<unknown, Engine.EngineError>) =>
        Effect.forEach(["m", "clean"], call)
      yield* both((id) => engine.forwardBackward(id, weighted(1)))
      yield* both((id) => engine.optimStep(id, adam))
      yield* engine.forwardBackward("m", weighted(1e22))
      const error = yield* Effect.flip(engine.optimStep("m", adam))
      assert.strictEqual(error.reason, "NonFinite")
      assert.include(error.description, "is dropped, and nothing else has changed: go on with the next pass")
      assert.include(error.description, "grad_clip_norm")
      assert.isUndefined(yield* engine.accumulated("m"))
      assert.deepStrictEqual(yield* engine.snapshot("m"), yield* engine.snapshot("clean"))
      yield* both((id) => engine.forwardBackward(id, weighted(2)))
      const [norm, clean] = yield* both((id) => engine.optimStep(id, adam))
      assert.deepStrictEqual(norm, clean)
      assert.deepStrictEqual(yield* engine.snapshot("m"), yield* engine.snapshot("clean"))
    }))

  it.effect("forgets models and samplers, once or twice", () =>
    Effect.gen(function*() {
      const engine = yield* engineWithModel
      yield* engine.createSampler("s", settings)
      yield* Effect.repeatN(Effect.zipRight(engine.unloadModel("m"), engine.unloadSampler("s")), 1)
      assert.strictEqual((yield* Effect.flip(engine.snapshot("m"))).reason, "UnknownModel")
      assert.strictEqual((yield* Effect.flip(engine.sample("s", request("a")))).reason, "UnknownModel")
    }))

  it.effect("takes as long as it is told, on the clock", () =>
    Effect.gen(function*() {
      const engine = BigramEngine.make({ stepDuration: "3 seconds" })
      yield* engine.createModel("m", settings)
      const fiber = yield* Effect.fork(train(engine, "m", ["ab"], 1))
      yield* TestClock.adjust("5 seconds")
      assert.isTrue((yield* Fiber.poll(fiber))._tag === "None")
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).length, 1)
    }))

  it.effect("makes the same base model from the same seed, and others from others", () =>
    Effect.gen(function*() {
      const first = (seed: number) => {
        const engine = BigramEngine.make({ seed, vocabularySize: 4 })
        return Effect.zipRight(
          engine.createSampler("s", settings),
          engine.sample("s", { ...request(""), prompt: Int32Array.from([1]) })
        )
      }
      assert.deepStrictEqual(yield* first(1), yield* first(1))
      assert.notDeepEqual(yield* first(1), yield* first(2))
    }))
})
