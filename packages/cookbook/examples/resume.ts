/**
 * A run that resumes: start it, stop it however you like, start it again. Prints each step, and at the end all losses of
 * the run, those of earlier processes included. Needs a server that outlives it: `npm run serve`, or the hosted service.
 */
import { Lighthouse, RunJournal, Supervised } from "@effect-tinker/cookbook"
import { TinkerNode } from "@effect-tinker/node"
import { Tokenizer } from "@effect-tinker/tokenizer"
import { KeyValueStore } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { AdamParams, ServiceClient, Tinker } from "effect-tinker"
import { isMain } from "./isMain.js"

const learningRate = 2e-3

export const program = Effect.fnUntraced(function*(run: { readonly baseModel: string; readonly steps: number }) {
  const service = yield* ServiceClient.ServiceClient
  const journal = yield* RunJournal.open({
    name: "lighthouse",
    step: Supervised.Step,
    create: service.createLoraTrainingClient({ baseModel: run.baseModel, rank: 16, seed: 0 }),
    settings: { baseModel: run.baseModel, learningRate },
    lease: "1 second"
  })
  yield* Console.log(`goes on at step ${journal.position}`)
  yield* Supervised.batchesFromFile(Lighthouse.trainFile, { batchSize: 16, steps: run.steps }).pipe(
    journal.remaining,
    Supervised.steps(journal.training, {
      adamParams: AdamParams.make({ learningRate }),
      checkpoint: { every: 5 }
    }),
    journal.recorded,
    Stream.runForEach(({ nllPerToken, step }) => Console.log(`step ${step}  ${nllPerToken} nats/token`))
  )
  const losses = (yield* journal.history).map(({ nllPerToken }) => nllPerToken)
  yield* Console.log(`losses ${JSON.stringify(losses)}`)
  return losses
})

if (isMain(import.meta.url)) {
  const [baseModel = "", tokenizer = "", folder = "runs", steps = "100"] = process.argv.slice(2)
  const Remote = Tinker.layerFromEnv.pipe(
    Layer.provide(TinkerNode.layer),
    Layer.merge(Tokenizer.layerFolder(tokenizer)),
    Layer.merge(KeyValueStore.layerFileSystem(folder)),
    Layer.provideMerge(NodeContext.layer)
  )
  program({ baseModel, steps: Number(steps) }).pipe(Effect.scoped, Effect.provide(Remote), NodeRuntime.runMain)
}
