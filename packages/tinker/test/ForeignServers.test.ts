import { BigramEngine } from "@effect-tinker/engine"
import { CheckpointStore, Faults, OpenRLDialect, SkyRLDialect, TinkerServer } from "@effect-tinker/server"
import type { Dialect } from "@effect-tinker/server"
import { HttpClient, HttpClientError } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Logger, Scope, TestClock } from "effect"
import {
  AdamParams,
  ApiFuture,
  ModelInput,
  RestClient,
  RetryPolicy,
  SamplingParams,
  ServiceClient,
  Tinker,
  TinkerError
} from "effect-tinker"
import type { TinkerConfig, TrainingClient } from "effect-tinker"
import { datum } from "./fixture.js"

/** A server of another make, which can be stopped and started again over what it kept, while its clients live on. */
const start = (dialect: Dialect.Dialect, options: TinkerConfig.Options) =>
  Effect.gen(function*() {
    const kept = yield* Layer.build(Layer.merge(CheckpointStore.layerMemory, Faults.layer))
    const life = TinkerServer.layerClientWithStore({ dialect, archives: true }).pipe(
      Layer.provide(BigramEngine.layer({ vocabularySize: 128 })),
      Layer.provide(Layer.succeedContext(kept))
    )
    const begin = Effect.gen(function*() {
      const scope = yield* Scope.make()
      const http = Context.get(yield* Layer.buildWithScope(life, scope), HttpClient.HttpClient)
      return { http, stop: Scope.close(scope, Exit.void) }
    })
    let running: Effect.Effect.Success<typeof begin> | undefined = yield* begin
    yield* Effect.addFinalizer(() => running?.stop ?? Effect.void)
    const http = HttpClient.make((request) =>
      running?.http.execute(request)
        ?? new HttpClientError.RequestError({ request, reason: "Transport", cause: new Error("connect ECONNREFUSED") })
    )
    return {
      faults: Context.get(kept, Faults.Faults),
      /** One more process that uses it. */
      client: Tinker.layer({ baseUrl: "http://localhost", ...options }).pipe(
        Layer.provide(Layer.succeed(HttpClient.HttpClient, http)),
        Layer.orDie
      ),
      restart: Effect.gen(function*() {
        const { stop } = running!
        running = undefined
        yield* stop
        yield* Effect.sleep("20 seconds")
        running = yield* begin
      })
    }
  })

/** Runs on the virtual clock until it ends. */
const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(effect)
    yield* TestClock.adjust("30 minutes")
    return yield* Fiber.join(fiber)
  })

const data = [datum("abcdefgh"), datum("hgfedcba")]
const pass = (training: TrainingClient.Service) =>
  Effect.map(
    ApiFuture.flatten(training.forwardBackward({ data, lossFn: "cross_entropy" })),
    ({ lossFnOutputs }) => lossFnOutputs.flatMap(({ logprobs }) => Array.from(logprobs!.data as Float32Array))
  )
const update = (training: TrainingClient.Service) =>
  ApiFuture.flatten(training.optimStep(AdamParams.make({ learningRate: 0.5 })))
const step = (training: TrainingClient.Service) => Effect.zipLeft(pass(training), update(training))
const create = Effect.flatMap(
  ServiceClient.ServiceClient,
  (service) => service.createLoraTrainingClient({ baseModel: "bigram", rank: 16, seed: 1 })
)
const resume = (path: string) =>
  Effect.flatMap(
    ServiceClient.ServiceClient,
    (service) => service.createTrainingClientFromStateWithOptimizer(path, { baseModel: "bigram", rank: 16 })
  )

const clean = Effect.scoped(Effect.flatMap(start({}, {}), ({ client }) =>
  Effect.provide(
    Effect.flatMap(create, (training) => Effect.all([step(training), step(training), step(training)])),
    client
  )))

const servers: ReadonlyArray<readonly [string, () => Dialect.Dialect, TinkerConfig.Options]> = [
  ["SkyRL", SkyRLDialect.make, {}],
  ["Open-RL", OpenRLDialect.make, { serverProfile: "open-rl" }]
]

for (const [name, dialect, options] of servers) {
  for (const lost of [["optim_step"], ["forward_backward"], ["forward_backward", "optim_step"]]) {
    it.scoped(`on ${name} a run survives the lost answer of ${lost.join(" and of ")}`, () =>
      inTime(Effect.gen(function*() {
        const { client, faults } = yield* start(dialect(), options)
        yield* Effect.gen(function*() {
          const training = yield* create
          const first = yield* step(training)
          for (const path of lost) yield* faults.plan({ path, fault: Faults.loseAnswer })
          const second = yield* Effect.either(pass(training))
          const updated = yield* Effect.either(update(training))
          const third = yield* pass(training)
          const expected = yield* clean
          assert.deepStrictEqual(first, expected[0])
          assert.deepStrictEqual(third, expected[2])
          for (const outcome of [second, updated]) {
            if (outcome._tag === "Left") assert.strictEqual(outcome.left._tag, "OutcomeUnknownError")
          }
          const isLost = (path: string) => name === "Open-RL" && lost.includes(path)
          assert.strictEqual(second._tag === "Left", isLost("forward_backward"))
          assert.strictEqual(updated._tag === "Left", isLost("optim_step"))
          assert.lengthOf(yield* faults.unused, 0)
        }).pipe(Effect.provide(client))
      })))
  }

  it.scoped(`on ${name} the loss of a pass is told, whether or not the server sends it`, () =>
    inTime(Effect.gen(function*() {
      const { client } = yield* start(dialect(), options)
      yield* Effect.gen(function*() {
        const training = yield* create
        const { lossFnOutputs, metrics } = yield* ApiFuture.flatten(
          training.forwardBackward({ data, lossFn: "cross_entropy" })
        )
        const sum = lossFnOutputs.flatMap(({ logprobs }) => Array.from(logprobs!.data as Float32Array))
          .reduce((sum, logprob) => sum - logprob, 0)
        assert.closeTo(metrics["loss:sum"] ?? NaN, sum, 1e-4)
      }).pipe(Effect.provide(client))
    })))

  it.scoped(`on ${name} a run survives lost answers that no attempt made good`, () =>
    inTime(Effect.gen(function*() {
      const { client, faults } = yield* start(dialect(), options)
      yield* Effect.gen(function*() {
        const training = yield* create
        yield* step(training)
        yield* pass(training)
        yield* faults.plan({ path: "optim_step", fault: Faults.loseAnswer })
        yield* Effect.flip(RetryPolicy.withPolicies(update(training), { request: RetryPolicy.none }))
        assert.deepStrictEqual(yield* pass(training), (yield* clean)[2])
        yield* update(training)
        yield* ApiFuture.flatten(training.saveState({ name: "after" }))
      }).pipe(Effect.provide(client))
    })))

  it.scoped(`on ${name} a save whose answer was lost gives its path, from which a second process goes on`, () =>
    inTime(Effect.gen(function*() {
      const { client, faults } = yield* start(dialect(), options)
      const { path } = yield* Effect.gen(function*() {
        const training = yield* create
        yield* step(training)
        yield* step(training)
        yield* faults.plan({ path: "save_weights", fault: Faults.loseAnswer })
        const saved = yield* ApiFuture.flatten(training.saveState({ name: "kept" }))
        yield* faults.plan({ path: "save_weights_for_sampler", fault: Faults.loseAnswer, times: 2 })
        yield* ApiFuture.flatten(training.saveWeightsForSampler({ name: "weights" }))
        yield* training.saveWeightsAndGetSamplingClient()
        return saved
      }).pipe(Effect.provide(client))
      const third = yield* Effect.provide(Effect.flatMap(resume(path), step), client)
      assert.deepStrictEqual(third, (yield* clean)[2])
      assert.lengthOf(yield* faults.unused, 0)
    })))

  it.scoped(`on ${name} a run goes on from its checkpoint when the server was started again`, () =>
    inTime(Effect.gen(function*() {
      const { client, restart } = yield* start(dialect(), options)
      yield* Effect.gen(function*() {
        const training = yield* create
        yield* step(training)
        yield* step(training)
        const { path } = yield* ApiFuture.flatten(training.saveState({ name: "kept" }))
        yield* restart
        const error = yield* Effect.flip(pass(training))
        assert.isTrue(TinkerError.isTinkerError(error))
        assert.deepStrictEqual(yield* Effect.flatMap(resume(path), step), (yield* clean)[2])
      }).pipe(Effect.provide(client))
    })))
}

it.scoped("a path of weights for sampling that SkyRL gave is good for another process and for REST calls", () =>
  inTime(Effect.gen(function*() {
    const { client } = yield* start(SkyRLDialect.make(), {})
    const { path } = yield* Effect.flatMap(
      create,
      (training) => ApiFuture.flatten(training.saveWeightsForSampler({ name: "kept" }))
    ).pipe(Effect.provide(client))
    assert.notInclude(path, "sampler_weights")
    yield* Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const rest = yield* RestClient.RestClient
      yield* service.createSamplingClient({ modelPath: path })
      const ids = Effect.map(
        rest.listCheckpoints(path.split("/")[2]!),
        ({ checkpoints }) => checkpoints.map(({ checkpointId }) => checkpointId)
      )
      assert.deepStrictEqual(yield* ids, ["kept"])
      yield* rest.deleteCheckpoint(path)
      assert.deepStrictEqual(yield* ids, [])
    }).pipe(Effect.provide(client))
  })))

/** What the program is warned of that a server passes over. */
const passedOver = (warnings: Array<string>) =>
  Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ logLevel, message }) => {
      if (logLevel._tag === "Warning" && String(message).includes("passes over")) warnings.push(String(message))
    })
  )

it.scoped("parameters that Open-RL passes over are told once, and those that say nothing are not", () =>
  inTime(Effect.gen(function*() {
    const { client } = yield* start(OpenRLDialect.make(), { serverProfile: "open-rl" })
    const warnings: Array<string> = []
    yield* Effect.gen(function*() {
      const sampling = yield* Effect.flatMap(create, (training) => training.saveWeightsAndGetSamplingClient())
      const ask = (params: Parameters<typeof SamplingParams.make>[0]) =>
        sampling.sample({ prompt: ModelInput.fromTokens([1, 2]), samplingParams: SamplingParams.make(params) })
      yield* ask({ maxTokens: 2 })
      assert.deepStrictEqual(warnings, [])
      yield* ask({ maxTokens: 2, seed: 1, topP: 0.5 })
      yield* ask({ maxTokens: 2, seed: 2 })
      assert.deepStrictEqual(warnings, [
        "SamplingClient.sample: this kind of server passes over seed, topP of samplingParams"
      ])
    }).pipe(Effect.provide(client), Effect.provide(passedOver(warnings)))
  })))

/** Uses every option that SkyRL passes over, each in two calls. */
const useAll = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const model = { baseModel: "bigram", rank: 16, trainMlp: false, userMetadata: { run: "7" } }
  yield* service.createLoraTrainingClient(model)
  const training = yield* service.createLoraTrainingClient({ ...model, trainAttn: false, trainUnembed: true })
  for (const gradClipNorm of [1, 2]) {
    yield* pass(training)
    yield* ApiFuture.flatten(training.optimStep(AdamParams.make({ gradClipNorm })))
  }
  const options = { ttl: "1 day", userMetadata: { step: "2" } } as const
  const { path } = yield* ApiFuture.flatten(training.saveState({ ...options, name: "kept", overwrite: true }))
  yield* ApiFuture.flatten(training.saveWeightsForSampler({ ...options, name: "weights" }))
  return yield* service.createTrainingClientFromState(path, { ...model, trainAttn: false })
})

it.scoped("options that SkyRL passes over are told once by the client that is given them", () =>
  inTime(Effect.gen(function*() {
    const { client } = yield* start(SkyRLDialect.make(), { serverProfile: "skyrl" })
    const warnings: Array<string> = []
    yield* useAll.pipe(Effect.provide(client), Effect.provide(passedOver(warnings)))
    const ignored = "this kind of server passes over"
    assert.deepStrictEqual(warnings, [
      `ServiceClient.createLoraTrainingClient: ${ignored} trainMlp, userMetadata`,
      `ServiceClient.createLoraTrainingClient: ${ignored} trainAttn, trainUnembed`,
      `TrainingClient.optimStep: ${ignored} gradClipNorm`,
      `TrainingClient.saveState: ${ignored} ttl, overwrite, userMetadata`
    ])
  })))

it.scoped("saves for sampling and models that are made from a checkpoint tell what SkyRL passes over, too", () =>
  inTime(Effect.gen(function*() {
    const { client } = yield* start(SkyRLDialect.make(), { serverProfile: "skyrl" })
    const warnings: Array<string> = []
    yield* Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const training = yield* create
      yield* ApiFuture.flatten(training.saveWeightsForSampler({ name: "weights", ttl: "1 day" }))
      const { path } = yield* ApiFuture.flatten(training.saveState({ name: "kept" }))
      yield* service.createTrainingClientFromStateWithOptimizer(path, { userMetadata: { run: "7" } })
    }).pipe(Effect.provide(client), Effect.provide(passedOver(warnings)))
    assert.deepStrictEqual(warnings, [
      "TrainingClient.saveWeightsForSampler: this kind of server passes over ttl",
      "ServiceClient.createTrainingClientFromStateWithOptimizer: this kind of server passes over userMetadata"
    ])
  })))

it.scoped("options that say what SkyRL does anyway are not told, nor is any to a server that keeps them", () =>
  inTime(Effect.gen(function*() {
    const warnings: Array<string> = []
    const skyrl = yield* start(SkyRLDialect.make(), { serverProfile: "skyrl" })
    yield* Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const training = yield* service.createLoraTrainingClient({
        baseModel: "bigram",
        rank: 16,
        trainAttn: true,
        trainMlp: true,
        trainUnembed: false
      })
      yield* step(training)
      yield* ApiFuture.flatten(training.saveState({ name: "kept", overwrite: false }))
    }).pipe(Effect.provide(skyrl.client), Effect.provide(passedOver(warnings)))
    const ours = yield* start({}, {})
    yield* useAll.pipe(Effect.provide(ours.client), Effect.provide(passedOver(warnings)))
    assert.deepStrictEqual(warnings, [])
  })))
