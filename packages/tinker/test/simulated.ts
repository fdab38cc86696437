import type { CheckpointStore, Faults } from "@effect-tinker/server"
import { Effect } from "effect"
import { ServiceClient } from "effect-tinker"
import type { TrainingClient } from "effect-tinker"
import * as Observed from "./observed.js"
import * as Simulation from "./simulation.js"

/** Runs with a new model on a simulated clock, and fails as the program does. */
export const simulated = <A, E>(
  options: Parameters<typeof Observed.client>[1],
  program: (
    training: TrainingClient.Service,
    observed: Observed.Observed
  ) => Effect.Effect<A, E, ServiceClient.ServiceClient | Faults.Faults | CheckpointStore.CheckpointStore>
) =>
  Effect.gen(function*() {
    const simulation = yield* Simulation.make()
    const observed = Observed.make()
    const exit = yield* simulation.run(
      Effect.gen(function*() {
        const service = yield* ServiceClient.ServiceClient
        return yield* program(yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 }), observed)
      }).pipe(Effect.provide(Observed.client(observed, options)))
    )
    return yield* exit
  })
