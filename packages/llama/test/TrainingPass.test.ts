import type { Engine } from "@effect-tinker/engine"
import { assert, describe, it } from "@effect/vitest"
import * as Llama from "../src/Llama.js"
import * as OnnxRuntime from "../src/OnnxRuntime.js"
import * as TrainingGraph from "../src/TrainingGraph.js"
import * as TrainingPass from "../src/TrainingPass.js"
import { everything, hashedSnapshot, maxDifference, smallLlama } from "./internal/localEngine.js"
import { hashedTokens, hashedWeights } from "./internal/numbers.js"

const megabytes = 2 ** 20

/** Numbers from 0 to 1, the same for the same seed. */
const random = (seed: number): () => number => {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

/** Of the size of a real one. */
const large: Llama.Config = {
  ...smallLlama,
  vocabularySize: 2 ** 15,
  hiddenSize: 512,
  intermediateSize: 1408,
  layers: 8,
  heads: 8,
  keyValueHeads: 4,
  headDim: 64
}

const ofLengths = (...lengths: ReadonlyArray<number>) => lengths.map((length) => ({ tokens: new Int32Array(length) }))

describe("batches", () => {
  const rowsOf = (lengths: ReadonlyArray<number>, maxBytes: number, gradient = true) =>
    TrainingPass.batches(ofLengths(...lengths), large, gradient, maxBytes).map(({ rows }) => rows)

  it("hold as many sequences of like length as fit, the longest first, each once", () => {
    const lengths = [508, 512, 508, 512, 512, 508]
    assert.deepStrictEqual(rowsOf(lengths, 2048 * megabytes), [[1, 3, 4, 0, 2, 5]])
    assert.deepStrictEqual(rowsOf(lengths, 600 * megabytes), [[1, 3], [4, 0], [2, 5]])
    assert.deepStrictEqual(rowsOf(lengths, 1), [[1], [3], [4], [0], [2], [5]])
  })

  it("are of their own where sequences would be padded for more than a run costs", () => {
    assert.deepStrictEqual(rowsOf([100, 512, 100, 512, 512, 100], 2048 * megabytes), [[1, 3, 4], [0, 2, 5]])
    const shorts = new Array<number>(31).fill(8)
    assert.deepStrictEqual(rowsOf([...shorts, 256], 2048 * megabytes), [[31], shorts.map((_, i) => i)])
    // One run for all of them takes less than two.
    assert.deepStrictEqual(rowsOf([20, 8, 8], 2048 * megabytes), [[0, 1, 2]])
  })

  it("pad little, whatever the lengths are, and are few", () => {
    const next = random(7)
    for (let i = 0; i < 50; i++) {
      const longest = 2 ** (3 + Math.floor(8 * next()))
      const lengths = Array.from({ length: 1 + Math.floor(200 * next()) }, () => 1 + Math.floor(longest * next() ** 3))
      const batches = TrainingPass.batches(ofLengths(...lengths), large, true, 4096 * megabytes)
      const rows = batches.flatMap((batch) => batch.rows)
      assert.deepStrictEqual(rows.toSorted((a, b) => a - b), lengths.map((_, i) => i))
      const computed = batches.reduce((sum, batch) => sum + batch.rows.length * batch.length, 0)
      const tokens = lengths.reduce((sum, length) => sum + length, 0)
      const runs = 32 * batches.length
      // A batch for each doubling of the length pads to twice as much at most.
      assert.isAtMost(computed + runs, 2 * tokens + 32 * (1 + Math.log2(longest)), String(lengths))
    }
  })

  it("hold more where no gradient is wanted, and where the model is smaller", () => {
    const lengths = new Array<number>(8).fill(512)
    const withGradient = rowsOf(lengths, 640 * megabytes).length
    assert.isBelow(rowsOf(lengths, 640 * megabytes, false).length, withGradient)
    const half = TrainingPass.batches(ofLengths(...lengths), { ...large, layers: 4 }, true, 640 * megabytes)
    assert.isBelow(half.length, withGradient)
  })

  it("are of sequences with as many targets a token", () => {
    const data = ofLengths(50, 60, 70).map((datum, i) => i === 1 ? { ...datum, targetsPerToken: 3 } : datum)
    const batches = TrainingPass.batches(data, large, true, 1024 * megabytes)
    assert.deepStrictEqual(batches.map(({ rows, targetsPerToken }) => [targetsPerToken, rows]), [[1, [2, 0]], [3, [1]]])
  })
})

describe("the layers", () => {
  const recomputed = (lengths: ReadonlyArray<number>, maxBytes: number, gradient = true) =>
    TrainingPass.batches(ofLengths(...lengths), large, gradient, maxBytes).map(({ recompute }) => recompute)

  it("are computed again where not even one sequence fits with what is in them, and only for a gradient", () => {
    assert.deepStrictEqual(recomputed([512], 1024 * megabytes), [false])
    assert.deepStrictEqual(recomputed([512], 64 * megabytes), [true])
    assert.deepStrictEqual(recomputed([512, 64], 64 * megabytes), [true, false])
    assert.deepStrictEqual(recomputed([512], 64 * megabytes, false), [false])
  })

  it("that are computed again leave room for more sequences", () => {
    const lengths = [1024, 1024, 1024, 1024]
    const batches = TrainingPass.batches(ofLengths(...lengths), large, true, 400 * megabytes)
    assert.deepStrictEqual(batches.map(({ recompute, rows }) => [recompute, rows.length]), [[true, 2], [true, 2]])
  })
})

describe("the vocabulary head", () => {
  it("takes the rows in parts whose logits are of bounded size, at least a row each", () => {
    const chunks = [1, 256, 257, 512, 4096, 5000].map((rows) => TrainingPass.headChunks(large, rows, 1))
    assert.deepStrictEqual(chunks, [1, 1, 2, 2, 16, 32])
    assert.deepStrictEqual(
      [1, 2, 3, 4].map((rows) => TrainingPass.headChunks({ ...large, vocabularySize: 2 ** 30 }, rows, 1)),
      [1, 2, 2, 4]
    )
    // Of so many targets the rows of the weight take more than the logits.
    assert.deepStrictEqual([1, 64, 128].map((targets) => TrainingPass.headChunks(large, 256, targets)), [1, 1, 2])
  })
})

describe("the pass", () => {
  const runtime = OnnxRuntime.load({ threads: 1 })
  const config: Llama.Config = { ...smallLlama, vocabularySize: 2 ** 17, hiddenSize: 8, tiedEmbeddings: true }
  const weights = hashedWeights(Llama.weightShapes(config))
  const { lora, weights: tensors } = hashedSnapshot(config, 2)
  const adapter = new Map(Array.from(tensors, ([name, { data }]) => [name, data]))
  const data = [1, 2].map((stream): Engine.TrainingDatum => {
    const row = hashedTokens(stream, 41, config.vocabularySize)
    return { tokens: row.slice(0, -1), targetTokens: row.slice(1) }
  })

  /** The gradient with this limit, and the graphs that were compiled for it. */
  const run = async (maxActivationBytes: number) => {
    const onnx = await runtime
    const graphs: Array<Uint8Array> = []
    const pass = TrainingPass.make({
      runtime: {
        ...onnx,
        session: (...model) => {
          graphs.push(model[0])
          return onnx.session(...model)
        }
      },
      config,
      weights,
      maxActivationBytes
    })
    const result = await pass.run({
      lora,
      adapter,
      data,
      loss: { _tag: "cross_entropy" },
      gradient: true
    })
    return { ...result, graphs }
  }
  const graph = (form: Pick<TrainingGraph.Options, "recompute" | "headChunks">) =>
    TrainingGraph.make({ config, targets: everything, gradient: true, ...form })

  it("gives uneven sequences their results in the order given, as each has them alone", async () => {
    const lengths = [
      3,
      120,
      3,
      90,
      5,
      3,
      118,
      4,
      3,
      3,
      3,
      3,
      3,
      3,
      3,
      3,
      3,
      3,
      3,
      3,
      3,
      3,
      3,
      3,
      3,
      3,
      3,
      3,
      3,
      3,
      3,
      3
    ]
    const uneven = lengths.map((length, i): Engine.TrainingDatum => {
      const row = hashedTokens(10 + i, length + 1, config.vocabularySize)
      return { tokens: row.slice(0, -1), targetTokens: row.slice(1) }
    })
    assert.isAbove(TrainingPass.batches(uneven, config, true, 256 * megabytes).length, 1)
    const pass = TrainingPass.make({ runtime: await runtime, config, weights, maxActivationBytes: 256 * megabytes })
    const run = (data: ReadonlyArray<Engine.TrainingDatum>) =>
      pass.run({ lora, adapter, data, loss: { _tag: "cross_entropy" }, gradient: true })
    const together = await run(uneven)
    const sums = new Map<string, Float32Array>()
    for (const [i, datum] of uneven.entries()) {
      const { gradients, outputs: [alone] } = await run([datum])
      assert.strictEqual(together.outputs[i]!.logprobs.length, lengths[i])
      assert.isBelow(maxDifference(together.outputs[i]!.logprobs, alone!.logprobs), 1e-5, `sequence ${i}`)
      for (const [name, gradient] of gradients) TrainingPass.accumulate(sums, name, gradient)
    }
    for (const [name, gradient] of together.gradients) {
      const size = maxDifference(gradient, new Float32Array(gradient.length))
      assert.isBelow(maxDifference(sums.get(name)!, gradient), 2e-6 * size, name)
    }
  })

  it("has the form that was chosen, and the same numbers in each", async () => {
    const together = await run(64 * megabytes)
    const apart = await run(1)
    const plain = graph({ recompute: false, headChunks: 1 })
    const chunked = graph({ recompute: false, headChunks: 2 })
    const recomputed = graph({ recompute: true, headChunks: 1 })
    assert.isAbove(chunked.length, plain.length)
    assert.isAbove(recomputed.length, plain.length)
    assert.deepStrictEqual([together.graphs, apart.graphs], [[chunked], [recomputed]])
    assert.closeTo(apart.loss, together.loss, 1e-6 * together.loss)
    for (const [name, gradient] of together.gradients) {
      const size = maxDifference(gradient, new Float32Array(gradient.length))
      assert.isBelow(maxDifference(apart.gradients.get(name)!, gradient), 1e-6 * size, name)
    }
  })
})
