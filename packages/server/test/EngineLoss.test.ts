import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, LogLevel } from "effect"
import { CheckpointStore, ServerJournal, type TinkerProtocol, TinkerServer } from "../src/index.js"
import * as CrashingEngine from "./crashingEngine.js"
import * as Wire from "./wire.js"

const engine = { vocabularySize: 128 }

const server = (options: {
  readonly folder?: string
  readonly journal?: ServerJournal.Options
  readonly protocol?: TinkerProtocol.Options
}) => {
  const { folder, journal, protocol } = options
  const store = folder === undefined
    ? CheckpointStore.layerMemory
    : Layer.merge(CheckpointStore.layer(folder), ServerJournal.layer(`${folder}/.server`, journal))
  return TinkerServer.layerClientWithStore(protocol).pipe(
    Layer.provide(store),
    Layer.provideMerge(CrashingEngine.layer(engine)),
    Layer.provide(NodeContext.layer),
    Layer.orDie
  )
}

const inFolder = (name: string, test: (folder: string) => Effect.Effect<void, unknown>) =>
  it.scoped(name, () =>
    Effect.gen(function*() {
      yield* test(yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped())
    }).pipe(Effect.provide(NodeContext.layer), Logger.withMinimumLogLevel(LogLevel.None)))

const dieAt = (method: Parameters<typeof CrashingEngine.Crashes.Service.dieAt>[0]) =>
  Effect.flatMap(CrashingEngine.Crashes, (crashes) => crashes.dieAt(method))

const done = (submit: ReturnType<typeof Wire.post>) => Effect.flatMap(submit, Wire.result)

/** The request fails because the engine has ended, and its client is told that it may try again. */
const fails = (submit: ReturnType<typeof Wire.post>) =>
  Effect.map(done(submit), ({ body, status }) => {
    assert.strictEqual(status, 200)
    assert.strictEqual(body.category, "server")
    assert.include(body.error as string, "started anew")
  })

/** Log-probabilities by the model as it is. */
const look = (modelId: string, seqId: number) =>
  Effect.map(done(Wire.forwardBackward(modelId, seqId, { forwardOnly: true })), ({ body }) => {
    assert.property(body, "loss_fn_outputs")
    return body.loss_fn_outputs
  })

/** Two passes and a step, one pass more and a step. */
const undisturbed = Effect.gen(function*() {
  const { modelId } = yield* Wire.readyModel
  yield* Wire.forwardBackward(modelId, 1)
  yield* Wire.forwardBackward(modelId, 2, { data: [Wire.datum("world")] })
  yield* Wire.optimStep(modelId, 3)
  yield* Wire.forwardBackward(modelId, 4)
  yield* Wire.optimStep(modelId, 5)
  return yield* look(modelId, 6)
}).pipe(Effect.provide(Wire.server({ engine })))

/** Samplers of the base model, of a checkpoint, and of weights that have no path, of a model that has taken a step. */
const threeSamplers = Effect.gen(function*() {
  const { modelId, sessionId } = yield* Wire.readyModel
  yield* Wire.forwardBackward(modelId, 1)
  yield* Wire.optimStep(modelId, 2)
  const saved = yield* done(Wire.post("save_weights_for_sampler", { model_id: modelId, seq_id: 3, path: "kept" }))
  const own = yield* done(
    Wire.post("save_weights_for_sampler", { model_id: modelId, seq_id: 4, sampling_session_seq_id: 2 })
  )
  const base = yield* Wire.createSampler(sessionId)
  const ofPath = yield* Wire.createSampler(sessionId, {
    sampling_session_seq_id: 1,
    base_model: undefined,
    model_path: saved.body.path
  })
  return [base, ofPath, own].map(({ body }) => body.sampling_session_id)
})

const drawn = (samplerId: unknown, seqId: number) =>
  Effect.map(done(Wire.sample(samplerId, { seq_id: seqId })), ({ body }) => {
    assert.property(body, "sequences")
    return body.sequences
  })

describe("an engine that has ended and was started anew", () => {
  inFolder(
    "has failed what it did then, and goes on from what was done before, bit for bit",
    (folder) =>
      Effect.gen(function*() {
        const modelId = yield* Effect.gen(function*() {
          const { modelId } = yield* Wire.readyModel
          yield* done(Wire.forwardBackward(modelId, 1))
          yield* dieAt("forwardBackward")
          yield* fails(Wire.forwardBackward(modelId, 2, { data: [Wire.datum("other")] }))
          yield* done(Wire.forwardBackward(modelId, 3, { data: [Wire.datum("world")] }))
          yield* dieAt("optimStep")
          yield* fails(Wire.optimStep(modelId, 4))
          yield* done(Wire.optimStep(modelId, 5))
          yield* done(Wire.forwardBackward(modelId, 6))
          // After the step, before its outcome is kept: as if it had not been taken.
          yield* dieAt("snapshot")
          yield* fails(Wire.optimStep(modelId, 7))
          yield* done(Wire.optimStep(modelId, 8))
          assert.deepStrictEqual(yield* look(modelId, 9), yield* undisturbed)
          return modelId
        }).pipe(Effect.provide(server({ folder })))

        yield* Effect.gen(function*() {
          for (const seqId of [2, 4, 7]) {
            const { body } = yield* Wire.post("retrieve_future", {
              request_id: `${modelId}:${seqId}`,
              allow_metadata_only: false
            })
            assert.strictEqual(body.category, "server")
          }
          assert.deepStrictEqual(yield* look(modelId, 10), yield* undisturbed)
        }).pipe(Effect.provide(server({ folder })))
      })
  )

  inFolder(
    "does what waited, on the models that wait for it and on others, and what is asked of samplers",
    (folder) =>
      Effect.gen(function*() {
        const { modelId, sessionId } = yield* Wire.readyModel
        const other = yield* done(Wire.createModel(sessionId, { model_seq_id: 1 }))
        yield* done(Wire.forwardBackward(String(other.body.model_id), 1))
        yield* done(Wire.forwardBackward(modelId, 1))
        const step = yield* Wire.optimStep(modelId, 3)
        yield* dieAt("forwardBackward")
        yield* fails(Wire.forwardBackward(modelId, 2))
        assert.property((yield* Wire.result(step)).body, "metrics")
        assert.property((yield* done(Wire.optimStep(String(other.body.model_id), 2))).body, "metrics")
      }).pipe(Effect.provide(server({ folder })))
  )

  inFolder(
    "has its samplers again: of the base model, of a checkpoint and of weights without a path",
    (folder) =>
      Effect.gen(function*() {
        const samplers = yield* threeSamplers
        const before = yield* Effect.forEach(samplers, (id) => drawn(id, 0))
        yield* dieAt("sample")
        yield* fails(Wire.sample(samplers[0], { seq_id: 1 }))
        assert.deepStrictEqual(yield* Effect.forEach(samplers, (id) => drawn(id, 2)), before)
      }).pipe(Effect.provide(server({ folder })))
  )

  const without: ReadonlyArray<readonly [string, (folder: string) => Parameters<typeof server>[0]]> = [
    ["without a journal", () => ({})],
    ["with one that keeps no live models", (folder) => ({ folder, journal: { liveModels: false } })]
  ]
  for (const [what, options] of without) {
    inFolder(`says that models are lost, and why, ${what}`, (folder) =>
      Effect.gen(function*() {
        const { modelId, sessionId } = yield* Wire.readyModel
        yield* done(Wire.forwardBackward(modelId, 1))
        const waiting = yield* Wire.optimStep(modelId, 4)
        const next = yield* Wire.createModel(sessionId, { model_seq_id: 1 })
        yield* dieAt("forwardBackward")
        const running = yield* Wire.forwardBackward(modelId, 2)
        yield* fails(Effect.succeed(running))
        yield* fails(Effect.succeed(waiting))
        const refused = yield* Wire.forwardBackward(modelId, 3)
        assert.strictEqual(refused.status, 410)
        assert.match(
          refused.body.detail as string,
          /^the model \S+ is lost: .*started anew.*Go on from its last checkpoint$/
        )
        // One model at a time: that of the lost one is free.
        assert.strictEqual((yield* Wire.result(next)).body.type, "create_model")
        assert.strictEqual((yield* Wire.forwardBackward(modelId, 3)).status, 410)
      }).pipe(Effect.provide(server({ ...options(folder), protocol: { maxModels: 1 } }))))
  }

  inFolder("has its samplers again without a journal, but for weights without a path", () =>
    Effect.gen(function*() {
      const [base, ofPath, own] = yield* threeSamplers
      const before = [yield* drawn(base, 0), yield* drawn(ofPath, 0)]
      yield* dieAt("sample")
      yield* fails(Wire.sample(own, { seq_id: 1 }))
      assert.deepStrictEqual([yield* drawn(base, 2), yield* drawn(ofPath, 2)], before)
      const refused = yield* Wire.sample(own, { seq_id: 2 })
      assert.strictEqual(refused.status, 410)
      assert.include(refused.body.detail as string, "is lost: ")
    }).pipe(Effect.provide(server({}))))

  inFolder(
    "gives no sampler other weights than its own when its checkpoint was overwritten or deleted",
    () =>
      Effect.gen(function*() {
        const { modelId, sessionId } = yield* Wire.readyModel
        const save = (seq_id: number, path: string) =>
          done(Wire.post("save_weights", { model_id: modelId, seq_id, path, overwrite: true }))
        const samplerOf = (number: number, saved: Wire.Reply) =>
          Effect.map(
            Wire.createSampler(sessionId, {
              sampling_session_seq_id: number,
              base_model: undefined,
              model_path: saved.body.path
            }),
            ({ body }) => String(body.sampling_session_id)
          )
        const overwritten = yield* samplerOf(0, yield* save(1, "overwritten"))
        const deleted = yield* samplerOf(1, yield* save(2, "deleted"))
        const kept = yield* samplerOf(2, yield* save(3, "kept"))
        const before = yield* Effect.forEach([overwritten, deleted, kept], (id) => drawn(id, 0))
        yield* Wire.forwardBackward(modelId, 4)
        yield* Wire.optimStep(modelId, 5, { learning_rate: 3 })
        yield* save(6, "overwritten")
        yield* Wire.remove(`training_runs/${modelId}/checkpoints/weights/deleted`)
        // The engine has them still.
        assert.deepStrictEqual(yield* Effect.forEach([overwritten, deleted, kept], (id) => drawn(id, 1)), before)
        yield* dieAt("sample")
        yield* fails(Wire.sample(kept, { seq_id: 2 }))
        for (const [id, why] of [[overwritten, "was overwritten"], [deleted, "was deleted or has expired"]] as const) {
          const refused = yield* Wire.sample(id, { seq_id: 3 })
          assert.strictEqual(refused.status, 410)
          assert.include(refused.body.detail as string, why)
          assert.include(refused.body.detail as string, "Make a new sampling session")
        }
        assert.deepStrictEqual(yield* drawn(kept, 3), before[2])
      }).pipe(Effect.provide(server({})))
  )

  inFolder("asks for the same again where it ended while a sampler was made", () =>
    Effect.gen(function*() {
      const sessionId = yield* Wire.createSession
      yield* dieAt("createSampler")
      const refused = yield* Wire.createSampler(sessionId)
      assert.strictEqual(refused.status, 503)
      assert.include(refused.body.detail as string, "started anew")
      assert.isDefined(refused.headers["retry-after"])
      assert.strictEqual((yield* Wire.createSampler(sessionId)).status, 200)
    }).pipe(Effect.provide(server({}))))
})
