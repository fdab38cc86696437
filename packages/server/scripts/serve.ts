/**
 * Serves the protocol with the bigram engine on a free port of this machine, writes the address to standard output, and
 * stops when standard input closes. Options of the protocol may be given as JSON. For `interop.py`.
 */
import { BigramEngine } from "@effect-tinker/engine"
import { HttpServer } from "@effect/platform"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { createServer } from "node:http"
import { CheckpointStore, type TinkerProtocol, TinkerServer } from "../src/index.js"

const untilInputCloses = Effect.async<void>((resume) => {
  process.stdin.resume().once("end", () => resume(Effect.void))
})

const options = JSON.parse(process.argv[2] ?? "{}") as TinkerProtocol.Options

const Server = TinkerServer.layer(options).pipe(
  Layer.provide(CheckpointStore.layerMemory),
  Layer.provide(BigramEngine.layer()),
  Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))
)

HttpServer.addressFormattedWith((address) => Console.log(address)).pipe(
  Effect.zipRight(untilInputCloses),
  Effect.provide(Server),
  Effect.scoped,
  NodeRuntime.runMain
)
