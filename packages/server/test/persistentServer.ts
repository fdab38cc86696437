/**
 * A server that keeps everything in a folder, on a port of this machine: the program of processes that are killed.
 * Arguments: folder, port, and `false` where live models are not to be kept.
 */
import { BigramEngine } from "@effect-tinker/engine"
import { NodeServer } from "@effect-tinker/node"
import { HttpServer } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Effect, Layer, Logger } from "effect"
import { CheckpointStore, ServerJournal, TinkerServer } from "../src/index.js"

const [folder = "", port = "0", liveModels = "true"] = process.argv.slice(2)

const Server = TinkerServer.layer().pipe(
  Layer.provide(CheckpointStore.layer(folder)),
  Layer.provide(ServerJournal.layer(`${folder}/.server`, { liveModels: liveModels !== "false", slackBytes: 200_000 })),
  Layer.provide(BigramEngine.layer({ vocabularySize: 32, stepDuration: "1 millis" })),
  Layer.provideMerge(NodeServer.layer({ host: "127.0.0.1", port: Number(port) })),
  Layer.provide(NodeContext.layer)
)

HttpServer.addressFormattedWith((address) => Effect.sync(() => process.stdout.write(`${address}\n`))).pipe(
  Effect.zipRight(Effect.never),
  Effect.provide(Server),
  Effect.scoped,
  Effect.provide(Logger.remove(Logger.defaultLogger)),
  NodeRuntime.runMain
)
