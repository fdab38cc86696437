import { BigramEngine } from "@effect-tinker/engine"
import { FetchHttpClient, FileSystem, HttpClient, HttpClientRequest, HttpServer } from "@effect/platform"
import { NodeContext, NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, DefaultServices, Effect, Layer, Redacted, Stream, Tracer } from "effect"
import {
  AdamParams,
  ApiFuture,
  Datum,
  ModelInput,
  SamplingParams,
  ServiceClient,
  Tinker,
  type TrainingClient
} from "effect-tinker"
import { CheckpointStore, Dialect, Faults, type TinkerProtocol, TinkerServer } from "../src/index.js"
import * as Wire from "./wire.js"

const text = "abcdefgh"

const train = (training: TrainingClient.Service, steps: number) =>
  Effect.gen(function*() {
    const tokens = Wire.bytesOf(text)
    const data = [Datum.fromTokens(tokens, new Float32Array(tokens.length).fill(1))]
    let loss = NaN
    for (let step = 0; step < steps; step++) {
      const pass = yield* training.forwardBackward({ data, lossFn: "cross_entropy" })
      const update = yield* training.optimStep(AdamParams.make({ learningRate: 0.2 }))
      loss = (yield* pass.await).metrics["loss:sum"]!
      yield* update.await
    }
    return loss
  })

const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const training = yield* service.createLoraTrainingClient({ baseModel: BigramEngine.defaultBaseModel, rank: 4 })
  const loss = yield* train(training, 40)
  const sampling = yield* training.saveWeightsAndGetSamplingClient()
  const { sequences } = yield* sampling.sample({
    prompt: ModelInput.fromTokens(Wire.bytesOf("a")),
    samplingParams: SamplingParams.make({ maxTokens: 7, temperature: 0 })
  })
  const { path } = yield* ApiFuture.flatten(training.saveState({ name: "final" }))
  return { loss, path, answer: new TextDecoder().decode(Uint8Array.from(sequences[0]!.tokens)) }
})

describe("TinkerServer", () => {
  it.effect("serves a whole training program in process, without a key", () =>
    Effect.gen(function*() {
      const { answer, loss, path } = yield* program
      assert.isBelow(loss, 2)
      assert.strictEqual(answer, "bcdefgh")
      assert.match(path, /^tinker:\/\/.*:train:0\/weights\/final$/)
    }).pipe(
      Effect.provide(
        Tinker.layer().pipe(
          Layer.provide(TinkerServer.layerClient),
          Layer.provide(BigramEngine.layer())
        )
      )
    ))

  it.effect("goes on in a later process from what an earlier one has saved in a folder", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      const process = Tinker.layer().pipe(
        Layer.provide(TinkerServer.layerClientWithStore()),
        Layer.provide(CheckpointStore.layer(folder)),
        Layer.provide(BigramEngine.layer())
      )
      const first = yield* Effect.provide(program, process)
      const again = yield* Effect.gen(function*() {
        const service = yield* ServiceClient.ServiceClient
        const training = yield* service.createTrainingClientFromStateWithOptimizer(first.path)
        return yield* train(training, 1)
      }).pipe(Effect.provide(process))
      assert.isBelow(again, first.loss)
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)))

  const strictOrOld: Readonly<Record<string, TinkerProtocol.Options>> = {
    "wants tokens": { apiKeys: ["tml-right"], jwt: { lifetime: "10 minutes" } },
    "speaks JSON alone": { dialect: Dialect.withoutProtobuf() },
    "makes no model by loading": { dialect: Dialect.withoutCreateByLoading() },
    "does not name sequences": { dialect: Dialect.withoutSequenceIds },
    "announces completions": { clientConfig: { sample_use_retrieve_futures: true, sample_join_sampling_session: true } }
  }
  for (const [what, options] of Object.entries(strictOrOld)) {
    it.effect(`serves the same when it ${what}`, () =>
      Effect.gen(function*() {
        const { answer, path } = yield* program
        assert.strictEqual(answer, "bcdefgh")
        const service = yield* ServiceClient.ServiceClient
        const training = yield* service.createTrainingClientFromStateWithOptimizer(path)
        assert.isBelow(yield* train(training, 1), 2)
      }).pipe(
        Effect.provide(
          Tinker.layer({ apiKey: Redacted.make("tml-right") }).pipe(
            Layer.provide(TinkerServer.layerClientWithStore(options)),
            Layer.provide(CheckpointStore.layerMemory),
            Layer.provide(BigramEngine.layer())
          )
        )
      ))
  }

  it.effect("answers in process with a body that can be read in every way", () =>
    Effect.gen(function*() {
      const response = yield* HttpClient.get("http://anywhere/api/v1/healthz")
      const chunks = yield* Stream.runCollect(response.stream)
      const bytes = yield* response.arrayBuffer
      for (const read of [...chunks, new Uint8Array(bytes)]) {
        assert.strictEqual(new TextDecoder().decode(read), yield* response.text)
      }
      assert.deepStrictEqual(yield* response.json, { status: "ok" })
    }).pipe(Effect.provide(Wire.server())))

  it.scopedLive("serves the same on a port", () =>
    Effect.gen(function*() {
      const address = yield* HttpServer.addressWith((address) =>
        Effect.succeed(address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : "")
      )
      const { answer } = yield* program.pipe(
        Effect.provide(Tinker.layer({ baseUrl: address }).pipe(Layer.provide(FetchHttpClient.layer)))
      )
      assert.strictEqual(answer, "bcdefgh")
    }).pipe(Effect.provide(onPort)))

  it.scopedLive("makes a span of each request on a port for a tracer", () =>
    Effect.gen(function*() {
      const names: Array<string> = []
      const tracer = Tracer.make({
        span: (name, ...rest) => {
          names.push(name)
          return Context.get(DefaultServices.liveServices, Tracer.Tracer).span(name, ...rest)
        },
        context: (f) => f()
      })
      yield* HttpClient.get("/api/v1/healthz").pipe(
        Effect.withTracerEnabled(false),
        Effect.provide(onPort.pipe(Layer.provide(Layer.setTracer(tracer))))
      )
      assert.include(names, "http.server GET")
    }))

  it.scopedLive("gives errors on a port an explicit length, and breaks connections when that is planned", () =>
    Effect.gen(function*() {
      const client = yield* HttpClient.HttpClient
      const faults = yield* Faults.Faults
      const missing = yield* client.post("/api/v1/nothing")
      assert.strictEqual(missing.status, 404)
      assert.strictEqual(missing.headers["content-length"], String((yield* missing.arrayBuffer).byteLength))
      yield* faults.plan({ path: "healthz", fault: Faults.drop })
      const error = yield* Effect.flip(client.get("/api/v1/healthz"))
      assert.strictEqual(error._tag, "RequestError")
      assert.strictEqual((yield* client.get("/api/v1/healthz")).status, 200)
    }).pipe(Effect.provide(onPort)))

  it.scopedLive("cuts, breaks and repeats on a port what it would in process", () =>
    Effect.gen(function*() {
      const client = yield* HttpClient.HttpClient
      const faults = yield* Faults.Faults
      const createSession = HttpClientRequest.post("/api/v1/create_session").pipe(
        HttpClientRequest.bodyUnsafeJson({ tags: [], sdk_version: "0.38.0" }),
        client.execute
      )
      const plan = (fault: Faults.Fault) => faults.plan({ path: "create_session", fault })
      yield* plan(Faults.truncate())
      const half = yield* createSession
      const text = yield* half.text
      assert.strictEqual(half.headers["content-length"], String(text.length))
      assert.match(text, /^\{"session_id":"[^}]*$/)
      yield* plan(Faults.breakBody)
      const broken = yield* createSession
      assert.strictEqual(broken.status, 200)
      assert.strictEqual((yield* Effect.flip(broken.text))._tag, "ResponseError")
      yield* plan(Faults.duplicate)
      assert.property(yield* (yield* createSession).json, "session_id")
      assert.deepStrictEqual(yield* faults.unused, [])
    }).pipe(Effect.provide(onPort)))
})

/** A server on a free port, a client that knows the address, and faults to plan. */
const onPort = TinkerServer.layer().pipe(
  Layer.provide(CheckpointStore.layerMemory),
  Layer.provide(BigramEngine.layer()),
  Layer.provideMerge(Layer.merge(
    Faults.layer,
    NodeHttpServer.layerTest
  ))
)
