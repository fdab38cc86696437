import { BigramEngine } from "@effect-tinker/engine"
import { FetchHttpClient, FileSystem, HttpClient } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Random, Schedule } from "effect"
import { AdamParams, ApiFuture, Datum, RestClient, RetryPolicy, ServiceClient, Tinker } from "effect-tinker"
import { build } from "esbuild"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { TinkerServer } from "../src/index.js"

const long = process.env.TINKER_TEST_LONG === "1"
const kills = long ? 20 : 3
const steps = long ? 80 : 12

const data = [[1, 2, 3, 4, 5, 6], [9, 8, 7, 6, 5, 4], [3, 1, 4, 1, 5, 9]].map((tokens) =>
  Datum.fromTokens(Int32Array.from(tokens), new Float32Array(tokens.length).fill(1))
)

/** Two passes and a step at a time, of which two are under way, and a save at every third. */
const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4, seed: 1 })
  const underWay: Array<Effect.Effect<unknown, unknown>> = []
  for (let step = 0; step < steps; step++) {
    const first = yield* training.forwardBackward({ data: data.slice(0, 2), lossFn: "cross_entropy" })
    const second = yield* training.forwardBackward({ data: data.slice(1), lossFn: "cross_entropy" })
    const update = yield* training.optimStep(AdamParams.make({ learningRate: 0.1 }))
    underWay.push(Effect.all([first.await, second.await, update.await]))
    if (step % 3 === 2) underWay.push((yield* training.saveState({ name: `step-${step}` })).await)
    while (underWay.length > 2) yield* underWay.shift()!
  }
  for (const one of underWay) yield* one
  const { lossFnOutputs } = yield* ApiFuture.flatten(training.forward({ data, lossFn: "cross_entropy" }))
  return { modelId: training.modelId, logprobs: lossFnOutputs.map(({ logprobs }) => logprobs!.data) }
})

const undisturbed = program.pipe(
  Effect.scoped,
  Effect.provide(Tinker.layer()),
  Effect.provide(TinkerServer.layerClient),
  Effect.provide(BigramEngine.layer({ vocabularySize: 32 }))
)

/** One file starts in a fifth of the time. */
const bundle = (folder: string) =>
  Effect.promise(() =>
    build({
      entryPoints: [fileURLToPath(new URL("./persistentServer.ts", import.meta.url))],
      outfile: `${folder}/server.mjs`,
      bundle: true,
      platform: "node",
      format: "esm",
      banner: { js: "import { createRequire } from \"node:module\"; const require = createRequire(import.meta.url);" }
    })
  ).pipe(Effect.as(`${folder}/server.mjs`))

/** A process with a server on the port, or on any for 0. Gives the port it listens on; dies again if it cannot. */
const start = (script: string, folder: string, port: number) =>
  Effect.async<{ readonly port: number; readonly kill: Effect.Effect<void> }, Error>((resume) => {
    const child = spawn(process.execPath, [script, folder, String(port)], { stdio: ["ignore", "pipe", "inherit"] })
    const kill = Effect.async<void>((done) => {
      if (child.exitCode !== null || child.signalCode !== null) return done(Effect.void)
      child.once("exit", () => done(Effect.void))
      child.kill("SIGKILL")
    })
    child.once("exit", (code) => resume(Effect.fail(new Error(`exited with ${code}`))))
    child.stdout.once(
      "data",
      (line: Buffer) => resume(Effect.succeed({ port: Number(/:(\d+)/.exec(String(line))?.[1]), kill }))
    )
  })

it.live(
  `a server that is killed without warning ${kills} times is gone on with by a program that notices nothing`,
  () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      const script = yield* bundle(folder)
      const expected = yield* undisturbed

      let server = yield* start(script, `${folder}/data`, 0)
      yield* Effect.addFinalizer(() => Effect.suspend(() => server.kill))
      const { port } = server
      const perLife = Math.floor((3.5 * steps) / (kills + 1))
      const random = Random.make("kills")
      let killed = 0
      let left = yield* random.nextIntBetween(1, perLife)

      /** Called for each request that is sent and each answer that comes. */
      const happened = Effect.suspend(() => {
        if (killed === kills || --left !== 0) return Effect.void
        killed += 1
        return Effect.gen(function*() {
          yield* server.kill
          // Somebody else may have the port for a moment.
          server = yield* Effect.orDie(
            Effect.retry(start(script, `${folder}/data`, port), Schedule.spaced("100 millis"))
          )
          left = yield* random.nextIntBetween(1, 2 * perLife)
        })
      })
      const countingClient = Layer.effect(
        HttpClient.HttpClient,
        Effect.map(HttpClient.HttpClient, (client) =>
          HttpClient.transform(client, (response) =>
            Effect.zipRight(happened, Effect.zipLeft(response, happened))))
      ).pipe(Layer.provide(FetchHttpClient.layer))

      const { checkpoints, reached } = yield* Effect.gen(function*() {
        const reached = yield* program
        const rest = yield* RestClient.RestClient
        const service = yield* ServiceClient.ServiceClient
        const { checkpoints } = yield* rest.listCheckpoints(reached.modelId)
        for (const { tinkerPath } of checkpoints) {
          yield* service.createTrainingClientFromStateWithOptimizer(tinkerPath)
        }
        return { reached, checkpoints }
      }).pipe(
        Effect.scoped,
        Effect.provide(Tinker.layer({ baseUrl: `http://127.0.0.1:${port}` }).pipe(Layer.provide(countingClient))),
        RetryPolicy.withPolicies({
          firstContact: Schedule.spaced("50 millis"),
          request: Schedule.spaced("50 millis"),
          poll: Schedule.spaced("50 millis")
        })
      )
      assert.strictEqual(killed, kills)
      assert.deepStrictEqual(reached.logprobs, expected.logprobs)
      assert.lengthOf(checkpoints, Math.floor(steps / 3))
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)),
  long ? 300_000 : 60_000
)
