/**
 * Fine-tunes the model that ships on the data set that ships, on this machine, and shows that it learnt a manner rather
 * than lines: exact answers to prompts it never saw, before and after, by template; then those half of them whose words
 * it was never taught, and a family of templates it was never taught. Takes half a minute.
 */
import { ChatDataset, ExactAnswers, Lighthouse, Supervised } from "@effect-tinker/cookbook"
import { LlamaEngine, ShippedModel } from "@effect-tinker/llama"
import { TinkerServer } from "@effect-tinker/server"
import { Tokenizer } from "@effect-tinker/tokenizer"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { AdamParams, ServiceClient, Tinker } from "effect-tinker"
import type { SamplingClient } from "effect-tinker"
import { isMain } from "./isMain.js"

const row = (name: string, before: ExactAnswers.Report | ExactAnswers.Group, after: typeof before) =>
  Console.log(`${name.padEnd(26)} ${before.exact}/${before.total}`.padEnd(38) + `-> ${after.exact}/${after.total}`)

/** `prompts` is how many of the held-out lines are asked, and of the family that was never taught. */
export const program = Effect.fnUntraced(function*(size: { readonly steps: number; readonly prompts: number }) {
  const service = yield* ServiceClient.ServiceClient
  const heldOut = (yield* ChatDataset.read(Lighthouse.heldOutFile)).slice(0, size.prompts)
  const family = (yield* ChatDataset.read(Lighthouse.heldOutFamilyFile)).slice(0, size.prompts)
  const fresh = heldOut.filter((chat) => chat.metadata["fresh"] === true)
  const ask = (sampling: SamplingClient.Service) =>
    Effect.all({
      all: ExactAnswers.measure(sampling, heldOut),
      fresh: ExactAnswers.measure(sampling, fresh),
      family: ExactAnswers.measure(sampling, family)
    })

  const before = yield* ask(yield* service.createSamplingClient({ baseModel: ShippedModel.name }))

  const training = yield* service.createLoraTrainingClient({ baseModel: ShippedModel.name, rank: 16, seed: 0 })
  const data = yield* Supervised.dataFromChats(heldOut)
  const lossBefore = yield* Supervised.evaluate(training, data)
  yield* Supervised.batchesFromFile(Lighthouse.trainFile, { batchSize: 16, steps: size.steps }).pipe(
    Supervised.steps(training, { adamParams: AdamParams.make({ learningRate: 2e-3 }) }),
    Stream.filter(({ step, totalSteps }) => step % 20 === 0 || step === totalSteps - 1),
    Stream.runForEach(({ nllPerToken, step, tokensPerSecond }) =>
      Console.log(`step ${step}  ${nllPerToken.toFixed(3)} nats/token  ${Math.round(tokensPerSecond)} tokens/s`)
    )
  )
  const lossAfter = yield* Supervised.evaluate(training, data)
  const after = yield* ask(yield* training.saveWeightsAndGetSamplingClient())

  yield* Console.log(`held-out loss ${lossBefore.nllPerToken.toFixed(3)} -> ${lossAfter.nllPerToken.toFixed(3)}`)
  for (const [i, group] of after.all.groups.entries()) yield* row(group.name, before.all.groups[i]!, group)
  yield* row("all of these", before.all, after.all)
  yield* row("words never taught", before.fresh, after.fresh)
  for (const [i, group] of after.family.groups.entries()) yield* row(group.name, before.family.groups[i]!, group)
  yield* row("passive, never taught", before.family, after.family)
  return { before, after, lossBefore, lossAfter }
})

export const Local = Tinker.layer().pipe(
  Layer.provide(TinkerServer.layerClient),
  Layer.provide(LlamaEngine.layer(ShippedModel.folder)),
  Layer.merge(Tokenizer.layerFolder(ShippedModel.folder)),
  Layer.provideMerge(NodeContext.layer)
)

if (isMain(import.meta.url)) {
  program({ steps: 100, prompts: 200 }).pipe(Effect.provide(Local), NodeRuntime.runMain)
}
