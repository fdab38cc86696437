import { assert, it } from "@effect/vitest"
import { Schema } from "effect"
import type { TinkerError } from "../src/index.js"
import { AdamParams, LoraConfig, OptimizerParams, SamplingParams } from "../src/index.js"

const fields = (issues: ReadonlyArray<TinkerError.Issue>) => issues.map(({ field }) => field)

it("sends all six settings of Adam, with the defaults of the reference client", () => {
  assert.deepStrictEqual(Schema.encodeSync(AdamParams.AdamParams)(AdamParams.make()), {
    learning_rate: 0.0001,
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-12,
    weight_decay: 0,
    grad_clip_norm: 0
  })
})

it("names each setting of Adam that is out of its range, all at once", () => {
  const wrong = (params: Parameters<typeof AdamParams.make>[0]) => fields(AdamParams.issues(AdamParams.make(params)))
  assert.deepStrictEqual(wrong({}), [])
  assert.deepStrictEqual(wrong({ learningRate: 0 }), [])
  assert.deepStrictEqual(wrong({ learningRate: -1 }), ["learningRate"])
  assert.deepStrictEqual(wrong({ learningRate: Infinity }), ["learningRate"])
  assert.deepStrictEqual(wrong({ learningRate: NaN }), ["learningRate"])
  assert.deepStrictEqual(wrong({ beta1: 1 }), ["beta1"])
  assert.deepStrictEqual(wrong({ beta2: 1 }), ["beta2"])
  assert.deepStrictEqual(wrong({ eps: 0 }), ["eps"])
  assert.deepStrictEqual(wrong({ weightDecay: -0.1, gradClipNorm: -1 }), ["weightDecay", "gradClipNorm"])
})

it("makes settings without checking them, so that untyped code gets issues instead of an exception", () => {
  const params = AdamParams.make({ learningRate: "fast", lr: 1 } as never)
  assert.deepStrictEqual(AdamParams.issues(params), [
    {
      field: "lr",
      description: "is no parameter; those are learningRate, beta1, beta2, eps, weightDecay, gradClipNorm."
    },
    { field: "learningRate", description: "is a text; it must be a finite number, 0 or more." }
  ])
})

it("names a rank or a seed that is none, and an adapter setting that does not exist", () => {
  const wrong = (config: Parameters<typeof LoraConfig.make>[0]) => fields(LoraConfig.issues(LoraConfig.make(config)))
  assert.deepStrictEqual(wrong({}), [])
  for (const rank of [0, -1, 1.5, NaN]) assert.deepStrictEqual(wrong({ rank }), ["rank"])
  assert.deepStrictEqual(wrong({ seed: 0.5, trainMlp: 1 as never, alpha: 2 } as never), ["alpha", "seed", "trainMlp"])
})

const encodeSampling = Schema.encodeSync(SamplingParams.SamplingParams)

it("sends temperature, top-k and top-p with their defaults, and leaves out what was not given", () => {
  assert.deepStrictEqual(encodeSampling(SamplingParams.make()), { temperature: 1, top_k: -1, top_p: 1 })
  assert.deepStrictEqual(encodeSampling(SamplingParams.make({ maxTokens: 5, seed: 7, temperature: 0 })), {
    max_tokens: 5,
    seed: 7,
    temperature: 0,
    top_k: -1,
    top_p: 1
  })
})

it("sends no stop as none, an empty list as one, a text as a list of one, and lists as they are", () => {
  const sent = (stop?: SamplingParams.SamplingParams["stop"]) =>
    encodeSampling(SamplingParams.make(stop === undefined ? {} : { stop }))
  assert.notProperty(sent(), "stop")
  assert.deepStrictEqual(sent([]).stop, [])
  assert.deepStrictEqual(sent("\n").stop, ["\n"])
  assert.deepStrictEqual(sent(["a", "b"]).stop, ["a", "b"])
  assert.deepStrictEqual(sent([1, 2]).stop, [1, 2])
})

it("reads a stop that is a bare text, as some clients send it", () => {
  const params = Schema.decodeUnknownSync(SamplingParams.SamplingParams)({ stop: "\n" })
  assert.strictEqual(params.stop, "\n")
})

it("names each sampling parameter that is out of its range, a stop of texts and ids, and one that does not exist", () => {
  const wrong = (params: object) => fields(SamplingParams.issues(SamplingParams.make(params as never)))
  assert.deepStrictEqual(wrong({ maxTokens: 1, seed: -3, stop: [], temperature: 0, topK: -1, topP: 1 }), [])
  for (const stop of ["x", ["x", "y"], [1, 2]]) assert.deepStrictEqual(wrong({ stop }), [])
  assert.deepStrictEqual(wrong({ stop: ["x", 1] }), ["stop"])
  assert.deepStrictEqual(wrong({ stop: [-1] }), ["stop"])
  assert.deepStrictEqual(wrong({ maxTokens: 0, temperature: -1, topK: -2, topP: 0 }), [
    "maxTokens",
    "temperature",
    "topK",
    "topP"
  ])
  assert.deepStrictEqual(wrong({ maxTokens: 1.5, seed: 0.5, temperature: Infinity, topP: 1.01 }), [
    "maxTokens",
    "seed",
    "temperature",
    "topP"
  ])
  assert.deepStrictEqual(wrong({ max_tokens: 5 }), ["max_tokens"])
})

const encodeOptimizer = Schema.encodeSync(OptimizerParams.OptimizerParams)

it("sends a step of Dimuon with its defaults", () => {
  assert.deepStrictEqual(encodeOptimizer(OptimizerParams.dimuon({ learningRate: 0.02 })), {
    type: "dimuon",
    learning_rate: 0.02,
    grad_clip_norm: 0,
    beta1: 0.9
  })
  assert.deepStrictEqual(
    Schema.decodeUnknownSync(OptimizerParams.OptimizerParams)({ type: "dimuon", learning_rate: 0.02 }),
    OptimizerParams.dimuon({ learningRate: 0.02 })
  )
})

it("names a learning rate of Dimuon that is missing or negative, and a beta of 1", () => {
  const wrong = (params: object) => fields(OptimizerParams.issues(OptimizerParams.dimuon(params as never)))
  assert.deepStrictEqual(wrong({ learningRate: 0 }), [])
  assert.deepStrictEqual(wrong({}), ["learningRate"])
  assert.deepStrictEqual(wrong({ learningRate: -1, beta1: 1, gradClipNorm: -1 }), [
    "learningRate",
    "gradClipNorm",
    "beta1"
  ])
})

it("passes settings of an optimizer it does not know on as they are, and asks for its name", () => {
  const raw = { type: "sgd", learning_rate: 0.1, nested: { a: [1] } }
  assert.deepStrictEqual(encodeOptimizer(raw), raw)
  assert.deepStrictEqual(OptimizerParams.issues(raw), [])
  assert.deepStrictEqual(fields(OptimizerParams.issues({ type: "" })), ["type"])
  assert.deepStrictEqual(fields(OptimizerParams.issues({ type: "dimuon" })), ["learningRate", "gradClipNorm", "beta1"])
})
