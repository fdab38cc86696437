import type { Supervised } from "@effect-tinker/cookbook"
import { BigramEngine } from "@effect-tinker/engine"
import {
  ApiConnectionError,
  ApiStatusError,
  ApiTimeoutError,
  type TinkerError
} from "@effect-tinker/protocol/TinkerError"
import { CheckpointStore, ServerJournal, TinkerServer } from "@effect-tinker/server"
import { FileSystem, HttpClient, HttpClientError, KeyValueStore } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import {
  Clock,
  ConfigProvider,
  Context,
  Deferred,
  Duration,
  Effect,
  Exit,
  Layer,
  Schedule,
  Scope,
  TestClock
} from "effect"
import { RetryPolicy, Tinker, TinkerConfig, TinkerEvents } from "effect-tinker"
import { execFileSync, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Display from "../src/Display.js"
import * as FineTune from "../src/FineTune.js"
import { run } from "../src/quickstart.js"
import * as Recovery from "../src/Recovery.js"
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
      "The server is back.\n"
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
        assert.strictEqual(disturbed.text.includes("has lost the live model"), !options.liveModels)
        assert.lengthOf(disturbed.losses, steps)
        assert.deepStrictEqual(disturbed.losses, undisturbed.losses)
        assert.deepStrictEqual(disturbed.lossAfter, undisturbed.lossAfter)
        assert.deepStrictEqual(disturbed.weights, undisturbed.weights)
      }))
  }
})

const shown = (interactive = false) => {
  const { layer, text } = recording(interactive)
  return { text, layer: Layer.provideMerge(TinkerEvents.layerHub, layer) }
}

const unanswered = new ApiConnectionError({ operation: "optim_step", url: "http://localhost", description: "refused" })

const answered = (status: number, rest: { readonly isForeign?: boolean } = {}) =>
  new ApiStatusError({ operation: "optim_step", status, reason: "InternalServer", detail: "", ...rest })

const failed = (error: TinkerError, policy = "request") =>
  Effect.map(
    TinkerEvents.CurrentHub,
    (hub) => hub.publish({ _tag: "RetryScheduled", operation: error.operation, policy, attempt: 2, wait: 5000, error })
  )

/** A request ends, after so many milliseconds. */
const stopped = (path: string, event: Partial<TinkerEvents.RequestStopped> = {}) =>
  Effect.gen(function*() {
    const hub = yield* TinkerEvents.CurrentHub
    hub.publish({
      _tag: "RequestStopped",
      operation: path,
      method: "POST",
      path: `/api/v1/${path}`,
      traffic: "train",
      at: yield* Clock.currentTimeMillis,
      result: "ok",
      status: 200,
      retries: 0,
      duration: 0,
      bytesSent: 0,
      bytesReceived: 0,
      ...event
    })
  })

const away = "The server cannot be reached: waiting for it. Ctrl-C twice ends that, and says how to go on.\n"
const refusing = "The server takes nothing new: waiting for it. Ctrl-C twice ends that, and says how to go on.\n"
const back = "The server is back.\n"

describe("a server that is away", () => {
  const signs = [
    ["answers no request", unanswered, away],
    [
      "does not answer in time",
      new ApiTimeoutError({ operation: "a", reason: "request", deadline: Duration.minutes(1) }),
      away
    ],
    ["has a proxy before it that does not reach it", answered(502, { isForeign: true }), away],
    ["has a proxy before it that says 503", answered(503, { isForeign: true }), away],
    ["stops, and takes nothing new", answered(503), refusing]
  ] as const
  for (const [what, error, line] of signs) {
    it.scoped(`is said at once when it ${what}, once, and so is its return`, () => {
      const { layer, text } = shown()
      return Effect.gen(function*() {
        yield* Recovery.watch
        yield* failed(error)
        assert.strictEqual(text(), line)
        yield* failed(error, "poll")
        yield* stopped("optim_step", { retries: 3 })
        assert.strictEqual(text(), line + back)
      }).pipe(Effect.provide(layer))
    })
  }

  it.scoped("is not what asks to come again later, or has lost telemetry alone", () => {
    const { layer, text } = shown()
    return Effect.gen(function*() {
      yield* Recovery.watch
      yield* failed(answered(429))
      yield* failed(answered(500))
      yield* failed(unanswered, "telemetry")
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual(text(), "")
    }).pipe(Effect.provide(layer))
  })

  it.scoped("is not back for an answer to what was sent before, nor one that refuses for results that it still gives", () => {
    const { layer, text } = shown()
    return Effect.gen(function*() {
      yield* Recovery.watch
      const before = yield* Clock.currentTimeMillis
      yield* TestClock.adjust("1 second")
      yield* failed(answered(503))
      yield* stopped("retrieve_future")
      yield* stopped("session_heartbeat")
      yield* failed(unanswered)
      yield* stopped("retrieve_future", { at: before })
      yield* stopped("retrieve_future", { result: "ApiConnectionError", status: undefined })
      yield* stopped("retrieve_future", { result: "InternalServer", status: 502 })
      assert.strictEqual(text(), refusing)
      yield* stopped("retrieve_future", { result: "pending", status: 408 })
      assert.strictEqual(text(), refusing + back)
    }).pipe(Effect.provide(layer))
  })

  it.scoped("is said once a minute, and its return before the step that its answer brings, and no wait after it", () => {
    const { layer, text } = shown()
    return Effect.gen(function*() {
      const display = yield* Display.Display
      yield* Recovery.watch
      yield* failed(unanswered)
      yield* TestClock.adjust("61500 millis")
      yield* Effect.zipRight(stopped("retrieve_future"), display.step(stepOf(1)))
      yield* TestClock.adjust("1 hour")
      assert.match(
        text(),
        /waiting for it\..*\nWaiting for the server: 1 minute\nThe server is back\.\nstep +2\/10 .*\n$/
      )
    }).pipe(Effect.provide(layer))
  })

  it.scoped("takes no time of the pace, however short it is and whatever is waited for", () => {
    const { layer, text } = shown()
    return Effect.gen(function*() {
      const display = yield* Display.Display
      yield* Recovery.watch
      const step = (step: number) => Effect.zipRight(TestClock.adjust("2 seconds"), display.step(stepOf(step)))
      yield* Effect.forEach([0, 1, 2], step)
      yield* failed(answered(503))
      yield* TestClock.adjust("10 seconds")
      yield* step(3)
      yield* TestClock.adjust("10 seconds")
      yield* stopped("optim_step")
      yield* Effect.forEach([4, 5], step)
      assert.deepStrictEqual(text().match(/\d+ s left/g), [
        "16 s left",
        "14 s left",
        "12 s left",
        "10 s left",
        "8 s left"
      ])
    }).pipe(Effect.provide(layer))
  })

  it.scoped("is what Ctrl-C says it waits for, before and after it is gone", () => {
    const { layer, text } = shown()
    return Effect.gen(function*() {
      const outages = yield* Recovery.watch
      yield* failed(unanswered)
      yield* outages.stopping
      yield* stopped("optim_step")
      yield* outages.stopping
      yield* failed(unanswered)
      assert.strictEqual(
        text(),
        away
          + "Stopping: the server is waited for, to finish and save what is under way. Ctrl-C again stops at once, with what is kept.\n"
          + back
          + "Stopping: what is under way is finished and saved first. Ctrl-C again stops at once.\n"
          + "The server cannot be reached: waiting for it. Ctrl-C again ends that at once, and says how to go on.\n"
      )
    }).pipe(Effect.provide(layer))
  })
})

const stepOf = (step: number): Supervised.Step => ({
  step,
  totalSteps: 10,
  epoch: 0,
  learningRate: 1e-3,
  nllPerToken: 2,
  tokens: 100,
  tokensPerSecond: 6000,
  metrics: {},
  checkpoint: undefined
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
        assert.include(kept.text, "The server is back.\n")
        assert.notInclude(kept.text, "has lost the live model")
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
