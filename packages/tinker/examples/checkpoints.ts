/** Saves, goes on from the checkpoint, and passes over data that the server cannot use. Needs TINKER_API_KEY. */
import { TinkerNode } from "@effect-tinker/node"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { AdamParams, ApiFuture, Datum, ServiceClient, Tinker, type TrainingClient } from "effect-tinker"
import { isMain } from "./isMain.js"

const step = (training: TrainingClient.Service, data: ReadonlyArray<Datum.Datum>) =>
  Effect.gen(function*() {
    const gradients = yield* training.forwardBackward({ data, lossFn: "cross_entropy" })
    const update = yield* training.optimStep(AdamParams.make({ learningRate: 1e-4 }))
    yield* gradients.await.pipe(
      Effect.catchTag("RequestFailedError", (error) =>
        error.category === "user" ? Console.log("passed over:", error.message) : Effect.fail(error))
    )
    yield* update.await
  })

const batch = [Datum.fromTokens(Int32Array.of(3, 1, 4, 1, 5), Float32Array.of(0, 1, 1, 1, 1))]

export const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const training = yield* service.createLoraTrainingClient({ baseModel: "Qwen/Qwen3-8B", rank: 32 })
  yield* step(training, batch)

  const { path } = yield* ApiFuture.flatten(training.saveState({ name: "step-1", ttl: "7 days" }))
  // Elsewhere or another day; the optimizer goes on where it was.
  const resumed = yield* service.createTrainingClientFromStateWithOptimizer(path)
  yield* step(resumed, batch)

  const sampler = yield* ApiFuture.flatten(resumed.saveWeightsForSampler({ name: "step-2" }))
  const sampling = yield* service.createSamplingClient({ modelPath: sampler.path })
  yield* Console.log(`${path}, then ${sampler.path}, of ${sampling.baseModel}`)
})

if (isMain(import.meta.url)) {
  const Client = Tinker.layerFromEnv.pipe(Layer.provide(TinkerNode.layer))
  NodeRuntime.runMain(Effect.provide(program, Client))
}
