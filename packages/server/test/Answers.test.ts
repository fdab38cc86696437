import { Endpoints, ForwardBackwardOutput, SampleResponse, SamplingMessages } from "@effect-tinker/protocol"
import { HttpClient, HttpClientRequest } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Schema, TestClock, TestContext } from "effect"
import { readFileSync } from "node:fs"
import { Faults } from "../src/index.js"
import * as Routes from "../src/internal/http/routes.js"
import * as Wire from "./wire.js"

interface Answer {
  /** The name of the route, with a word on what was asked where it is asked more than once. */
  readonly name: string
  readonly status: number
  readonly body: unknown
}

/** Asks a server of everything that it answers in JSON, by the names of its routes. */
const recorder = () => {
  const answers: Array<Answer> = []
  const keep = (name: string, text: string, status: number) => {
    const body: unknown = text === "" ? null : JSON.parse(text)
    answers.push({ name, status, body })
    return body as Record<string, unknown>
  }
  const ask = (
    name: string,
    options: {
      readonly parameters?: Readonly<Record<string, string>>
      readonly query?: string
      readonly body?: unknown
      readonly headers?: Readonly<Record<string, string>>
    } = {}
  ) => {
    const { method, path }: Routes.Route = Routes.routes[name.split(" ")[0] as Routes.RouteName]
    const filled = path.replace(/:(\w+)/g, (_, parameter: string) => options.parameters?.[parameter] ?? "")
    return HttpClientRequest.make(method)(`http://tinker/api/v1${filled}${options.query ?? ""}`).pipe(
      options.body === undefined
        ? (request) => request
        : HttpClientRequest.bodyText(JSON.stringify(options.body), "application/json"),
      HttpClientRequest.setHeaders(options.headers ?? {}),
      HttpClient.execute,
      Effect.flatMap((response) => Effect.map(response.text, (text) => keep(name, text, response.status)))
    )
  }
  /** Submits, and asks for the result. */
  const submit = (name: string, body: unknown) =>
    Effect.gen(function*() {
      const submitted = yield* ask(name, { body })
      return yield* ask(`retrieveFuture ${name}`, { body: { request_id: submitted.request_id } })
    })
  return { answers, ask, submit }
}

/** Ids and addresses are told apart by the order in which they come, and numbers by their first digits. */
const steady = (answers: ReadonlyArray<Answer>): unknown => {
  const seen = new Map<string, number>()
  const numberOf = (text: string) => {
    if (!seen.has(text)) seen.set(text, seen.size)
    return seen.get(text)
  }
  const text = JSON.stringify(
    answers,
    (_, value: unknown) => typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value
  )
  return JSON.parse(
    text
      .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, (id) => `id-${numberOf(id)}`)
      .replace(/\/files\/[\w-]+/g, (token) => `/files/token-${numberOf(token)}`)
      .replace(/eyJ[\w-]+\.[\w-]+\.[\w-]+/g, "token")
  )
}

const tokens = { chunks: [{ type: "encoded_text", tokens: [104, 101, 108] }] }

const pass = (modelId: unknown, seqId: number, input: string) => ({
  model_id: modelId,
  seq_id: seqId,
  [input]: {
    data: [{
      model_input: tokens,
      loss_fn_inputs: {
        target_tokens: { data: [101, 108, 108], dtype: "int64", shape: [3] },
        weights: { data: [1, 0.5, 1], dtype: "float32" }
      }
    }],
    loss_fn: "cross_entropy"
  }
})

const model = (sessionId: unknown, modelSeqId: number, options: Record<string, unknown> = {}) => ({
  session_id: sessionId,
  model_seq_id: modelSeqId,
  base_model: "bigram",
  lora_config: { rank: 4, seed: 1 },
  ...options
})

const adam = (modelId: unknown, seqId: number, options: Record<string, unknown> = {}) => ({
  model_id: modelId,
  seq_id: seqId,
  adam_params: { learning_rate: 0.1, ...options }
})

const sample = (samplerId: unknown, seqId: number, options: Record<string, unknown> = {}) => ({
  sampling_session_id: samplerId,
  seq_id: seqId,
  prompt: tokens,
  sampling_params: { max_tokens: 3, seed: 1 },
  num_samples: 2,
  ...options
})

/** What a server without keys and prices answers. */
const open = Effect.gen(function*() {
  const { answers, ask, submit } = recorder()
  const faults = yield* Faults.Faults
  yield* ask("healthz")
  yield* ask("clientConfig", { body: { sdk_version: "0.38.0" } })
  yield* ask("dynamicConfig", { body: { sdk_version: "0.38.0" } })
  yield* ask("authToken", { body: {} })
  yield* ask("getApiKey")
  yield* ask("deleteApiKey")
  yield* ask("getServerCapabilities")
  const { session_id: sessionId } = yield* ask("createSession", { body: { tags: [], sdk_version: "0.38.0" } })
  // The one that was made later comes first in listings.
  yield* TestClock.adjust("1 second")
  const { session_id: named } = yield* ask("createSession named", {
    body: {
      tags: ["t"],
      sdk_version: "0.38.0",
      project_id: "p",
      display_name: "Name",
      user_metadata: { note: "n", count: 2 }
    }
  })
  const ofSession = { id: String(sessionId) }
  yield* ask("sessionHeartbeat", { body: { session_id: sessionId } })
  yield* ask("telemetry", {
    body: {
      events: [{ event: "LATER" }],
      platform: "Linux",
      sdk_version: "0.20.0",
      session_id: sessionId
    }
  })
  const { model_id: modelId } = yield* submit("createModel", model(sessionId, 0))
  yield* submit("createModel with metadata", model(named, 0, { user_metadata: { a: 1 } }))
  yield* ask("getInfo", { body: { model_id: modelId } })
  yield* submit("forwardBackward", pass(modelId, 1, "forward_backward_input"))
  yield* submit("forward", pass(modelId, 2, "forward_input"))
  yield* submit("optimStep", adam(modelId, 3))
  yield* submit("optimStep refused", adam(modelId, 4, { beta1: 2 }))
  yield* submit("saveWeights", {
    model_id: modelId,
    seq_id: 5,
    path: "s",
    ttl_seconds: 86_400,
    user_metadata: { note: "n" }
  })
  yield* submit("saveWeights taken", { model_id: modelId, seq_id: 6, path: "s" })
  yield* submit("saveWeightsForSampler", { model_id: modelId, seq_id: 7, path: "s" })
  const { sampling_session_id: unnamed } = yield* submit("saveWeightsForSampler unnamed", {
    model_id: modelId,
    seq_id: 8,
    sampling_session_seq_id: 7
  })
  const external = yield* submit("saveWeightsExternal", { model_id: modelId, seq_id: 9, path: "s" })
  const path = `tinker://${String(modelId)}/weights/s`
  yield* submit("createModel to load into", model(sessionId, 1))
  const loading = `${String(sessionId)}:train:1`
  yield* submit("loadWeights", { model_id: loading, seq_id: 1, path, optimizer: true })
  yield* submit("loadWeights of a new model", { session_id: sessionId, model_seq_id: 2, path, optimizer: false })
  yield* ask("loadWeights without a path", { body: { model_id: loading, seq_id: 2, optimizer: false } })
  yield* ask("weightsInfo", { body: { tinker_path: path } })
  yield* ask("weightsInfo missing", { body: { tinker_path: `tinker://${String(modelId)}/weights/none` } })
  yield* ask("copyWeights", { body: { source_path: path, destination_project_id: "q" } })
  yield* ask("listTrainingRuns", { query: "?limit=3" })
  yield* ask("listTrainingRuns wrong", { query: "?limit=0" })
  const run = { id: String(modelId) }
  yield* ask("getTrainingRun", { parameters: run })
  yield* ask("getTrainingRun empty", { parameters: { id: `${String(named)}:train:0` } })
  yield* ask("getTrainingRun missing", { parameters: { id: "none" } })
  yield* ask("listCheckpoints", { parameters: run })
  yield* ask("listUserCheckpoints", { query: "?limit=2&offset=1" })
  const checkpoint = { ...run, kind: "weights", name: "s" }
  yield* ask("publishCheckpoint", { parameters: checkpoint })
  yield* ask("publishCheckpoint again", { parameters: checkpoint })
  yield* ask("unpublishCheckpoint", { parameters: checkpoint })
  yield* ask("setCheckpointTtl", { parameters: checkpoint, body: { ttl_seconds: null } })
  assert.isString(external.path)
  yield* ask("getExternalWeightsUrls", { parameters: { ...checkpoint, kind: "external_weights" } })
  yield* ask("getExternalWeightsUrls of weights", { parameters: checkpoint })
  yield* ask("getCheckpointArchiveUrl", { parameters: checkpoint })
  const ofBase = { session_id: sessionId, sampling_session_seq_id: 0, base_model: "bigram" }
  const { sampling_session_id: sampler } = yield* ask("createSamplingSession", { body: ofBase })
  const { sampling_session_id: ofPath } = yield* ask("createSamplingSession of a path", {
    body: { session_id: sessionId, sampling_session_seq_id: 1, model_path: path }
  })
  yield* ask("joinSamplingSession", { body: { sampling_session_id: sampler } })
  for (const id of [sampler, ofPath, unnamed]) yield* ask("getSampler", { parameters: { id: String(id) } })
  yield* submit("asample", sample(sampler, 0))
  yield* submit(
    "asample scores",
    sample(sampler, 1, {
      num_samples: 1,
      prompt_logprobs: true,
      topk_prompt_logprobs: 2,
      topk_sample_logprobs: 2,
      prompt_alt_tokens_k: 2
    })
  )
  yield* submit("asample refused", sample(sampler, 2, { sampling_params: { max_tokens: 3, temperature: -1 } }))
  yield* ask("retrieveFutures", {
    body: {
      target: { sampling_session_id: sampler, cloned_sampler_id: 0 },
      prev_cursor: 0,
      timeout: 0
    }
  })
  yield* ask("cancelFuture", { body: { request_id: `${String(sampler)}:0` } })
  yield* ask("retrieveFuture of none", { body: { request_id: "none:1" } })
  for (const [seqId, reason] of [[10, "full"], [11, undefined]] as const) {
    yield* faults.pauseQueue({ state: "paused_capacity", reason })
    const submitted = yield* ask("optimStep waiting", { body: adam(modelId, seqId) })
    const asked = yield* Effect.fork(ask("retrieveFuture waiting", { body: { request_id: submitted.request_id } }))
    yield* TestClock.adjust("41 seconds")
    yield* Fiber.join(asked)
    yield* faults.resumeQueue()
  }
  yield* ask("listSessions")
  yield* ask("getSession", { parameters: ofSession })
  yield* ask("getSession named", { parameters: { id: String(named) }, query: "?access_scope=accessible" })
  const first = yield* ask("searchSessions", { body: { limit: 1 } })
  yield* ask("searchSessions last page", { body: { limit: 1, cursor: first.next_cursor } })
  yield* ask("searchSessions wrong", {
    body: { limit: 201, owner: { type: "all" }, cursor: { last_session_id: 1 } }
  })
  yield* ask("searchSessions nowhere", { body: { cursor: { last_created_at: "now", last_session_id: "" } } })
  yield* ask("assignSessionProject", { parameters: ofSession, body: { project_id: "p" } })
  yield* ask("exportSessionTrace", { parameters: ofSession })
  yield* TestClock.adjust("90 minutes")
  const window = "?starting_on=1970-01-01T00%3A00%3A00Z&ending_before=1970-01-01T03%3A00%3A00Z"
  yield* ask("getBillingUsage", { query: window })
  yield* ask("getCurrentCheckpointStorageUsage")
  yield* ask("getAuditLog", { query: "?day=1970-01-01" })
  yield* ask("getAuditLog of no day", { query: "?day=today" })
  yield* ask("deleteCheckpoint", { parameters: checkpoint })
  yield* ask("removeWithoutKind", { parameters: { ...run, name: "s" } })
  yield* ask("createCustomLoss", { body: {} })
  yield* ask("forwardBackward wrong", { body: { model_id: modelId, seq_id: "1" } })
  yield* submit("unloadModel", { model_id: modelId })
  yield* ask("finishSession", {
    parameters: ofSession,
    body: { reason: { type: "errored" }, detail: "a word" }
  })
  yield* ask("finishSession without a detail", {
    parameters: { id: String(named) },
    body: { reason: { type: "success" } }
  })
  yield* ask("createSession left", { body: { tags: [], sdk_version: "0.38.0" } })
  yield* TestClock.adjust("25 hours")
  yield* ask("searchSessions ended", { body: {} })
  return answers
})

const key = { "x-api-key": "tml-ann" }

/** What a server with keys, tokens and prices answers beside. */
const guarded = Effect.gen(function*() {
  const { answers, ask } = recorder()
  yield* ask("getApiKey without a key")
  yield* ask("getApiKey", { headers: key })
  yield* ask("getApiKey without a name", { headers: { "x-api-key": "tml-bob" } })
  const { jwt } = yield* ask("authToken", { body: {}, headers: key })
  const headers = { "x-api-key": String(jwt) }
  yield* ask("listSessions with a key", { headers: key })
  const { session_id: sessionId } = yield* ask("createSession", {
    body: { tags: [], sdk_version: "0.38.0", project_id: "p" },
    headers
  })
  const { model_id: modelId } = yield* ask("createModel", { body: model(sessionId, 0), headers })
  yield* ask("forwardBackward", { body: pass(modelId, 1, "forward_backward_input"), headers })
  const { request_id } = yield* ask("forwardBackward", { body: pass(modelId, 2, "forward_backward_input"), headers })
  yield* ask("retrieveFuture large", { body: { request_id, allow_metadata_only: true }, headers })
  const sampler = { session_id: sessionId, sampling_session_seq_id: 0, base_model: "bigram" }
  const { sampling_session_id: id } = yield* ask("createSamplingSession", { body: sampler, headers })
  const sampled = yield* ask("asample", { body: sample(id, 0), headers })
  yield* ask("retrieveFuture", { body: { request_id: sampled.request_id }, headers })
  const saved = yield* ask("saveWeights", { body: { model_id: modelId, seq_id: 3, path: "s" }, headers })
  yield* ask("retrieveFuture", { body: { request_id: saved.request_id }, headers })
  yield* TestClock.adjust("90 minutes")
  const again = yield* ask("authToken again", { body: {}, headers: key })
  const fresh = { "x-api-key": String(again.jwt) }
  const window = "?starting_on=1970-01-01T00%3A00%3A00Z&ending_before=1970-01-01T03%3A00%3A00Z"
  yield* ask("getBillingUsage", { query: window, headers: fresh })
  yield* ask("getCurrentCheckpointStorageUsage", { query: "?project_id=p", headers: fresh })
  yield* ask("getTrainingRun", { parameters: { id: String(modelId) }, headers: fresh })
  yield* ask("getAuditLog", { query: "?day=1970-01-01&event_type=checkpoints", headers: fresh })
  yield* ask("clientConfig", { body: { sdk_version: "0.38.0" }, headers: key })
  yield* ask("deleteApiKey", { headers: { "x-api-key": "tml-bob" } })
  return answers
})

const guardedServer = Wire.server({
  protocol: {
    apiKeys: [{ key: "tml-ann", name: "ann" }, "tml-bob"],
    jwt: { lifetime: "1 hour" },
    prices: { tokens: { bigram: { training: 10, prefill: 1, sampled: 100 } }, gigabyteMonth: 0.5 },
    clientConfig: { fwdbwd_max_chunk_len: 2 },
    maxUnannouncedBytes: 8
  }
})

/** Each with a clock of its own, since answers have times in them. */
const all = Effect.all([
  open.pipe(Effect.provide(Wire.server()), Effect.provide(TestContext.TestContext)),
  guarded.pipe(Effect.provide(guardedServer), Effect.provide(TestContext.TestContext))
])

const recorded = new URL("./answers.json", import.meta.url)

it.effect("gives the answers on record, null and missing fields told apart", () =>
  Effect.gen(function*() {
    const answers = steady((yield* all).flat())
    assert.deepStrictEqual(answers, JSON.parse(readFileSync(recorded, "utf8")))
  }))

it.effect("writes each answer as the table of endpoints has it, and answers every endpoint with a schema", () =>
  Effect.gen(function*() {
    const answers = (yield* all).flat()
    const answered = new Set<string>()
    for (const { body, name, status } of answers) {
      const route = name.split(" ")[0]!
      const endpoint: Routes.Route = Routes.routes[route as Routes.RouteName]
      if (status !== 200 || !Schema.isSchema(endpoint.answer)) continue
      answered.add(route)
      const schema = Schema.asSchema(endpoint.answer as Schema.Schema<unknown, unknown>)
      const decoded = Schema.decodeUnknownSync(schema)(body)
      assert.deepStrictEqual(JSON.parse(JSON.stringify(Schema.encodeSync(schema)(decoded))), body, name)
    }
    const declared = Object.entries(Endpoints).flatMap(([name, endpoint]: [string, Routes.Route]) =>
      Schema.isSchema(endpoint.answer) ? [name] : []
    )
    assert.sameMembers(Array.from(answered), declared)
  }))

/** JSON without the fields that are null. */
const given = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (_, field: unknown) => field === null ? undefined : field))

it.effect("writes results of passes and samples in JSON as their schemas do, beside the ids of sequences", () =>
  Effect.gen(function*() {
    const bodyOf = (answers: ReadonlyArray<Answer>, name: string) =>
      answers.find((answer) => answer.name === `retrieveFuture ${name}`)?.body
    const [answers] = yield* all
    for (const name of ["forwardBackward", "forward"]) {
      const body = bodyOf(answers, name)
      const output = Schema.decodeUnknownSync(ForwardBackwardOutput.ForwardBackwardOutput)(body)
      assert.deepStrictEqual(Schema.encodeSync(ForwardBackwardOutput.ForwardBackwardOutput)(output), body)
    }
    for (const name of ["asample", "asample scores"]) {
      const body = bodyOf(answers, name) as { readonly sequences: ReadonlyArray<object> }
      const response = SamplingMessages.decodeSampleResponseJson(body, [])
      const sequences = body.sequences.map((sequence) => ({ ...sequence, sequence_id: "" }))
      assert.deepStrictEqual(
        { ...given(Schema.encodeSync(SampleResponse.SampleResponse)(response)) as object, type: "sample" },
        given({ ...body, sequences })
      )
    }
  }))
