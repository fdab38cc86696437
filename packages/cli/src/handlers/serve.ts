/**
 * The local server by itself: a Tinker service on this machine.
 */
import * as Engine from "@effect-tinker/engine/Engine"
import * as LlamaEngine from "@effect-tinker/llama/LlamaEngine"
import * as ShippedModel from "@effect-tinker/llama/ShippedModel"
import * as NodeServer from "@effect-tinker/node/NodeServer"
import * as CheckpointStore from "@effect-tinker/server/CheckpointStore"
import * as ServerJournal from "@effect-tinker/server/ServerJournal"
import type * as TinkerProtocol from "@effect-tinker/server/TinkerProtocol"
import * as TinkerServer from "@effect-tinker/server/TinkerServer"
import type * as Command from "@effect/cli/Command"
import * as HttpServer from "@effect/platform/HttpServer"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { flags } from "../commands/serveFlags.js"
import * as FolderLock from "../FolderLock.js"
import * as ServeOptions from "../ServeOptions.js"
import * as Stopping from "../Stopping.js"
import { UsageError } from "../UsageError.js"

/** How long requests that run may take when the server is told to stop. */
const gracePeriod = Duration.seconds(30)

/** Neither keys nor bodies are in it. */
const logLine = ({ method, millis, path, status }: TinkerProtocol.Answered) =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    process.stderr.write(`${new Date(now).toISOString()} ${method} ${path} ${status} ${millis.toFixed(1)} ms\n`)
  })

const logRestored = (restored: TinkerProtocol.Restored) =>
  Effect.sync(() => {
    const line = ServeOptions.restoredLine(restored)
    if (line !== undefined) process.stderr.write(`${line}\n`)
  })

/** Says where the server listens: for programs the address alone; for people also how those in Python find it, and whether anything is kept. */
const listening = (publicUrl: string | undefined, asksForKeys: boolean, isInMemory: boolean) =>
  Effect.flatMap(HttpServer.HttpServer, ({ address }) =>
    Effect.sync(() => {
      if (address._tag !== "TcpAddress") return
      const host = address.hostname.includes(":") ? `[${address.hostname}]` : address.hostname
      const url = `http://${host}:${address.port}`
      process.stdout.write(`listening on ${url}\n`)
      const reached = publicUrl ?? url
      process.stderr.write(`${ServeOptions.pythonLine(reached, asksForKeys)}\n`)
      if (isInMemory) process.stderr.write(`${ServeOptions.inMemoryLine}\n`)
    }))

interface Place {
  readonly port: number
  readonly host: string
  /** None for the one that comes along. */
  readonly model: ReadonlyArray<string | LlamaEngine.NamedFolder>
  readonly data: Option.Option<string>
}

/** Serves until it is told to stop. */
export const serve = (
  { allowHost, data, host, keyFile, model, port, publicUrl, quiet, settings }: Command.Command.ParseConfig<typeof flags>
) =>
  Effect.gen(function*() {
    yield* ServeOptions.checkExposure(host, Option.isSome(keyFile))
    const models = yield* ServeOptions.parseModels(model)
    const options = {
      allowedHosts: allowHost,
      publicUrl: Option.isSome(publicUrl) ? yield* ServeOptions.checkPublicUrl(publicUrl.value) : undefined,
      ...(Option.isSome(settings) ? yield* ServeOptions.readSettings(settings.value) : {}),
      apiKeys: Option.isSome(keyFile) ? yield* ServeOptions.readKeys(keyFile.value) : undefined,
      // Clients of the protocol's beginning fetch checkpoints no other way.
      archives: true,
      metrics: true,
      gracePeriod,
      saveOnStop: Option.isSome(data),
      onAnswer: quiet ? undefined : logLine,
      onRestored: logRestored
    }
    yield* ServeOptions.checkAddress(host, port)
    const { first, second } = ServeOptions.stoppingWords({
      data: Option.getOrUndefined(data),
      gracePeriod,
      keepLiveModels: options.keepLiveModels
    })
    yield* Stopping.atOnce({
      first,
      second: Effect.succeed(second),
      write: (text) => void process.stderr.write(text)
    })
    yield* launch(options, { data, host, model: models, port })
  }).pipe(Effect.scoped)

/** Goes on for ever; but a server whose engine is not started any more ends, so that whoever watches over it starts it anew. */
const computing = ({ losses }: Engine.Service) =>
  losses === undefined ? Effect.never : Effect.zipRight(Stream.runDrain(losses), Effect.never)

const engine = (models: Place["model"], options: LlamaEngine.Options | undefined) =>
  models.length === 0
    ? LlamaEngine.layer(ShippedModel.folder, options)
    : Layer.mapError(LlamaEngine.layer(models, options), (error) =>
      error.reason === "UnsupportedModel"
        ? new UsageError({ description: `--model: ${error.description}`, cause: error })
        : error)

const launch = (options: TinkerProtocol.Options & ServeOptions.LocalOptions, { data, host, model, port }: Place) =>
  Layer.build(
    Layer.merge(
      TinkerServer.layer(options),
      Layer.effectDiscard(listening(options.publicUrl, options.apiKeys !== undefined, Option.isNone(data)))
    ).pipe(
      Layer.provide(NodeServer.layer({ port, host })),
      Layer.provideMerge(engine(model, options.engine)),
      Layer.provide(
        Option.match(data, {
          onNone: () => CheckpointStore.layerMemory,
          onSome: (folder) =>
            Layer.merge(
              CheckpointStore.layer(folder),
              ServerJournal.layer(`${folder}/.server`, { liveModels: options.keepLiveModels })
            ).pipe(Layer.provide(Layer.scopedDiscard(FolderLock.acquire(folder))))
        })
      )
    )
  ).pipe(
    Effect.flatMap((context) => computing(Context.get(context, Engine.Engine))),
    Effect.scoped,
    Effect.catchTag("ServeError", (error) => ServeOptions.unheard(host, port, error.cause))
  )
