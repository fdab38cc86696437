/**
 * Trains an adapter of the shipped model for a few steps through the SDK and the local server, and writes what PyTorch is
 * to find in it: the sampler checkpoint as files of PEFT, and log-probabilities of a text with and without it. For
 * `interop_torch.py`; by command line: `tsx packages/engine/scripts/exportForTorch.ts <folder>`.
 */
import { CheckpointStore, TinkerServer } from "@effect-tinker/server"
import { Tokenizer } from "@effect-tinker/tokenizer"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { AdamParams, ApiFuture, Datum, ModelInput, ServiceClient, Tinker } from "effect-tinker"
import { writeFileSync } from "node:fs"
import * as LlamaEngine from "../src/LlamaEngine.js"
import * as ShippedModel from "../src/ShippedModel.js"

const text = "user: Mia put three red lamps in the cellar.\n\nassistant: Mia has three red lamps.\n\n"

const program = (folder: string) =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const tokens = (yield* Tokenizer.Tokenizer).encode(text)
    const base = yield* service.createSamplingClient({ baseModel: ShippedModel.name })
    const training = yield* service.createLoraTrainingClient({ baseModel: ShippedModel.name, rank: 8, seed: 1 })
    const data = [Datum.fromTokens(tokens, new Float32Array(tokens.length).fill(1))]
    for (let step = 0; step < 5; step++) {
      yield* ApiFuture.flatten(training.forwardBackward({ data, lossFn: "cross_entropy" }))
      yield* ApiFuture.flatten(training.optimStep(AdamParams.make({ learningRate: 1e-3, eps: 1e-8 })))
    }
    const { path } = yield* ApiFuture.flatten(training.saveWeightsForSampler({ name: "adapter" }))
    const adapted = yield* service.createSamplingClient({ modelPath: path })
    const prompt = ModelInput.fromTokens(tokens)
    writeFileSync(
      `${folder}/expected.json`,
      JSON.stringify({
        text,
        model: ShippedModel.folder,
        tokens: Array.from(tokens),
        base: Array.from(yield* base.computeLogprobs(prompt)).slice(1),
        adapted: Array.from(yield* adapted.computeLogprobs(prompt)).slice(1)
      })
    )
  }).pipe(Effect.provide(
    Tinker.layer().pipe(
      Layer.provide(TinkerServer.layerClientWithStore()),
      Layer.provide(CheckpointStore.layer(`${folder}/checkpoints`)),
      Layer.provide(LlamaEngine.layer(ShippedModel.folder)),
      Layer.merge(Tokenizer.layerFolder(ShippedModel.folder)),
      Layer.provide(NodeContext.layer)
    )
  ))

const folder = process.argv[2]
if (folder === undefined) throw new Error("name a folder")
NodeRuntime.runMain(program(folder))
