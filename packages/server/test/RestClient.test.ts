import { BigramEngine } from "@effect-tinker/engine"
import { TinkerNode } from "@effect-tinker/node"
import { FetchHttpClient, HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Chunk, DateTime, Effect, Layer, Stream } from "effect"
import { ApiFuture, RestClient, ServiceClient, Tinker } from "effect-tinker"
import type { TinkerError } from "effect-tinker"
import { CheckpointStore, TinkerServer } from "../src/index.js"

const reason = (error: TinkerError.TinkerError) => error._tag === "ApiStatusError" ? error.reason : error._tag

const ids = (stream: Stream.Stream<{ readonly checkpointId: string }, TinkerError.TinkerError>) =>
  Effect.map(Stream.runCollect(stream), (found) => Chunk.toReadonlyArray(found).map((one) => one.checkpointId))

/** Makes checkpoints, and then sees and changes them from outside the session. */
const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const rest = yield* RestClient.RestClient
  const training = yield* service.createLoraTrainingClient({
    baseModel: BigramEngine.defaultBaseModel,
    rank: 4,
    userMetadata: { team: "a" }
  })
  const { path } = yield* ApiFuture.flatten(training.saveState({ name: "s", userMetadata: { note: "n" } }))
  const sampler = yield* ApiFuture.flatten(training.saveWeightsForSampler({ name: "w" }))
  const { modelId } = training

  const run = yield* rest.getTrainingRun(path)
  assert.deepStrictEqual([run.trainingRunId, run.baseModel, run.loraRank], [modelId, BigramEngine.defaultBaseModel, 4])
  assert.deepStrictEqual([run.lastCheckpoint?.tinkerPath, run.lastSamplerCheckpoint?.tinkerPath], [path, sampler.path])
  assert.deepStrictEqual(run.userMetadata, { team: "a" })
  assert.deepStrictEqual((yield* rest.listTrainingRuns()).cursor, { offset: 0, limit: 20, totalCount: 1 })
  assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(rest.trainingRuns())), [run])

  const { checkpoints } = yield* rest.listCheckpoints(modelId)
  assert.deepStrictEqual(checkpoints.map((one) => one.checkpointId), ["weights/s", "sampler_weights/w"])
  assert.deepStrictEqual(checkpoints[0]!.userMetadata, { note: "n" })
  assert.sameMembers(yield* ids(rest.userCheckpoints()), ["weights/s", "sampler_weights/w"])
  assert.strictEqual((yield* rest.getWeightsInfo(path)).loraRank, 4)

  yield* rest.publishCheckpoint(path)
  assert.strictEqual(reason(yield* Effect.flip(rest.publishCheckpoint(path))), "Conflict")
  assert.isTrue((yield* rest.listCheckpoints(modelId)).checkpoints[0]!.public)
  yield* rest.unpublishCheckpoint({ trainingRunId: modelId, checkpointId: "weights/s" })
  assert.strictEqual(reason(yield* Effect.flip(rest.unpublishCheckpoint(path))), "Conflict")

  yield* rest.setCheckpointTtl(path, "1 hour")
  const expiring = (yield* rest.listCheckpoints(modelId)).checkpoints[0]!
  assert.isTrue(DateTime.greaterThan(expiring.expiresAt!, expiring.time))
  yield* rest.setCheckpointTtl(path, null)
  assert.isUndefined((yield* rest.listCheckpoints(modelId)).checkpoints[0]!.expiresAt)

  const copy = yield* rest.copyWeights(path, { destinationProjectId: "p" })
  assert.notStrictEqual(copy, path)
  assert.strictEqual((yield* rest.getWeightsInfo(copy)).baseModel, BigramEngine.defaultBaseModel)
  assert.strictEqual((yield* rest.listTrainingRuns({ projectId: "p" })).cursor.totalCount, 1)

  yield* rest.deleteCheckpoint(sampler.path)
  assert.strictEqual(reason(yield* Effect.flip(rest.deleteCheckpoint(sampler.path))), "NotFound")
  assert.sameMembers(yield* ids(rest.userCheckpoints()), ["weights/s", "weights/s"])

  const [sessionId] = Chunk.toReadonlyArray(yield* Stream.runCollect(rest.sessions()))
  const sampling = yield* service.createSamplingClient({ baseModel: BigramEngine.defaultBaseModel })
  const session = yield* rest.getSession(sessionId!)
  assert.deepStrictEqual(session.trainingRunIds, [modelId])
  assert.deepStrictEqual(session.samplerIds, [sampling.samplingSessionId])
  assert.strictEqual((yield* rest.getSampler(sampling.samplingSessionId)).baseModel, BigramEngine.defaultBaseModel)

  yield* rest.assignSessionProject(sessionId!, "q")
  assert.strictEqual(reason(yield* Effect.flip(rest.assignSessionProject(sessionId!, "r"))), "PermissionDenied")
  const found = Chunk.toReadonlyArray(yield* Stream.runCollect(rest.foundSessions({ displayName: "night" })))
  assert.deepStrictEqual(
    found.map(({ checkpointsCount, projectId, sessionId, status }) => ({
      checkpointsCount,
      projectId,
      sessionId,
      status
    })),
    [{ checkpointsCount: 1, projectId: "q", sessionId: sessionId!, status: { _tag: "Active" } }]
  )
})

const options = { displayName: "The night run" }

const store = Layer.merge(BigramEngine.layer(), CheckpointStore.layerMemory)

it.effect("makes checkpoints and changes them from outside their session, in process", () =>
  Effect.provide(
    program,
    Tinker.layer(options).pipe(
      Layer.provide(TinkerServer.layerClientWithStore()),
      Layer.provide(store)
    )
  ))

for (const [name, client] of [["fetch", FetchHttpClient.layer], ["undici", TinkerNode.layer]] as const) {
  it.scopedLive(`makes checkpoints and changes them from outside their session, on a port, by ${name}`, () =>
    Effect.gen(function*() {
      const baseUrl = yield* HttpServer.addressWith((address) =>
        Effect.succeed(address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : "")
      )
      yield* Effect.provide(program, Layer.provide(Tinker.layer({ ...options, baseUrl }), client))
    }).pipe(
      Effect.provide(Layer.provideMerge(Layer.provide(TinkerServer.layer(), store), NodeHttpServer.layerTest))
    ))
}
