/**
 * The local server by itself: a Tinker service on this machine.
 */
import * as LlamaEngine from "@effect-tinker/engine/LlamaEngine"
import * as ShippedModel from "@effect-tinker/engine/ShippedModel"
import * as CheckpointStore from "@effect-tinker/server/CheckpointStore"
import * as TinkerServer from "@effect-tinker/server/TinkerServer"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as HttpServer from "@effect/platform/HttpServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { createServer } from "node:http"
import * as Main from "./Main.js"
import { UsageError } from "./UsageError.js"

const flags = {
  port: Options.integer("port").pipe(
    Options.withDescription("Port to listen on; 0 for any that is free"),
    Options.withDefault(8787)
  ),
  host: Options.text("host").pipe(
    Options.withDescription(
      "Address to listen on. The server asks for no key, so think before you leave this machine."
    ),
    Options.withDefault("127.0.0.1")
  ),
  model: Options.text("model").pipe(
    Options.withDescription("Hugging Face folder of the base model"),
    Options.withDefault(ShippedModel.folder)
  ),
  data: Options.text("data").pipe(
    Options.withDescription("Folder that keeps checkpoints; without it they are kept in memory"),
    Options.optional
  )
}

const listening = Effect.flatMap(HttpServer.HttpServer, ({ address }) =>
  Effect.sync(() => {
    if (address._tag !== "TcpAddress") return
    const host = address.hostname.includes(":") ? `[${address.hostname}]` : address.hostname
    process.stdout.write(`listening on http://${host}:${address.port}\n`)
  }))

const command = Command.make("serve", flags, ({ data, host, model, port }) =>
  Layer.launch(
    Layer.merge(TinkerServer.layer(), Layer.effectDiscard(listening)).pipe(
      Layer.provide(NodeHttpServer.layer(createServer, { port, host })),
      Layer.provide(LlamaEngine.layer(model)),
      Layer.provide(Option.match(data, { onNone: () => CheckpointStore.layerMemory, onSome: CheckpointStore.layer }))
    )
  ).pipe(
    Effect.catchTag("ServeError", (error) =>
      new UsageError({
        description: `cannot listen on ${host}:${port}: ${
          error.cause instanceof Error ? error.cause.message : String(error.cause)
        }. Choose another with --port.`,
        cause: error
      }))
  )).pipe(Command.withDescription("Starts a Tinker server that trains on this machine."))

if (Main.isEntry(import.meta.url)) {
  Main.run(Command.run(command, { name: "effect-tinker serve", version: "0.1.0" })(process.argv))
}
