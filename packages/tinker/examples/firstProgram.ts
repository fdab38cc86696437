/** One training step on one sequence, and a checkpoint. Needs TINKER_API_KEY. */
import { TinkerNode } from "@effect-tinker/node"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { AdamParams, ApiFuture, Datum, ServiceClient, Tinker } from "effect-tinker"
import { isMain } from "./isMain.js"

export const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const training = yield* service.createLoraTrainingClient({ baseModel: "Qwen/Qwen3-8B", rank: 32 })

  const tokens = Int32Array.of(3, 1, 4, 1, 5)
  const data = [Datum.fromTokens(tokens, Float32Array.of(0, 1, 1, 1, 1))]
  const gradients = yield* training.forwardBackward({ data, lossFn: "cross_entropy" })
  const update = yield* training.optimStep(AdamParams.make({ learningRate: 1e-4 }))
  const { metrics } = yield* gradients.await
  yield* update.await

  const { path } = yield* ApiFuture.flatten(training.saveState({ name: "first" }))
  yield* Console.log(`loss ${metrics["loss:sum"]}, saved ${path}`)
})

const Client = Tinker.layerFromEnv.pipe(Layer.provide(TinkerNode.layer))

if (isMain(import.meta.url)) NodeRuntime.runMain(Effect.provide(program, Client))
