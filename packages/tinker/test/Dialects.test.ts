import { Dialect, Faults } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Chunk, DateTime, Effect, Fiber, Logger, Stream, TestClock } from "effect"
import {
  AdamParams,
  ApiFuture,
  ModelInput,
  RestClient,
  RetryPolicy,
  SamplingParams,
  ServiceClient,
  type TinkerConfig,
  TinkerError,
  WaitingPolicy
} from "effect-tinker"
import { client, datum } from "./fixture.js"

const data = [datum("abcdefgh"), datum("hgfedcba")]
const prompt = ModelInput.appendTokens(ModelInput.fromTokens([97, 98]), [99, 100])

/** Trains, evaluates, saves, samples with scores, resumes from what it saved, and trains on. */
const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  yield* service.getServerCapabilities
  const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4, seed: 1 })
  const step = (of: typeof training) =>
    Effect.gen(function*() {
      const gradients = yield* of.forwardBackward({ data, lossFn: "cross_entropy" })
      const update = yield* of.optimStep(AdamParams.make({ learningRate: 0.5 }))
      const { lossFnOutputs } = yield* gradients.await
      yield* update.await
      return lossFnOutputs.map(({ logprobs }) => Array.from(logprobs!.data as Float32Array))
    })
  const first = yield* step(training)
  const second = yield* step(training)
  const { path } = yield* ApiFuture.flatten(training.saveState({ name: "state" }))
  const weights = yield* ApiFuture.flatten(training.saveWeightsForSampler({ name: "weights" }))
  const sampling = yield* service.createSamplingClient({ modelPath: weights.path! })
  const { promptLogprobs, sequences } = yield* sampling.sample({
    prompt,
    includePromptLogprobs: true,
    samplingParams: SamplingParams.make({ maxTokens: 6, temperature: 0, seed: 1 })
  })
  const resumed = yield* service.createTrainingClientFromStateWithOptimizer(path)
  const third = yield* step(resumed)
  yield* service.close("success")
  return {
    losses: [first, second, third],
    tokens: Array.from(sequences[0]!.tokens),
    logprobs: Array.from(sequences[0]!.logprobs!),
    promptLogprobs: Array.from(promptLogprobs!)
  }
})

const run = <A, E>(
  effect: Effect.Effect<A, E, ServiceClient.ServiceClient | RestClient.RestClient>,
  options: { readonly dialect?: Dialect.Dialect; readonly client?: TinkerConfig.Options } = {}
) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(
      Effect.provide(effect, client({ client: options.client ?? {}, server: { dialect: options.dialect } }))
    )
    yield* TestClock.adjust("3 minutes")
    return yield* Fiber.join(fiber)
  })

const sessionRest = ["sessions/", "session_heartbeat"]

const structuredRequestIds = Dialect.requestIds({
  encode: (id) => `queue-7/${id}/part:0`,
  decode: (id) => id.slice("queue-7/".length, -"/part:0".length)
})

const twoSegmentPaths = Dialect.samplerPaths({
  encode: (path) => path.replace("/sampler_weights/", "/"),
  decode: (path) => path.replace(/\/([^/]+)$/, "/sampler_weights/$1")
})

const folderPaths = Dialect.samplerPaths({
  encode: (path) => path.replace("tinker://", "/var/lib/weights/"),
  decode: (path) => path.replace("/var/lib/weights/", "tinker://")
})

const quirks: Readonly<Record<string, Dialect.Dialect>> = {
  "answers 201 to what it accepts": Dialect.acceptedWith(201),
  "answers 202 to what it accepts": Dialect.acceptedWith(202),
  "numbers its requests": Dialect.integerRequestIds,
  "has request ids of several parts": structuredRequestIds,
  "does not name the sequences of a sample": Dialect.withoutSequenceIds,
  "cannot finish sessions": Dialect.withoutEndpoints(["sessions/"]),
  "knows no heartbeats": Dialect.withoutEndpoints(sessionRest, 405),
  "has no settings": Dialect.withoutEndpoints(["client/config", "client/dynamic_config"]),
  "has no settings, and says that it has no such method": Dialect.withoutEndpoints(
    ["client/config", "client/dynamic_config"],
    405
  ),
  "does not describe samplers": Dialect.withoutEndpoints(["samplers/"]),
  "takes no telemetry": Dialect.withoutEndpoints(["telemetry"]),
  "says 'not yet' by 408": Dialect.notYetAsTimeout({ body: true }),
  "says 'not yet' by 408 without a body": Dialect.notYetAsTimeout({ body: false }),
  "gives results in JSON": Dialect.jsonResults,
  "refuses protobuf with 415": Dialect.withoutProtobuf(),
  "refuses protobuf with 400": Dialect.withoutProtobuf({ status: 400, body: { detail: "not JSON" } }),
  "refuses protobuf with 422": Dialect.withoutProtobuf({
    status: 422,
    body: { detail: [{ loc: ["body"], msg: "x" }] }
  }),
  "breaks over protobuf": Dialect.withoutProtobuf({ status: 500, body: "Internal Server Error" }),
  "has no metrics": Dialect.all(Dialect.jsonResults, Dialect.metrics(() => null)),
  "has metrics without a reduction": Dialect.all(
    Dialect.jsonResults,
    Dialect.metrics(() => ({ "framework/grad_norm": 1.5 }))
  ),
  "scores prompts from the second token on": Dialect.all(Dialect.jsonResults, Dialect.withoutFirstPromptLogprob),
  "names weights for sampling by two segments": twoSegmentPaths,
  "names weights for sampling by a folder": folderPaths,
  "makes no model by loading, and says 400": Dialect.withoutCreateByLoading(400),
  "makes no model by loading, and says 422": Dialect.withoutCreateByLoading(422),
  "makes no model by loading, and says so in another shape": Dialect.all(
    Dialect.errorBodies("error"),
    Dialect.withoutCreateByLoading(400)
  ),
  "does not tell how the model of a checkpoint was adapted": Dialect.all(
    Dialect.withoutCreateByLoading(),
    Dialect.withoutFields("weights_info", ["train_mlp", "train_attn", "train_unembed", "is_lora", "optimizer_config"])
  ),
  "tells little of its models": Dialect.withoutFields("get_info", [
    "tokenizer_id",
    "is_lora",
    "lora_rank",
    "model_type"
  ]),
  "reads the first part of a prompt alone": Dialect.firstChunkOnly,
  "tells times without a zone": Dialect.withoutZones,
  "is of the protocol's beginning": Dialect.all(
    Dialect.withoutEndpoints([...sessionRest, "client/config", "client/dynamic_config", "samplers/", "telemetry"]),
    Dialect.withoutProtobuf({ status: 500, body: "Internal Server Error" }),
    Dialect.withoutSequenceIds,
    Dialect.withoutCreateByLoading(422),
    Dialect.errorBodies("issues"),
    Dialect.firstChunkOnly,
    Dialect.withoutFields("get_info", ["tokenizer_id", "is_lora", "lora_rank"]),
    folderPaths
  )
}

for (const [quirk, dialect] of Object.entries(quirks)) {
  it.effect(`trains, saves, samples and resumes to the same numbers with a server that ${quirk}`, () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* run(program, { dialect }), yield* run(program))
    }))
}

const failing = Effect.flatMap(ServiceClient.ServiceClient, (service) =>
  Effect.flatMap(
    service.createSamplingClient({ baseModel: "bigram" }),
    (sampling) =>
      Effect.flip(sampling.sample({
        prompt: ModelInput.fromTokens(new Int32Array(2000)),
        samplingParams: SamplingParams.make({ maxTokens: 1 })
      }))
  ))

const channels: Readonly<Record<string, Dialect.Dialect>> = {
  "in the result": {},
  "in the result, with a category in capitals": Dialect.categories((category) => category.toUpperCase()),
  "by 400": Dialect.failuresAs(400),
  "by 422": Dialect.failuresAs(422),
  "by 400 with a list of places": Dialect.all(Dialect.errorBodies("issues"), Dialect.failuresAs(400)),
  "by 400 with the type of failed requests": Dialect.all(
    Dialect.errorBodies("request_failed"),
    Dialect.failuresAs(400)
  ),
  "by 400 with an error": Dialect.all(Dialect.errorBodies("error"), Dialect.failuresAs(400))
}

for (const [channel, dialect] of Object.entries(channels)) {
  it.effect(`a failure that the server tells ${channel} is the user's, with what the server said`, () =>
    Effect.gen(function*() {
      const error = yield* run(failing, { dialect })
      assert.strictEqual(error._tag, "RequestFailedError")
      assert.isTrue(TinkerError.isUserError(error))
      assert.include(error.message, "2000 tokens")
    }))
}

it.effect("a name that is taken is a Conflict at once, though the save was to overwrite", () =>
  Effect.gen(function*() {
    const taken: Dialect.Dialect = {
      mapCall: (call) => call.path === "save_weights" ? { status: 409, body: { detail: "the name is taken" } } : call
    }
    const save = Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
      return yield* Effect.flip(ApiFuture.flatten(training.saveState({ name: "a", overwrite: true })))
    })
    const error = yield* run(save, { dialect: taken })
    assert.strictEqual(error._tag === "ApiStatusError" && error.reason, "Conflict")
  }))

it.effect("log-probabilities that are null are told of, not taken for numbers", () =>
  Effect.gen(function*() {
    const sample = Effect.flatMap(ServiceClient.ServiceClient, (service) =>
      Effect.flatMap(service.createSamplingClient({ baseModel: "bigram" }), (sampling) =>
        Effect.flip(sampling.sample({ prompt, samplingParams: SamplingParams.make({ maxTokens: 3 }) }))))
    const error = yield* run(sample, { dialect: Dialect.all(Dialect.jsonResults, Dialect.nullLogprobs) })
    assert.strictEqual(error._tag, "ApiResponseValidationError")
    assert.include(error.message, "logprobs")
  }))

it.effect("a request that the server has forgotten and never ends is bounded by a waiting policy", () =>
  Effect.gen(function*() {
    const forgotten: Dialect.Dialect = {
      mapCall: (call) => call.path === "retrieve_future" ? { ...call, json: { request_id: "forgotten" } } : call
    }
    const wait = Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      return yield* Effect.flip(service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 }))
    }).pipe(WaitingPolicy.withWaitingPolicy(WaitingPolicy.failAfter("10 seconds")))
    const error = yield* run(wait, { dialect: Dialect.all(forgotten, Dialect.unknownNeverDone) })
    assert.strictEqual(error._tag === "ApiTimeoutError" && error.reason, "waiting")
  }))

it.effect("lists tell what there is where a server leaves fields out and times have no zone", () =>
  Effect.gen(function*() {
    const list = Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
      yield* ApiFuture.flatten(training.saveState({ name: "a" }))
      const rest = yield* RestClient.RestClient
      return Chunk.toReadonlyArray(yield* Stream.runCollect(rest.userCheckpoints()))
    })
    const dialect = Dialect.all(
      Dialect.withoutFields("checkpoints", ["size_bytes", "public", "expires_at", "user_metadata"]),
      Dialect.withoutZones
    )
    const [checkpoint] = yield* run(list, { dialect })
    assert.strictEqual(checkpoint!.checkpointId, "weights/a")
    assert.strictEqual(DateTime.toEpochMillis(checkpoint!.time), 0)
  }))

it.effect("endpoints around the loop that a server lacks are told of as that", () =>
  Effect.gen(function*() {
    const dialect = Dialect.withoutEndpoints(["checkpoints", "sessions", "training_runs"], 405)
    const errors = yield* run(
      Effect.flatMap(RestClient.RestClient, (rest) =>
        Effect.all([
          Effect.flip(rest.listUserCheckpoints()),
          Effect.flip(rest.listSessions()),
          Effect.flip(rest.listTrainingRuns())
        ])),
      { dialect }
    )
    for (const error of errors) assert.include(error.message, "no such endpoint")
  }))

it.effect("a server that makes a model of its own choice is warned of", () =>
  Effect.gen(function*() {
    const messages: Array<string> = []
    const logger = Logger.make(({ message }) => void messages.push(String(message)))
    const other: Dialect.Dialect = {
      mapAnswer: (answer, call) =>
        call.path === "get_info"
          ? { ...answer, body: { ...(answer.body as object), model_data: { model_name: "theirs" } } }
          : answer
    }
    const create = Effect.flatMap(
      ServiceClient.ServiceClient,
      (service) => service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
    )
    yield* run(create, { dialect: other }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
    assert.include(messages, "a model of bigram was asked for, and the server made one of theirs")
  }))

it.effect("a step whose outcome is unknown is not sent again where a policy says so, as some servers would do it twice", () =>
  Effect.gen(function*() {
    let sent = 0
    const lost = Effect.gen(function*() {
      const faults = yield* Faults.Faults
      yield* faults.plan({ path: "optim_step", fault: Faults.loseAnswer })
      const service = yield* ServiceClient.ServiceClient
      const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
      return yield* training.optimStep(AdamParams.make()).pipe(
        RetryPolicy.withPolicies({ request: RetryPolicy.none }),
        Effect.flip
      )
    })
    const error = yield* Effect.provide(
      lost,
      client({ onRequest: ({ url }) => void (sent += url.endsWith("/optim_step") ? 1 : 0) })
    )
    assert.strictEqual(error._tag, "ApiConnectionError")
    assert.strictEqual(sent, 1)
  }))
