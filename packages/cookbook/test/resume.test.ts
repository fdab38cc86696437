import { BigramEngine } from "@effect-tinker/engine"
import { CheckpointStore, TinkerServer } from "@effect-tinker/server"
import { Tokenizer } from "@effect-tinker/tokenizer"
import { FileSystem, HttpServer, KeyValueStore } from "@effect/platform"
import { NodeContext, NodeHttpServer } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { Tinker } from "effect-tinker"
import { type ChildProcess, spawn } from "node:child_process"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import { program } from "../examples/resume.js"
import { quiet, tokenizerFolder } from "./fixture.js"

const long = process.env.TINKER_TEST_LONG === "1"
const example = fileURLToPath(new URL("../examples/resume.ts", import.meta.url))
const steps = 30

const engine = BigramEngine.layer({ vocabularySize: 340 })

/** A server on a port of this machine, which outlives the processes that train on it. */
const server = TinkerServer.layer().pipe(
  Layer.provide(Layer.merge(engine, CheckpointStore.layerMemory)),
  Layer.provideMerge(NodeHttpServer.layer(() => createServer(), { port: 0, host: "127.0.0.1" })),
  Layer.merge(NodeContext.layer)
)

/** Runs the program in a process of its own; killed without warning as soon as it has printed what `killedAt` says. */
const runProcess = (folder: string, killedAt?: string) =>
  Effect.gen(function*() {
    const { address } = yield* HttpServer.HttpServer
    const port = address._tag === "TcpAddress" ? address.port : 0
    const child = yield* Effect.acquireRelease(
      Effect.sync((): ChildProcess =>
        spawn(
          process.execPath,
          ["--import", "tsx", example, "bigram", tokenizerFolder("gpt2"), folder, String(steps)],
          { env: { ...process.env, TINKER_BASE_URL: `http://127.0.0.1:${port}` }, stdio: ["ignore", "pipe", "inherit"] }
        )
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    let printed = ""
    yield* Stream.fromAsyncIterable(child.stdout! as AsyncIterable<Buffer>, (cause) => new Error(String(cause))).pipe(
      Stream.runForEach((part) =>
        Effect.sync(() => {
          printed += part.toString()
          if (killedAt !== undefined && printed.includes(killedAt)) child.kill("SIGKILL")
        })
      )
    )
    return printed
  }).pipe(Effect.scoped)

const inThisProcess = program({ baseModel: "bigram", steps }).pipe(
  Effect.scoped,
  Effect.provide(Tinker.layer().pipe(Layer.provide(TinkerServer.layerClient), Layer.provide(engine))),
  Effect.provide(Layer.merge(KeyValueStore.layerMemory, Tokenizer.layerFolder(tokenizerFolder("gpt2")))),
  quiet
)

const losses = (printed: string): ReadonlyArray<number> =>
  JSON.parse(/losses (.*)/.exec(printed)?.[1] ?? "[]") as ReadonlyArray<number>

it.live(
  "a process that is killed without warning is gone on with, to the losses of a run never broken",
  () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const unbroken = yield* inThisProcess
      assert.lengthOf(unbroken, steps)
      const folder = yield* fs.makeTempDirectoryScoped()
      const kills = long ? ["step 2 ", "step 7 ", "step 10 ", "step 19 ", "step 26 "] : ["step 12 "]
      for (const kill of kills) {
        assert.include(yield* runProcess(folder, kill), kill)
      }
      const last = yield* runProcess(folder)
      assert.deepStrictEqual(losses(last), unbroken)
    }).pipe(Effect.scoped, Effect.provide(server)),
  300_000
)
