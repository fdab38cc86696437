import { HttpClientError } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Cause, Effect, Exit, Logger, Stream } from "effect"
import {
  AdamParams,
  ApiFuture,
  Datum,
  LossFn,
  ModelInput,
  RestClient,
  SamplingClient,
  SamplingParams,
  ServiceClient,
  TensorData,
  TinkerError,
  TinkerHttpClient,
  type TrainingClient
} from "effect-tinker"
import { adam, client, datum, transport } from "./fixture.js"

const question = { prompt: ModelInput.fromTokens([1, 2]), samplingParams: SamplingParams.make({ maxTokens: 2 }) }
const data = [datum("one"), datum("two")]

interface Clients {
  readonly service: ServiceClient.Service
  readonly training: TrainingClient.Service
  readonly sampling: SamplingClient.Service
  readonly rest: RestClient.Service
}

type Mistake = (clients: Clients) => Effect.Effect<unknown, TinkerError.TinkerError>

const ask = (change: object): Mistake => ({ sampling }) => sampling.sample({ ...question, ...change })
const pass = (change: object): Mistake => ({ training }) =>
  training.forwardBackward({ data, lossFn: "cross_entropy", ...change } as TrainingClient.PassOptions)
const step = (params: unknown): Mistake => ({ training }) => training.optimStep(params as AdamParams.AdamParams)
const nested = (levels: number): object => {
  let value: object = {}
  for (let i = 0; i < levels; i++) value = { value }
  return value
}
const save = (options: unknown): Mistake => ({ training }) => training.saveState(options as never)

/** What people who write without types, or think of the Python SDK, pass; and what they are told, before anything is sent. */
const refusedHere: ReadonlyArray<readonly [what: string, Mistake, told: RegExp]> = [
  ["a text as prompt", ask({ prompt: "hello" }), /prompt: is a text, .*encode it.*ModelInput\.fromTokens/],
  ["a list as prompt", ask({ prompt: [1, 2] }), /prompt: is a list; .*ModelInput\.fromTokens/],
  ["a typed array as prompt", ask({ prompt: Int32Array.of(1) }), /prompt: is an? Int32Array; .*ModelInput\.fromTokens/],
  ["no prompt", ask({ prompt: undefined }), /prompt: is undefined; pass a ModelInput/],
  [
    "plain lists in a chunk",
    ask({ prompt: { chunks: [{ type: "encoded_text", tokens: [1] }] } }),
    /prompt\.chunks\[0\]\.tokens: is a list; it must be an Int32Array, as ModelInput\.fromTokens/
  ],
  ["a text to score", ({ sampling }) => sampling.computeLogprobs("hello" as never), /prompt: is a text/],
  ["no parameters", ask({ samplingParams: undefined }), /samplingParams: is undefined; .*SamplingParams\.make/],
  ["max_tokens", ask({ samplingParams: { max_tokens: 4 } }), /sample: samplingParams\.max_tokens: .*called maxTokens/],
  ["num_samples", ask({ num_samples: 2 }), /num_samples: is no option; it is called numSamples here/],
  ["a seed beyond 2^53", ask({ samplingParams: SamplingParams.make({ seed: 2 ** 60 }) }), /seed: .*not exact/],
  ["learning_rate", step({ learning_rate: 0.1 }), /learning_rate: .*it is called learningRate/],
  [
    "learning_rate in AdamParams",
    step(AdamParams.make({ learning_rate: 0.1 } as never)),
    /learning_rate: .*it is called learningRate/
  ],
  ["a number as parameters", step(0.1), /params: are 0\.1; .*AdamParams\.make\(\{ learningRate \}\)/],
  ["one datum instead of a list", pass({ data: data[0] }), /data: is an object; pass a list of Datum/],
  ["data of the Python SDK", pass({ data: [{ model_input: {} }] }), /data\[0\]\.model_input: .*called modelInput/],
  ["a text as datum", pass({ data: ["hello"] }), /data\[0\]: is a text; .*Datum\.fromTokens/],
  [
    "a text in a datum",
    pass({ data: [data[0], { ...data[1], modelInput: "hi" }] }),
    /data\[1\]\.modelInput: is a text/
  ],
  [
    "a misspelt field beside the chunks",
    pass({ data: [data[0], { ...data[1], modelInput: { ...data[1]!.modelInput, chunk: [] } }] }),
    /data\[1\]\.modelInput\.chunk: is no field of a model input; was chunks meant\?/
  ],
  [
    "a field of one's own in a prompt",
    ({ sampling }) => sampling.computeLogprobs({ ...ModelInput.fromTokens([1, 2]), tokens: [1] } as never),
    /prompt\.tokens: is no field of a model input; those are chunks\./
  ],
  [
    "options behind all arguments",
    ({ rest }) =>
      (rest.getTrainingRun as (...args: ReadonlyArray<unknown>) => ReturnType<typeof rest.getTrainingRun>)(
        "r",
        undefined,
        { accessScope: "accessible" }
      ),
    /argument 3: is an object, which would be passed over: the arguments of the call are idOrPath, options\./
  ],
  ["loss_fn", pass({ loss_fn: "ppo" }), /loss_fn: .*it is called lossFn/],
  [
    "a bad token in one of the data",
    pass({ data: [data[0], Datum.fromTokens(Int32Array.of(1, 2, -5, 3), new Float32Array(4).fill(1))] }),
    /data\[1\]\.modelInput\.chunks\[0\]\.tokens: is -5 at 2/
  ],
  ["a mask", pass({ data: [{ ...data[0], lossFnInputs: { ...data[0]!.lossFnInputs, mask: 1 } }] }), /mask/],
  [
    "parameters as a plain object",
    ({ sampling }) =>
      sampling.sample({ prompt: ModelInput.fromTokens([1]), samplingParams: { maxTokens: 5 } as never }),
    /^(?!.*temperature).*samplingParams: are a plain object; pass it through SamplingParams\.make/
  ],
  [
    "max_tokens in a plain object",
    ({ sampling }) =>
      sampling.sample({ prompt: ModelInput.fromTokens([1]), samplingParams: { max_tokens: 5 } as never }),
    /^(?!.*temperature).*samplingParams\.max_tokens: .*it is called maxTokens/
  ],
  [
    "options that throw when they are read",
    save(
      new Proxy({}, {
        ownKeys: () => {
          throw new Error("not for you")
        }
      })
    ),
    /options: cannot be read/
  ],
  [
    "metadata of endless depth",
    ({ service }) =>
      service.createLoraTrainingClient({ baseModel: "bigram", rank: 4, userMetadata: nested(100_000) as never }),
    /userMetadata\S*: (is nested more than 100 levels deep|it must be a text|is an object)/
  ],
  ["no options of a save", save(undefined), /options: are undefined; pass an object of name, ttl/],
  ["null as options of a save", save(null), /options: are null; pass an object of name, ttl/],
  [
    "the name first",
    ({ training }) => training.saveWeightsForSampler("mine" as never),
    /options: are a text; pass an object of name, ttl/
  ],
  [
    "arguments one by one",
    ({ training }) => training.forwardBackward(data as never),
    /options: are a list; pass an object of data, lossFn/
  ],
  [
    "no call at all",
    ({ sampling }) => sampling.sample(undefined as never),
    /options: are undefined; pass an object of prompt/
  ],
  [
    "a name as model",
    ({ service }) => service.createLoraTrainingClient("bigram" as never),
    /options: are a text; pass an/
  ],
  [
    "an object as path",
    ({ service }) => service.createTrainingClientFromState({ path: "tinker://r/weights/a" } as never),
    /path: .*is no checkpoint path/
  ],
  [
    "an address of the web as path",
    ({ service }) => service.createTrainingClientFromState("https://tinker.example/weights/a"),
    /path: is an address of the web, and no checkpoint path\. .* tinker:\/\/<training run>\/weights\/<name>/
  ],
  ["a name alone", save("mine"), /options: are a text; pass an object of name, /],
  ["no name", save({}), /name: is undefined; pass the name/],
  ["ttl: \"7d\"", save({ name: "a", ttl: "7d" }), /ttl: is "7d", which is no duration; write it as "7 days"/],
  [
    "ttl: \"5 seconds\"",
    save({ name: "a", ttl: "5 seconds" }),
    /ttl: is 5 s, and must be whole seconds, between an hour and ten years; write it as "7 days" or "12 hours"\./
  ],
  [
    "ttl_seconds",
    save({ name: "a", ttl_seconds: 5 }),
    /ttl_seconds: is no option; was ttl meant\? All of those are name, ttl, /
  ],
  [
    "ttl: \"7d\" of a checkpoint",
    ({ rest }) => rest.setCheckpointTtl("tinker://r/weights/a", "7d" as never),
    /ttl: is "7d", which is no duration/
  ],
  [
    "a sampler path as state",
    ({ service }) => service.createTrainingClientFromState("tinker://r/sampler_weights/a"),
    /weights for sampling, and training goes on from a state alone: pass the path that saveState returned/
  ],
  [
    "a sampler path to load",
    ({ training }) => training.loadState("tinker://r/sampler_weights/a"),
    /weights for sampling, and training goes on from a state alone/
  ],
  [
    "base_model",
    ({ service }) => service.createLoraTrainingClient({ base_model: "bigram" } as never),
    /base_model: .*it is called baseModel/
  ],
  ["no model", ({ service }) => service.createLoraTrainingClient({} as never), /baseModel: is undefined/],
  [
    "model_path",
    ({ service }) => service.createSamplingClient({ model_path: "tinker://r/sampler_weights/a" } as never),
    /model_path: .*it is called modelPath/
  ],
  [
    "a misspelt option",
    ask({ numSample: 2 }),
    /numSample: is no option; was numSamples meant\? All of those are prompt, /
  ],
  [
    "plain settings of Adam",
    step({ learningRate: 0.1 }),
    /params: are a plain object; pass it through AdamParams\.make/
  ],
  ["no name of a loss", pass({ lossFn: 7 }), /lossFn: is 7; pass one of cross_entropy, importance_sampling, ppo, /],
  [
    "a misspelt loss",
    pass({ lossFn: "cross_entrpy" }),
    /cross_entrpy is not known\. Known are .*Was cross_entropy meant\?/
  ],
  ["a function as loss", pass({ lossFn: () => 0 }), /lossFn: is a function; .*forwardBackwardCustom/],
  [
    "a name as loss of one's own",
    ({ training }) => training.forwardBackwardCustom({ data, lossFn: "ppo" as never }),
    /lossFn: is a text; pass a function .*forwardBackward\./
  ],
  [
    "text as tokens",
    ask({ prompt: ModelInput.fromTokens("abc" as never) }),
    /chunks\[0\]\.tokens: is a text, .*encode it/
  ],
  [
    "an unknown chunk",
    ask({ prompt: { chunks: [{ type: "video" }] } }),
    /prompt\.chunks\[0\]\.type: is "video"; it must be one of encoded_text, image, /
  ],
  ["ttl: 10", save({ name: "a", ttl: 10 }), /the number 10 means 10 ms: numbers are milliseconds, .*"12 hours"/],
  [
    "ttl in seconds",
    save({ name: "a", ttl: 86_400 }),
    /the number 86400 means 1 minute 26 s: numbers are milliseconds/
  ],
  ["overwrite: \"x\"", save({ name: "a", overwrite: "x" }), /overwrite: is a text; it must be true or false/],
  [
    "a bare name to sample from",
    ({ service }) => service.createSamplingClient({ modelPath: "a" }),
    /modelPath: "a" is no checkpoint path\. .*tinker:\/\/<training run>\/sampler_weights\/<name>/
  ],
  [
    "scores of more tokens than there are",
    ({ sampling }) => sampling.computeLogprobs(question.prompt, { lastN: 9 }),
    /computeLogprobs: lastN: is 9, and 1 tokens of the prompt have a log-probability/
  ],
  [
    "a token as a text",
    ({ service }) =>
      service.createTrainingClientFromState("tinker://r/weights/a", { weightsAccessToken: "k" as never }),
    /weightsAccessToken: is a text; pass Redacted\.make\(text\)/
  ],
  ["a key as a text", ({ rest }) => rest.getApiKey("k" as never), /key: is a text; pass Redacted\.make\(text\)/],
  [
    "project_id",
    ({ rest }) => rest.listTrainingRuns({ project_id: "p" } as never),
    /project_id: is no option; it is called projectId here/
  ],
  [
    "checkpoint_id",
    ({ rest }) => rest.deleteCheckpoint({ trainingRunId: "r", checkpoint_id: "weights/a" } as never),
    /checkpoint_id: .*it is called checkpointId here/
  ],
  [
    "no handle",
    ({ service }) => service.createSamplingClientFromHandle(null as never),
    /handle: is null; pass the text/
  ],
  [
    "concurency",
    ({ sampling }) => Stream.runDrain(sampling.sampleStream(Stream.make(question), { concurency: 2 } as never)),
    /concurency: is no option; was concurrency meant\?/
  ],
  [
    "a list as stream",
    ({ sampling }) => Stream.runDrain(sampling.sampleStream([question] as never)),
    /requests: is a list; .*Stream\.fromIterable/
  ],
  [
    "an effect that was not run as options",
    ({ rest }) => rest.listSessions(Effect.succeed({ limit: 1 }) as never),
    /options: are an Effect; pass an object of/
  ],
  [
    "metadata that no JSON can hold",
    ({ service }) => service.createLoraTrainingClient({ baseModel: "bigram", userMetadata: { run: { at: 1n } } }),
    /userMetadata\.run\.at: is a bigint, which JSON cannot hold/
  ]
]

const clients = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  return {
    service,
    training: yield* service.createLoraTrainingClient({ baseModel: "bigram" }),
    sampling: yield* service.createSamplingClient({ baseModel: "bigram" }),
    rest: yield* RestClient.RestClient
  }
})

it.effect("what is far too long to be a name is told by its beginning", () =>
  Effect.gen(function*() {
    const held = yield* clients
    const long = "x".repeat(100_000)
    const mistakes: ReadonlyArray<Mistake> = [
      ({ service }) => service.createTrainingClientFromState(long),
      ({ rest }) => rest.publishCheckpoint(long),
      ({ rest }) => rest.deleteCheckpoint({ trainingRunId: `${long} `, checkpointId: "weights/a" }),
      ({ rest }) => rest.copyWeights(long, { destinationProjectId: "p" }),
      pass({ lossFn: long }),
      save({ name: `${long} ` })
    ]
    for (const mistake of mistakes) {
      const error = yield* Effect.flip(mistake(held))
      assert.strictEqual(error._tag, "InvalidInputError")
      assert.isBelow(error.message.length, 1000)
    }
  }).pipe(Effect.provide(client())))

for (const [what, mistake, told] of refusedHere) {
  it.effect(`${what} is refused with what to do, before anything is sent`, () => {
    let sent = 0
    return Effect.gen(function*() {
      const held = yield* clients
      sent = 0
      const exit = yield* Effect.exit(mistake(held))
      assert.isTrue(
        Exit.isFailure(exit) && Cause.isFailType(exit.cause),
        Exit.match(exit, {
          onFailure: Cause.pretty,
          onSuccess: () => "it is accepted"
        })
      )
      const error = yield* Effect.flip(exit)
      assert.strictEqual(error._tag, "InvalidInputError")
      assert.match(error.message, told)
      assert.strictEqual(sent, 0)
    }).pipe(Effect.provide(client({
      onRequest: ({ url }) => {
        if (!/telemetry|heartbeat/.test(url)) sent += 1
      }
    })))
  })
}

const throwing = (): never => {
  throw new Error("not for you")
}

/** Throws at whatever is done with it. */
const untouchable = new Proxy(
  {},
  Object.fromEntries(
    ["get", "has", "ownKeys", "getOwnPropertyDescriptor", "getPrototypeOf"].map((trap) => [trap, throwing])
  )
)

type Damage = readonly [where: string, value: unknown]

/** The same value with a field that throws when it is read, or whose value throws at all, in every place where there is a field. */
const unreadable = (value: unknown, place: string): ReadonlyArray<Damage> => {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return []
  const changed = (field: string, descriptor: PropertyDescriptor) =>
    Object.defineProperty(
      Array.isArray(value)
        ? [...value]
        : Object.create(Object.getPrototypeOf(value), Object.getOwnPropertyDescriptors(value)),
      field,
      { enumerable: true, configurable: true, ...descriptor }
    )
  return Object.entries(value).flatMap(([field, inner]): ReadonlyArray<Damage> => [
    [`${place}.${field} as a getter`, changed(field, { get: throwing })],
    [`${place}.${field} as a proxy`, changed(field, { value: untouchable })],
    ...unreadable(inner, `${place}.${field}`).map(([where, other]): Damage => [where, changed(field, { value: other })])
  ])
}

const images = ModelInput.append(question.prompt, { type: "image", data: Uint8Array.of(1), format: "png" })

const readable: ReadonlyArray<readonly [name: string, value: unknown, call: (value: never) => Mistake]> = [
  ["a sample", {
    ...question,
    prompt: images,
    targetPromptLogprobs: TensorData.int64([1], [1, 1])
  }, (call) => ({ sampling }) => sampling.sample(call)],
  ["scores", question.prompt, (prompt) => ({ sampling }) => sampling.computeLogprobs(prompt)],
  [
    "a pass",
    { data, lossFn: LossFn.other("new"), lossFnConfig: { clipLowThreshold: 0.8 } },
    (call) => ({ training }) => training.forwardBackward(call)
  ],
  [
    "a pass with a loss of its own",
    { data, lossFn: () => Effect.never },
    (call) => ({ training }) => training.forwardBackwardCustom(call)
  ],
  ["a step", adam, (params) => ({ training }) => training.optimStep(params)],
  [
    "a save",
    { name: "a", ttl: "1 day", userMetadata: { a: "b" }, overwrite: true },
    (call) => ({ training }) => training.saveState(call)
  ],
  [
    "a model",
    { baseModel: "bigram", rank: 4, userMetadata: { a: { b: 1 } } },
    (call) => ({ service }) => service.createLoraTrainingClient(call)
  ]
]

for (const [name, value, call] of readable) {
  it.effect(`${name} is refused by name when a part of it throws as it is read, before anything is sent`, () => {
    let sent = 0
    return Effect.gen(function*() {
      const held = yield* clients
      sent = 0
      for (const [where, damaged] of [...unreadable(value, "options"), ["all of it", untouchable] as const]) {
        const exit = yield* Effect.exit(call(damaged as never)(held))
        const found = Exit.match(exit, { onFailure: Cause.pretty, onSuccess: () => "it is accepted" })
        assert.isTrue(Exit.isFailure(exit) && Cause.isFailType(exit.cause), `${where}: ${found}`)
        const error = yield* Effect.flip(exit)
        assert.strictEqual(error._tag, "InvalidInputError", where)
        if (where.endsWith("getter")) assert.match(error.message, /cannot be read: it throws/, where)
        assert.notInclude(error.message, "not for you")
      }
      assert.strictEqual(sent, 0)
    }).pipe(Effect.provide(client({
      onRequest: ({ url }) => {
        if (!/telemetry|heartbeat/.test(url)) sent += 1
      }
    })))
  })
}

/** What the server refuses, and what is said of it. */
const refusedThere: ReadonlyArray<readonly [what: string, Mistake, told: RegExp]> = [
  [
    "a taken name",
    ({ training }) =>
      Effect.zipRight(
        ApiFuture.flatten(training.saveState({ name: "a" })),
        ApiFuture.flatten(training.saveState({ name: "a" }))
      ),
    /the checkpoint \S+ exists already: take another name, or set overwrite to replace it\.$/
  ],
  [
    "a token that the model does not know",
    ({ training }) =>
      ApiFuture.flatten(training.forwardBackward({
        data: [data[0]!, Datum.fromTokens(Int32Array.of(1, 2, 999, 3), new Float32Array(4).fill(1))],
        lossFn: "cross_entropy"
      })),
    /datum 1: .*token 999 at 2.*Fix the data\.$/
  ],
  [
    "a state that is not there",
    ({ training }) => ApiFuture.flatten(training.loadState("tinker://r/weights/a")),
    /Pass the path of a state that is there, .*ServiceClient\.createTrainingClientFromState/
  ],
  [
    "a checkpoint that is not there",
    ({ rest }) => rest.deleteCheckpoint("tinker://r/weights/a"),
    /404 \(NotFound\): there is no \S+( run)? \S+\. Check the id, and that this key may see it; [^.]*\.$/
  ]
]

for (const [what, mistake, told] of refusedThere) {
  it.effect(`${what} is told with what to do`, () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(mistake(yield* clients))
      assert.match(error.message, told)
    }).pipe(Effect.provide(client())))
}

it.effect("a step without a gradient is done, with one warning", () =>
  Effect.gen(function*() {
    const warnings: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      if (logLevel._tag === "Warning") warnings.push(String(message))
    })
    yield* Effect.gen(function*() {
      const { training } = yield* clients
      yield* ApiFuture.flatten(training.forwardBackward({ data, lossFn: "cross_entropy" }))
      yield* ApiFuture.flatten(training.optimStep(adam))
      assert.deepStrictEqual(warnings, [])
      yield* ApiFuture.flatten(training.optimStep(adam))
      yield* ApiFuture.flatten(training.optimStep(adam))
      assert.lengthOf(warnings, 1)
      assert.match(warnings[0]!, /optimStep: model \S+ takes a step without a gradient.*call forwardBackward/)
    }).pipe(Effect.provide(client()), Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
  }))

const get: TinkerHttpClient.Request = { operation: "get_info", method: "GET", path: "/api/v1/get_info" }

/** What servers and proxies answer, and how it reads. */
const answers: ReadonlyArray<readonly [what: string, status: number, body: string, told: RegExp]> = [
  ["a body that is too large", 413, "{\"detail\":\"too large\"}", /413 .*too large\. Send less at a time/],
  [
    "a body that a proxy finds too large",
    413,
    "<html><title>413 Request Entity Too Large</title></html>",
    /something before the server answered 413 .*: a web page, 413 Request Entity Too Large\. Send less at a time/
  ],
  [
    "an error as OpenAI writes it",
    400,
    "{\"error\":{\"message\":\"no such key\",\"type\":\"x\"}}",
    /400 .*: no such key\. /
  ],
  ["a path that is none", 404, "{\"detail\":\"Not Found\"}", /: Not Found\. This server has no such endpoint/],
  ["a sentence with its full stop", 422, "{\"detail\":\"The rank is too high.\"}", /: The rank is too high\. Fix/],
  ["a name that is not there", 404, "{\"detail\":\"no model m\"}", /: no model m\. Check the name or id/]
]

for (const [what, status, body, told] of answers) {
  it.effect(`${what} reads as one thing to do`, () =>
    Effect.gen(function*() {
      const http = yield* TinkerHttpClient.TinkerHttpClient
      const error = yield* Effect.flip(http.request(get))
      assert.match(error.message, told)
      assert.notInclude(error.message, "..")
    }).pipe(Effect.provide(transport(() => Effect.succeed(new Response(body, { status }))))))
}

for (
  const [code, message] of [
    ["SELF_SIGNED_CERT_IN_CHAIN", "self-signed certificate in certificate chain"],
    ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "unable to get local issuer certificate"],
    ["", "The certificate was not trusted"]
  ] as const
) {
  it.effect(`a certificate that is not trusted (${code || message}) is told with what to do, and not asked again`, () => {
    let sent = 0
    return Effect.gen(function*() {
      const http = yield* TinkerHttpClient.TinkerHttpClient
      const error = yield* Effect.flip(http.request(get))
      assert.match(error.message, /NODE_EXTRA_CA_CERTS/)
      assert.strictEqual(sent, 1)
    }).pipe(Effect.provide(transport((request) => {
      sent += 1
      const cause = Object.assign(new Error(message), { code })
      return new HttpClientError.RequestError({
        request,
        reason: "Transport",
        cause: new Error("fetch failed", { cause })
      })
    })))
  })
}

it("a failure about a model that is not there is not put down to the data", () => {
  const failed = (description: string) =>
    new TinkerError.RequestFailedError({
      operation: "TrainingClient.optimStep",
      requestId: "r",
      category: "user",
      description
    })
      .message
  for (const said of ["Model 7 not found", "adapter a is not loaded", "no such model", "The model was unloaded."]) {
    assert.match(failed(said), /make a new client from a checkpoint\.$/, said)
  }
  assert.match(failed("datum 3 has no tokens"), /datum 3 has no tokens\. Fix the data\.$/)
})

it("a loss that no version knows is named with those that are", () => {
  const [issue] = LossFn.issues({ lossFn: "crossEntropy" as never, data })
  assert.match(issue!.description, /crossEntropy is not known\. Known are cross_entropy, /)
})
