import type * as Endpoint from "@effect-tinker/protocol/Endpoint"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import { assert, it } from "@effect/vitest"
import { DateTime, Duration, Effect, Option, Predicate, Redacted } from "effect"
import * as Sdk from "effect-tinker"
import { readdirSync, readFileSync } from "node:fs"
import { stub } from "./stub.js"

interface Row {
  readonly method: string
  readonly path: string
  readonly name: string
  readonly schemas: ReadonlyArray<string>
}

const page = readFileSync(new URL("../api.md", import.meta.url), "utf8")

const namesIn = (cell: string | undefined) => Array.from(cell?.matchAll(/`([^`]+)`/g) ?? [], ([, name]) => name!)

const rows: ReadonlyArray<Row> = Array.from(
  page.matchAll(/^\| (GET|POST|PUT|DELETE) \| `([^`]+)` \| `([^`]+)` \| (.*) \|$/gm),
  ([, method, path, name, schemas]) => ({ method: method!, path: path!, name: name!, schemas: namesIn(schemas) })
)

/** `Module.export` of the package. */
const exported = (name: string): unknown => {
  const [module = "", member = ""] = name.split(".")
  const found: unknown = (Sdk as Readonly<Record<string, unknown>>)[module]
  return Predicate.isRecord(found) ? found[member] : undefined
}

/** Requests of resource modules, recorded and not sent. */
const recorder = () => {
  const sent: Array<string> = []
  const refuse = (request: Sdk.TinkerHttpClient.Request) =>
    Effect.suspend(() => {
      sent.push(`${request.method} ${request.path.replace("/api/v1", "").split("?")[0]}`)
      return Effect.fail(new Sdk.TinkerError.SessionClosedError({ operation: request.operation, reason: "closed" }))
    })
  const http: Sdk.TinkerHttpClient.Service = {
    execute: refuse,
    request: refuse,
    json: refuse,
    setBillingPause: () => Effect.void,
    endSession: () => Effect.void
  }
  return { sent, http }
}

const modules = readdirSync(new URL("../src", import.meta.url))
  .filter((file) => file.endsWith("Api.ts"))
  .map((file) => file.slice(0, -3))

type Make = Effect.Effect<
  Readonly<Record<string, unknown>>,
  never,
  Sdk.TinkerHttpClient.TinkerHttpClient | Sdk.TinkerConfig.TinkerConfig
>

const key = Redacted.make("tml-key")
const json = Sdk.TinkerHttpClient.jsonBody({})
const ids = { trainingRunId: "{run}", checkpointId: "{checkpoint}" }
const first = { limit: 1, offset: 0, accessScope: "owned" }
const save = { modelId: "m", path: "n", seqId: 1, overwrite: false, type: "save_weights" }
const time = DateTime.unsafeMake(0)
const pass = { protobuf: json, json: () => ({}), forwardOnly: false }

/** What each function is called with. */
const samples: Readonly<Record<string, ReadonlyArray<unknown>>> = {
  "ServiceApi.clientConfig": [{ sdkVersion: "0" }, Option.none()],
  "ServiceApi.dynamicConfig": [{ sdkVersion: "0" }],
  "ServiceApi.authToken": [Option.none()],
  "ServiceApi.createSession": [{ tags: [], sdkVersion: "0", type: "create_session" }],
  "ServiceApi.sessionHeartbeat": ["S"],
  "ServiceApi.finishSession": ["{session}", "success"],
  "ServiceApi.createSamplingSession": [
    { sessionId: "S", samplingSessionSeqId: 0, type: "create_sampling_session" }
  ],
  "ServiceApi.joinSamplingSession": ["S:sample:0"],
  "ServiceApi.getSampler": ["{sampler}"],
  "ModelsApi.createModel": [{
    sessionId: "S",
    modelSeqId: 0,
    baseModel: "m",
    loraConfig: Sdk.LoraConfig.make({ rank: 1 }),
    type: "create_model"
  }],
  "ModelsApi.getInfo": ["m"],
  "ModelsApi.unloadModel": ["m"],
  "TrainingApi.forwardBackward": [pass],
  "TrainingApi.optimStep": [{
    modelId: "m",
    seqId: 1,
    adamParams: Sdk.AdamParams.make({ learningRate: 1 }),
    type: "optim_step"
  }],
  "SamplingApi.asample": [json],
  "WeightsApi.saveWeights": [save],
  "WeightsApi.saveWeightsForSampler": [{ ...save, kind: "snapshot", type: "save_weights_for_sampler" }],
  "WeightsApi.saveWeightsExternal": [{ ...save, type: "save_weights_external" }],
  "WeightsApi.loadWeights": [{ path: "p", optimizer: true, type: "load_weights" }],
  "WeightsApi.weightsInfo": ["p"],
  "WeightsApi.checkpoints": ["{run}"],
  "FuturesApi.retrieve": [{ requestId: "r", requestType: "OptimStep", allowMetadataOnly: false }],
  "FuturesApi.retrieveMany": [{
    target: { type: "sampling_session", samplingSessionId: "S", clonedSamplerId: 0 },
    prevCursor: 0,
    retrievedRequestIds: []
  }, Duration.seconds(1)],
  "FuturesApi.cancel": ["r"],
  "TelemetryApi.send": [{ events: [], platform: "Linux", sdkVersion: "0", sessionId: "S", processUuid: "u" }],
  "TrainingRunsApi.listTrainingRuns": [first],
  "TrainingRunsApi.getTrainingRun": ["{run}", "owned"],
  "CheckpointsApi.listCheckpoints": ["{run}"],
  "CheckpointsApi.listUserCheckpoints": [first],
  "CheckpointsApi.deleteCheckpoint": [ids],
  "CheckpointsApi.publishCheckpoint": [ids],
  "CheckpointsApi.unpublishCheckpoint": [ids],
  "CheckpointsApi.setCheckpointTtl": [ids, 3600],
  "CheckpointsApi.copyWeights": [{ sourcePath: "p" }],
  "CheckpointsApi.externalWeightsUrls": [ids],
  "CheckpointsApi.archiveUrl": [ids],
  "SessionsApi.listSessions": [first],
  "SessionsApi.getSession": ["{session}", "owned"],
  "SessionsApi.searchSessions": [{ userMetadata: {}, owner: { type: "own" }, limit: 1 }],
  "SessionsApi.assignSessionProject": ["{session}", "p"],
  "SessionsApi.traceExport": ["{session}"],
  "BillingApi.billingUsage": [{ startingOn: time, endingBefore: time }],
  "BillingApi.currentCheckpointStorageUsage": [{}],
  "AuditApi.auditLog": [{ eventType: "all" }],
  "ApiKeyApi.getApiKey": [key],
  "ApiKeyApi.deleteApiKey": [key]
}

const service = (module: string, http: Sdk.TinkerHttpClient.Service) =>
  (exported(`${module}.make`) as Make).pipe(
    Effect.provideService(Sdk.TinkerHttpClient.TinkerHttpClient, http),
    Effect.provide(Sdk.TinkerConfig.layer({ baseUrl: "http://localhost" }))
  )

const call = (name: string, http: Sdk.TinkerHttpClient.Service, args = samples[name] ?? []) =>
  Effect.gen(function*() {
    const [module = "", member = ""] = name.split(".")
    const found = (yield* service(module, http))[member]
    const request = Effect.isEffect(found) ? found : (found as (...args: ReadonlyArray<unknown>) => unknown)(...args)
    yield* Effect.ignore(request as Effect.Effect<unknown, unknown>)
  })

it.effect("has a row for every function of every resource module", () =>
  Effect.gen(function*() {
    const { http } = recorder()
    const listed = new Set(rows.map((row) => row.name))
    assert.isAtLeast(modules.length, 12)
    for (const module of modules) {
      for (const member of Object.keys(yield* service(module, http))) {
        assert.isTrue(listed.has(`${module}.${member}`), `${module}.${member} is not in api.md`)
      }
    }
  }))

it.effect("tells of every function the request that it sends", () =>
  Effect.gen(function*() {
    for (const { method, name, path } of rows) {
      const { http, sent } = recorder()
      // Passes without gradients have another path in JSON, which is used once a server has refused protobuf.
      yield* path === "/forward" ? forwardInJson(http, sent) : call(name, http)
      assert.deepStrictEqual(sent.slice(-1), [`${method} ${path}`], name)
    }
  }))

const forwardInJson = (http: Sdk.TinkerHttpClient.Service, sent: Array<string>) => {
  const refusal = (status: number) =>
    new Sdk.TinkerError.ApiStatusError({ operation: "o", status, reason: "BadRequest", detail: "" })
  const refusing: Sdk.TinkerHttpClient.Service = {
    ...http,
    request: (request) => {
      sent.push(`${request.method} ${request.path.replace("/api/v1", "")}`)
      return Effect.fail(refusal(415))
    }
  }
  return call("TrainingApi.forwardBackward", refusing, [{ ...pass, forwardOnly: true }])
}

it("writes no path of the server down: they are in the table of endpoints", () => {
  const src = new URL("../src/", import.meta.url)
  const others = readdirSync(src, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && /["`]\/api\/v1\//.test(readFileSync(new URL(file, src), "utf8")))
  assert.deepStrictEqual(others, [])
})

it("has a row for every endpoint that the SDK calls", () => {
  const called = new Set(rows.map(({ method, path }) => `${method} ${path}`))
  const missing = Object.values<Endpoint.Endpoint>(Endpoints)
    .map(({ method, path }) => `${method} ${path.replace("/:kind/:name", "/{checkpoint}").replace(/:id/, idIn(path))}`)
    .filter((place) => !called.has(place))
  assert.deepStrictEqual(missing, ["POST /create_custom_loss"])
})

/** What an id in a path is of. */
const idIn = (path: string): string =>
  path.startsWith("/sessions") ? "{session}" : path.startsWith("/samplers") ? "{sampler}" : "{run}"

it("names schemas and encoders that there are", () => {
  const named = rows.flatMap((row) => row.schemas)
  assert.isAtLeast(named.length, 50)
  for (const name of named) assert.isDefined(exported(name), `${name} is not exported`)
})

it("names exports of the package that there are, types too", () => {
  const src = new URL("../src/", import.meta.url)
  const files = new Map(
    readdirSync(src).filter((file) => /^[A-Z]/.test(file)).map((file) =>
      [file.slice(0, -3), readFileSync(new URL(file, src), "utf8")] as const
    )
  )
  const begin = page.indexOf("# Services and Layers")
  const named = namesIn(page.slice(begin, page.indexOf("# Names in the Python SDK")))
    .map((name) => name.split("."))
    .filter(([module, name]) => files.has(module!) && name !== undefined)
  assert.isAtLeast(named.length, 100)
  for (const [module, name] of named) {
    const declared = new RegExp(`^export (const|class|interface|type) ${name}\\b|^export \\{[^}]*^  ${name},?$`, "m")
    assert.match(files.get(module!)!, declared, `${module}.${name}`)
  }
})

it.effect("names every method of the clients without a session, and no other", () => {
  const server = stub({})
  return Effect.gen(function*() {
    const methods = [
      ...Object.keys(yield* Sdk.RestClient.RestClient).map((name) => `RestClient.${name}`),
      ...Object.keys(yield* Sdk.AdminClient.AdminClient).map((name) => `AdminClient.${name}`)
    ]
    const table = page.slice(page.indexOf("| Python | here |"))
    const named = namesIn(table).filter((name) => name.includes("Client."))
    assert.deepStrictEqual(named.toSorted(), methods.toSorted())
  }).pipe(Effect.provide(server.layer))
})
