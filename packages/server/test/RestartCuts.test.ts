import { BigramEngine } from "@effect-tinker/engine"
import { Error as PlatformError, FileSystem, HttpClient, HttpClientError, type Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Layer, Logger, LogLevel, Schedule, Scope } from "effect"
import { AdamParams, ApiFuture, Datum, RetryPolicy, ServiceClient, Tinker, TinkerConfig } from "effect-tinker"
import { CheckpointStore, ServerJournal, TinkerServer } from "../src/index.js"

const long = process.env.TINKER_TEST_LONG === "1"
const steps = long ? 6 : 1

/** At which write the process dies, and whether half of it is done. */
interface Cut {
  readonly atWrite: number
  readonly torn: boolean
}

interface Life {
  readonly client: HttpClient.HttpClient
  readonly store: CheckpointStore.Service
  readonly scope: Scope.CloseableScope
  /** When the last of its writes has ended. */
  readonly death: Deferred.Deferred<void>
  readonly isDead: () => boolean
  readonly writes: () => number
}

const gone = new PlatformError.SystemError({
  reason: "Unknown",
  module: "FileSystem",
  method: "write",
  description: "dead"
})

/** A file system whose process dies at a write, and from then on changes nothing. */
const mortal = (fs: FileSystem.FileSystem, cut: Cut | undefined, die: Effect.Effect<unknown>) => {
  let writes = 0
  let dead = false
  const write = <A>(
    whole: Effect.Effect<A, PlatformError.PlatformError>,
    half: Effect.Effect<unknown, PlatformError.PlatformError> = Effect.void
  ): Effect.Effect<A, PlatformError.PlatformError> =>
    Effect.suspend(() => {
      if (dead) return Effect.fail(gone)
      writes += 1
      if (writes !== cut?.atWrite) return whole
      dead = true
      return Effect.zipRight(cut.torn ? half : Effect.void, Effect.zipRight(die, Effect.fail(gone)))
    })
  const halfOf = (bytes: Uint8Array) => bytes.subarray(0, bytes.length >> 1)
  const wrapped: FileSystem.FileSystem = {
    ...fs,
    open: (path, options) =>
      Effect.map(fs.open(path, options), (file) =>
        new Proxy(file, {
          get: (target, name) => {
            if (name === "writeAll") {
              return (bytes: Uint8Array) => write(target.writeAll(bytes), target.writeAll(halfOf(bytes)))
            }
            if (name === "truncate") return (length: FileSystem.SizeInput) => write(target.truncate(length))
            const value: unknown = Reflect.get(target, name, target)
            return typeof value === "function" ? value.bind(target) : value
          }
        })),
    writeFile: (path, bytes, options) =>
      write(fs.writeFile(path, bytes, options), fs.writeFile(path, halfOf(bytes), options)),
    makeDirectory: (path, options) => write(fs.makeDirectory(path, options)),
    rename: (from, to) => write(fs.rename(from, to)),
    remove: (path, options) => write(fs.remove(path, options)),
    truncate: (path, length) => write(fs.truncate(path, length))
  }
  return { fs: wrapped, writes: () => writes, isDead: () => dead }
}

/** A server in the folder, which dies by the cut; what it answers then reaches nobody. */
const live = (folder: string, cut: Cut | undefined): Effect.Effect<Life, unknown, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const death = yield* Deferred.make<void>()
    const { fs, isDead, writes } = mortal(yield* FileSystem.FileSystem, cut, Deferred.succeed(death, undefined))
    const context = yield* Layer.buildWithScope(
      TinkerServer.layerClientWithStore().pipe(
        Layer.provideMerge(CheckpointStore.layer(folder)),
        Layer.provide(ServerJournal.layer(`${folder}/.server`, { slackBytes: 2000 })),
        Layer.provide(BigramEngine.layer({ vocabularySize: 8 })),
        Layer.provide(Layer.succeed(FileSystem.FileSystem, fs))
      ),
      scope
    )
    return {
      client: Context.get(context, HttpClient.HttpClient),
      store: Context.get(context, CheckpointStore.CheckpointStore),
      scope,
      death,
      isDead,
      writes
    }
  })

/** A client of whichever server lives: each that dies is followed by another in the same folder. */
const survivor = (folder: string, cuts: ReadonlyArray<Cut>) =>
  Effect.gen(function*() {
    const context = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
    let deaths = 0
    // One that dies while it starts is followed at once.
    const next: Effect.Effect<Life> = Effect.suspend(() =>
      Effect.catchAllCause(live(folder, cuts[deaths]), () =>
        Effect.suspend(() => {
          deaths += 1
          return next
        }))
    ).pipe(Effect.provide(context)) as Effect.Effect<Life>
    let current = yield* next
    const alone = yield* Effect.makeSemaphore(1)
    const replace = (dead: Life) =>
      alone.withPermits(1)(Effect.suspend(() => {
        if (current !== dead) return Effect.void
        deaths += 1
        return Effect.zipRight(
          Scope.close(dead.scope, Exit.void),
          Effect.map(next, (life) => {
            current = life
          })
        )
      }))
    const client = HttpClient.make((request) =>
      Effect.suspend(() => {
        const life = current
        const broken = Effect.zipRight(
          replace(life),
          new HttpClientError.RequestError({ request, reason: "Transport", description: "the server died" })
        )
        return Effect.flatMap(
          Effect.exit(
            Effect.raceFirst(
              life.client.execute(request),
              Effect.zipRight(Deferred.await(life.death), Effect.interrupt)
            )
          ),
          (exit) => life.isDead() ? Effect.zipRight(Deferred.await(life.death), broken) : exit
        )
      })
    )
    return {
      client,
      deaths: () => deaths,
      writes: () => current.writes(),
      store: () => current.store,
      close: Effect.suspend(() => Scope.close(current.scope, Exit.void))
    }
  })

const data = [[1, 2, 3, 4], [4, 3, 2, 1], [2, 2, 5, 6]].map((tokens) =>
  Datum.fromTokens(Int32Array.from(tokens), new Float32Array(tokens.length).fill(1))
)

/** Two passes and a step at a time, with saves of every kind; then what the model, and a sampler of it, say. */
const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4, seed: 1 })
  for (let step = 0; step < steps; step++) {
    const passes = [
      yield* training.forwardBackward({ data: data.slice(0, 2), lossFn: "cross_entropy" }),
      yield* training.forwardBackward({ data: data.slice(1), lossFn: "cross_entropy" })
    ]
    const update = yield* training.optimStep(AdamParams.make({ learningRate: 0.3 }))
    const saved = yield* training.saveState({ name: `step-${step}` })
    for (const future of [...passes, update, saved]) yield* future.await
  }
  yield* ApiFuture.flatten(training.saveWeightsForSampler({ name: "end" }))
  const { lossFnOutputs } = yield* ApiFuture.flatten(training.forward({ data, lossFn: "cross_entropy" }))
  const sampling = yield* training.saveWeightsAndGetSamplingClient()
  return {
    logprobs: lossFnOutputs.map(({ logprobs }) => Array.from(logprobs!.data as Float32Array)),
    prompt: Array.from(yield* sampling.computeLogprobs(data[0]!.modelInput))
  }
}).pipe(
  Effect.scoped,
  RetryPolicy.withPolicies({
    request: Schedule.recurs(20),
    poll: Schedule.recurs(20),
    firstContact: Schedule.recurs(20),
    sample: Schedule.recurs(20)
  })
)

const run = (folder: string, cuts: ReadonlyArray<Cut>) =>
  Effect.gen(function*() {
    const world = yield* survivor(folder, cuts)
    const result = yield* Effect.provide(
      program,
      Tinker.layer().pipe(Layer.provide(Layer.merge(
        Layer.succeed(HttpClient.HttpClient, world.client),
        Layer.succeed(TinkerConfig.DefaultBaseUrl, "http://localhost")
      )))
    )
    const checkpoints = yield* world.store().list
    for (const { path, step } of checkpoints) {
      const { step: loaded } = yield* world.store().load(path)
      assert.strictEqual(loaded, step)
    }
    const deaths = world.deaths()
    const writes = world.writes()
    yield* world.close
    return {
      ...result,
      checkpoints: checkpoints.map(({ path, step }) => [path.checkpointType, path.name, step]),
      deaths,
      writes
    }
  })

it.effect(
  "a server that dies at any write, also in the midst of it, is gone on with, to the same weights and the same checkpoints",
  () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      const unbroken = yield* run(`${folder}/unbroken`, [])
      assert.strictEqual(unbroken.deaths, 0)
      assert.lengthOf(unbroken.checkpoints, steps + 1)
      // Changes that wait for each other's writing are written together, so the number of writes differs a little.
      let atWrite = 1
      while (true) {
        let deaths = 0
        for (const torn of long ? [false, true] : [atWrite % 2 === 0]) {
          const name = `${folder}/${atWrite}-${torn}`
          const broken = yield* run(name, [{ atWrite, torn }, ...(long ? [{ atWrite: 3 + atWrite % 7, torn }] : [])])
          deaths += broken.deaths
          assert.deepStrictEqual(broken.logprobs, unbroken.logprobs, `weights, dead at write ${atWrite}, ${torn}`)
          assert.deepStrictEqual(broken.prompt, unbroken.prompt, `sampler, dead at write ${atWrite}, ${torn}`)
          assert.sameDeepMembers(broken.checkpoints, unbroken.checkpoints, `checkpoints, dead at write ${atWrite}`)
          // To die is no damage: no state is taken for that of something unknown.
          const aside = yield* Effect.orElseSucceed(fs.readDirectory(`${name}/.server/aside`), () => [])
          assert.isEmpty(aside.filter((one) => !/-journal-\d+$/.test(one)), `aside, dead at write ${atWrite}`)
          yield* fs.remove(name, { recursive: true })
        }
        if (deaths === 0) break
        atWrite += long ? 1 : 3
      }
      assert.isAtLeast(atWrite, 20 * (steps + 1))
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer), Logger.withMinimumLogLevel(LogLevel.None)),
  long ? 600_000 : 60_000
)
