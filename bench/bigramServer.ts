/**
 * Our server on a free port with the engine that computes next to nothing, so that a benchmark measures the protocol. Prints
 * its address; to any message it answers with what it has used so far. Ends with its parent.
 */
import { NodeServer } from "@effect-tinker/node"
import { BigramEngine, CheckpointStore, TinkerServer } from "@effect-tinker/server"
import { HttpServer } from "@effect/platform"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { tellUsed } from "./used.js"

tellUsed()

const Server = TinkerServer.layer(JSON.parse(process.argv[2] ?? "{}")).pipe(
  Layer.provide(CheckpointStore.layerMemory),
  Layer.provide(BigramEngine.layer({ maxContextLength: 4096 })),
  Layer.provideMerge(NodeServer.layer({ host: "127.0.0.1", port: 0 }))
)

HttpServer.addressFormattedWith((address) => Console.log(address)).pipe(
  Effect.zipRight(Effect.never),
  Effect.provide(Server),
  Effect.scoped,
  NodeRuntime.runMain
)
