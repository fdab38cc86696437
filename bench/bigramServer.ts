/**
 * Our server on a free port with the engine that computes next to nothing, so that a benchmark measures the protocol. Prints
 * its address; to any message it answers with what it has used so far. Ends with its parent.
 *
 * Arguments: options of the protocol, and a folder if it is to keep what it knows there.
 */
import { BigramEngine } from "@effect-tinker/engine"
import { NodeServer } from "@effect-tinker/node"
import { CheckpointStore, ServerJournal, TinkerServer } from "@effect-tinker/server"
import { HttpServer } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { tellUsed } from "./used.js"

tellUsed()

const [options = "{}", folder] = process.argv.slice(2)

const Kept = folder === undefined
  ? CheckpointStore.layerMemory
  : Layer.merge(CheckpointStore.layer(folder), ServerJournal.layer(`${folder}/.server`)).pipe(
    Layer.provide(NodeContext.layer)
  )

const Server = TinkerServer.layer(JSON.parse(options)).pipe(
  Layer.provide(Kept),
  Layer.provide(BigramEngine.layer({ maxContextLength: 4096 })),
  Layer.provideMerge(NodeServer.layer({ host: "127.0.0.1", port: 0 }))
)

HttpServer.addressFormattedWith((address) => Console.log(address)).pipe(
  Effect.zipRight(Effect.never),
  Effect.provide(Server),
  Effect.scoped,
  NodeRuntime.runMain
)
