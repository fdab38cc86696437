import { BigramEngine } from "@effect-tinker/engine"
import { Dialect, Faults, TinkerServer } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Fiber, Layer, Logger, Redacted, TestClock } from "effect"
import {
  ApiFuture,
  ModelInput,
  ModelsMessages,
  RetryPolicy,
  ServiceApi,
  ServiceClient,
  Tinker,
  TinkerConfig
} from "effect-tinker"
import { Identifiers } from "effect-tinker"
import { adam, client, datum } from "./fixture.js"
import { json, type Seen, stub } from "./stub.js"

const service = ServiceClient.ServiceClient

/** The client against the real server, every request of which is kept. */
const observed = (options: Omit<NonNullable<Parameters<typeof client>[0]>, "onRequest"> = {}) => {
  const seen: Array<Pick<Seen, "path" | "body" | "headers">> = []
  const layer = client({
    ...options,
    onRequest: ({ body, headers, url }) => {
      const path = url.slice(url.indexOf("/v1/") + 4)
      const text = body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : ""
      seen.push({ path, headers, body: text.startsWith("{") ? JSON.parse(text) : {} })
    }
  })
  return { layer, seen, to: (path: string) => seen.filter((one) => one.path === path) }
}

it.effect("a client that was only made has sent nothing, and one that trains and samples has one session", () => {
  const { layer, seen, to } = observed()
  return Effect.gen(function*() {
    const { createLoraTrainingClient, createSamplingClient } = yield* service
    yield* TestClock.adjust("1 hour")
    assert.strictEqual(seen.length, 0)
    yield* createLoraTrainingClient({ baseModel: "bigram" })
    yield* createSamplingClient({ baseModel: "bigram" })
    assert.strictEqual(to("create_session").length, 1)
  }).pipe(Effect.provide(layer))
})

it.effect("an option that there is not is named with those that there are", () =>
  Effect.gen(function*() {
    const options = JSON.parse("{\"api_key\":\"tml-key\",\"timeout\":3}")
    const error = yield* Effect.flip(TinkerConfig.make(options))
    assert.deepStrictEqual([error.field, ...error.others.map(({ field }) => field)], ["api_key", "timeout"])
    assert.include(error.message, "apiKey")
    assert.notInclude(error.message, "tml-key")
  }))

it.effect("all options that cannot be right are told at once", () =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(TinkerConfig.make({
      baseUrl: "localhost:8000",
      requestTimeout: "0 seconds",
      heartbeatInterval: "0 seconds",
      heartbeatFailureLimit: 0,
      headers: { "X-API-Key": "tml-key" }
    }))
    assert.deepStrictEqual([error.field, ...error.others.map(({ field }) => field)], [
      "baseUrl",
      "requestTimeout",
      "heartbeatInterval",
      "heartbeatFailureLimit",
      "headers.X-API-Key"
    ])
  }))

it.effect("capabilities tell what is known of each model, take bare names, and leave the rest aside", () => {
  const { layer, to } = stub({
    get_server_capabilities: () =>
      json({
        supported_models: [
          { model_name: "a", max_context_length: 32, trainable: true, sampleable: false, arch: "new" },
          "b",
          { model_name: "c", trainable: null }
        ],
        also: 1
      })
  })
  return Effect.gen(function*() {
    const capabilities = yield* Effect.flatMap(service, ({ getServerCapabilities }) => getServerCapabilities)
    assert.deepStrictEqual(ServiceApi.modelNames(capabilities), ["a", "b", "c"])
    const [a, b, c] = capabilities.supportedModels
    assert.deepStrictEqual([a?.maxContextLength, a?.trainable, a?.sampleable], [32, true, false])
    assert.deepStrictEqual([b?.maxContextLength, b?.trainable, c?.trainable], [undefined, undefined, undefined])
    assert.strictEqual(to("create_session").length, 0)
  }).pipe(Effect.provide(layer))
})

it.effect("a model known as not trainable is refused by name before anything is sent, one not known is not", () => {
  const { layer, to } = stub({
    get_server_capabilities: () => json({ supported_models: [{ model_name: "a", trainable: false }, "b"] }),
    create_model: () => json({ detail: "reached" }, 422)
  })
  return Effect.gen(function*() {
    const { createLoraTrainingClient, getServerCapabilities } = yield* service
    yield* getServerCapabilities
    const refused = yield* Effect.flip(createLoraTrainingClient({ baseModel: "a" }))
    assert.strictEqual(refused._tag, "InvalidInputError")
    assert.include(refused.message, "a cannot be trained")
    assert.strictEqual(to("create_session").length, 0)
    const asked = yield* Effect.flip(createLoraTrainingClient({ baseModel: "b" }))
    assert.include(asked.message, "reached")
  }).pipe(Effect.provide(layer))
})

it.effect("asks for the server's health, and takes only good health for an answer", () => {
  let body: unknown = { status: "ok" }
  const { layer, to } = stub({ healthz: () => json(body) })
  return Effect.gen(function*() {
    const { healthCheck } = yield* service
    yield* healthCheck
    body = { status: "ill" }
    assert.strictEqual((yield* Effect.flip(healthCheck))._tag, "ApiResponseValidationError")
    assert.strictEqual(to("healthz").length, 2)
  }).pipe(Effect.provide(layer))
})

it.effect("a new model is asked for whole, waited for, and then asked once what it is", () => {
  const { layer, seen, to } = observed()
  return Effect.gen(function*() {
    const { createLoraTrainingClient } = yield* service
    const training = yield* createLoraTrainingClient({ baseModel: "bigram", userMetadata: { run: 1 } })
    const { session_id, ...body } = to("create_model")[0]!.body
    assert.isString(session_id)
    assert.deepStrictEqual(body, {
      model_seq_id: 0,
      base_model: "bigram",
      user_metadata: { run: 1 },
      lora_config: { rank: 32, train_mlp: true, train_attn: true, train_unembed: true },
      optimizer_config: { type: "adamw" },
      type: "create_model"
    })
    assert.deepStrictEqual(seen.slice(-3).map(({ path }) => path), ["create_model", "retrieve_future", "get_info"])
    assert.strictEqual(training.info.modelData.modelName, "bigram")
    assert.strictEqual(to("get_info").length, 1)
  }).pipe(Effect.provide(layer))
})

it.effect("a new model is asked for again under the same number when the server is in trouble", () => {
  const { layer, to } = observed()
  return Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const { createLoraTrainingClient } = yield* service
    yield* faults.plan({ path: "create_model", fault: Faults.answer(503), times: 2 })
    const creating = yield* Effect.fork(createLoraTrainingClient({ baseModel: "bigram" }))
    yield* TestClock.adjust("10 seconds")
    yield* Fiber.join(creating)
    assert.deepStrictEqual(to("create_model").map(({ body }) => body.model_seq_id), [0, 0, 0])
    assert.strictEqual(new Set(to("create_model").map(({ headers }) => headers["x-idempotency-key"])).size, 1)
  }).pipe(Effect.provide(layer))
})

it.effect("an adapter of nothing is refused by the names of its options", () => {
  const { layer, seen } = observed()
  return Effect.gen(function*() {
    const { createLoraTrainingClient } = yield* service
    const error = yield* Effect.flip(
      createLoraTrainingClient({ baseModel: "bigram", trainMlp: false, trainAttn: false, trainUnembed: false })
    )
    assert.strictEqual(error._tag, "InvalidInputError")
    for (const option of ["trainMlp", "trainAttn", "trainUnembed"]) assert.include(error.message, option)
    assert.strictEqual(seen.length, 0)
  }).pipe(Effect.provide(layer))
})

const info = (data: unknown) =>
  stub({
    create_model: () => json({ request_id: "r" }),
    retrieve_future: () => json({ model_id: "S:train:0", type: "create_model" }),
    get_info: () => json(data)
  })

it.effect("what a model is may be told in part: AdamW unless said otherwise, unknown optimizers kept", () =>
  Effect.gen(function*() {
    const ask = ({ layer }: ReturnType<typeof info>) =>
      Effect.flatMap(service, ({ createLoraTrainingClient }) => createLoraTrainingClient({ baseModel: "small" })).pipe(
        Effect.map((training) => training.info),
        Effect.provide(layer)
      )
    const little = yield* ask(info({ model_id: "S:train:0", model_data: {} }))
    assert.deepStrictEqual(little.optimizerConfig, ModelsMessages.adamw)
    assert.isUndefined(little.modelData.modelName)
    const optimizer = { type: "later", version: 3 }
    const much = yield* ask(info({
      model_id: "S:train:0",
      model_data: { arch: "llama", model_name: "small", tokenizer_id: "t" },
      is_lora: true,
      lora_rank: 8,
      optimizer_config: optimizer
    }))
    assert.deepStrictEqual(much.optimizerConfig, optimizer)
    assert.deepStrictEqual([much.modelData.tokenizerId, much.loraRank], ["t", 8])
  }))

it.effect("a server that cannot say what a model is leaves what was asked for", () => {
  const { layer } = stub({
    create_model: () => json({ request_id: "r" }),
    retrieve_future: () => json({ model_id: "S:train:0", type: "create_model" })
  })
  return Effect.gen(function*() {
    const { createLoraTrainingClient } = yield* service
    const training = yield* createLoraTrainingClient({ baseModel: "small" })
    assert.strictEqual(training.modelId, "S:train:0")
    assert.strictEqual(training.info.modelData.modelName, "small")
  }).pipe(Effect.provide(layer))
})

const unloading = (answer: () => ReturnType<typeof json>, result?: () => ReturnType<typeof json>) => {
  let created = false
  return stub({
    create_model: () => json({ request_id: "r" }),
    retrieve_future: () => {
      if (created && result !== undefined) return result()
      created = true
      return json({ model_id: "S:train:0", type: "create_model" })
    },
    unload_model: answer
  })
}
const unload = Effect.gen(function*() {
  const { createLoraTrainingClient } = yield* service
  const training = yield* createLoraTrainingClient({ baseModel: "small" })
  yield* training.unloadModel
})

it.effect("a model is unloaded at once, or when the server's answer to come says so", () => {
  const later = unloading(
    () => json({ request_id: "u" }),
    () => json({ model_id: "S:train:0", type: "unload_model" })
  )
  const atOnce = unloading(() => json({ model_id: "S:train:0", type: "unload_model" }))
  return Effect.gen(function*() {
    yield* Effect.provide(unload, later.layer)
    assert.deepStrictEqual(later.to("unload_model")[0]?.body, { model_id: "S:train:0", type: "unload_model" })
    assert.strictEqual(later.to("retrieve_future").at(-1)?.body.request_id, "u")
    yield* Effect.provide(unload, atOnce.layer)
    assert.strictEqual(atOnce.to("retrieve_future").length, 1)
  })
})

it.effect("a server that unloads no models says so as one that finds none", () => {
  const { layer, to } = unloading(() => json({ detail: "Not Found" }, 404))
  return Effect.gen(function*() {
    const error = yield* Effect.flip(unload)
    assert.strictEqual(error._tag === "ApiStatusError" && error.reason, "NotFound")
    assert.strictEqual(to("unload_model").length, 1)
  }).pipe(Effect.provide(layer))
})

const saved = Effect.gen(function*() {
  const { createLoraTrainingClient } = yield* service
  const training = yield* createLoraTrainingClient({ baseModel: "bigram", rank: 4, trainMlp: false })
  yield* ApiFuture.flatten(training.forwardBackward({ data: [datum("abc")], lossFn: "cross_entropy" }))
  yield* ApiFuture.flatten(training.optimStep(adam))
  return (yield* ApiFuture.flatten(training.saveState({ name: "a" }))).path
})

for (
  const [what, optimizer, load] of [
    ["weights", false, (s: ServiceClient.Service) => s.createTrainingClientFromState],
    ["weights and optimizer", true, (s: ServiceClient.Service) => s.createTrainingClientFromStateWithOptimizer]
  ] as const
) {
  it.effect(`one request makes a model from ${what}, whose own requests begin with number 1`, () => {
    const { layer, seen, to } = observed()
    return Effect.gen(function*() {
      const path = yield* saved
      seen.length = 0
      const token = Redacted.make("tml-of-the-owner")
      const training = yield* load(yield* service)(path, { baseModel: "bigram", weightsAccessToken: token })
      yield* ApiFuture.flatten(training.optimStep(adam))
      assert.deepStrictEqual(seen.map(({ path }) => path), [
        "load_weights",
        "retrieve_future",
        "get_info",
        "optim_step",
        "retrieve_future"
      ])
      const { session_id: _, ...body } = to("load_weights")[0]!.body
      assert.deepStrictEqual(body, {
        model_seq_id: 1,
        base_model: "bigram",
        path,
        optimizer,
        weights_access_token: "tml-of-the-owner",
        type: "load_weights"
      })
      assert.strictEqual(to("optim_step")[0]?.body.seq_id, 1)
    }).pipe(Effect.provide(layer))
  })
}

it.effect("a server that makes no model by loading is asked in three steps, and from then on always", () => {
  const { layer, seen, to } = observed({ server: { dialect: Dialect.withoutCreateByLoading() } })
  return Effect.gen(function*() {
    const path = yield* saved
    seen.length = 0
    const { createTrainingClientFromStateWithOptimizer: load } = yield* service
    const training = yield* load(path)
    yield* ApiFuture.flatten(training.optimStep(adam))
    assert.deepStrictEqual(seen.map(({ path }) => path).filter((path) => path !== "retrieve_future"), [
      "load_weights",
      "weights_info",
      "create_model",
      "load_weights",
      "get_info",
      "optim_step"
    ])
    const { model_id, optimizer, seq_id } = to("load_weights")[1]!.body
    assert.deepStrictEqual([model_id, seq_id, optimizer], [training.modelId, 1, true])
    assert.deepInclude(to("create_model")[0]!.body.lora_config, { rank: 4, train_mlp: false, train_attn: true })
    assert.strictEqual(to("optim_step")[0]?.body.seq_id, 2)
    seen.length = 0
    yield* load(path)
    assert.strictEqual(to("load_weights").length, 1)
  }).pipe(Effect.provide(layer))
})

it.effect("sampling from nothing, or from no path, is refused before anything is sent", () => {
  const { layer, seen } = observed()
  return Effect.gen(function*() {
    const { createSamplingClient } = yield* service
    assert.include((yield* Effect.flip(createSamplingClient({} as never))).message, "baseModel, modelPath: are both")
    assert.include((yield* Effect.flip(createSamplingClient({ baseModel: "" }))).message, "baseModel: is an empty text")
    assert.include((yield* Effect.flip(createSamplingClient({ modelPath: "weights" }))).message, "\"weights\"")
    assert.strictEqual(seen.length, 0)
  }).pipe(Effect.provide(layer))
})

const wrongSettings: ReadonlyArray<readonly [string, unknown]> = [
  ["maxAttempt", 3],
  ["maxAttempts", 0],
  ["maxAttempts", "x"],
  ["maxConnections", -1],
  ["jitterFactor", 5],
  ["progressTimeout", -1],
  ["enableRetryLogic", "no"]
]

for (const [field, value] of wrongSettings) {
  it.effect(`the setting ${field} ${JSON.stringify(value)} of a sampling client is refused by name, and nothing is sent`, () => {
    const { layer, seen } = observed()
    return Effect.gen(function*() {
      const { createSamplingClient } = yield* service
      const error = yield* Effect.flip(createSamplingClient({ baseModel: "small", retryConfig: { [field]: value } }))
      assert.strictEqual(error._tag === "InvalidInputError" && error.field, `retryConfig.${field}`)
      assert.strictEqual(seen.length, 0)
    }).pipe(Effect.provide(layer))
  })
}

it.effect("sampling sessions of a session are numbered from 0, and asked once for their model", () => {
  const { layer, to } = stub({
    create_sampling_session: ({ body }) => json({ sampling_session_id: `S:sample:${body.sampling_session_seq_id}` }),
    "samplers/S:sample:0": () => json({ sampler_id: "S:sample:0", base_model: "small" })
  })
  return Effect.gen(function*() {
    const { createSamplingClient } = yield* service
    const path = "tinker://S:train:0/sampler_weights/a"
    const first = yield* createSamplingClient({ modelPath: path })
    const second = yield* createSamplingClient({ modelPath: path })
    const third = yield* createSamplingClient({ baseModel: "other" })
    assert.deepStrictEqual(to("create_sampling_session").map(({ body }) => body), [
      { session_id: "S", sampling_session_seq_id: 0, model_path: path, type: "create_sampling_session" },
      { session_id: "S", sampling_session_seq_id: 1, model_path: path, type: "create_sampling_session" },
      { session_id: "S", sampling_session_seq_id: 2, base_model: "other", type: "create_sampling_session" }
    ])
    assert.deepStrictEqual([first.baseModel, second.baseModel, third.baseModel], ["small", "", "other"])
    assert.strictEqual(to("samplers/S:sample:0").length, 1)
    assert.strictEqual(to("samplers/S:sample:2").length, 0)
  }).pipe(Effect.provide(layer))
})

it.effect("a sampling session that exists needs no new one, and no session", () => {
  const { layer, to } = stub({})
  return Effect.gen(function*() {
    const { getSamplingClient } = yield* service
    const sampling = yield* getSamplingClient(Identifiers.SamplingSessionId.make("T:sample:3"), { baseModel: "small" })
    assert.strictEqual(sampling.baseModel, "small")
    assert.strictEqual(to("create_sampling_session").length, 0)
    assert.strictEqual(to("create_session").length, 0)
  }).pipe(Effect.provide(layer))
})

const createSampling = Effect.flatMap(service, (service) => service.createSamplingClient({ baseModel: "small" }))

it.effect("the session begins with what its client says of it", () => {
  const { layer, to } = stub({}, {
    tags: ["a", " b ", "a", ""],
    userMetadata: { team: "x" },
    projectId: "p",
    displayName: "night run"
  })
  return Effect.gen(function*() {
    yield* createSampling
    assert.deepStrictEqual(to("create_session")[0]?.body, {
      tags: ["a", "b"],
      user_metadata: { team: "x" },
      sdk_version: TinkerConfig.protocolVersion,
      project_id: "p",
      display_name: "night run",
      type: "create_session"
    })
  }).pipe(Effect.provide(layer))
})

it.effect("the session leaves out what nobody said, an empty project among it", () => {
  const { layer, to } = stub({}, { projectId: "" })
  return Effect.gen(function*() {
    yield* createSampling
    assert.deepStrictEqual(Object.keys(to("create_session")[0]!.body), ["tags", "user_metadata", "sdk_version", "type"])
  }).pipe(Effect.provide(layer))
})

it.effect("tags and project may come from the environment", () =>
  Effect.gen(function*() {
    const config = yield* TinkerConfig.TinkerConfig
    assert.deepStrictEqual(config.tags, ["a", "b"])
    assert.strictEqual(config.projectId._tag === "Some" && config.projectId.value, "p")
  }).pipe(Effect.provide(Layer.provide(
    TinkerConfig.layerFromEnv,
    Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["TINKER_TAGS", "a, b"], ["TINKER_PROJECT_ID", "p"]])))
  ))))

it.effect("what the server says at the session's beginning is logged at its level, and kept", () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    lines.push(`${logLevel._tag} ${String(message)}`)
  })
  const { layer } = stub({
    create_session: () =>
      json({ session_id: "S", info_message: "welcome", warning_message: "upgrade soon", error_message: "or else" })
  })
  return Effect.gen(function*() {
    const { session } = yield* service
    assert.isUndefined(yield* session.messages)
    yield* createSampling
    assert.deepStrictEqual(lines.filter((line) => !line.startsWith("Debug")), [
      "Info welcome",
      "Warning upgrade soon",
      "Error or else"
    ])
    assert.deepStrictEqual(yield* session.messages, { info: "welcome", warning: "upgrade soon", error: "or else" })
  }).pipe(Effect.provide(layer), Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
})

it.effect("headers of the user go over those of the client and the environment, from the first request on", () => {
  const { layer, seen } = stub({}, {
    headers: { "User-Agent": "mine", "CF-Access-Client-Id": "other" },
    cloudflareAccess: { clientId: "id", clientSecret: Redacted.make("secret") }
  })
  return Effect.gen(function*() {
    yield* createSampling
    assert.isAbove(seen.length, 3)
    for (const { headers } of seen) {
      assert.strictEqual(headers["user-agent"], "mine")
      assert.strictEqual(headers["cf-access-client-id"], "other")
      assert.strictEqual(headers["cf-access-client-secret"], "secret")
    }
  }).pipe(Effect.provide(layer))
})

for (const path of ["create_session", "create_sampling_session"]) {
  it.effect(`${path} is sent again for five minutes to a server in trouble, and not at all after a refusal`, () => {
    let status = 500
    const { layer, to } = stub({ [path]: () => json({ detail: "no" }, status) })
    return Effect.gen(function*() {
      const patient = yield* Effect.fork(Effect.flip(createSampling))
      yield* TestClock.adjust("4 minutes")
      assert.strictEqual((yield* Fiber.poll(patient))._tag, "None")
      yield* TestClock.adjust("2 minutes")
      const error = yield* Fiber.join(patient)
      assert.strictEqual(error._tag === "ApiStatusError" && error.attempts, to(path).length)
      status = 404
      const before = to(path).length
      yield* Effect.flip(createSampling)
      assert.strictEqual(to(path).length, before + 1)
    }).pipe(Effect.provide(layer))
  })
}

it.effect("policies of a region of code decide how often, on any endpoint", () => {
  const { layer, to } = stub({ create_session: () => json({}, 500) })
  return Effect.gen(function*() {
    yield* Effect.flip(RetryPolicy.withPolicies(createSampling, { request: RetryPolicy.none }))
    assert.strictEqual(to("create_session").length, 1)
  }).pipe(Effect.provide(layer))
})

it.effect("the ServiceClient alone trains, saves and samples as with all clients", () =>
  Effect.gen(function*() {
    const { createLoraTrainingClient, createSamplingClient } = yield* service
    const training = yield* createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
    yield* training.forwardBackward({ data: [datum("abc")], lossFn: "cross_entropy" })
    yield* ApiFuture.flatten(training.optimStep(adam))
    const { path } = yield* ApiFuture.flatten(training.saveWeightsForSampler({ name: "kept" }))
    const sampling = yield* createSamplingClient({ modelPath: path })
    assert.lengthOf(yield* sampling.computeLogprobs(ModelInput.fromTokens([1, 2])), 2)
  }).pipe(
    Effect.provide(
      Tinker.layerService().pipe(
        Layer.provide(TinkerServer.layerClient),
        Layer.provide(BigramEngine.layer())
      )
    )
  ))
