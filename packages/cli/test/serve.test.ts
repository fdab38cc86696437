import { ShippedModel } from "@effect-tinker/llama"
import { NodeServer, TinkerNode } from "@effect-tinker/node"
import { FetchHttpClient, FileSystem, HttpClient } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schedule } from "effect"
import { AdamParams, ApiFuture, Datum, ServiceClient, Tinker } from "effect-tinker"
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as ServeOptions from "../src/ServeOptions.js"

const entry = fileURLToPath(new URL("../src/serve.ts", import.meta.url))

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

it.scopedLive("names an option that does not exist, with the one that may be meant, and one that lacks its value", () =>
  Effect.gen(function*() {
    const unknown = yield* serve("--prot", "0")
    assert.strictEqual(yield* readUntil(unknown.stderr, /\n/), "error: there is no option --prot. Was --port meant?\n")
    assert.strictEqual(yield* exitCode(unknown), 1)
    const lacking = yield* serve("--key-file", "--port", "0")
    assert.match(yield* readUntil(lacking.stderr, /\n/), /^error: --key-file is given without its value/)
  }))

it.scopedLive("finds a port that another program has before it looks at any model", () =>
  Effect.gen(function*() {
    const { address } = yield* NodeServer.make({ port: 0, host: "127.0.0.1" })
    const port = address._tag === "TcpAddress" ? address.port : 0
    const child = yield* serve("--port", String(port), "--model", "/nonexistent")
    assert.include(yield* readUntil(child.stderr, /\n/), `error: cannot listen on 127.0.0.1:${port}: another program`)
    assert.strictEqual(yield* exitCode(child), 1)
  }))

it.scopedLive("says what is wrong with a folder that is no model", () =>
  Effect.gen(function*() {
    const child = yield* serve("--port", "0", "--model", "/nonexistent")
    assert.include(yield* readUntil(child.stderr, /\n/), "error: --model: /nonexistent/config.json")
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

it.scopedLive(
  "serves a folder under the name that it is given, with its tokenizer, and says how Python programs find both",
  () =>
    Effect.gen(function*() {
      const child = yield* serve("--port", "0", "--model", `Qwen/Qwen3-8B=${ShippedModel.folder}`)
      const hint = yield* Effect.fork(readUntil(child.stderr, /--data.*\n/))
      const url = (yield* readUntil(child.stdout, /\n/)).replace("listening on ", "").trim()
      assert.include(yield* Fiber.join(hint), `TINKER_BASE_URL=${url} HF_ENDPOINT=${url} TINKER_API_KEY=tml-local\n`)
      assert.include(yield* Fiber.join(hint), `\n${ServeOptions.inMemoryLine}\n`)
      const { loss, tokenizer } = yield* Effect.gen(function*() {
        const service = yield* ServiceClient.ServiceClient
        const training = yield* service.createLoraTrainingClient({ baseModel: "Qwen/Qwen3-8B", rank: 4, seed: 1 })
        const data = [Datum.fromTokens(Int32Array.of(1, 2, 3, 4), new Float32Array(4).fill(1))]
        const { metrics } = yield* ApiFuture.flatten(training.forward({ data, lossFn: "cross_entropy" }))
        const client = yield* HttpClient.HttpClient
        const answer = yield* client.get(`${url}/Qwen/Qwen3-8B/resolve/main/tokenizer.json`)
        return { loss: metrics["loss:sum"], tokenizer: yield* answer.text }
      }).pipe(
        Effect.scoped,
        Effect.provide(Tinker.layer({ baseUrl: url }).pipe(Layer.provide(TinkerNode.layer))),
        Effect.provide(FetchHttpClient.layer)
      )
      assert.isAbove(loss!, 0)
      const fs = yield* FileSystem.FileSystem
      assert.strictEqual(tokenizer, yield* fs.readFileString(`${ShippedModel.folder}/tokenizer.json`))
    }).pipe(Effect.provide(NodeContext.layer)),
  60_000
)

/** As by a system without memory. Between two processes of the engine there is none for a moment. */
const killEngine = (server: ChildProcess) =>
  Effect.try(() => {
    const pid = execFileSync("pgrep", ["-P", String(server.pid), "-f", "engineChild"])
    process.kill(Number(pid), "SIGKILL")
  }).pipe(Effect.retry(Schedule.spaced("20 millis")), Effect.orDie)

it.scopedLive(
  "goes on with a model when its engine was killed, from the last finished request",
  () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const server = yield* serve("--port", "0", "--data", yield* fs.makeTempDirectoryScoped())
      const line = yield* readUntil(server.stdout, /\n/)
      const data = [Datum.fromTokens(Int32Array.of(1, 2, 3, 4), new Float32Array(4).fill(1))]
      const logprobs = yield* Effect.gen(function*() {
        const service = yield* ServiceClient.ServiceClient
        const training = yield* service.createLoraTrainingClient({ baseModel: ShippedModel.name, rank: 4, seed: 1 })
        const forward = Effect.map(
          ApiFuture.flatten(training.forward({ data, lossFn: "cross_entropy" })),
          ({ lossFnOutputs }) => lossFnOutputs.map(({ logprobs }) => logprobs!.data)
        )
        yield* ApiFuture.flatten(training.forwardBackward({ data, lossFn: "cross_entropy" }))
        yield* ApiFuture.flatten(training.optimStep(AdamParams.make({ learningRate: 0.01 })))
        const before = yield* forward
        yield* killEngine(server)
        return { before, after: yield* Effect.retry(forward, { times: 1 }) }
      }).pipe(
        Effect.scoped,
        Effect.provide(
          Tinker.layer({ baseUrl: line.replace("listening on ", "").trim() }).pipe(Layer.provide(TinkerNode.layer))
        )
      )
      assert.deepStrictEqual(logprobs.after, logprobs.before)
    }).pipe(Effect.provide(NodeContext.layer)),
  60_000
)

it.scopedLive(
  "ends with an error, and says why, when its engine ends again and again",
  () =>
    Effect.gen(function*() {
      const server = yield* serve("--port", "0")
      const errors = yield* Effect.fork(readUntil(server.stderr, /^error.*\n/m))
      yield* readUntil(server.stdout, /\n/)
      yield* Effect.forkScoped(Effect.repeat(killEngine(server), Schedule.spaced("20 millis")))
      assert.match(yield* Fiber.join(errors), /^error: the engine of \S+ has ended 6 times within 5m, .*SIGKILL/m)
      assert.strictEqual(yield* exitCode(server), 1)
    }),
  60_000
)

it.scopedLive(
  "told to stop a second time it ends at once and says what that means, and what it had accepted is done when it is started again",
  () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      const server = yield* serve("--port", "0", "--quiet", "--data", folder)
      const url = (yield* readUntil(server.stdout, /\n/)).replace("listening on ", "").trim()
      const stopping = yield* Effect.fork(readUntil(server.stderr, /^Stopping: .*\n/m))
      const stopped = yield* Effect.fork(readUntil(server.stderr, /^Stopped .*\n/m))
      const output = yield* Effect.gen(function*() {
        const service = yield* ServiceClient.ServiceClient
        const training = yield* service.createLoraTrainingClient({ baseModel: ShippedModel.name, rank: 4, seed: 1 })
        const long = Datum.fromTokens(new Int32Array(256).fill(1), new Float32Array(256).fill(1))
        const future = yield* training.forwardBackward({
          data: Array.from({ length: 40 }, () => long),
          lossFn: "cross_entropy"
        })
        server.kill("SIGINT")
        assert.match(
          yield* Fiber.join(stopping),
          /^Stopping: what runs is given 30s to finish, and every trained model is saved\. Ctrl-C again stops at once\.$/m
        )
        server.kill("SIGINT")
        assert.match(
          yield* Fiber.join(stopped),
          /^Stopped at once, .* What training has accepted is not lost: the same command does it/m
        )
        assert.strictEqual(yield* exitCode(server), 130)
        const again = yield* serve("--port", new URL(url).port, "--quiet", "--data", folder)
        const restored = yield* Effect.fork(readUntil(again.stderr, /^goes on with .*\n/m))
        assert.match(yield* Fiber.join(restored), /^goes on with .*1 live model, .*1 request to be done$/m)
        return yield* future.await
      }).pipe(Effect.scoped, Effect.provide(Tinker.layer({ baseUrl: url }).pipe(Layer.provide(TinkerNode.layer))))
      assert.lengthOf(output.lossFnOutputs, 40)
    }).pipe(Effect.provide(NodeContext.layer)),
  120_000
)
