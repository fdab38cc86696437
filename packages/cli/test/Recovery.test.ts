import { BigramEngine } from "@effect-tinker/engine"
import { CheckpointStore, ServerJournal, TinkerServer } from "@effect-tinker/server"
import { FileSystem, HttpClient, HttpClientError, KeyValueStore } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Context, Deferred, Effect, Exit, Layer, Schedule, Scope } from "effect"
import { RetryPolicy, Tinker, TinkerConfig, TinkerEvents } from "effect-tinker"
import { execFileSync, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Display from "../src/Display.js"
import * as FineTune from "../src/FineTune.js"
import { run } from "../src/quickstart.js"
import { bigram, byteTokenizer, lessons, recording } from "./fixture.js"

const steps = 12
const long = process.env.TINKER_TEST_LONG === "1"

interface Life {
  readonly client: HttpClient.HttpClient
  readonly store: CheckpointStore.Service
  readonly scope: Scope.CloseableScope
  readonly over: Deferred.Deferred<void>
}

/** A server that keeps everything in the folder, in one life of it. */
const live = (folder: string, liveModels: boolean) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(
      TinkerServer.layerClientWithStore().pipe(
        Layer.provideMerge(CheckpointStore.layer(folder)),
        Layer.provide(ServerJournal.layer(`${folder}/.server`, { liveModels })),
        Layer.provide(BigramEngine.layer({ stepDuration: "1 millis" })),
        Layer.provide(NodeContext.layer)
      ),
      scope
    )
    const life: Life = {
      client: Context.get(context, HttpClient.HttpClient),
      store: Context.get(context, CheckpointStore.CheckpointStore),
      scope,
      over: yield* Deferred.make<void>()
    }
    return life
  })

/** A display by which something else happens after each step. */
const afterSteps = (layer: Layer.Layer<Display.Display>, then: (step: number) => Effect.Effect<void>) =>
  Layer.effect(
    Display.Display,
    Effect.map(Display.Display, (display): Display.Service => ({
      ...display,
      step: (step) => Effect.zipRight(display.step(step), Effect.suspend(() => then(step.step)))
    }))
  ).pipe(Layer.provide(layer))

/** The training program, against a server that ends when a step is done, and is started anew. */
const train = (options: { readonly liveModels: boolean; readonly endsAt?: number }) =>
  Effect.gen(function*() {
    const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
    let life = yield* live(folder, options.liveModels)
    const client = HttpClient.make((request) =>
      Effect.suspend(() => {
        const nobody = new HttpClientError.RequestError({ request, reason: "Transport", description: "nobody listens" })
        return Effect.flatMap(Deferred.isDone(life.over), (isOver) =>
          isOver
            ? nobody
            : Effect.raceFirst(life.client.execute(request), Effect.zipRight(Deferred.await(life.over), nobody)))
      })
    )
    const restart = Effect.gen(function*() {
      yield* Deferred.succeed(life.over, undefined)
      yield* Scope.close(life.scope, Exit.void)
      life = yield* Effect.orDie(live(folder, options.liveModels))
    })
    const { layer, text } = recording(false)
    let endsAt = options.endsAt
    let waits = 0
    const counting = Layer.effect(
      Display.Display,
      Effect.map(Display.Display, (display): Display.Service => ({
        ...display,
        waiting: (millis) => Effect.zipRight(Effect.sync(() => void (waits += 1)), display.waiting(millis))
      }))
    ).pipe(Layer.provide(layer))
    const ending = afterSteps(counting, (step) => {
      if (step !== endsAt) return Effect.void
      endsAt = undefined
      return restart
    })
    const { lossAfter, steps: done } = yield* Effect.flatMap(
      lessons(steps),
      (lessons) => FineTune.program({ lessons, steps, batchSize: 2, rank: 4, learningRate: 0.3, checkpointEvery: 5 })
    ).pipe(
      Effect.provide(
        Tinker.layer().pipe(
          Layer.provide(Layer.succeed(HttpClient.HttpClient, client)),
          Layer.provide(Layer.succeed(TinkerConfig.DefaultBaseUrl, "http://localhost"))
        )
      ),
      Effect.provide([ending, bigram, byteTokenizer, KeyValueStore.layerMemory]),
      RetryPolicy.withPolicies({ request: Schedule.spaced("10 millis"), poll: Schedule.spaced("10 millis") })
    )
    const checkpoints = yield* life.store.list
    const last = yield* life.store.load(checkpoints.at(-1)!.path)
    yield* Scope.close(life.scope, Exit.void)
    return { text: text(), waits, lossAfter, losses: done.map(({ nllPerToken }) => nllPerToken), weights: last.weights }
    // Tests that run beside this one have events too.
  }).pipe(Effect.scoped, Effect.provide([NodeContext.layer, TinkerEvents.layerHub]))

const trained = Effect.runSync(Effect.cached(train({ liveModels: true })))

describe("training that outlives its server", () => {
  const cases = [
    ["goes on with the live model where it is kept", { liveModels: true, endsAt: 7 }, [
      "The server cannot be reached: waiting for it. Ctrl-C twice ends that, and says how to go on.",
      "The server is back, with the live model: training goes on where it was."
    ]],
    ["goes on from the last checkpoint where it is not", { liveModels: false, endsAt: 7 }, [
      "The server has lost the live model: training goes on from the checkpoint of step 5, tinker://"
    ]],
    ["begins anew where there is no checkpoint, and says so", { liveModels: false, endsAt: 2 }, [
      "The server has lost the live model, and there is no checkpoint yet: training begins anew."
    ]]
  ] as const
  for (const [name, options, said] of cases) {
    it.live(`${name}, to the same weights`, () =>
      Effect.gen(function*() {
        const undisturbed = yield* trained
        assert.notInclude(undisturbed.text, "The server")
        assert.strictEqual(undisturbed.waits, 0)
        const disturbed = yield* train(options)
        for (const line of said) assert.include(disturbed.text, line)
        assert.strictEqual(disturbed.waits > 0, disturbed.text.includes("cannot be reached"))
        assert.strictEqual(disturbed.text.includes("with the live model"), options.liveModels)
        assert.lengthOf(disturbed.losses, steps)
        assert.deepStrictEqual(disturbed.losses, undisturbed.losses)
        assert.deepStrictEqual(disturbed.lossAfter, undisturbed.lossAfter)
        assert.deepStrictEqual(disturbed.weights, undisturbed.weights)
      }))
  }
})

const entry = fileURLToPath(new URL("../src/serve.ts", import.meta.url))
const makeModel = fileURLToPath(new URL("../../llama/scripts/makeRandomLlama.ts", import.meta.url))

/** `serve` in a process of its own, once it listens. */
const serve = (...args: ReadonlyArray<string>) =>
  Effect.async<{ readonly url: string; readonly log: () => string; readonly kill: Effect.Effect<void> }, Error>(
    (resume) => {
      const child = spawn("node", ["--import", "tsx", entry, ...args], { stdio: ["ignore", "pipe", "pipe"] })
      let log = ""
      child.stderr.on("data", (chunk: Buffer) => {
        log += chunk.toString()
      })
      const kill = Effect.async<void>((done) => {
        if (child.exitCode !== null || child.signalCode !== null) return done(Effect.void)
        child.once("exit", () => done(Effect.void))
        child.kill("SIGKILL")
      })
      child.once("exit", () => resume(Effect.fail(new Error(log))))
      child.stdout.once(
        "data",
        (line: Buffer) =>
          resume(Effect.succeed({ url: String(line).replace("listening on ", "").trim(), log: () => log, kill }))
      )
    }
  )

/** The quickstart against `serve`, which is killed when the text is shown, and started anew. */
const quickstart = (
  model: string,
  folder: string,
  options: { readonly liveModels: boolean; readonly killedAt?: string }
) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    yield* fs.makeDirectory(folder, { recursive: true })
    yield* fs.writeFileString(`${folder}/settings.json`, JSON.stringify({ keep_live_models: options.liveModels }))
    const args = ["--model", model, "--data", `${folder}/data`, "--settings", `${folder}/settings.json`]
    let server = yield* serve(...args, "--port", "0")
    yield* Effect.addFinalizer(() => Effect.suspend(() => server.kill))
    const { url } = server
    const port = new URL(url).port
    const { layer, text } = recording(false)
    let killedAt = options.killedAt
    const killing = afterSteps(layer, () => {
      if (killedAt === undefined || !text().includes(killedAt)) return Effect.void
      killedAt = undefined
      return Effect.gen(function*() {
        yield* server.kill
        server = yield* Effect.orDie(serve(...args, "--port", port))
      })
    })
    yield* run([
      "node",
      "quickstart",
      "--remote",
      "--tokenizer",
      model,
      "--steps",
      "60",
      "--rank",
      "4",
      "--out",
      folder
    ])
      .pipe(
        Effect.provide(killing),
        Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["TINKER_BASE_URL", url]])))
      )
    yield* server.kill
    const saved = yield* fs.readDirectory(`${folder}/data`, { recursive: true })
    const state = saved.filter((file) => file.endsWith("step-000060/state.safetensors"))
    assert.lengthOf(state, 1)
    return { text: text(), log: server.log(), state: yield* fs.readFile(`${folder}/data/${state[0]}`) }
  }).pipe(Effect.scoped)

if (long) {
  it.live(
    "the quickstart goes on after kill -9 of the server it trains at, to the same weights",
    () =>
      Effect.gen(function*() {
        const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
        const model = `${folder}/model`
        execFileSync("node", ["--import", "tsx", makeModel, model, "qwen3", "64", "1"])
        const undisturbed = yield* quickstart(model, `${folder}/undisturbed`, { liveModels: true })
        const kept = yield* quickstart(model, `${folder}/kept`, { liveModels: true, killedAt: "step 31/60" })
        assert.include(kept.text, "The server is back, with the live model")
        assert.match(kept.log, /^goes on with 1 session, 1 live model, /m)
        assert.deepStrictEqual(kept.state, undisturbed.state)
        const lost = yield* quickstart(model, `${folder}/lost`, { liveModels: false, killedAt: "step 54/60" })
        assert.include(lost.text, "training goes on from the checkpoint of step 50, tinker://")
        assert.match(lost.log, /^goes on with .*1 model lost, to be gone on with from a checkpoint$/m)
        assert.deepStrictEqual(lost.state, undisturbed.state)
      }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)),
    300_000
  )
}
