/** Fine-tunes the small model that ships, on this machine, and asks it the same thing before and after. */
import { Lighthouse, RoleRenderer, Supervised } from "@effect-tinker/cookbook"
import { LlamaEngine, ShippedModel } from "@effect-tinker/llama"
import { TinkerServer } from "@effect-tinker/server"
import { Tokenizer } from "@effect-tinker/tokenizer"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { AdamParams, ApiFuture, type SamplingClient, SamplingParams, ServiceClient, Tinker } from "effect-tinker"
import { isMain } from "./isMain.js"

const question = [{ role: "user", content: "Mia put three red lamps in the cellar." }]

const ask = Effect.fn("ask")(function*(sampling: SamplingClient.Service) {
  const renderer = yield* RoleRenderer.make
  const { sequences } = yield* sampling.sample({
    prompt: yield* renderer.generationPrompt(question),
    samplingParams: SamplingParams.make({ maxTokens: 40, temperature: 0, stop: renderer.stop })
  })
  return renderer.parse(sequences[0]!.tokens).message.content
})

export const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const before = yield* service.createSamplingClient({ baseModel: ShippedModel.name })
  yield* Console.log("before:", yield* ask(before))

  const training = yield* service.createLoraTrainingClient({ baseModel: ShippedModel.name, rank: 16 })
  yield* Supervised.batchesFromFile(Lighthouse.trainFile, { batchSize: 16, epochs: 4 }).pipe(
    Supervised.steps(training, { adamParams: AdamParams.make({ learningRate: 2e-3 }) }),
    Stream.runForEach(({ nllPerToken, step }) => Console.log(`step ${step + 1}: ${nllPerToken.toFixed(3)} nats/token`))
  )

  const after = yield* training.saveWeightsAndGetSamplingClient()
  yield* Console.log("after:", yield* ask(after))

  const { path } = yield* ApiFuture.flatten(training.saveState({ name: "final" }))
  yield* Console.log("saved", path)
})

// Against the service, only this changes:
// Tinker.layerFromEnv.pipe(Layer.provide(TinkerNode.layer), Layer.merge(Tokenizer.layerFolder(folder)), …)
const Local = Tinker.layer().pipe(
  Layer.provide(TinkerServer.layerClient),
  Layer.provide(LlamaEngine.layer(ShippedModel.folder)),
  Layer.merge(Tokenizer.layerFolder(ShippedModel.folder)),
  Layer.provideMerge(NodeContext.layer)
)

if (isMain(import.meta.url)) NodeRuntime.runMain(Effect.provide(program, Local))
