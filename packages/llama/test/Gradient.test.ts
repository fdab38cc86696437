import { assert, describe, it } from "@effect/vitest"
import * as Attention from "../src/Attention.js"
import * as Gradient from "../src/Gradient.js"
import { Graph } from "../src/Graph.js"
import type { Tensor } from "../src/Graph.js"
import * as Llama from "../src/Llama.js"
import * as Lora from "../src/Lora.js"
import * as OnnxRuntime from "../src/OnnxRuntime.js"
import * as Operators from "../src/Operators.js"
import * as TrainingGraph from "../src/TrainingGraph.js"
import * as VocabularyHead from "../src/VocabularyHead.js"
import { hashed, hashedTokens, hashedWeights } from "./internal/numbers.js"

/** A graph's inputs by name; the differentiated ones are float64. */
interface Case {
  readonly inputs: Readonly<Record<string, ReadonlyArray<number>>>
  readonly fixed?: Readonly<Record<string, { readonly shape: ReadonlyArray<number>; readonly data: ArrayLike<number> }>>
  readonly build: (graph: Graph, input: (name: string) => Tensor) => Tensor
}

const runtime = OnnxRuntime.load({ threads: 1 })

const size = (shape: ReadonlyArray<number>) => shape.reduce((product, dim) => product * dim, 1)

/** Compares the gradient of `Σ cotangent·output` by every entry of every input with central differences. */
const check = async ({ build, fixed = {}, inputs }: Case): Promise<void> => {
  const onnx = await runtime
  const graph = new Graph("float64")
  const tensors = new Map(Object.entries(inputs).map(([name, shape]) => [name, graph.input(name, shape)]))
  const output = build(graph, (name) => {
    const given = fixed[name]
    if (given === undefined) return tensors.get(name)!
    return graph.input(name, given.shape, "int64")
  })
  const cotangent = graph.input("cotangent", output.shape)
  const gradients = Gradient.append(graph, [{ output, cotangent }], Array.from(tensors.values()))
  graph.output("y", output)
  Array.from(tensors.keys()).forEach((name, i) => graph.output(`gradient:${name}`, gradients[i]!))
  const session = await onnx.session(graph.encode())

  const values = new Map(
    Object.entries(inputs).map(([name, shape], stream) => [
      name,
      Float64Array.from({ length: size(shape) }, (_, i) => hashed(stream, i))
    ])
  )
  const outputSize = size(output.shape.map(Number))
  const weights = Float64Array.from({ length: outputSize }, (_, i) => hashed(99, i))
  const run = () =>
    session.run({
      cotangent: onnx.float64(weights, output.shape.map(Number)),
      ...Object.fromEntries(Object.entries(fixed).map(([name, { data, shape }]) => [name, onnx.int64(data, shape)])),
      ...Object.fromEntries(
        Object.entries(inputs).map(([name, shape]) => [name, onnx.float64(values.get(name)!, shape)])
      )
    })
  const value = async () => {
    const y = (await run())["y"]!.data as Float64Array
    return y.reduce((sum, each, i) => sum + each * weights[i]!, 0)
  }

  const results = await run()
  for (const [name, array] of values) {
    const gradient = results[`gradient:${name}`]!.data as Float64Array
    for (let i = 0; i < array.length; i++) {
      const difference = await centralDifference(array, i, value)
      assert.closeTo(gradient[i]!, difference, 1e-7 * (1 + Math.abs(difference)), `${name}[${i}]`)
    }
  }
  await session.release()
}

const centralDifference = async (array: Float64Array, index: number, value: () => Promise<number>) => {
  const step = 1e-5
  const original = array[index]!
  array[index] = original + step
  const above = await value()
  array[index] = original - step
  const below = await value()
  array[index] = original
  return (above - below) / (2 * step)
}

describe("the gradient of an operator equals finite differences", () => {
  it("embedding, with a token that occurs twice", () =>
    check({
      inputs: { weight: [5, 3] },
      fixed: { tokens: { shape: [4], data: [2, 0, 2, 4] } },
      build: (graph, input) => Operators.embedding(graph, input("weight"), input("tokens"))
    }))

  it("residual, of a tensor with itself too", () =>
    check({
      inputs: { a: [2, 3], b: [2, 3] },
      build: (graph, input) => {
        const sum = Operators.residual(graph, input("a"), input("b"))
        return Operators.residual(graph, sum, Operators.residual(graph, sum, sum))
      }
    }))

  it("linear, with bias and adapter", () =>
    check({
      inputs: { x: [3, 4], weight: [5, 4], bias: [5], a: [2, 4], b: [5, 2] },
      build: (graph, input) =>
        Operators.linear(graph, input("x"), {
          weight: input("weight"),
          bias: input("bias"),
          adapter: { a: input("a"), b: input("b"), scale: graph.scalar(1.5) }
        })
    }))

  it("two linear maps of one input, whose cotangents add", () =>
    check({
      inputs: { x: [3, 4], one: [2, 4], two: [2, 4] },
      build: (graph, input) =>
        Operators.residual(
          graph,
          Operators.linear(graph, input("x"), { weight: input("one") }),
          Operators.linear(graph, input("x"), { weight: input("two") })
        )
    }))

  it("RMSNorm of whole rows", () =>
    check({
      inputs: { x: [3, 6], weight: [6] },
      build: (graph, input) => Operators.rmsNorm(graph, input("x"), input("weight"), 1e-3)
    }))

  it("RMSNorm of each head", () =>
    check({
      inputs: { x: [3, 8], weight: [4] },
      build: (graph, input) => Operators.rmsNorm(graph, input("x"), input("weight"), 1e-3)
    }))

  it("SwiGLU", () =>
    check({
      inputs: { gate: [3, 4], up: [3, 4] },
      build: (graph, input) => Operators.swiGlu(graph, input("gate"), input("up"))
    }))

  it("rotary positions", () =>
    check({
      inputs: { x: [6, 8] },
      fixed: { tokens: { shape: [2, 3], data: [0, 0, 0, 0, 0, 0] } },
      build: (graph, input) => {
        const angles = Array.from({ length: 6 }, (_, i) => hashed(7, i))
        return Operators.rope(graph, input("x"), {
          cos: graph.constant("cos", [3, 2], Float64Array.from(angles, Math.cos)),
          sin: graph.constant("sin", [3, 2], Float64Array.from(angles, Math.sin)),
          positions: graph.integers([0]),
          batch: graph.shapeOf(input("tokens"))
        })
      }
    }))

  for (const [name, keyValueHeads] of [["a key head each", 4], ["two query heads to a key head", 2]] as const) {
    it(`attention with ${name}`, () =>
      check({
        inputs: { q: [6, 8], k: [6, 2 * keyValueHeads], v: [6, 2 * keyValueHeads] },
        fixed: { tokens: { shape: [2, 3], data: [0, 0, 0, 0, 0, 0] } },
        build: (graph, input) => {
          const layout = Attention.layout(graph, input("tokens"), { heads: 4, keyValueHeads, headDim: 2 })
          return Attention.attention(graph, input("q"), input("k"), input("v"), layout)
        }
      }))
  }

  it("vocabulary head, weights and all", () =>
    check({
      inputs: { x: [3, 4], weight: [6, 4] },
      fixed: { targets: { shape: [3], data: [5, 1, 1] } },
      build: (graph, input) => VocabularyHead.logprobs(graph, input("x"), input("weight"), input("targets"))
    }))

  it("layers that are computed again, with what they share", () =>
    check({
      inputs: { x: [3, 4], weight: [4, 4] },
      build: (graph, input) => {
        const layer = (x: Tensor) =>
          Operators.residual(
            graph,
            x,
            Operators.linear(graph, Operators.swiGlu(graph, x, x), { weight: input("weight") })
          )
        return Gradient.recomputed(graph, Gradient.recomputed(graph, layer(input("x")), layer), layer)
      }
    }))
})

/** Of each tensor that are compared. */
const entries = process.env["TINKER_TEST_LONG"] === "1" ? 20 : 4

describe("the gradient of a whole training pass equals finite differences", () => {
  const base: Llama.Config = {
    vocabularySize: 11,
    hiddenSize: 8,
    intermediateSize: 12,
    layers: 2,
    heads: 4,
    keyValueHeads: 2,
    headDim: 4,
    normEpsilon: 1e-5,
    ropeTheta: 100,
    tiedEmbeddings: false,
    attentionBias: false,
    queryKeyNorm: false
  }
  const flavours = {
    llama: base,
    qwen2: { ...base, attentionBias: true, tiedEmbeddings: true },
    qwen3: { ...base, queryKeyNorm: true, headDim: 6 }
  }
  const unbounded = { low: -Infinity, high: Infinity, beta: 0 }
  // What cispo clips counts as a constant, which differences do not see: it is not among them.
  const losses = {
    cross_entropy: unbounded,
    importance_sampling: unbounded,
    ppo: { ...unbounded, low: 0.8, high: 1.2 },
    dro: { ...unbounded, beta: 0.3 }
  }
  const forms = {
    "": { recompute: false, headChunks: 1 },
    ", in parts": { recompute: true, headChunks: 3 }
  }
  const cases = Object.entries(flavours).flatMap(([flavour, config]) =>
    (["cross_entropy", "importance_sampling", "ppo"] as const).map((loss) => ({
      flavour,
      config,
      loss: loss as keyof typeof losses,
      perToken: 1,
      form: "" as keyof typeof forms
    }))
  )
  cases.push(
    { flavour: "llama", config: flavours.llama, loss: "dro", perToken: 1, form: "" },
    { flavour: "llama", config: flavours.llama, loss: "cross_entropy", perToken: 2, form: "" },
    { flavour: "qwen3", config: flavours.qwen3, loss: "ppo", perToken: 1, form: ", in parts" },
    { flavour: "qwen2", config: flavours.qwen2, loss: "cross_entropy", perToken: 2, form: ", in parts" }
  )

  for (const { config, flavour, form, loss, perToken } of cases) {
    const settings = losses[loss]
    it(`${flavour}, ${loss}${perToken > 1 ? " of several targets" : ""}${form}`, async () => {
      const onnx = await runtime
      const targets = { trainAttn: true, trainMlp: true, trainUnembed: true }
      const session = await onnx.session(
        TrainingGraph.make({ config, targets, gradient: true, float: "float64", ...forms[form] })
      )
      const [rows, length, rank] = [2, 4, 3]
      const tokens = rows * length
      const wide = (array: Float32Array) => Float64Array.from(array)
      const scalar = (value: number) => onnx.float64(Float64Array.of(value), [])
      const { cos, sin } = Llama.rotaryTables(config, length)
      const shapes = Lora.shapes(config, targets, rank)
      const adapter = new Map(Array.from(shapes, ([name, shape], stream) => [
        name,
        Float64Array.from({ length: size(shape) }, (_, i) => 0.3 * hashed(50 + stream, i))
      ]))
      const feeds = {
        ...Object.fromEntries(Array.from(
          hashedWeights(Llama.weightShapes(config)),
          ([name, data]) => [name, onnx.float64(wide(data), Llama.weightShapes(config).get(name)!)]
        )),
        ...Object.fromEntries(Array.from(shapes, ([name, shape]) => [name, onnx.float64(adapter.get(name)!, shape)])),
        tokens: onnx.int64(hashedTokens(1, tokens, config.vocabularySize), [rows, length]),
        targets: onnx.int64(hashedTokens(2, tokens * perToken, config.vocabularySize), [tokens, perToken]),
        cos: onnx.float64(wide(cos), [length, config.headDim / 2]),
        sin: onnx.float64(wide(sin), [length, config.headDim / 2]),
        weights: onnx.float64(
          Float64Array.from({ length: tokens * perToken }, (_, i) => hashed(3, i)),
          [tokens, perToken]
        ),
        sampling: onnx.float64(Float64Array.from({ length: tokens }, (_, i) => -2.4 + hashed(4, i)), [tokens, 1]),
        advantages: onnx.float64(Float64Array.from({ length: tokens }, (_, i) => hashed(5, i)), [tokens, 1]),
        scale: scalar(2),
        loss: onnx.int64([TrainingGraph.losses.findIndex((name) => name === loss)], []),
        low: scalar(settings.low),
        high: scalar(settings.high),
        beta: scalar(settings.beta)
      }
      const value = async () => {
        const losses = (await session.run(feeds))["losses"]!.data as Float64Array
        return losses.reduce((sum, each) => sum + each, 0)
      }

      const results = await session.run(feeds)
      for (const [name, array] of adapter) {
        const gradient = results[`gradient:${name}`]!.data as Float64Array
        const stride = Math.max(1, Math.floor(array.length / entries))
        for (let i = 0; i < array.length; i += stride) {
          const difference = await centralDifference(array, i, value)
          assert.closeTo(gradient[i]!, difference, 1e-6 * (1 + Math.abs(difference)), `${name}[${i}]`)
        }
      }
      await session.release()
    })
  }
})
