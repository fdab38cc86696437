/**
 * Writes what PyTorch is to find again, for `interop_torch.py`. By command line:
 * `tsx packages/llama/scripts/exportForTorch.ts <folder> <model folder>...`; the shipped model is always among them.
 *
 * For each model, trained for a few steps through the SDK and the local server: a sampler checkpoint and an external one
 * as files of PEFT, and log-probabilities with and without it (`expected.json`). And straight from the engine, with
 * hashed adapters and data: losses, gradients, and five steps of the optimizer (`engine.json`).
 */
import { Engine } from "@effect-tinker/engine"
import { CheckpointStore, TinkerServer } from "@effect-tinker/server"
import { Tokenizer } from "@effect-tinker/tokenizer"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { AdamParams, ApiFuture, Datum, ModelInput, ServiceClient, Tinker } from "effect-tinker"
import { mkdirSync, writeFileSync } from "node:fs"
import type * as Llama from "../src/Llama.js"
import * as LlamaEngine from "../src/LlamaEngine.js"
import * as ModelFolder from "../src/ModelFolder.js"
import * as ShippedModel from "../src/ShippedModel.js"
import { adam, hashedSnapshot } from "../test/internal/localEngine.js"
import { hashedArray, hashedTokens } from "../test/internal/numbers.js"

const text = "user: Mia put three red lamps in the cellar.\n\nassistant: Mia has three red lamps.\n\n"

const rank = 8
const lengths = [31, 12, 50]

/** In the order of `torch_reference.py`. */
const losses: Readonly<Record<string, Engine.Loss>> = {
  cross_entropy: { _tag: "cross_entropy" },
  cross_entropy_2d: { _tag: "cross_entropy" },
  importance_sampling: { _tag: "importance_sampling" },
  ppo: { _tag: "ppo", clipLowThreshold: 0.8, clipHighThreshold: 1.2 },
  cispo: { _tag: "cispo", clipLowThreshold: 0, clipHighThreshold: 4 },
  dro: { _tag: "dro", beta: 0.3 }
}

const hashedData = (vocabulary: number, soft: boolean): ReadonlyArray<Engine.TrainingDatum> =>
  lengths.map((length, k) => {
    const row = hashedTokens(2000 + k, length + 1, vocabulary)
    const tokens = row.slice(0, -1)
    return soft
      ? {
        tokens,
        targetTokens: hashedTokens(6000 + k, 2 * length, vocabulary),
        targetsPerToken: 2,
        weights: hashedArray(7000 + k, 2 * length)
      }
      : {
        tokens,
        targetTokens: row.slice(1),
        weights: hashedArray(3000 + k, length),
        logprobs: hashedArray(4000 + k, length, 0.4, -Math.log(vocabulary)),
        advantages: hashedArray(5000 + k, length)
      }
  })

const encoded = (array: Float32Array): string =>
  Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("base64")

const allEncoded = (tensors: ReadonlyMap<string, Engine.Tensor>) =>
  Object.fromEntries(Array.from(tensors, ([name, { data }]) => [name, encoded(data)]))

const fromEngine = Effect.fn(function*(baseModel: string, config: Llama.Config) {
  const engine = yield* Engine.Engine
  const snapshot = { ...hashedSnapshot(config, rank), baseModel }
  const vocabulary = config.vocabularySize
  const data = hashedData(vocabulary, false)
  const results: Record<string, unknown> = {}
  for (const [kind, loss] of Object.entries(losses)) {
    yield* engine.restore("model", snapshot, { optimizer: false })
    const pass = { data: hashedData(vocabulary, kind === "cross_entropy_2d"), loss, gradient: true }
    const { outputs } = yield* engine.forwardBackward("model", pass)
    results[kind] = {
      logprobs: outputs.map(({ logprobs }) => encoded(logprobs)),
      elementwise: outputs.map(({ elementwiseLoss }) => encoded(elementwiseLoss)),
      gradients: allEncoded((yield* engine.accumulated("model"))!)
    }
  }

  yield* engine.createSampler("sampler", { baseModel, snapshot })
  const { topkPromptLogprobs } = yield* engine.sample("sampler", {
    prompt: data[0]!.tokens,
    numSamples: 1,
    maxTokens: 1,
    temperature: 0,
    topK: -1,
    topP: 1,
    seed: 0,
    stopTokens: [],
    stopStrings: [],
    promptLogprobs: true,
    topkPromptLogprobs: vocabulary
  })
  // Sorted by probability: back in the order of the vocabulary.
  const { logprobs, tokenIds } = topkPromptLogprobs!
  const distributions = new Float32Array(logprobs.length)
  for (let i = 0; i < logprobs.length; i++) {
    distributions[Math.floor(i / vocabulary) * vocabulary + tokenIds[i]!] = logprobs[i]!
  }

  yield* engine.restore("model", snapshot, { optimizer: false })
  const loss = { _tag: "cross_entropy" } as const
  for (let step = 0; step < 5; step++) {
    yield* engine.forwardBackward("model", { data, loss, gradient: true })
    yield* engine.optimStep("model", adam)
  }
  const { outputs } = yield* engine.forwardBackward("model", { data, loss, gradient: false })
  return {
    rank,
    lengths,
    losses: results,
    distributions: encoded(distributions.subarray(vocabulary)),
    logprobsAfterFiveSteps: outputs.map(({ logprobs }) => encoded(logprobs)),
    weightsAfterFiveSteps: allEncoded((yield* engine.snapshot("model")).weights)
  }
})

const throughServer = Effect.fn(function*(baseModel: string, tokens: Int32Array) {
  const service = yield* ServiceClient.ServiceClient
  const base = yield* service.createSamplingClient({ baseModel })
  const training = yield* service.createLoraTrainingClient({ baseModel, rank, seed: 1 })
  const data = [Datum.fromTokens(tokens, new Float32Array(tokens.length).fill(1))]
  for (let step = 0; step < 5; step++) {
    yield* ApiFuture.flatten(training.forwardBackward({ data, lossFn: "cross_entropy" }))
    yield* ApiFuture.flatten(training.optimStep(AdamParams.make({ learningRate: 1e-3, eps: 1e-8 })))
  }
  const { path } = yield* ApiFuture.flatten(training.saveWeightsForSampler({ name: "adapter" }))
  yield* ApiFuture.flatten(training.saveWeightsExternal({ name: "exported" }))
  const adapted = yield* service.createSamplingClient({ modelPath: path })
  const prompt = ModelInput.fromTokens(tokens)
  return {
    tokens: Array.from(tokens),
    base: Array.from(yield* base.computeLogprobs(prompt)).slice(1),
    adapted: Array.from(yield* adapted.computeLogprobs(prompt)).slice(1)
  }
})

const program = (folder: string, models: ReadonlyArray<string>) =>
  Effect.forEach(models, (model, i) => {
    const target = `${folder}/${i}`
    const write = (name: string, value: unknown) => writeFileSync(`${target}/${name}`, JSON.stringify(value))
    return Effect.gen(function*() {
      mkdirSync(target, { recursive: true })
      const { config, hasTokenizer, name } = yield* ModelFolder.describe(model)
      const tokens = hasTokenizer
        ? (yield* Effect.provide(Tokenizer.Tokenizer, Tokenizer.layerFolder(model))).encode(text)
        : hashedTokens(1, 40, config.vocabularySize)
      const results = yield* throughServer(name, tokens)
      write("expected.json", { model, name, ...(hasTokenizer ? { text } : {}), ...results })
      write("engine.json", yield* fromEngine(name, config))
    }).pipe(Effect.provide(
      Tinker.layer().pipe(
        Layer.provide(TinkerServer.layerClientWithStore()),
        Layer.provide(CheckpointStore.layer(`${target}/checkpoints`)),
        Layer.provideMerge(LlamaEngine.layer(model)),
        Layer.provideMerge(NodeContext.layer)
      )
    ))
  })

const [folder, ...models] = process.argv.slice(2)
if (folder === undefined) throw new Error("name a folder")
NodeRuntime.runMain(program(folder, [ShippedModel.folder, ...models]))
