import { BigramEngine } from "@effect-tinker/engine"
import { CheckpointStore, TinkerServer } from "@effect-tinker/server"
import { HttpClient, HttpClientResponse } from "@effect/platform"
import type { HttpClientRequest } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Cause, Effect, Either, Exit, Layer, Redacted, Schedule, Stream, TestClock } from "effect"
import {
  AdminClient,
  ApiFuture,
  CheckpointDownload,
  HttpRuntime,
  Identifiers,
  ModelInput,
  RawClient,
  RestClient,
  RetryPolicy,
  SamplingParams,
  ServiceClient,
  TelemetryReporter,
  Tinker,
  TinkerConfig,
  TinkerError
} from "effect-tinker"
import { adam, datum } from "./fixture.js"
import { calls as restCalls, type RestCall } from "./restCalls.js"
import { folder } from "./storage.js"
import { json, stub } from "./stub.js"

/** One request as it left, and how it was answered. */
interface Sent {
  readonly method: string
  /** Behind `/api/v1/`, without the query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly status: number
}

/** What a request of a call must carry. */
interface Wire {
  /** `undefined` for requests that no call is named for. */
  readonly call: string | undefined
  readonly credential: string
  /** Whether it is sent again after 503. */
  readonly repeats: boolean
}

const seconds = (path: string) =>
  path === "retrieve_future" ? "45" : path === "telemetry" ? "5" : path === "cancel_future" ? "30" : "60"

const bounds = { results: 40_000, others: 30_000 }

const most = (path: string) => path === "retrieve_future" ? bounds.results : bounds.others

/** Requests of the client itself, whichever call needs them first. */
const ofNobody: ReadonlySet<string> = new Set([
  "client/config",
  "client/dynamic_config",
  "auth/token",
  "create_session",
  "telemetry"
])

const key = "tml-table"

/** Requests to these paths are answered 503 at their first attempt, or by a body that is longer than they may have. */
const onTheWire = (isRefused: (path: string) => boolean, isLong: (path: string) => boolean = () => false) => {
  const sent: Array<Sent> = []
  const refused = new Set<string>()
  const pathOf = (request: HttpClientRequest.HttpClientRequest) =>
    request.url.slice(request.url.indexOf("/api/v1/") + 8).split("?")[0]!
  const watched = (client: HttpClient.HttpClient) =>
    HttpClient.transform(client, (answer, request) =>
      Effect.suspend(() => {
        const path = pathOf(request)
        const note = (status: number) =>
          sent.push({ method: request.method, path, headers: { ...request.headers }, status })
        if (isBegun && isLong(path)) {
          note(200)
          return Effect.succeed(
            HttpClientResponse.fromWeb(request, new Response(new Uint8Array(most(path) + 1).fill(32)))
          )
        }
        if (request.url.includes("/api/v1/") && isRefused(path) && !refused.has(path)) {
          refused.add(path)
          note(503)
          const { body, headers, status } = json({ detail: "later" }, 503)
          return Effect.succeed(
            HttpClientResponse.fromWeb(request, new Response(body.slice().buffer, { status, headers }))
          )
        }
        return Effect.tap(answer, ({ status }) => Effect.sync(() => note(status)))
      }))
  let isBegun = false
  const begin = () => {
    isBegun = true
    sent.length = 0
    refused.clear()
  }
  return { sent, watched, begin }
}

/** What holds for the requests of one call, of which each was refused once. */
const check = (sent: ReadonlyArray<Sent>, wire: Wire) => {
  const own = sent.filter(({ headers }) => headers["x-api-key"] !== undefined)
  const refused = own.filter(({ status }) => status === 503)
  assert.isAbove(refused.length, 0)
  for (const first of refused) {
    const { headers, method, path } = first
    const idempotencyKey = headers["x-idempotency-key"]
    assert.strictEqual(idempotencyKey === undefined, method === "GET", path)
    const again = own.slice(own.indexOf(first) + 1).filter((other) =>
      other.path === path && other.method === method && other.headers["x-idempotency-key"] === idempotencyKey
    )
    assert.strictEqual(headers["x-stainless-retry-count"], "0", path)
    if (wire.repeats) {
      assert.isAbove(again.length, 0, `${path} is not sent again under its key`)
      assert.strictEqual(again[0]!.headers["x-stainless-retry-count"], "1", path)
    } else assert.lengthOf(again, 0, path)
    for (const { headers } of [first, ...again]) {
      const call = ofNobody.has(path) ? undefined : wire.call
      assert.strictEqual(headers["x-sdk-method"], call, path)
      assert.strictEqual(headers["x-sdk-version"], call === undefined ? undefined : TinkerConfig.protocolVersion, path)
      assert.strictEqual(headers["x-api-key"], wire.credential, path)
      assert.strictEqual(headers["x-stainless-read-timeout"], seconds(path), path)
    }
  }
  const keys = own.filter(({ status }) => status !== 503).flatMap(({ headers }) => headers["x-idempotency-key"] ?? [])
  assert.strictEqual(new Set(keys).size, keys.length, "no two requests have one key")
}

const atOnce = RetryPolicy.withPolicies({
  firstContact: Schedule.recurs(2),
  request: Schedule.recurs(2),
  poll: Schedule.recurs(2),
  sample: Schedule.recurs(2),
  telemetry: Schedule.recurs(2),
  archive: Schedule.recurs(2)
})

/** The clock goes on until it is over, for what waits whatever the policies. */
const onItsClock = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.raceFirst(
    effect,
    Effect.forever(Effect.zipRight(Effect.promise(() => new Promise(setImmediate)), TestClock.adjust("10 millis")))
  )

const pass = { data: [datum("abab")], lossFn: "cross_entropy" } as const
const prompt = ModelInput.fromTokens([1, 2, 3])
const question = { prompt, samplingParams: SamplingParams.make({ maxTokens: 1 }) }

/** Clients of a server in this process, with a model that was saved in each way. */
const prepare = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 2 })
  yield* ApiFuture.flatten(training.forwardBackward(pass))
  const { path } = yield* ApiFuture.flatten(training.saveState({ name: "state" }))
  const saved = yield* ApiFuture.flatten(training.saveWeightsForSampler({ name: "sampler" }))
  const external = yield* ApiFuture.flatten(training.saveWeightsExternal({ name: "external" }))
  const sampling = yield* service.createSamplingClient({ baseModel: "bigram" })
  const handle = yield* sampling.handle
  const fresh = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 2 })
  return {
    service,
    training,
    /** With a model that has had no request yet. */
    fresh,
    sampling,
    handle,
    raw: yield* RawClient.RawClient,
    download: yield* CheckpointDownload.CheckpointDownload,
    state: path,
    sampler: saved.path,
    external: external.path,
    directory: (yield* folder).target
  }
})

type Clients = Effect.Effect.Success<typeof prepare>

interface Row {
  readonly run: (clients: Clients) => Effect.Effect<unknown, unknown, NodeContext.NodeContext>
  /** Default: that of the row. */
  readonly call?: string
  readonly repeats?: false
}

const healthz = "api/v1/healthz"
const sent = { payload: { json: {} } }
const samplers = (clients: Clients) =>
  Stream.make(question, question).pipe(
    clients.sampling.sampleStream,
    Stream.mapEffect(({ result }) => Either.match(result, { onLeft: Effect.fail, onRight: Effect.succeed }))
  )

/** Every method of these clients that asks the server for something. */
const table: Readonly<Record<string, Row>> = {
  "ServiceClient.getServerCapabilities": { run: ({ service }) => service.getServerCapabilities },
  "ServiceClient.healthCheck": { run: ({ service }) => service.healthCheck },
  "ServiceClient.checkAccess": { run: ({ service }) => service.checkAccess, repeats: false },
  "ServiceClient.createLoraTrainingClient": {
    run: ({ service }) => service.createLoraTrainingClient({ baseModel: "bigram", rank: 2 })
  },
  "ServiceClient.createTrainingClientFromState": {
    run: ({ service, state }) => service.createTrainingClientFromState(state)
  },
  "ServiceClient.createTrainingClientFromStateWithOptimizer": {
    run: ({ service, state }) => service.createTrainingClientFromStateWithOptimizer(state)
  },
  "ServiceClient.createSamplingClient": {
    run: ({ sampler, service }) => service.createSamplingClient({ modelPath: sampler })
  },
  "ServiceClient.getSamplingClient": {
    run: ({ sampling, service }) => service.getSamplingClient(sampling.samplingSessionId)
  },
  "ServiceClient.createSamplingClientFromHandle": {
    run: ({ handle, service }) =>
      Effect.flatMap(service.createSamplingClientFromHandle(handle), (sampling) => sampling.sample(question)),
    call: "SamplingClient.sample"
  },
  "ServiceClient.close": { run: ({ service }) => service.close("success") },
  "TrainingClient.forward": { run: ({ training }) => ApiFuture.flatten(training.forward(pass)) },
  "TrainingClient.forwardBackward": { run: ({ training }) => ApiFuture.flatten(training.forwardBackward(pass)) },
  "TrainingClient.forwardBackwardCustom": {
    run: ({ training }) =>
      ApiFuture.flatten(training.forwardBackwardCustom({
        data: pass.data,
        lossFn: (logprobs: ReadonlyArray<Float32Array>) => ({
          loss: 0,
          gradients: logprobs.map((one) => new Float32Array(one.length))
        })
      }))
  },
  "TrainingClient.optimStep": { run: ({ training }) => ApiFuture.flatten(training.optimStep(adam)) },
  "TrainingClient.saveState": { run: ({ training }) => ApiFuture.flatten(training.saveState({ name: "a" })) },
  "TrainingClient.loadState": { run: ({ fresh, state }) => ApiFuture.flatten(fresh.loadState(state)) },
  "TrainingClient.loadStateWithOptimizer": {
    run: ({ fresh, state }) => ApiFuture.flatten(fresh.loadStateWithOptimizer(state))
  },
  "TrainingClient.saveWeightsForSampler": {
    run: ({ training }) => ApiFuture.flatten(training.saveWeightsForSampler({ name: "a" }))
  },
  "TrainingClient.saveWeightsExternal": {
    run: ({ training }) => ApiFuture.flatten(training.saveWeightsExternal({ name: "a" }))
  },
  "TrainingClient.saveWeightsAndGetSamplingClient": {
    run: ({ training }) => training.saveWeightsAndGetSamplingClient()
  },
  "TrainingClient.createSamplingClient": {
    run: ({ sampler, training }) => training.createSamplingClient(sampler)
  },
  "TrainingClient.unloadModel": { run: ({ training }) => training.unloadModel },
  "SamplingClient.sample": { run: ({ sampling }) => sampling.sample(question) },
  "SamplingClient.computeLogprobs": { run: ({ sampling }) => sampling.computeLogprobs(prompt) },
  "SamplingClient.sampleStream": {
    run: (clients) => Stream.runDrain(samplers(clients)),
    call: "SamplingClient.sample"
  },
  "RawClient.get": { run: ({ raw }) => raw.get(healthz) },
  "RawClient.post": { run: ({ raw }) => raw.post("api/v1/weights_info", sent) },
  "RawClient.put": { run: ({ raw }) => raw.put("api/v1/sessions/S/project", sent) },
  "RawClient.patch": { run: ({ raw }) => raw.patch(healthz, sent) },
  "RawClient.delete": { run: ({ raw }) => raw.delete(healthz) },
  "RawClient.stream": { run: ({ raw }) => Stream.runDrain(raw.stream(healthz)) },
  "RawClient.text": { run: ({ raw }) => Stream.runDrain(raw.text(healthz)) },
  "RawClient.lines": { run: ({ raw }) => Stream.runDrain(raw.lines(healthz)) },
  "RawClient.events": { run: ({ raw }) => Stream.runDrain(raw.events(healthz)) },
  "RawClient.toFile": { run: ({ directory, raw }) => raw.toFile(healthz, directory) },
  "CheckpointDownload.externalWeights": {
    run: ({ directory, download, external }) => Stream.runDrain(download.externalWeights(external, { directory }))
  },
  "CheckpointDownload.archive": {
    run: ({ directory, download, state }) => Stream.runDrain(download.archive(state, { directory }))
  },
  "CheckpointDownload.exportTrainingCheckpoint": {
    run: ({ directory, download, state }) => Stream.runDrain(download.exportTrainingCheckpoint(state, { directory }))
  }
}

/** Members of these clients that send nothing. */
const silent: ReadonlyArray<string> = [
  "ServiceClient.hasCredentials",
  "ServiceClient.session",
  "ServiceClient.telemetry",
  "TrainingClient.modelId",
  "TrainingClient.info",
  "TrainingClient.telemetry",
  "SamplingClient.samplingSessionId",
  "SamplingClient.baseModel",
  "SamplingClient.handle",
  "SamplingClient.telemetry",
  "RestClient.whoami",
  "TrainingClient.tokenizer",
  "SamplingClient.tokenizer",
  "TelemetryReporter.isOn"
]

const options: TinkerConfig.Options = { apiKey: Redacted.make(key), maxResponseBytes: bounds }

const everything = (watched: (client: HttpClient.HttpClient) => HttpClient.HttpClient, telemetry = false) =>
  Layer.mergeAll(Tinker.layer({ ...options, telemetry }), Tinker.layerDownload(options)).pipe(
    Layer.provide(Layer.effect(HttpClient.HttpClient, Effect.map(HttpClient.HttpClient, watched))),
    Layer.provide(TinkerServer.layerClientWithStore({ archives: true })),
    Layer.provide([BigramEngine.layer(), CheckpointStore.layerMemory]),
    Layer.provideMerge(NodeContext.layer)
  )

for (const [name, row] of Object.entries(table)) {
  it.scoped(`${name} keeps its key, count, name, credential and timeout over a retry`, () => {
    // The end of a session that is none of the user's is told once.
    const { begin, sent, watched } = onTheWire((path) => !path.endsWith("/finish") || name === "ServiceClient.close")
    return Effect.gen(function*() {
      const clients = yield* prepare
      begin()
      yield* onItsClock(Effect.exit(row.run(clients)))
      check(sent, {
        call: row.call ?? name,
        credential: key,
        repeats: row.repeats ?? true
      })
    }).pipe(atOnce, Effect.provide(everything(watched)))
  })
}

/** What fails because its answer is longer than it may be, and is not asked for again. */
const checkBound = (path: string, error: unknown, asked: number) => {
  assert(TinkerError.isTinkerError(error) && error._tag === "ApiResponseValidationError", `${path}: ${String(error)}`)
  assert.instanceOf(error.cause, HttpRuntime.RefusedAnswer, path)
  assert.include(error.message, `the ${most(path).toLocaleString("en")} bytes`, path)
  assert.strictEqual(asked, 1, path)
}

/** What is asked beside a call, and whose failure is none of its own; and bodies that are read as they arrive. */
const isUnbounded = (name: string, path: string) =>
  /^RawClient\.(stream|text|lines|events|toFile)$/.test(name)
  || (name === "CheckpointDownload.exportTrainingCheckpoint" && !/load_weights|save_weights|urls$/.test(path))

for (const [name, row] of Object.entries(table)) {
  it.scoped(`${name} reads no more of an answer than the settings say`, () =>
    Effect.gen(function*() {
      const attempt = (isLong: (path: string) => boolean) => {
        const { begin, sent, watched } = onTheWire(() => false, isLong)
        return Effect.gen(function*() {
          const clients = yield* prepare
          begin()
          const exit = yield* onItsClock(Effect.exit(row.run(clients)))
          return { exit, sent: sent.filter(({ headers }) => headers["x-api-key"] !== undefined) }
        }).pipe(Effect.scoped, atOnce, Effect.provide(everything(watched)))
      }
      const { sent } = yield* attempt(() => false)
      for (const path of new Set(sent.map(({ path }) => path))) {
        if (isUnbounded(name, path)) continue
        // Ids are new each time.
        const form = (path: string) => path.replace(/[0-9a-f-]{36}/g, "ID")
        const like = (other: string) => form(other) === form(path)
        const { exit, sent } = yield* attempt(like)
        const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
        checkBound(
          path,
          error,
          name === "SamplingClient.sampleStream" ? 1 : sent.filter(({ path }) => like(path)).length
        )
      }
    }))
}

const clientOf = (call: RestCall) => /Audit|Usage/.test(call.name) ? "AdminClient" : "RestClient"

for (const call of restCalls) {
  const name = `${clientOf(call)}.${call.name}`
  it.effect(`${name} keeps its key, count, name, credential and timeout over a retry`, () => {
    const statuses: Array<number> = []
    const server = stub({
      [call.path]: () => {
        const status = statuses.length === 0 ? 503 : 200
        statuses.push(status)
        return json(status === 503 ? { detail: "later" } : call.answer ?? {}, status)
      }
    }, { ...options, projectId: "p" })
    return Effect.gen(function*() {
      yield* call.run
      const sent = server.to(call.path).map((seen, i) => ({ ...seen, status: statuses[i]! }))
      const credential = call.path === "auth/apikey/me" ? "tml-other" : key
      check(sent, { call: name, credential, repeats: true })
    }).pipe(atOnce, Effect.provide(server.layer))
  })
}

/** Each makes an event, which goes out with the others. */
const reports: Readonly<Record<string, (reporter: TelemetryReporter.Service) => Effect.Effect<unknown>>> = {
  log: (reporter) => reporter.log("mine"),
  logException: (reporter) => reporter.logException(new Error("mine")),
  capture: (reporter) => Effect.exit(reporter.capture(Effect.fail(new Error("mine")))),
  reportFailure: (reporter) => reporter.reportFailure("mine", Cause.fail(new Error("mine"))),
  sessionStarted: (reporter) => reporter.sessionStarted(Identifiers.SessionId.make("S")),
  flush: (reporter) => Effect.zipRight(reporter.log("mine"), reporter.flush)
}

for (const [name, report] of Object.entries(reports)) {
  it.effect(`TelemetryReporter.${name} keeps its key, count, credential and timeout over a retry, for no call`, () => {
    const statuses: Array<number> = []
    const server = stub({
      telemetry: () => {
        statuses.push(statuses.length === 0 ? 503 : 200)
        return json({ status: "accepted" }, statuses.at(-1)!)
      }
    }, { ...options, telemetry: true })
    return Effect.gen(function*() {
      const reporter = (yield* ServiceClient.ServiceClient).telemetry!
      yield* report(reporter)
      yield* reporter.flush
      const sent = server.to("telemetry").map((seen, i) => ({ ...seen, status: statuses[i]! }))
      check(sent, { call: undefined, credential: key, repeats: true })
    }).pipe(Effect.provide(server.layer), atOnce)
  })
}

it.scoped("the tables above have every method of every client", () =>
  Effect.gen(function*() {
    const { download, raw, sampling, service, training } = yield* prepare
    const clients = {
      ServiceClient: service,
      TrainingClient: training,
      SamplingClient: sampling,
      RestClient: yield* RestClient.RestClient,
      AdminClient: yield* AdminClient.AdminClient,
      RawClient: raw,
      CheckpointDownload: download,
      TelemetryReporter: service.telemetry!
    }
    const members = Object.entries(clients).flatMap(([name, client]) =>
      Object.keys(client).map((member) => `${name}.${member}`)
    )
    const listed = [
      ...Object.keys(table),
      ...restCalls.map((call) => `${clientOf(call)}.${call.name}`),
      ...silent,
      ...Object.keys(reports).map((name) => `TelemetryReporter.${name}`)
    ]
    assert.deepStrictEqual(listed.toSorted(), members.toSorted())
  }).pipe(Effect.provide(everything((client) => client, true))))

it.effect("a sample that is refused for now stays the same request", () => {
  let refusals = 2
  const server = stub({
    asample: () => refusals-- > 0 ? json({ detail: "slow down" }, 429) : json({ request_id: "r" })
  }, options)
  return Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const sampling = yield* service.createSamplingClient({ baseModel: "b" })
    yield* onItsClock(sampling.sample(question))
    const sent = server.to("asample").map(({ headers }) => headers)
    assert.deepStrictEqual(sent.map((headers) => headers["x-stainless-retry-count"]), ["0", "1", "2"])
    assert.strictEqual(new Set(sent.map((headers) => headers["x-idempotency-key"])).size, 1)
    assert.deepStrictEqual(new Set(server.to("asample").map(({ body }) => body.seq_id)).size, 1)
  }).pipe(Effect.provide(server.layer))
})

for (const call of restCalls) {
  it.effect(`${clientOf(call)}.${call.name} reads no more of an answer than the settings say`, () => {
    const server = stub({
      [call.path]: () => ({ status: 200, headers: {}, body: new Uint8Array(most(call.path) + 1).fill(32) })
    }, { ...options, projectId: "p" })
    return Effect.gen(function*() {
      const error = yield* Effect.flip(call.run)
      checkBound(call.path, error, server.to(call.path).length)
    }).pipe(atOnce, Effect.provide(server.layer))
  })
}
