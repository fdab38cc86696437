import { BigramEngine } from "@effect-tinker/engine"
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { CheckpointStore, Faults, ServerJournal, type TinkerProtocol, TinkerServer } from "../src/index.js"

export interface Options {
  readonly protocol?: TinkerProtocol.Options
  readonly engine?: BigramEngine.Options
  readonly journal?: ServerJournal.Options
}

/** A server in process that keeps everything in a folder, and goes on with what is there. */
export const server = (folder: string, { engine, journal, protocol }: Options = {}) =>
  TinkerServer.layerClientWithStore(protocol).pipe(
    Layer.provideMerge(CheckpointStore.layer(folder)),
    Layer.provide(ServerJournal.layer(`${folder}/.server`, journal)),
    Layer.provideMerge(Faults.layer),
    Layer.provide(BigramEngine.layer({ vocabularySize: 128, ...engine })),
    Layer.provide(NodeContext.layer),
    Layer.orDie
  )

/** One life of the server. */
export const during = (folder: string, options?: Options) => Effect.provide(server(folder, options))
