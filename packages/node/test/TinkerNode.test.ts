import { BigramEngine } from "@effect-tinker/engine"
import { CheckpointStore, TinkerServer } from "@effect-tinker/server"
import { FileSystem, HttpClient } from "@effect/platform"
import { NodeContext, NodeHttpServer } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import {
  AdamParams,
  ApiFuture,
  Datum,
  HttpRuntime,
  ModelInput,
  SamplingParams,
  ServiceClient,
  Tinker,
  TinkerConfig
} from "effect-tinker"
import { decompress } from "fzstd"
import { createServer } from "node:http"
import { StoredCredentials, TinkerNode, Zstd } from "../src/index.js"
import { serve } from "./fixture.js"

const tokens = new TextEncoder().encode("abcdefgh")

/** Trains until the answer to `a` is the rest of the alphabet's beginning. */
const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const training = yield* service.createLoraTrainingClient({ baseModel: BigramEngine.defaultBaseModel, rank: 4 })
  const data = [Datum.fromTokens(Int32Array.from(tokens), new Float32Array(tokens.length).fill(1))]
  for (let step = 0; step < 30; step++) {
    const pass = yield* training.forwardBackward({ data, lossFn: "cross_entropy" })
    yield* ApiFuture.flatten(training.optimStep(AdamParams.make({ learningRate: 0.3 })))
    yield* pass.await
  }
  const sampling = yield* training.saveWeightsAndGetSamplingClient()
  const { sequences } = yield* sampling.sample({
    prompt: ModelInput.fromTokens([97]),
    samplingParams: SamplingParams.make({ maxTokens: 7, temperature: 0 })
  })
  return new TextDecoder().decode(Uint8Array.from(sequences[0]!.tokens))
})

it.scopedLive("a whole training program runs over sockets, its requests compressed", () =>
  Effect.gen(function*() {
    const encodings = new Set<string | undefined>()
    const http = createServer()
    http.on("request", (request) => {
      if (request.url?.endsWith("/forward_backward")) encodings.add(request.headers["content-encoding"])
    })
    const server = TinkerServer.layer({ clientConfig: { proto_compress_fwdbwd: true } }).pipe(
      Layer.provide([CheckpointStore.layerMemory, BigramEngine.layer()]),
      Layer.provide(NodeHttpServer.layer(() => http, { port: 0, host: "127.0.0.1" }))
    )
    yield* Layer.build(server)
    const address = http.address()
    const baseUrl = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`
    assert.strictEqual(
      yield* Effect.provide(program, Layer.provide(Tinker.layer({ baseUrl }), TinkerNode.layer)),
      "bcdefgh"
    )
    assert.deepStrictEqual(encodings, new Set(["zstd"]))
  }))

it.effect("what is compressed is the same inside", () =>
  Effect.gen(function*() {
    const zstd = yield* HttpRuntime.Zstd
    const random = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 2654435761) >>> 13)
    for (const bytes of [new Uint8Array(0), Uint8Array.of(1), random, new Uint8Array(3_000_000)]) {
      assert.deepStrictEqual(decompress(yield* zstd.compress(bytes)), bytes)
    }
  }).pipe(Effect.provide(Zstd.layer)))

it.effect("many bodies compressed at once do not mix", () =>
  Effect.gen(function*() {
    const zstd = yield* HttpRuntime.Zstd
    const bodies = Array.from({ length: 20 }, (_, i) => new Uint8Array(10_000).fill(i))
    const compressed = yield* Effect.all(bodies.map((body) => zstd.compress(body)), { concurrency: "unbounded" })
    assert.deepStrictEqual(compressed.map((body) => decompress(body)[9_999]), bodies.map((body) => body[0]))
  }).pipe(Effect.provide(Zstd.layer)))

const asked = (options: TinkerConfig.Options, folder: string) =>
  Effect.gen(function*() {
    const server = yield* serve((request, response) => {
      response.end(request.url?.endsWith("capabilities") ? "{\"supported_models\":[]}" : "{}")
    })
    const layer = Tinker.layer({ ...options, baseUrl: server.url }).pipe(
      Layer.provide(TinkerNode.layer),
      Layer.provide(Layer.succeed(StoredCredentials.Folder, folder))
    )
    yield* Effect.flatMap(ServiceClient.ServiceClient, (service) => service.getServerCapabilities).pipe(
      Effect.provide(layer)
    )
    return server.requests.at(-1)?.request.headers["x-api-key"]
  })

it.scopedLive("the client finds the credential command and the stored key beside the HttpClient", () =>
  Effect.gen(function*() {
    const folder = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
    yield* StoredCredentials.write({
      version: 1,
      default: "a",
      keys: { a: { type: "manual", key: Redacted.make("tml-stored"), name: "laptop" } }
    }).pipe(Effect.provideService(StoredCredentials.Folder, folder))
    assert.strictEqual(yield* asked({}, folder), "tml-stored")
    assert.strictEqual(yield* asked({ credentialCommand: "echo tml-printed" }, folder), "tml-printed")
    assert.strictEqual(yield* asked({ apiKey: Redacted.make("tml-given") }, folder), "tml-given")
    assert.strictEqual(yield* asked({}, `${folder}/none`), undefined)
  }).pipe(Effect.provide(NodeContext.layer)))

it.scoped("is one HttpClient for whatever else a program asks", () =>
  Effect.gen(function*() {
    const server = yield* serve((_, response) => {
      response.end("{\"a\":1}")
    })
    const answer = yield* HttpClient.get(server.url)
    assert.deepStrictEqual(yield* answer.json, { a: 1 })
  }).pipe(Effect.provide(TinkerNode.layer)))
