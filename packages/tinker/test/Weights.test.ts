import { CheckpointStore, Dialect, Faults } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Effect, Either, Logger, LogLevel, Redacted, Schema } from "effect"
import {
  ApiFuture,
  ModelInput,
  SamplingParams,
  ServiceClient,
  TinkerError,
  TinkerPath,
  WeightsMessages
} from "effect-tinker"
import type { TrainingClient } from "effect-tinker"
import { adam, datum } from "./fixture.js"
import type * as Observed from "./observed.js"
import { simulated } from "./simulated.js"

const bodies = (observed: Observed.Observed, path: string) =>
  observed.requests.filter((seen) => seen.path === path).map(({ body }) => body)

const reason = (error: TinkerError.TinkerError) => error._tag === "ApiStatusError" && error.reason

const field = (error: TinkerError.TinkerError) => error._tag === "InvalidInputError" && error.field

const train = (training: TrainingClient.Service) =>
  Effect.zipRight(
    training.forwardBackward({ data: [datum("saved")], lossFn: "cross_entropy" }),
    ApiFuture.flatten(training.optimStep(adam))
  )

const logprobs = (training: TrainingClient.Service) =>
  Effect.map(
    ApiFuture.flatten(training.forward({ data: [datum("saved")], lossFn: "cross_entropy" })),
    (output) => output.lossFnOutputs[0]!.logprobs!.data
  )

const infoOf = (path: string) =>
  Effect.flatMap(CheckpointStore.CheckpointStore, (store) => store.info(Either.getOrThrow(TinkerPath.parse(path))))

it.effect("saves under the model's next number, with how long to keep it and what to keep with it", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      yield* training.optimStep(adam)
      const options = { ttl: "2 hours", userMetadata: { note: "first" } } as const
      const state = yield* ApiFuture.flatten(training.saveState({ name: "s", ...options }))
      const sampler = yield* ApiFuture.flatten(training.saveWeightsForSampler({ name: "w", ...options }))
      const modelId = training.modelId
      assert.deepStrictEqual(bodies(observed, "save_weights"), [{
        model_id: modelId,
        path: "s",
        seq_id: 2,
        ttl_seconds: 7200,
        overwrite: false,
        user_metadata: { note: "first" },
        type: "save_weights"
      }])
      assert.deepStrictEqual(bodies(observed, "save_weights_for_sampler"), [{
        model_id: modelId,
        path: "w",
        kind: "snapshot",
        seq_id: 3,
        ttl_seconds: 7200,
        user_metadata: { note: "first" },
        type: "save_weights_for_sampler"
      }])
      assert.deepStrictEqual(state, { path: `tinker://${modelId}/weights/s` })
      assert.deepStrictEqual(sampler, { path: `tinker://${modelId}/sampler_weights/w` })
      for (const { path } of [state, sampler]) {
        assert.deepStrictEqual((yield* infoOf(path)).userMetadata, { note: "first" })
      }
    })))

it.effect("keeps a checkpoint from an hour to ten years, in whole seconds, and refuses anything else before sending", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      for (const ttl of ["3599 seconds", "3600500 millis", "87601 hours", "Infinity"] as const) {
        const given = ttl === "Infinity" ? Infinity : ttl
        for (const save of [training.saveState, training.saveWeightsForSampler, training.saveWeightsExternal]) {
          assert.strictEqual(field(yield* Effect.flip(save({ name: "s", ttl: given }))), "ttl")
        }
      }
      assert.strictEqual(observed.requests.filter(({ path }) => path.startsWith("save_")).length, 0)
      yield* training.saveState({ name: "hour", ttl: "1 hour" })
      yield* training.saveState({ name: "years", ttl: "3650 days" })
      assert.deepStrictEqual(bodies(observed, "save_weights").map(({ ttl_seconds }) => ttl_seconds), [
        3600,
        315_360_000
      ])
    })))

it.effect("refuses metadata that are no texts, naming the key, before sending", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const userMetadata = { fine: "text", steps: 3 } as unknown as Record<string, string>
      for (const save of [training.saveState, training.saveWeightsForSampler]) {
        assert.strictEqual(field(yield* Effect.flip(save({ name: "s", userMetadata }))), "userMetadata.steps")
      }
      assert.strictEqual(observed.requests.filter(({ path }) => path.startsWith("save_")).length, 0)
    })))

it.effect("replaces a checkpoint of the same name only when asked to, and its metadata with it", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      yield* ApiFuture.flatten(training.saveState({ name: "s", userMetadata: { note: "first" } }))
      const began = observed.requests.length
      const refused = yield* Effect.flip(ApiFuture.flatten(training.saveState({ name: "s" })))
      assert.isTrue(TinkerError.isNameTaken(refused))
      assert.isFalse(TinkerError.isRetryable(refused))
      const asked = observed.requests.slice(began).map(({ path }) => path)
      assert.deepStrictEqual(
        asked,
        ["save_weights", "retrieve_future"],
        "a taken name stays taken, so it is asked for once"
      )

      const { path } = yield* ApiFuture.flatten(training.saveState({ name: "s", overwrite: true }))
      assert.strictEqual(bodies(observed, "save_weights").at(-1)?.overwrite, true)
      assert.deepStrictEqual((yield* infoOf(path)).userMetadata, {})
      yield* ApiFuture.flatten(training.optimStep(adam))
    })))

const saves: ReadonlyArray<
  readonly [string, (training: TrainingClient.Service) => TrainingClient.Service["saveState"], string]
> = [
  ["save_weights", (training) => training.saveState, "weights"],
  ["save_weights_for_sampler", (training) => training.saveWeightsForSampler, "sampler_weights"],
  ["save_weights_external", (training) => training.saveWeightsExternal, "external_weights"]
]

for (const [route, saveOf, kind] of saves) {
  it.effect(`${route}: a name that our own lost save has taken is a success, as the listing shows it`, () =>
    simulated({}, (training, observed) =>
      Effect.gen(function*() {
        const faults = yield* Faults.Faults
        yield* faults.plan({ path: route, fault: Faults.loseAnswer })
        yield* faults.plan({ path: route, fault: Faults.answer(409), nth: 2 })
        const { path } = yield* ApiFuture.flatten(saveOf(training)({ name: "mine" }))
        assert.strictEqual(path, `tinker://${training.modelId}/${kind}/mine`)
        assert.strictEqual(bodies(observed, route).length, 2)
        const update = yield* training.optimStep(adam)
        assert.match(update.requestIds[0]!, /:2$/)
        yield* update.await
      })))

  it.effect(`${route}: a name that is taken, but not by a save of ours, is a conflict after a lost answer too`, () =>
    simulated({}, (training) =>
      Effect.gen(function*() {
        const faults = yield* Faults.Faults
        yield* faults.plan({ path: route, fault: Faults.drop })
        yield* faults.plan({ path: route, fault: Faults.answer(409), nth: 2 })
        assert.strictEqual(reason(yield* Effect.flip(saveOf(training)({ name: "mine" }))), "Conflict")
        yield* ApiFuture.flatten(training.optimStep(adam))
      })))
}

it.effect("a name that an earlier save has taken stays so, also when the server was too busy at first", () =>
  simulated({}, (training) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      yield* ApiFuture.flatten(training.saveState({ name: "old" }))
      yield* faults.plan({ path: "save_weights", fault: Faults.answer(429), times: 2 })
      assert.isTrue(TinkerError.isNameTaken(yield* Effect.flip(ApiFuture.flatten(training.saveState({ name: "old" })))))
    })))

it.effect("saves weights to sample from without a name, binds the client to the answer, and asks for nothing more", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const sampling = yield* training.saveWeightsAndGetSamplingClient()
      assert.deepStrictEqual(bodies(observed, "save_weights_for_sampler"), [{
        model_id: training.modelId,
        sampling_session_seq_id: 0,
        kind: "snapshot",
        seq_id: 1,
        type: "save_weights_for_sampler"
      }])
      const began = observed.requests.length
      assert.match(sampling.samplingSessionId, /:sample:0$/)
      yield* sampling.computeLogprobs(ModelInput.fromTokens([1, 2]))
      assert.deepStrictEqual(observed.requests.slice(began).map(({ path }) => path), ["asample", "retrieve_future"])
    })))

it.effect("an unnamed save that is sent again repeats both of its numbers", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      yield* faults.plan({ path: "save_weights_for_sampler", fault: Faults.loseAnswer })
      yield* training.saveWeightsAndGetSamplingClient()
      const [first, second, ...others] = bodies(observed, "save_weights_for_sampler")
      assert.deepStrictEqual(second, first)
      assert.strictEqual(others.length, 0)
    })))

it.effect("refuses a name for weights that are kept by none", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const options = { name: "mine", kind: "inflight" } as const
      assert.strictEqual(field(yield* Effect.flip(training.saveWeightsAndGetSamplingClient(options))), "name")
      assert.strictEqual(bodies(observed, "save_weights_for_sampler").length, 0)
    })))

it.effect("of two saves in flight the first client goes on answering", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const ask = { prompt: ModelInput.fromTokens([1]), samplingParams: SamplingParams.make({ maxTokens: 1 }) }
      const first = yield* training.saveWeightsAndGetSamplingClient({ kind: "inflight" })
      yield* train(training)
      const second = yield* training.saveWeightsAndGetSamplingClient({ kind: "inflight" })
      assert.strictEqual((yield* first.sample(ask)).sequences.length, 1)
      assert.strictEqual((yield* second.sample(ask)).sequences.length, 1)
      const sent = bodies(observed, "save_weights_for_sampler")
      assert.deepStrictEqual(sent.map(({ kind }) => kind), ["inflight", "inflight"])
    })))

it.effect("saves weights for use elsewhere in the model's order, and gives their path and size", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const [, saving] = yield* Effect.all([
        training.optimStep(adam),
        training.saveWeightsExternal({ name: "out" }),
        training.optimStep(adam)
      ], { concurrency: "unbounded" })
      const { path, sizeBytes } = yield* saving.await
      assert.strictEqual(path, `tinker://${training.modelId}/external_weights/out`)
      assert.isAbove(sizeBytes ?? 0, 0)
      assert.match(saving.requestIds[0]!, /:2$/)
      const polls = observed.requests.filter(({ body }) => body.request_id === saving.requestIds[0])
      assert.deepStrictEqual(polls.map(({ headers }) => headers["x-tinker-request-type"]), ["SaveWeightsExternal"])
    })))

it.effect("a server that saves no weights for use elsewhere says that it does not know the way", () =>
  simulated({}, (training) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      yield* faults.plan({ path: "save_weights_external", fault: Faults.answer(404) })
      assert.strictEqual(reason(yield* Effect.flip(training.saveWeightsExternal({ name: "out" }))), "NotFound")
      yield* ApiFuture.flatten(training.optimStep(adam))
    })))

it.effect("encrypts for one to ten recipients, a single one sent as a list, and refuses others before sending", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const age = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
      const save = (ageEncryptionRecipients: string | ReadonlyArray<string>) =>
        training.saveWeightsExternal({ name: "out", ageEncryptionRecipients })
      assert.strictEqual(field(yield* Effect.flip(save([]))), "ageEncryptionRecipients")
      assert.strictEqual(
        field(yield* Effect.flip(save(Array.from({ length: 11 }, () => age)))),
        "ageEncryptionRecipients"
      )
      assert.strictEqual(field(yield* Effect.flip(save([age, "me"]))), "ageEncryptionRecipients[1]")
      const mistyped = yield* Effect.flip(save([age, age.replace("z", "y")]))
      assert.match(mistyped.message, /ageEncryptionRecipients\[1\]: is a mistyped public key .*copy it anew, .*\.$/)
      const identity = yield* Effect.flip(save("AGE-SECRET-KEY-1AAAA"))
      assert.match(identity.message, /ageEncryptionRecipients: is a private key.*; pass the public key .*\.$/)
      assert.notInclude(identity.message, "AAAA")
      assert.strictEqual(bodies(observed, "save_weights_external").length, 0)
      yield* save([age, "ssh-ed25519 AAAA"])
      yield* save(age)
      assert.deepStrictEqual(bodies(observed, "save_weights_external")[1]?.age_encryption_recipients, [age])
    })))

it.effect("loads weights into a model as its first request, with or without the optimizer", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      yield* train(training)
      const { path } = yield* ApiFuture.flatten(training.saveState({ name: "half" }))
      const fresh = service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
      const [weights, both] = [yield* fresh, yield* fresh]
      yield* ApiFuture.flatten(weights.loadState(path))
      yield* ApiFuture.flatten(both.loadStateWithOptimizer(path))
      const sent = bodies(observed, "load_weights")
      assert.deepStrictEqual(
        sent,
        [weights, both].map(({ modelId }, i) => ({
          model_id: modelId,
          seq_id: 1,
          path,
          optimizer: i === 1,
          type: "load_weights"
        }))
      )
      assert.deepStrictEqual(yield* logprobs(weights), yield* logprobs(training))
      for (const model of [training, weights, both]) yield* train(model)
      assert.deepStrictEqual(yield* logprobs(both), yield* logprobs(training))
      assert.notDeepEqual(yield* logprobs(weights), yield* logprobs(training))
    })))

it.effect("loads with another account's credential, which no log ever shows", () => {
  const lines: Array<string> = []
  const log = Logger.make((entry) => {
    lines.push(JSON.stringify([entry.message, entry.cause, Array.from(entry.annotations), Array.from(entry.spans)]))
  })
  return simulated(
    { server: { apiKeys: ["tml-owner", "tml-me"] }, client: { apiKey: Redacted.make("tml-me") } },
    (training, observed) =>
      Effect.gen(function*() {
        const faults = yield* Faults.Faults
        const service = yield* ServiceClient.ServiceClient
        const { path } = yield* ApiFuture.flatten(training.saveState({ name: "half" }))
        const weightsAccessToken = Redacted.make("tml-owner")
        const fresh = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
        yield* faults.plan({ path: "load_weights", fault: Faults.answer(402) })
        yield* ApiFuture.flatten(fresh.loadState(path, { weightsAccessToken }))
        assert.strictEqual(bodies(observed, "load_weights").at(-1)?.weights_access_token, "tml-owner")

        yield* service.createTrainingClientFromState(path, { weightsAccessToken })
        assert.strictEqual(bodies(observed, "load_weights").at(-1)?.weights_access_token, "tml-owner")

        yield* faults.plan({ path: "load_weights", fault: Faults.breakBody, times: 100 })
        const error = yield* Effect.flip(service.createTrainingClientFromState(path, { weightsAccessToken }))
        yield* Effect.logError("it failed", error, error.message)
        assert.isAbove(lines.length, 1)
        assert.notInclude(lines.join("\n"), "tml-owner")
        assert.notInclude(lines.join("\n"), "tml-me")
      })
  ).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, log)), Logger.withMinimumLogLevel(LogLevel.All))
})

it.effect("makes a model of a checkpoint in three steps where one is refused, and knows it the next time", () =>
  simulated({ server: { dialect: Dialect.withoutCreateByLoading() } }, (training, observed) =>
    Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      yield* train(training)
      const { path } = yield* ApiFuture.flatten(training.saveState({ name: "half" }))
      const asked = (began: number) =>
        observed.requests.slice(began).map((seen) => seen.path)
          .filter((path) => path !== "retrieve_future" && path !== "get_info")

      let began = observed.requests.length
      const first = yield* service.createTrainingClientFromState(path)
      assert.deepStrictEqual(asked(began), ["load_weights", "weights_info", "create_model", "load_weights"])
      began = observed.requests.length
      const second = yield* service.createTrainingClientFromStateWithOptimizer(path)
      assert.deepStrictEqual(asked(began), ["weights_info", "create_model", "load_weights"])

      for (const model of [training, first, second]) yield* train(model)
      assert.deepStrictEqual(yield* logprobs(second), yield* logprobs(training))
      assert.notDeepEqual(yield* logprobs(first), yield* logprobs(training))
      assert.strictEqual(first.info.loraRank, 4)
    })))

it("reads the answer to each kind of save and load, and refuses one that lacks what it must have", () => {
  const reads = <A, I>(schema: Schema.Schema<A, I>, value: unknown) =>
    Either.isRight(Schema.decodeUnknownEither(schema)(value))
  assert.isTrue(reads(WeightsMessages.SaveWeightsResponse, { path: "tinker://r/weights/n", type: "save_weights" }))
  assert.isFalse(reads(WeightsMessages.SaveWeightsResponse, { type: "save_weights" }))
  assert.isTrue(reads(WeightsMessages.SaveWeightsForSamplerResponse, { path: null, sampling_session_id: "s" }))
  assert.isTrue(reads(WeightsMessages.SaveWeightsForSamplerResponse, { path: "tinker://r/sampler_weights/n" }))
  assert.isFalse(reads(WeightsMessages.SaveWeightsForSamplerResponse, { path: null, sampling_session_id: null }))
  assert.isTrue(
    reads(WeightsMessages.SaveWeightsExternalResponse, { path: "tinker://r/external_weights/n", size_bytes: null })
  )
  assert.isFalse(reads(WeightsMessages.SaveWeightsExternalResponse, { size_bytes: 7 }))
  assert.isTrue(reads(WeightsMessages.LoadWeightsResponse, { type: "load_weights" }))
  assert.isFalse(reads(WeightsMessages.LoadWeightsResponse, { path: 7 }))
})
