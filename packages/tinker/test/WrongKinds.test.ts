import { BigramEngine } from "@effect-tinker/engine"
import { CheckpointStore, TinkerServer } from "@effect-tinker/server"
import { HttpClient } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Cause, Effect, Either, Exit, Layer, Redacted, Schema, Stream } from "effect"
import {
  AdamParams,
  AdminClient,
  ApiFuture,
  CheckpointDownload,
  CheckpointRef,
  ConsoleUrl,
  type CustomLoss,
  Datum,
  FileInput,
  LossFn,
  ModelInput,
  OptimizerParams,
  RawClient,
  RawResponse,
  RequestExtras,
  RestClient,
  RetryPolicy,
  SamplingParams,
  ServerSentEvents,
  ServiceClient,
  TelemetryReporter,
  TensorData,
  Tinker,
  TinkerError,
  TinkerPath,
  type TrainingClient,
  UsageMeter,
  WaitingPolicy
} from "effect-tinker"
import { adam, datum } from "./fixture.js"

/** What untyped programs, and data read from JSON, pass where something else is wanted. */
const junk = {
  nothing: undefined,
  null: null,
  zero: 0,
  whole: 7,
  fraction: 0.5,
  negative: -1,
  NaN,
  infinity: Infinity,
  bigint: 10n,
  flag: true,
  empty: "",
  text: "hello",
  path: "tinker://r/other/a",
  list: [],
  numbers: [1, 2],
  texts: ["a"],
  nulls: [null],
  object: {},
  named: { a: 1 },
  nested: { a: { b: [] } },
  typed: { type: "hello" },
  large: { a: 10n },
  fun: () => 1,
  symbol: Symbol("a"),
  date: new Date(NaN),
  map: new Map(),
  array: Int32Array.of(1),
  promise: Promise.resolve({}),
  effect: Effect.succeed({}),
  redacted: Redacted.make(7),
  secret: Redacted.make("")
}

type Junk = keyof typeof junk

/** Which of these fit after all. */
type Fits = ReadonlyArray<Junk>

interface Parameter {
  /** As errors call it; the parts of some are told by their own names. */
  readonly names: ReadonlyArray<string>
  readonly good: unknown
  readonly fits: Fits
  /** Of options. */
  readonly fields?: Readonly<Record<string, Fits>>
}

const parameter = (name: string | ReadonlyArray<string>, good: unknown, ...fits: Fits): Parameter => ({
  names: typeof name === "string" ? [name] : name,
  good,
  fits
})

/** Without any, they may be left out. */
const options = (fields: Parameter["fields"] & object, good?: object): Parameter => ({
  names: ["options"],
  good,
  fits: good === undefined ? ["nothing", "object"] : [],
  fields
})

const optional = (...fits: Fits): Fits => ["nothing", ...fits]

const retryConfig = optional("object")
const sampler = { retryConfig, recordStabilityInfo: optional("flag") }
const metadata = optional("object", "named", "nested", "typed")
const texts = optional("object", "typed")
const page = { limit: optional("whole"), offset: optional("zero", "whole") }
const scope = { accessScope: optional() }
const name: Fits = ["text"]
const save = { name, ttl: optional() }
const state = parameter("path", "tinker://r/weights/a", "path")
/** Told by the parts that are missing, or that it should not have. */
const checkpoint = parameter(
  ["checkpoint", "path", "trainingRunId", "checkpointId", "a", "type"],
  "tinker://r/weights/a"
)
const token = optional()
const adapter = {
  rank: optional("whole"),
  trainAttn: optional("flag"),
  trainMlp: optional("flag"),
  trainUnembed: optional("flag"),
  userMetadata: metadata,
  vocabularySize: optional("whole")
}
const fromState = { ...adapter, baseModel: optional("text", "path"), weightsAccessToken: token }
const optimizer = optional("typed")
const pass = options({ data: [], lossFn: [], lossFnConfig: optional("object", "named", "typed") }, {
  data: [datum("abab")],
  lossFn: "cross_entropy"
})
const prompt = ModelInput.fromTokens([1, 2, 3])
const question = { prompt, samplingParams: SamplingParams.make({ maxTokens: 1 }) }
const count = optional("zero", "whole")
const download = options({
  directory: ["text", "path"],
  overwrite: optional("flag"),
  keepParts: optional("flag"),
  maxBytes: optional("zero", "whole", "fraction", "infinity"),
  maxFiles: optional("zero", "whole", "fraction", "infinity")
}, { directory: "folder" })
const search = {
  sessionId: optional("text"),
  projectIds: optional("texts"),
  displayName: optional("text", "path"),
  userMetadata: texts,
  owner: optional(),
  statuses: optional(),
  limit: optional("whole")
}
const session = parameter("sessionId", "S", "text")
const key = parameter("key", Redacted.make("k"))

const place = parameter("path", "api/v1/healthz", "text")
const extras = {
  headers: optional("object", "typed"),
  query: optional("object", "named", "nested", "typed"),
  timeout: optional("whole", "fraction", "infinity", "bigint", "numbers", "zero"),
  maxResponseBytes: optional("zero", "whole", "fraction", "infinity"),
  idempotencyKey: optional("null", "empty", "text", "path"),
  retry: optional()
}
const sending = { ...extras, payload: optional() }
const streaming = options({ ...sending, method: optional() })

/** Every method of every client that is given anything. */
const methods: Readonly<Record<string, ReadonlyArray<Parameter>>> = {
  "ServiceClient.createLoraTrainingClient": [
    options({
      ...adapter,
      baseModel: ["text", "path"],
      seed: optional("zero", "whole", "negative"),
      optimizer
    }, { baseModel: "bigram" })
  ],
  "ServiceClient.createTrainingClientFromState": [state, options({ ...fromState, optimizer })],
  "ServiceClient.createTrainingClientFromStateWithOptimizer": [state, options(fromState)],
  "ServiceClient.createSamplingClient": [
    options({ ...sampler, baseModel: optional("text", "path"), modelPath: optional("path") }, {
      baseModel: "bigram"
    })
  ],
  "ServiceClient.getSamplingClient": [
    parameter("samplingSessionId", "S:sample:0", "text"),
    options({ ...sampler, baseModel: optional("text", "path") })
  ],
  "ServiceClient.createSamplingClientFromHandle": [parameter("handle", "h")],
  "ServiceClient.close": [
    parameter("status", "success"),
    parameter("detail", "d", ...optional("text", "empty", "path"))
  ],
  "TrainingClient.forward": [pass],
  "TrainingClient.forwardBackward": [pass],
  "TrainingClient.forwardBackwardCustom": [
    options({ data: [], lossFn: ["fun"] }, { data: [datum("abab")], lossFn: () => ({ loss: 0, gradients: [] }) })
  ],
  "TrainingClient.optimStep": [parameter(["params", "type"], adam)],
  "TrainingClient.saveState": [
    options({ ...save, userMetadata: texts, overwrite: optional("flag") }, { name: "a" })
  ],
  "TrainingClient.loadState": [state, options({ weightsAccessToken: token })],
  "TrainingClient.loadStateWithOptimizer": [state, options({ weightsAccessToken: token })],
  "TrainingClient.saveWeightsForSampler": [options({ ...save, userMetadata: texts }, { name: "a" })],
  "TrainingClient.saveWeightsExternal": [options({ ...save, ageEncryptionRecipients: optional() }, { name: "a" })],
  "TrainingClient.saveWeightsAndGetSamplingClient": [options({ ...sampler, kind: optional() })],
  "TrainingClient.createSamplingClient": [
    parameter("modelPath", "tinker://r/sampler_weights/a", "path"),
    options(sampler)
  ],
  "SamplingClient.sample": [
    options({
      prompt: [],
      samplingParams: [],
      numSamples: optional("whole"),
      includePromptLogprobs: optional("flag"),
      topkPromptLogprobs: count,
      topkSampleLogprobs: count,
      targetPromptLogprobs: optional(),
      promptAltTokensK: count,
      promptLogprobsLastN: optional()
    }, question)
  ],
  "SamplingClient.computeLogprobs": [parameter("prompt", prompt), options({ lastN: optional("whole") })],
  "SamplingClient.sampleStream": [
    parameter("requests", Stream.make(question), "effect"),
    options({ concurrency: optional("whole"), unordered: optional("flag") })
  ],
  "RestClient.getTrainingRun": [parameter(["trainingRunId", "path"], "r", "text"), options(scope)],
  "RestClient.listTrainingRuns": [options({ ...scope, ...page, projectId: optional("text", "path") })],
  "RestClient.trainingRuns": [options({ ...scope, projectId: optional("text", "path") })],
  "RestClient.listCheckpoints": [parameter("trainingRunId", "r", "text")],
  "RestClient.listUserCheckpoints": [options(page)],
  "RestClient.userCheckpoints": [parameter("options", undefined, "nothing")],
  "RestClient.getWeightsInfo": [
    parameter("path", "tinker://r/weights/a", "text", "path"),
    options({ weightsAccessToken: token })
  ],
  "RestClient.deleteCheckpoint": [checkpoint],
  "RestClient.publishCheckpoint": [checkpoint],
  "RestClient.unpublishCheckpoint": [checkpoint],
  "RestClient.setCheckpointTtl": [checkpoint, parameter("ttl", "7 days", "null")],
  "RestClient.copyWeights": [
    state,
    options({ destinationProjectId: optional("text", "path"), ttl: optional(), weightsAccessToken: token })
  ],
  "RestClient.getExternalWeightsUrls": [{ ...checkpoint, good: "tinker://r/external_weights/a" }],
  "RestClient.getCheckpointArchiveUrl": [checkpoint],
  "RestClient.getSession": [session, options(scope)],
  "RestClient.listSessions": [options({ ...scope, ...page })],
  "RestClient.sessions": [options(scope)],
  "RestClient.searchSessions": [options({ ...search, cursor: optional("object", "named", "nested", "typed") })],
  "RestClient.foundSessions": [options(search)],
  "RestClient.assignSessionProject": [session, parameter("projectId", "p", "text", "path")],
  "RestClient.exportSessionTrace": [
    session,
    options({ deadline: optional("zero", "whole", "fraction", "infinity", "bigint", "numbers") })
  ],
  "RestClient.getSampler": [parameter("samplerId", "S:sample:0", "text")],
  "RestClient.getApiKey": [key],
  "RestClient.deleteApiKey": [key],
  "AdminClient.getAuditLog": [options({ eventType: optional(), day: optional() })],
  "AdminClient.getBillingUsage": [
    options({ startingOn: [], endingBefore: [] }, { startingOn: "2025-06-01", endingBefore: "2025-06-02" })
  ],
  "AdminClient.getCurrentCheckpointStorageUsage": [options({ projectId: optional("text", "path") })],
  "CheckpointDownload.externalWeights": [checkpoint, download],
  "RawClient.get": [place, options(extras)],
  "RawClient.post": [place, options(sending)],
  "RawClient.put": [place, options(sending)],
  "RawClient.patch": [place, options(sending)],
  "RawClient.delete": [place, options(sending)],
  "RawClient.stream": [place, streaming],
  "RawClient.text": [place, streaming],
  "RawClient.lines": [place, streaming],
  "RawClient.events": [place, streaming],
  "RawClient.toFile": [place, parameter("file", "a", "text", "path"), streaming],
  "CheckpointDownload.archive": [checkpoint, download],
  "CheckpointDownload.exportTrainingCheckpoint": [parameter("path", "tinker://r/weights/a"), download]
}

/** Members that are given nothing. */
const others: ReadonlyArray<string> = [
  "ServiceClient.getServerCapabilities",
  "ServiceClient.healthCheck",
  "ServiceClient.checkAccess",
  "ServiceClient.hasCredentials",
  "ServiceClient.session",
  "ServiceClient.telemetry",
  "TrainingClient.modelId",
  "TrainingClient.telemetry",
  "TrainingClient.info",
  "TrainingClient.tokenizer",
  "TrainingClient.unloadModel",
  "SamplingClient.samplingSessionId",
  "SamplingClient.baseModel",
  "SamplingClient.tokenizer",
  "SamplingClient.telemetry",
  "SamplingClient.handle",
  "RestClient.getServerCapabilities",
  "RestClient.whoami"
]

const layer = (onRequest: (url: string) => void) => {
  const config = { telemetry: false, heartbeatInterval: "1 day", projectId: "p" } as const
  return Layer.mergeAll(Tinker.layer(config), Tinker.layerDownload(config)).pipe(
    Layer.provide(Layer.effect(
      HttpClient.HttpClient,
      Effect.map(
        HttpClient.HttpClient,
        HttpClient.tapRequest(({ url }) => Effect.sync(() => onRequest(url)))
      )
    )),
    Layer.provide(TinkerServer.layerClientWithStore()),
    Layer.provide([BigramEngine.layer(), CheckpointStore.layerMemory]),
    Layer.provideMerge(NodeContext.layer)
  )
}

const prepare = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  return {
    ServiceClient: service,
    TrainingClient: yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 2 }),
    SamplingClient: yield* service.createSamplingClient({ baseModel: "bigram" }),
    RestClient: yield* RestClient.RestClient,
    AdminClient: yield* AdminClient.AdminClient,
    CheckpointDownload: yield* CheckpointDownload.CheckpointDownload,
    RawClient: yield* RawClient.RawClient
  }
})

type Clients = Effect.Effect.Success<typeof prepare>

/** The call as an effect, whatever is wrong with it. What is thrown at once fails the test. */
const called = (clients: Clients, name: string, given: ReadonlyArray<unknown>): Effect.Effect<unknown, unknown> => {
  const [client, member] = name.split(".") as [keyof Clients, string]
  const members = clients[client] as unknown as Readonly<Record<string, (...given: ReadonlyArray<unknown>) => unknown>>
  const made = members[member]!(...given)
  return (Effect.isEffect(made) ? made : Stream.runDrain(made as Stream.Stream<unknown>)) as Effect.Effect<unknown>
}

/** Calls that each have one thing wrong, where, and what the error says of it. */
const wrongCalls = (
  parameters: ReadonlyArray<Parameter>
): ReadonlyArray<readonly [what: string, given: ReadonlyArray<unknown>, fields: ReadonlyArray<string>, told: RegExp]> =>
  parameters.flatMap(({ fields = {}, fits, good, names }, i) => {
    const giving = (value: unknown) => parameters.map((parameter, j) => i === j ? value : parameter.good)
    const withField = (field: string, value: unknown) => giving({ ...good as object, [field]: value })
    const known = Object.keys(fields)
    const wrong = (fits: Fits) => (Object.keys(junk) as Array<Junk>).filter((kind) => !fits.includes(kind))
    return [
      ...wrong(fits).flatMap((kind) =>
        // An object is told by what is in it.
        known.length > 0 && /^(object|named|nested|typed|large)$/.test(kind)
          ? []
          : [[`${kind} as ${names[0]}`, giving(junk[kind]), names, /./] as const]
      ),
      ...known.flatMap((field) =>
        wrong(fields[field]!).map((kind) =>
          [`${kind} as ${field}`, withField(field, junk[kind]), [field], /./] as const
        )
      ),
      ...(known.length === 0
        ? []
        : [
          ["bogus", withField("bogus", 1), ["bogus"], /bogus: is no option; .*those are/] as const,
          [
            "a symbol",
            giving({ ...good as object, [Symbol("s")]: 1 }),
            ["Symbol(s)"],
            /Symbol\(s\): is a symbol/
          ] as const,
          [
            "bogus by inheritance",
            giving(Object.assign(Object.create({ bogus: 1 }), good)),
            ["bogus"],
            /bogus: is no option/
          ] as const
        ]),
      ...known.flatMap((field) => {
        const { [field]: own = 1, ...rest } = (good ?? {}) as Readonly<Record<string, unknown>>
        return [Object.create({ [field]: own }), Object.create({}, { [field]: { get: () => own } })]
          .map((prototype, i) =>
            [
              `${field} of ${i === 0 ? "a prototype" : "a class"}`,
              giving(Object.assign(i === 0 ? prototype : Object.create(prototype), rest)),
              [field],
              /: is inherited, from a class or a prototype; pass an object that has it itself\./
            ] as const
          )
      }),
      ...known.flatMap((field) => {
        const snake = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
        const cut = field.slice(0, -2) + field.slice(-1)
        return [
          ...(snake === field ? [] : [[snake, new RegExp(`it is called ${field} here`)] as const]),
          [cut, new RegExp(`was ${field} meant`)] as const
        ].map(([misspelt, told]) => [misspelt, withField(misspelt, 1), [misspelt], told] as const)
      })
    ]
  })

for (const [name, parameters] of Object.entries(methods)) {
  it.scoped(`${name} refuses by name whatever is of the wrong kind, and sends nothing`, () => {
    const sent: Array<string> = []
    return Effect.gen(function*() {
      const clients = yield* prepare
      sent.length = 0
      const calls = wrongCalls(parameters)
      assert.isAbove(calls.length, 10)
      for (const [what, given, fields, told] of calls) {
        const exit = yield* Effect.exit(called(clients, name, given))
        assert.isTrue(Exit.isFailure(exit), `${what} is accepted`)
        if (Exit.isSuccess(exit)) continue
        const error = Cause.squash(exit.cause)
        assert(Cause.isFailType(exit.cause), `${what}: ${Cause.pretty(exit.cause)}`)
        assert(error instanceof TinkerError.InvalidInputError, `${what}: ${Cause.pretty(exit.cause)}`)
        assert.strictEqual(
          error.operation,
          name === "ServiceClient.createSamplingClientFromHandle" ? error.operation : name
        )
        const places = [error.field, ...error.others.map(({ field }) => field)]
        assert.isTrue(
          places.some((place) =>
            fields.some((field) => place === field || place.startsWith(`${field}.`) || place.startsWith(`${field}[`))
          ),
          `${what} is told as ${places.join(", ")}`
        )
        assert.match(error.message, told, what)
        assert.notInclude(error.message, "[object", what)
        assert.deepStrictEqual(sent, [], what)
      }
    }).pipe(Effect.provide(layer((url) => sent.push(url))))
  })
}

const image = { type: "image", data: Uint8Array.of(1), format: "png", expectedTokens: 1 }
const fine = datum("abab")
const span = { kind: "prompt", sequenceId: "s", offset: 0, length: 3 }
const weights = fine.lossFnInputs.weights!
const sparse = { crowIndices: BigInt64Array.of(0n), colIndices: BigInt64Array.of(0n) }

type Nested = (value: unknown) => readonly [method: string, given: unknown]

const asking = (change: (value: unknown) => object): Nested => (value) => ["SamplingClient.sample", {
  ...question,
  ...change(value)
}]
const asText = (chunk: (value: unknown) => object) => asking((value) => ({ prompt: { chunks: [chunk(value)] } }))
const training = (change: (value: unknown) => object): Nested => (value) => ["TrainingClient.forwardBackward", {
  data: [fine, { ...fine, ...change(value) }],
  lossFn: "cross_entropy"
}]
const custom = (change: (value: unknown) => object): Nested => (value) => [
  "TrainingClient.forwardBackwardCustom",
  { data: [fine, { ...fine, ...change(value) }], lossFn: () => ({ loss: 0, gradients: [] }) }
]
const inputs = (change: (value: unknown) => object) => (value: unknown) => ({
  lossFnInputs: { ...fine.lossFnInputs, ...change(value) }
})
const targets = inputs((targetTokens) => ({ targetTokens }))
const sampled = (name: string) => asking((value) => ({ samplingParams: { ...question.samplingParams, [name]: value } }))
const stepping = (name: string): Nested => (value) => [
  "TrainingClient.optimStep",
  AdamParams.make({ ...adam, [name]: value } as never)
]
const resending = (name: string): Nested => (value) => ["ServiceClient.createSamplingClient", {
  baseModel: "bigram",
  retryConfig: { [name]: value }
}]
const saving =
  (ageEncryptionRecipients: (value: unknown) => unknown): Nested => (value) => ["TrainingClient.saveWeightsExternal", {
    name: "a",
    ageEncryptionRecipients: ageEncryptionRecipients(value)
  }]

/** What is inside of what a call is given, the place as errors call it, and the junk that fits. */
const nested: ReadonlyArray<readonly [place: string, Nested, Fits]> = [
  ["prompt", asking((chunks) => ({ prompt: { chunks } })), []],
  ["prompt.chunks[0]", asking((chunk) => ({ prompt: { chunks: [chunk] } })), []],
  ["prompt.chunks[0].type", asText((type) => ({ ...image, type })), []],
  ["prompt.chunks[0].tokens", asText((tokens) => ({ type: "encoded_text", tokens })), ["array"]],
  ["prompt.chunks[0].data", asText((data) => ({ ...image, data })), []],
  ["prompt.chunks[0].format", asText((format) => ({ ...image, format })), []],
  ["prompt.chunks[0].expectedTokens", asText((expectedTokens) => ({ ...image, expectedTokens })), count],
  ["prompt.chunks[0].location", asText((location) => ({ type: "image_asset_pointer", format: "png", location })), [
    "text",
    "path"
  ]],
  ["prompt.chunks[0].dmel", asText((dmel) => ({ type: "dmel", dmel })), []],
  ["samplingParams.maxTokens", sampled("maxTokens"), optional("whole")],
  ["samplingParams.seed", sampled("seed"), optional("zero", "whole", "negative")],
  ["samplingParams.stop", sampled("stop"), optional("empty", "text", "path", "list", "numbers", "texts")],
  ["samplingParams.temperature", sampled("temperature"), ["zero", "whole", "fraction"]],
  ["samplingParams.topK", sampled("topK"), ["zero", "whole", "negative"]],
  ["samplingParams.topP", sampled("topP"), ["fraction"]],
  ["targetPromptLogprobs", asking((data) => ({ targetPromptLogprobs: { dtype: "int64", shape: [2, 1], data } })), []],
  ["data[1]", (value) => ["TrainingClient.forward", { data: [fine, value], lossFn: "cross_entropy" }], []],
  ["data[1].modelInput", training((modelInput) => ({ modelInput })), []],
  ["data[1].modelInput", training((tokens) => ({ modelInput: ModelInput.fromTokens(tokens as never) })), [
    "array",
    "numbers"
  ]],
  ["data[1].lossFnInputs", training((lossFnInputs) => ({ lossFnInputs })), []],
  ["data[1].lossFnInputs.targetTokens", training(targets), []],
  ["data[1].lossFnInputs.targetTokens", custom(targets), []],
  ["data[1].lossFnInputs.weights", training(inputs((data) => ({ weights: { ...weights, data } }))), []],
  ["data[1].lossFnInputs.weights", training(inputs((dtype) => ({ weights: { ...weights, dtype } }))), []],
  ["data[1].lossFnInputs.weights", training(inputs((shape) => ({ weights: { ...weights, shape } }))), []],
  ["data[1].lossFnInputs.weights", custom(inputs((shape) => ({ weights: { ...weights, shape } }))), []],
  ["data[1].lossFnInputs.weights", training(inputs((sparse) => ({ weights: { ...weights, sparse } }))), ["nothing"]],
  [
    "data[1].lossFnInputs.weights",
    training(inputs((colIndices) => ({ weights: { ...weights, sparse: { ...sparse, colIndices } } }))),
    []
  ],
  ["data[1].modelInputSpans", training((modelInputSpans) => ({ modelInputSpans, lossFnInputSpans: [span] })), []],
  ["data[1].modelInputSpans[0]", training((one) => ({ modelInputSpans: [one], lossFnInputSpans: [span] })), []],
  [
    "data[1].lossFnInputSpans[0].kind",
    training((kind) => ({ modelInputSpans: [span], lossFnInputSpans: [{ ...span, kind }] })),
    []
  ],
  [
    "data[1].lossFnInputSpans[0].sequenceId",
    training((sequenceId) => ({ modelInputSpans: [span], lossFnInputSpans: [{ ...span, sequenceId }] })),
    ["text", "path"]
  ],
  [
    "data[1].lossFnInputSpans[0].offset",
    training((offset) => ({ modelInputSpans: [span], lossFnInputSpans: [{ ...span, offset }] })),
    ["zero", "whole"]
  ],
  ["payload.bytes", (bytes) => ["RawClient.post", { payload: { bytes } }], []],
  ["payload.form", (form) => ["RawClient.post", { payload: { form } }], ["object", "named", "nested", "typed"]],
  ["payload.multipart.files.a", (a) => ["RawClient.post", { payload: { multipart: { files: { a } } } }], ["list"]],
  ["payload.schema", (schema) => ["RawClient.post", { payload: { schema, value: 1 } }], []],
  ["lossFn", (name) => ["TrainingClient.forward", { data: [fine], lossFn: { _tag: "OtherLossFn", name } }], [
    "text",
    "path"
  ]],
  ["lossFnConfig.a", (a) => ["TrainingClient.forward", { data: [fine], lossFn: "ppo", lossFnConfig: { a } }], [
    "zero",
    "whole",
    "fraction",
    "negative",
    "infinity",
    "empty",
    "text",
    "path"
  ]],
  ["learningRate", stepping("learningRate"), optional("zero", "whole", "fraction")],
  ["beta1", stepping("beta1"), optional("zero", "fraction")],
  ["gradClipNorm", stepping("gradClipNorm"), optional("zero", "whole", "fraction")],
  ["retryConfig.maxConnections", resending("maxConnections"), optional("null", "whole")],
  ["retryConfig.progressTimeout", resending("progressTimeout"), optional("whole", "infinity")],
  ["retryConfig.maxAttempts", resending("maxAttempts"), optional("whole")],
  ["retryConfig.enableRetryLogic", resending("enableRetryLogic"), optional("flag")],
  ["ageEncryptionRecipients", saving((value) => value), ["nothing"]],
  ["ageEncryptionRecipients[0]", saving((value) => [value]), []]
]

for (const [place, nest, fits] of nested) {
  it.scoped(`${place} of ${nest(1)[0]} is refused by its place where it is of the wrong kind, and nothing is sent`, () => {
    const sent: Array<string> = []
    return Effect.gen(function*() {
      const clients = yield* prepare
      sent.length = 0
      for (const kind of Object.keys(junk) as Array<Junk>) {
        if (fits.includes(kind)) continue
        const [method, given] = nest(junk[kind])
        const exit = yield* Effect.exit(
          called(clients, method, method.startsWith("RawClient") ? ["api/v1/healthz", given] : [given])
        )
        const error = Exit.isFailure(exit) && Cause.isFailType(exit.cause) ? exit.cause.error : undefined
        assert(
          error instanceof TinkerError.InvalidInputError,
          `${kind}: ${Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "is accepted"}`
        )
        assert.isTrue(
          [error.field, ...error.others.map(({ field }) => field)].some((field) => field.startsWith(place)),
          `${kind}: ${error.message}`
        )
        assert.deepStrictEqual(sent, [], kind)
      }
    }).pipe(Effect.provide(layer((url) => sent.push(url))))
  })
}

const passOf = (datum: unknown) => ({ data: [datum], lossFn: "cross_entropy" })

/** The same object, of which a field is its prototype's. */
const inheriting = (value: object, field: string): object => {
  const { [field]: own, ...rest } = value as Readonly<Record<string, unknown>>
  return Object.assign(Object.create({ [field]: own }), rest)
}
const withSymbol = (value: object): object => ({ ...value, [Symbol("s")]: 1 })

/** Objects with a field that somebody would pass over, and the place as errors call it. */
const passedOver: ReadonlyArray<readonly [place: string, Nested]> = [
  ["prompt.chunks[0].data", asking(() => ({ prompt: { chunks: [inheriting(image, "data")] } }))],
  ["prompt.chunks[0].Symbol(s)", asking(() => ({ prompt: { chunks: [withSymbol(image)] } }))],
  [
    "inherited maxTokens",
    asking(() => ({ samplingParams: SamplingParams.make(inheriting({ maxTokens: 1 }, "maxTokens")) }))
  ],
  ["Symbol(s)", asking(() => ({ samplingParams: SamplingParams.make(withSymbol({})) }))],
  ["maxTokens", asking(() => ({ samplingParams: Object.create(SamplingParams.make({ maxTokens: 1 })) as object }))],
  ["data[0].modelInput", () => ["TrainingClient.forward", passOf(inheriting(fine, "modelInput"))]],
  ["data[1].lossFnInputs.weights", training(() => ({ lossFnInputs: inheriting(fine.lossFnInputs, "weights") }))],
  ["data[1].lossFnInputs.Symbol(s)", training(() => ({ lossFnInputs: withSymbol(fine.lossFnInputs) }))],
  ["inherited beta1", () => ["TrainingClient.optimStep", AdamParams.make(inheriting({ beta1: 0 }, "beta1"))]],
  ["userMetadata.a", () => [
    "TrainingClient.saveState",
    { name: "a", userMetadata: inheriting({ a: "b" }, "a") }
  ]],
  ["retryConfig.maxAttempts", () => [
    "ServiceClient.createSamplingClient",
    { baseModel: "bigram", retryConfig: inheriting({ maxAttempts: 1 }, "maxAttempts") }
  ]],
  ["checkpointId", () => [
    "RestClient.deleteCheckpoint",
    inheriting({ trainingRunId: "r", checkpointId: "weights/a" }, "checkpointId")
  ]]
]

for (const [place, nest] of passedOver) {
  it.scoped(`${place} of ${nest(1)[0]} is refused where only its prototype or a symbol has it`, () => {
    const sent: Array<string> = []
    return Effect.gen(function*() {
      const clients = yield* prepare
      sent.length = 0
      const [method, given] = nest(1)
      const error = yield* Effect.flip(called(clients, method, [given]))
      assert.instanceOf(error, TinkerError.InvalidInputError)
      assert.include([error.field, ...error.others.map(({ field }) => field)].join(" "), place)
      assert.match(error.message, /inherited|symbol/)
      assert.deepStrictEqual(sent, [])
    }).pipe(Effect.provide(layer((url) => sent.push(url))))
  })
}

const results: ReadonlyArray<readonly [field: string, result: (value: unknown) => unknown, Fits]> = [
  ["lossFn", (value) => value, ["object", "named", "nested", "typed", "large"]],
  ["loss", (loss) => ({ loss, gradients: [new Float32Array(3)] }), ["zero", "whole", "fraction", "negative"]],
  ["gradients", (gradients) => ({ loss: 0, gradients }), []],
  ["gradients[0]", (gradient) => ({ loss: 0, gradients: [gradient] }), []],
  ["metrics", (metrics) => ({ loss: 0, gradients: [new Float32Array(3)], metrics }), optional("object", "named")]
]

for (const [field, result, fits] of results) {
  it.scoped(`a custom loss whose result has ${field} of the wrong kind fails its call alone, by that name`, () =>
    Effect.gen(function*() {
      const { TrainingClient } = yield* prepare
      for (const kind of Object.keys(junk) as Array<Junk>) {
        // An effect is run, and what it gives is the result.
        if (fits.includes(kind) || (field === "lossFn" && kind === "effect")) continue
        const future = yield* TrainingClient.forwardBackwardCustom({
          data: [fine],
          lossFn: () => result(junk[kind]) as CustomLoss.Result
        })
        const exit = yield* Effect.exit(future.await)
        const error = Exit.isFailure(exit) && Cause.isFailType(exit.cause) ? exit.cause.error : undefined
        assert(
          error instanceof TinkerError.InvalidInputError,
          `${kind}: ${Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "is accepted"}`
        )
        assert.isTrue(
          [error.field, ...error.others.map(({ field }) => field)].some((place) => place.startsWith(field)),
          `${kind}: ${error.message}`
        )
      }
      yield* ApiFuture.flatten(TrainingClient.forward({ data: [fine], lossFn: "cross_entropy" }))
    }).pipe(Effect.provide(layer(() => {}))))
}

const numbers: Fits = ["numbers", "array"]

const sentFile = (a: unknown) => ({ payload: { multipart: { files: { a } } } })

/** Constructors throw nothing: what they make of junk is refused where it is used. */
const made: ReadonlyArray<readonly [what: string, make: (value: unknown) => Nested, Fits]> = [
  [
    "ModelInput.fromTokens",
    (tokens) => asking(() => ({ prompt: ModelInput.fromTokens(tokens as never) })),
    numbers
  ],
  [
    "ModelInput.append",
    (chunk) => asking(() => ({ prompt: ModelInput.append(prompt, chunk as never) })),
    []
  ],
  [
    "ModelInput.appendTokens",
    (tokens) => asking(() => ({ prompt: ModelInput.appendTokens(prompt, tokens as never) })),
    [...numbers, "list"]
  ],
  [
    "ModelInput.appendTokens to what has none",
    (tokens) => asking(() => ({ prompt: ModelInput.appendTokens(ModelInput.fromTokens(tokens as never), [1]) })),
    [...numbers, "list"]
  ],
  [
    "ModelInput.append to it",
    (self) => asking(() => ({ prompt: ModelInput.append(self as never, image as never) })),
    []
  ],
  [
    "ModelInput.appendTokens to it",
    (self) => asking(() => ({ prompt: ModelInput.appendTokens(self as never, [1]) })),
    []
  ],
  ["ModelInput.joinText", (self) => asking(() => ({ prompt: ModelInput.joinText(self as never) })), []],
  ["TensorData.toSparse", (self) => training(inputs(() => ({ weights: TensorData.toSparse(self as never) }))), []],
  ["FileInput.fromBytes", (bytes) => () => ["RawClient.post", sentFile(FileInput.fromBytes(bytes as never))], []],
  [
    "FileInput.fromBytes, options",
    (given) => () => ["RawClient.post", sentFile(FileInput.fromBytes(Uint8Array.of(1), given as never))],
    ["nothing", "object"]
  ],
  ["Datum.make", (value) => () => ["TrainingClient.forward", passOf(Datum.make(value as never))], []],
  [
    "Datum.fromTokens, tokens",
    (tokens) => () => ["TrainingClient.forward", passOf(Datum.fromTokens(tokens as never, [1, 1]))],
    ["numbers"]
  ],
  [
    "Datum.fromTokens, weights",
    (weights) => () => ["TrainingClient.forward", passOf(Datum.fromTokens([1, 2], weights as never))],
    ["numbers"]
  ],
  ["TensorData.float32", (data) => training(inputs(() => ({ weights: TensorData.float32(data as never) }))), []],
  ["TensorData.int64", (data) => training(inputs(() => ({ targetTokens: TensorData.int64(data as never) }))), []],
  ["TensorData.bfloat16", (data) => training(inputs(() => ({ weights: TensorData.bfloat16(data as never) }))), []],
  ["AdamParams.make", (value) => () => ["TrainingClient.optimStep", AdamParams.make(value as never)], [
    "nothing",
    "object"
  ]],
  ["OptimizerParams.dimuon", (value) => () => ["TrainingClient.optimStep", OptimizerParams.dimuon(value as never)], []],
  [
    "SamplingParams.make",
    (value) => asking(() => ({ samplingParams: SamplingParams.make(value as never) })),
    ["nothing", "object"]
  ],
  [
    "LossFn.other",
    (value) => () => ["TrainingClient.forward", { data: [fine], lossFn: LossFn.other(value as never) }],
    ["text", "path"]
  ]
]

for (const [what, make, fits] of made) {
  it.scoped(`${what} throws nothing, and what it makes of the wrong kind is refused where it is used`, () => {
    const sent: Array<string> = []
    return Effect.gen(function*() {
      const clients = yield* prepare
      sent.length = 0
      for (const kind of Object.keys(junk) as Array<Junk>) {
        if (fits.includes(kind)) continue
        const [method, given] = make(junk[kind])(undefined)
        const exit = yield* Effect.exit(
          called(clients, method, method.startsWith("RawClient") ? ["api/v1/healthz", given] : [given])
        )
        assert(
          Exit.isFailure(exit) && Cause.isFailType(exit.cause)
            && exit.cause.error instanceof TinkerError.InvalidInputError,
          `${kind}: ${Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "is accepted"}`
        )
        assert.deepStrictEqual(sent, [], kind)
      }
    }).pipe(Effect.provide(layer((url) => sent.push(url))))
  })
}

const events = Stream.empty as Stream.Stream<never>
const meter = Effect.runSync(UsageMeter.make())

/** What goes around an effect, a stream or a future, and the name of the argument as errors call it. */
const around: ReadonlyArray<
  readonly [what: string, argument: string, call: (value: never) => unknown, fits: Fits]
> = [
  ["ApiFuture.flatten", "submit", (value) => ApiFuture.flatten(value), ["effect"]],
  ["ApiFuture.flatten", "result", (value) => ApiFuture.flatten(Effect.succeed(value)), []],
  ["ApiFuture.awaitAll", "futures", (value) => ApiFuture.awaitAll(value), ["list", "map"]],
  ["ApiFuture.awaitAll", "futures[0]", (value) => ApiFuture.awaitAll([value]), []],
  ["CheckpointDownload.result", "states", (value) => CheckpointDownload.result(value), ["effect"]],
  ["RawResponse.withResponses", "effect", (value) => RawResponse.withResponses(value), ["effect"]],
  ["RequestExtras.withExtras", "effect", (value) => RequestExtras.withExtras(value, {}), ["effect"]],
  ["RequestExtras.withExtras", "extras", (value) => RequestExtras.withExtras(Effect.void, value), ["object"]],
  [
    "RequestExtras.withExtras",
    "extras.headers",
    (headers) => RequestExtras.withExtras(Effect.void, { headers }),
    ["nothing", "object", "named", "nested", "typed", "large"]
  ],
  ["RetryPolicy.withPolicies", "effect", (value) => RetryPolicy.withPolicies(value, {}), ["effect"]],
  ["RetryPolicy.withPolicies", "policies", (value) => RetryPolicy.withPolicies(Effect.void, value), ["object"]],
  [
    "RetryPolicy.withPolicies",
    "policies.request",
    (request) => RetryPolicy.withPolicies(Effect.void, { request }),
    ["nothing"]
  ],
  ["RetryPolicy.retry", "attempt", (value) => RetryPolicy.retry(value), ["effect"]],
  ["RetryPolicy.retry", "policy", (policy) => RetryPolicy.retry(Effect.void, { policy }), ["nothing"]],
  ["TelemetryReporter.withMetadata", "effect", (value) => TelemetryReporter.withMetadata(value, {}), ["effect"]],
  [
    "TelemetryReporter.withMetadata",
    "metadata",
    (value) => TelemetryReporter.withMetadata(Effect.void, value),
    ["object", "named", "nested", "typed", "large"]
  ],
  ["UsageMeter.withMeter", "effect", (value) => UsageMeter.withMeter(value, meter), ["effect"]],
  ["UsageMeter.withMeter", "meter", (value) => UsageMeter.withMeter(Effect.void, value), []],
  ["UsageMeter.make", "prices", (prices) => UsageMeter.make({ prices }), ["nothing"]],
  ["UsageMeter.make", "budget", (budget) => UsageMeter.make({ budget }), ["nothing"]],
  ["UsageMeter.make", "budget.tokens", (tokens) => UsageMeter.make({ budget: { tokens } }), [
    "zero",
    "whole",
    "fraction"
  ]],
  [
    "WaitingPolicy.withWaitingPolicy",
    "effect",
    (value) => WaitingPolicy.withWaitingPolicy(value, WaitingPolicy.forever),
    ["effect"]
  ],
  ["WaitingPolicy.withWaitingPolicy", "policy", (value) => WaitingPolicy.withWaitingPolicy(Effect.void, value), []],
  [
    "WaitingPolicy.withWaitingPolicy",
    "policy.deadline",
    (deadline) => WaitingPolicy.withWaitingPolicy(Effect.void, WaitingPolicy.failAfter(deadline)),
    ["zero", "whole", "fraction", "infinity", "bigint", "numbers"]
  ],
  [
    "WaitingPolicy.withWaitingPolicy",
    "policy.activeFor",
    (activeFor) => WaitingPolicy.withWaitingPolicy(Effect.void, WaitingPolicy.failWhenStuck("1 minute", { activeFor })),
    ["nothing", "zero", "whole", "fraction", "infinity", "bigint", "numbers"]
  ],
  [
    "WaitingPolicy.withWaitingPolicy",
    "policy.options",
    (given) => WaitingPolicy.withWaitingPolicy(Effect.void, WaitingPolicy.failWhenStuck("1 minute", given)),
    ["nothing", "object"]
  ],
  ["ServerSentEvents.decode", "bytes", (value) => ServerSentEvents.decode(value), ["effect"]],
  [
    "ServerSentEvents.decode",
    "maxEventLength",
    (maxEventLength) => ServerSentEvents.decode(events, { maxEventLength }),
    ["nothing", "zero", "whole", "fraction", "infinity"]
  ],
  ["ServerSentEvents.json", "schema", (value) => ServerSentEvents.json(value)(events), []],
  ["ServerSentEvents.json", "events", (value) => ServerSentEvents.json(Schema.Unknown)(value), ["effect"]],
  ["FileInput.fromBlob", "blob", (value) => FileInput.fromBlob(value), []],
  ["FileInput.fromStream", "stream", (value) => FileInput.fromStream(value), ["effect"]],
  ["FileInput.fromPath", "path", (value) => FileInput.fromPath(value), ["text", "path"]]
]

for (const [what, argument, call, fits] of around) {
  it.effect(`${what} fails with InvalidInputError where ${argument} is of the wrong kind`, () =>
    Effect.gen(function*() {
      for (const kind of Object.keys(junk) as Array<Junk>) {
        if (fits.includes(kind)) continue
        const made = call(junk[kind] as never)
        const exit = yield* Effect.exit(
          (Effect.isEffect(made) ? made : Stream.runDrain(made as Stream.Stream<unknown>)) as Effect.Effect<unknown>
        )
        const error = Exit.isFailure(exit) && Cause.isFailType(exit.cause) ? exit.cause.error as unknown : undefined
        assert(
          error instanceof TinkerError.InvalidInputError,
          `${kind}: ${Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "is accepted"}`
        )
        assert.strictEqual(error.operation, what)
        const places = [error.field, ...error.others.map(({ field }) => field)]
        assert.isTrue(places.some((field) => field.startsWith(argument)), `${kind}: ${error.message}`)
      }
    }).pipe(Effect.provide(NodeContext.layer)))
}

it("pages of the console have addresses by ids and addresses alone, and anything else is refused", () => {
  for (const kind of Object.keys(junk) as Array<Junk>) {
    const value = junk[kind] as never
    const pages = [
      ...(kind === "text" ? [] : [() => ConsoleUrl.session(value), () => ConsoleUrl.trainingRun(value)]),
      ...(kind === "nothing" ? [] : [() => ConsoleUrl.sessions({ base: value })]),
      ...(kind === "nothing" || kind === "object" ? [] : [() => ConsoleUrl.sessions(value)])
    ]
    for (const page of pages) {
      try {
        assert.fail(`${kind} gives ${page()}`)
      } catch (error) {
        assert.instanceOf(error, TinkerError.InvalidInputError, kind)
      }
    }
    assert.isTrue(Either.isLeft(ConsoleUrl.checkpoint(value)), kind)
    if (kind !== "nothing" && kind !== "object") {
      assert.isTrue(Either.isLeft(ConsoleUrl.playground("tinker://r/sampler_weights/a", value)), kind)
    }
  }
})

/** What gives `Left` for what it cannot take. */
const read: ReadonlyArray<readonly [what: string, read: (value: unknown) => Either.Either<unknown, unknown>, Fits]> = [
  ["TinkerPath.parse", (value) => TinkerPath.parse(value as never), []],
  ["CheckpointRef.resolve", (value) => CheckpointRef.resolve("test", value as never), []],
  ["TensorData.fromArray", (value) => TensorData.fromArray(value as never), ["array"]],
  ["TensorData.fromArray, options", (value) => TensorData.fromArray([1], value as never), []],
  ["TensorData.fromArray, dtype", (dtype) => TensorData.fromArray([1], { dtype: dtype as never }), []],
  ["TensorData.fromArray, shape", (shape) => TensorData.fromArray([1], { dtype: "int64", shape: shape as never }), [
    "nothing",
    "list"
  ]],
  ["Datum.fromInputs", (value) => Datum.fromInputs(value as never), []],
  [
    "Datum.fromInputs, modelInput",
    (modelInput) => Datum.fromInputs({ modelInput: modelInput as never, lossFnInputs: {} }),
    []
  ],
  [
    "Datum.fromInputs, lossFnInputs",
    (lossFnInputs) => Datum.fromInputs({ modelInput: prompt, lossFnInputs: lossFnInputs as never }),
    ["object"]
  ],
  [
    "Datum.fromInputs, an input",
    (weights) => Datum.fromInputs({ modelInput: prompt, lossFnInputs: { weights: weights as never } }),
    ["list", "numbers", "array"]
  ],
  [
    "TensorData.fromArray, an option by inheritance",
    () => TensorData.fromArray([1], inheriting({ dtype: "int64" }, "dtype")),
    []
  ],
  [
    "TensorData.fromArray, an option that there is not",
    () => TensorData.fromArray([1], { dtypes: "int64" } as never),
    []
  ],
  [
    "Datum.withProvenance, the datum",
    (self) => Datum.withProvenance(self as never, { modelInput: [], lossFnInputs: [] }),
    []
  ],
  ["ModelInput.length", (input) => ModelInput.length(input as never), []],
  ["ModelInput.length, a chunk", (chunk) => ModelInput.length({ chunks: [chunk as never] }), []],
  ["TensorData.toDense", (value) => TensorData.toDense(value as never), []],
  ["TensorData.toNested", (value) => TensorData.toNested(value as never), []],
  ["TensorData.toNested, options", (value) => TensorData.toNested(TensorData.float32([1]), value as never), [
    "nothing",
    "object"
  ]],
  ["Datum.withProvenance", (spans) => Datum.withProvenance(fine, spans as never), ["object"]]
]

for (const [what, parse, fits] of read) {
  it(`${what} gives Left for what is of the wrong kind, and throws nothing`, () => {
    for (const kind of Object.keys(junk) as Array<Junk>) {
      if (!fits.includes(kind)) assert.isTrue(Either.isLeft(parse(junk[kind])), kind)
    }
  })
}

it.scoped("calls that were refused leave no gap in the order of a model, and none of them waits", () => {
  const sent: Array<string> = []
  return Effect.gen(function*() {
    const clients = yield* prepare
    for (const [name, parameters] of Object.entries(methods)) {
      if (!name.startsWith("TrainingClient.")) continue
      for (const [, given] of wrongCalls(parameters)) yield* Effect.exit(called(clients, name, given))
    }
    const training: TrainingClient.Service = clients.TrainingClient
    const future = yield* training.forwardBackward({ data: [datum("abab")], lossFn: "cross_entropy" })
    assert.match(future.requestIds[0]!, /:1$/)
    yield* ApiFuture.flatten(training.optimStep(adam))
  }).pipe(Effect.provide(layer((url) => sent.push(url))))
})

it.scoped("the table above has every method of every client", () =>
  Effect.gen(function*() {
    const members = Object.entries(yield* prepare).flatMap(([name, client]) =>
      Object.keys(client).map((member) => `${name}.${member}`)
    )
    assert.deepStrictEqual([...Object.keys(methods), ...others].toSorted(), members.toSorted())
  }).pipe(Effect.provide(layer(() => {}))))
