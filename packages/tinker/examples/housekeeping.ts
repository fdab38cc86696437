/** Deletes the old checkpoints of all training runs, and tells what the others take up. Needs TINKER_API_KEY. */
import { TinkerNode } from "@effect-tinker/node"
import { NodeRuntime } from "@effect/platform-node"
import { Console, DateTime, Effect, Layer, Stream } from "effect"
import { RestClient, Tinker } from "effect-tinker"
import { isMain } from "./isMain.js"

export const program = Effect.gen(function*() {
  const rest = yield* RestClient.RestClient
  const lastMonth = DateTime.subtract(yield* DateTime.now, { days: 30 })

  const kept = yield* rest.trainingRuns().pipe(
    Stream.mapEffect(({ trainingRunId }) => rest.listCheckpoints(trainingRunId), { concurrency: 4 }),
    Stream.flatMap(({ checkpoints }) => Stream.fromIterable(checkpoints)),
    Stream.filterEffect((checkpoint) =>
      checkpoint.public || DateTime.greaterThan(checkpoint.time, lastMonth)
        ? Effect.succeed(true)
        : Effect.as(rest.deleteCheckpoint(checkpoint.tinkerPath), false)
    ),
    Stream.runFold(0, (bytes, { sizeBytes }) => bytes + (sizeBytes ?? 0))
  )
  yield* Console.log(`${kept} bytes are left`)
})

if (isMain(import.meta.url)) {
  const Client = Tinker.layerFromEnv.pipe(Layer.provide(TinkerNode.layer))
  NodeRuntime.runMain(Effect.provide(program, Client))
}
