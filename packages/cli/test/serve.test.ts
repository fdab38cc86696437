import { ShippedModel } from "@effect-tinker/engine"
import { TinkerNode } from "@effect-tinker/node"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ServiceClient, Tinker } from "effect-tinker"
import { type ChildProcess, spawn } from "node:child_process"

const entry = new URL("../src/serve.ts", import.meta.url).pathname

const serve = (...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn("node", ["--import", "tsx", entry, ...args])),
    (child) =>
      Effect.async<void>((resume) => {
        if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGINT")
      })
  )

const exitCode = (child: ChildProcess) =>
  Effect.async<number | null>((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.succeed(child.exitCode))
    child.once("exit", (code) => resume(Effect.succeed(code)))
  })

/** Everything written to a stream of the child until `pattern` matches, or until it ends. */
const readUntil = (stream: NodeJS.ReadableStream, pattern: RegExp) =>
  Effect.async<string>((resume) => {
    let text = ""
    stream.on("data", (chunk: Buffer) => {
      text += chunk.toString()
      if (pattern.test(text)) resume(Effect.succeed(text))
    })
    stream.on("end", () => resume(Effect.succeed(text)))
  })

it.scopedLive(
  "says where it listens when it is ready, on this machine alone, and serves the shipped model",
  () =>
    Effect.gen(function*() {
      const child = yield* serve("--port", "0")
      const logged = yield* Effect.cached(readUntil(child.stderr, /capabilities.*\n/))
      const line = yield* readUntil(child.stdout, /\n/)
      assert.match(line, /^listening on http:\/\/127\.0\.0\.1:\d+\n$/)
      const client = Tinker.layer({ baseUrl: line.replace("listening on ", "").trim() }).pipe(
        Layer.provide(TinkerNode.layer)
      )
      const { supportedModels } = yield* Effect.provide(
        Effect.flatMap(ServiceClient.ServiceClient, (service) => service.getServerCapabilities),
        client
      )
      assert.deepStrictEqual(supportedModels.map((model) => model.modelName), [ShippedModel.name])
      assert.match(
        yield* logged,
        /^\d{4}-\S+Z GET \/api\/v1\/get_server_capabilities 200 [\d.]+ ms$/m
      )
    }),
  60_000
)

it.scopedLive("does not open itself to the network without keys, and says what to do", () =>
  Effect.gen(function*() {
    const child = yield* serve("--port", "0", "--host", "0.0.0.0")
    assert.match(yield* readUntil(child.stderr, /\n/), /^error: on 0\.0\.0\.0, .*--key-file FILE/)
  }))

it.scopedLive("says what is wrong with a folder that is no model", () =>
  Effect.gen(function*() {
    const child = yield* serve("--port", "0", "--model", "/nonexistent")
    assert.include(yield* readUntil(child.stderr, /\n/), "error: /nonexistent/config.json")
  }))

it.scopedLive(
  "refuses a folder that another has, and takes it over from one that was killed",
  () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      const first = yield* serve("--port", "0", "--data", folder)
      yield* readUntil(first.stdout, /\n/)

      const second = yield* serve("--port", "0", "--data", folder)
      assert.strictEqual(
        yield* readUntil(second.stderr, /\n/),
        `error: the folder ${folder} is in use by process ${first.pid}, another server. `
          + "Stop that one, or give another folder with --data.\n"
      )
      assert.strictEqual(yield* exitCode(second), 1)

      first.kill("SIGKILL")
      yield* exitCode(first)
      const third = yield* serve("--port", "0", "--data", folder)
      assert.match(yield* readUntil(third.stdout, /\n/), /^listening on/)
    }).pipe(Effect.provide(NodeContext.layer)),
  60_000
)
