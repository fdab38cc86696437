/** Brings the weights of a checkpoint here, to be used elsewhere, and prints how far it is. Needs TINKER_API_KEY. */
import { TinkerNode } from "@effect-tinker/node"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { CheckpointDownload, Tinker } from "effect-tinker"
import { isMain } from "./isMain.js"

export const program = Effect.fnUntraced(function*(path: string, directory: string) {
  const download = yield* CheckpointDownload.CheckpointDownload
  const { bytes, files } = yield* download.exportTrainingCheckpoint(path, { directory, keepParts: true }).pipe(
    Stream.tap((state) =>
      state._tag === "Progress"
        ? Console.log(`${state.bytes} of ${state.totalBytes ?? "?"} bytes, ${state.files} of ${state.totalFiles} files`)
        : Console.log(state._tag)
    ),
    CheckpointDownload.result
  )
  yield* Console.log(`${files.join(", ")}: ${bytes} bytes`)
})

if (isMain(import.meta.url)) {
  const [path = "", directory = "weights"] = process.argv.slice(2)
  const Client = Tinker.layerDownloadFromEnv.pipe(Layer.provide(TinkerNode.layer), Layer.provide(NodeContext.layer))
  NodeRuntime.runMain(Effect.provide(program(path, directory), Client))
}
