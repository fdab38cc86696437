/**
 * Fine-tunes the model that ships on the data set that ships, on this machine, and shows that it learnt a manner rather
 * than lines: exact answers to prompts that it never saw, before and after, by template, and to a family of templates
 * that it was never taught. Prints a table; takes about a minute.
 */
import { LlamaEngine, ShippedModel } from "@effect-tinker/engine"
import { TinkerServer } from "@effect-tinker/server"
import { Tokenizer } from "@effect-tinker/tokenizer"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Clock, Console, Effect, Layer, Stream } from "effect"
import { AdamParams, ServiceClient, Tinker } from "effect-tinker"
import { ChatDataset, ExactAnswers, Lighthouse, Supervised } from "../src/index.js"

const percent = ({ exact, total }: { readonly exact: number; readonly total: number }) =>
  `${exact}/${total}`.padStart(9) + `${Math.round((100 * exact) / total)} %`.padStart(7)

export const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const baseModel = ShippedModel.name
  const heldOut = yield* ChatDataset.read(Lighthouse.heldOutFile)
  const family = yield* ChatDataset.read(Lighthouse.heldOutFamilyFile)
  const data = yield* Supervised.dataFromChats(heldOut)

  const base = yield* service.createSamplingClient({ baseModel })
  const before = yield* ExactAnswers.measure(base, heldOut)

  const training = yield* service.createLoraTrainingClient({ baseModel, rank: 16, seed: 0 })
  const lossBefore = yield* Supervised.evaluate(training, data)
  const startedAt = yield* Clock.currentTimeMillis
  const steps = yield* Supervised.batchesFromFile(Lighthouse.trainFile, { batchSize: 8, epochs: 4 }).pipe(
    Supervised.steps(training, { adamParams: AdamParams.make({ learningRate: 2e-3 }) }),
    Stream.tap(({ nllPerToken, step, tokensPerSecond }) =>
      step % 20 === 0
        ? Console.log(`step ${step}  ${nllPerToken.toFixed(3)} nats/token  ${Math.round(tokensPerSecond)} tokens/s`)
        : Effect.void
    ),
    Stream.runCount
  )
  const seconds = ((yield* Clock.currentTimeMillis) - startedAt) / 1000
  const lossAfter = yield* Supervised.evaluate(training, data)

  const tuned = yield* training.saveWeightsAndGetSamplingClient()
  const after = yield* ExactAnswers.measure(tuned, heldOut)
  const familyBefore = yield* ExactAnswers.measure(base, family)
  const familyAfter = yield* ExactAnswers.measure(tuned, family)
  const fresh = yield* ExactAnswers.measure(tuned, heldOut, {
    group: ({ metadata }) => metadata["fresh"] === true ? "words never trained on" : "words trained on"
  })

  yield* Console.log(`${steps} steps in ${seconds.toFixed(1)} s`)
  yield* Console.log(
    `held-out loss ${lossBefore.nllPerToken.toFixed(3)} -> ${lossAfter.nllPerToken.toFixed(3)} nats/token`
  )
  for (const [i, { name, ...group }] of after.groups.entries()) {
    yield* Console.log(`  ${name.padEnd(24)}${percent(before.groups[i]!)}${percent(group)}`)
  }
  yield* Console.log(`held out, all             ${percent(before)}${percent(after)}`)
  for (const { name, ...group } of fresh.groups) yield* Console.log(`  ${name.padEnd(40)}${percent(group)}`)
  yield* Console.log(`passive, never taught     ${percent(familyBefore)}${percent(familyAfter)}`)
  for (const { name, ...group } of familyAfter.groups) yield* Console.log(`  ${name.padEnd(40)}${percent(group)}`)
  return { before, after, familyAfter, lossBefore, lossAfter }
})

export const Local = Tinker.layer().pipe(
  Layer.provide(TinkerServer.layerClient),
  Layer.provide(LlamaEngine.layer(ShippedModel.folder)),
  Layer.merge(Tokenizer.layerFolder(ShippedModel.folder)),
  Layer.provideMerge(NodeContext.layer)
)

if (import.meta.url === `file://${process.argv[1]}`) {
  program.pipe(Effect.scoped, Effect.provide(Local), NodeRuntime.runMain)
}
