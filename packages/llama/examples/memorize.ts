/**
 * Teaches a sentence to a model in a folder, with the engine alone: no server, no client, no files. Prints the loss of
 * each step and then what the model makes of the sentence's beginning.
 *
 * `tsx packages/llama/examples/memorize.ts [folder]`; without a folder it takes the model that ships.
 */
import { Engine } from "@effect-tinker/engine"
import { LlamaEngine, ShippedModel } from "@effect-tinker/llama"
import { Tokenizer } from "@effect-tinker/tokenizer"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { isMain } from "./isMain.js"

const sentence = "The lamp on the hill is green tonight."
const lora = { rank: 16, seed: 0, trainAttn: true, trainMlp: true, trainUnembed: true }
const adam = { learningRate: 5e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0, gradClipNorm: 0 }
const greedy = { numSamples: 1, temperature: 0, topK: -1, topP: 1, seed: 0, stopTokens: [], stopStrings: ["."] }

export const program = Effect.gen(function*() {
  const engine = yield* Engine.Engine
  const tokenizer = yield* Tokenizer.Tokenizer
  const baseModel = engine.baseModels[0]!.name
  const tokens = tokenizer.encode(sentence)
  const data = [{ tokens: tokens.slice(0, -1), targetTokens: tokens.slice(1) }]

  yield* engine.createModel("model", { baseModel, lora })
  for (let step = 1; step <= 30; step++) {
    const { loss } = yield* engine.forwardBackward("model", { data, loss: { _tag: "cross_entropy" }, gradient: true })
    yield* engine.optimStep("model", adam)
    yield* Console.log(`step ${step}  ${(loss / data[0]!.tokens.length).toFixed(3)} nats/token`)
  }

  yield* engine.createSampler("sampler", { baseModel, snapshot: yield* engine.snapshot("model") })
  const prompt = tokens.slice(0, Math.ceil(tokens.length / 3))
  const answer = yield* engine.sample("sampler", {
    ...greedy,
    prompt,
    maxTokens: tokens.length,
    promptLogprobs: false,
    topkPromptLogprobs: 0
  })
  const text = tokenizer.decode([...prompt, ...answer.sequences[0]!.tokens])
  yield* Console.log(text)
  return text
})

if (isMain(import.meta.url)) {
  const folder = process.argv[2] ?? ShippedModel.folder
  const Local = Layer.merge(LlamaEngine.layer(folder), Tokenizer.layerFolder(folder))
  program.pipe(Effect.provide(Local), Effect.provide(NodeContext.layer), NodeRuntime.runMain)
}
