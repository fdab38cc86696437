import { BigramEngine } from "@effect-tinker/engine"
import { TinkerNode } from "@effect-tinker/node"
import { Effect, Layer } from "effect"
import { ApiFuture, ServiceClient, Tinker } from "effect-tinker"

/** Saves a model of rank 4 under each name, with the metadata of the same place; gives the paths. */
export const save = (
  url: string,
  names: ReadonlyArray<string>,
  metadata: ReadonlyArray<Readonly<Record<string, string>>> = []
) =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const training = yield* service.createLoraTrainingClient({ baseModel: BigramEngine.defaultBaseModel, rank: 4 })
    return yield* Effect.forEach(names, (name, index) =>
      Effect.map(
        ApiFuture.flatten(training.saveState({ name, userMetadata: metadata[index] })),
        ({ path }) => path
      ))
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.provide(Tinker.layer({ baseUrl: url }), TinkerNode.layer))
  )
