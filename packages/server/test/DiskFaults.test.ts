import { BigramEngine, Engine, ModelState } from "@effect-tinker/engine"
import { FileSystem, HttpClient, type Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Layer, Logger, LogLevel, Scope } from "effect"
import { writeFileSync } from "node:fs"
import { CheckpointStore, ServerJournal, TinkerServer } from "../src/index.js"
import * as FaultyFiles from "./faultyFiles.js"
import * as Wire from "./wire.js"

const long = process.env.TINKER_TEST_LONG === "1"

interface Life {
  readonly client: HttpClient.HttpClient
  readonly faulty: FaultyFiles.Faulty
  /** Ends it without a last word. */
  readonly kill: Effect.Effect<void>
}

const live = (folder: string, trouble?: FaultyFiles.Trouble) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    let faulty: FaultyFiles.Faulty | undefined
    const context = yield* Layer.buildWithScope(
      TinkerServer.layerClientWithStore().pipe(
        Layer.provide(CheckpointStore.layer(folder)),
        Layer.provide(ServerJournal.layer(`${folder}/.server`, { slackBytes: 1500 })),
        Layer.provide(BigramEngine.layer({ vocabularySize: 8 })),
        Layer.provide(FaultyFiles.layer(trouble, (made) => {
          faulty = made
        }))
      ),
      scope
    )
    const life: Life = {
      client: Context.get(context, HttpClient.HttpClient),
      faulty: faulty!,
      kill: Effect.suspend(() => {
        faulty!.die()
        return Scope.close(scope, Exit.void)
      })
    }
    return life
  })

/** The server answers 503 for longer than this client wants to wait. */
class Unavailable extends Error {}
/** 410: what is done so far cannot be gone on with. */
class Gone extends Error {}

const datum = (tokens: ReadonlyArray<number>) => Wire.datum(String.fromCharCode(...tokens))
const patience = 4

/**
 * A client as simple as there can be, one request after another: 503 and 500 leave open what happened, so the same is sent
 * again under the same number; a failure of the server's is a promise that nothing was done, so it is sent again under the
 * next one; 410 ends the model, and it begins with a new one.
 */
const training = () => {
  let sessionId: string | undefined
  let models = 0
  let modelId = ""
  let seqId = 0
  let at = 0
  let sampler = ""
  let fresh = 0

  const again = (call: Effect.Effect<Wire.Reply, unknown, HttpClient.HttpClient>) =>
    Effect.gen(function*() {
      for (let i = 0; i < patience; i++) {
        const reply = yield* call
        if (reply.status === 410) throw new Gone(JSON.stringify(reply.body))
        if (reply.status < 500) return reply
        assert.notInclude(JSON.stringify(reply.body), "secret")
        if (reply.status === 503) assert.include(String(reply.body.detail), "ENOSPC")
      }
      throw new Unavailable()
    })
  const request = (submit: (seqId: number) => Effect.Effect<Wire.Reply, unknown, HttpClient.HttpClient>) =>
    Effect.gen(function*() {
      for (let i = 0; i < patience; i++) {
        const accepted = yield* again(submit(seqId))
        assert.strictEqual(accepted.status, 200, JSON.stringify(accepted.body))
        const result = yield* again(Wire.result(accepted))
        assert.strictEqual(result.status, 200, JSON.stringify(result.body))
        seqId += 1
        if (result.body.error === undefined) return result.body
        assert.notInclude(String(result.body.error), "secret")
        assert.strictEqual(result.body.category, "server", String(result.body.error))
      }
      throw new Unavailable()
    })

  const pass = (...tokens: ReadonlyArray<number>) =>
    request((seqId) => Wire.forwardBackward(modelId, seqId, { data: [datum(tokens)] }))
  const optimStep = request((seqId) => Wire.optimStep(modelId, seqId))
  const save = (path: string, overwrite: boolean) =>
    request((seqId) => Wire.post("save_weights", { model_id: modelId, seq_id: seqId, path, overwrite }))
  const logprobs = Effect.map(
    request((seqId) => Wire.forwardBackward(modelId, seqId, { data: [datum([1, 2, 3, 4])], forwardOnly: true })),
    ({ loss_fn_outputs }) => loss_fn_outputs
  )
  const remove = (name: string) => again(Wire.remove(`training_runs/${modelId}/checkpoints/weights/${name}`))

  const work: ReadonlyArray<Effect.Effect<unknown, unknown, HttpClient.HttpClient>> = [
    pass(1, 2, 3, 4),
    pass(4, 3, 2),
    optimStep,
    save("a", true),
    pass(5, 5, 6),
    optimStep,
    save("a", true),
    save("b", false),
    Effect.map(
      request((seqId) =>
        Wire.post("save_weights_for_sampler", {
          model_id: modelId,
          seq_id: seqId,
          sampling_session_seq_id: 100 * models + seqId
        })
      ),
      ({ sampling_session_id }) => {
        sampler = String(sampling_session_id)
      }
    ),
    logprobs,
    pass(1, 1, 1),
    remove("b"),
    optimStep,
    pass(7, 6, 5)
  ]

  const begin = Effect.gen(function*() {
    if (modelId !== "") return
    if (sessionId === undefined) {
      const session = yield* again(Wire.post("create_session", { tags: [], sdk_version: "0.38.0" }))
      sessionId = String(session.body.session_id)
    }
    const created = yield* again(Wire.createModel(sessionId, { model_seq_id: models }))
    const result = yield* again(Wire.result(created))
    if (result.body.error !== undefined) throw new Gone(String(result.body.error))
    modelId = String(result.body.model_id)
    seqId = 1
    at = 0
  })

  const sampled = Effect.gen(function*() {
    for (let i = 0; i < patience; i++) {
      const body = { sampling_params: { max_tokens: 6, seed: 3 }, seq_id: fresh++ }
      const accepted = yield* again(Wire.sample(sampler, { ...body, prompt: promptOf([1]) }))
      const result = yield* again(Wire.result(accepted))
      if (result.body.error === undefined) return result.body.sequences
    }
    throw new Unavailable()
  })

  /** Goes on from where it stands; `happened` is called after each piece of work. */
  const goOn = <E, R>(happened: Effect.Effect<void, E, R>) =>
    Effect.gen(function*() {
      for (let lives = 0; lives < patience; lives++) {
        const exit = yield* Effect.exit(Effect.gen(function*() {
          yield* begin
          yield* happened
          while (at < work.length) {
            yield* work[at]!
            at += 1
            yield* happened
          }
          return {
            logprobs: yield* logprobs,
            sampled: yield* sampled,
            checkpoints: (yield* again(Wire.get(`training_runs/${modelId}/checkpoints`))).body.checkpoints
          }
        }))
        if (Exit.isSuccess(exit)) {
          const checkpoints = exit.value.checkpoints as ReadonlyArray<Record<string, unknown>>
          return { ...exit.value, checkpoints: checkpoints.map(({ checkpoint_id }) => checkpoint_id) }
        }
        const error = Cause.squash(exit.cause)
        if (error instanceof Unavailable) return "unavailable" as const
        if (!(error instanceof Gone)) return yield* exit
        modelId = ""
        models += 1
      }
      return "gone" as const
    })
  return { goOn, models: () => models }
}

const promptOf = (tokens: ReadonlyArray<number>) => ({ chunks: [{ type: "encoded_text", tokens }] })

/** Runs the program with this trouble of the disk; and with `killed`, in another process from the first failure on. */
const run = (folder: string, trouble: FaultyFiles.Trouble | undefined, killed: boolean) =>
  Effect.gen(function*() {
    const client = training()
    let life: Life = yield* live(folder, trouble)
    const first = life
    const replace = Effect.gen(function*() {
      yield* life.kill
      life = yield* live(folder)
    })
    const http = HttpClient.make((request) => Effect.suspend(() => life.client.execute(request)))
    const provided = Effect.provideService(HttpClient.HttpClient, http)
    const kill = Effect.suspend(() => killed && life === first && life.faulty.failures() > 0 ? replace : Effect.void)
    let result = yield* provided(client.goOn(kill))
    // A disk with room again, and whatever the client has learnt till then.
    const gaveUp = typeof result === "string"
    if (gaveUp) {
      yield* replace
      result = yield* provided(client.goOn(Effect.void))
    }
    // All of it is there in a last life, too.
    yield* replace
    const later = yield* provided(client.goOn(Effect.void))
    yield* life.kill
    const { failures, writes } = first.faulty
    return { result, later, gaveUp, models: client.models(), writes: writes(), failures: failures() }
  })

const quietly = <A, E>(effect: Effect.Effect<A, E, FileSystem.FileSystem | Path.Path | Scope.Scope>) =>
  effect.pipe(Effect.scoped, Effect.provide(NodeContext.layer), Logger.withMinimumLogLevel(LogLevel.None))

const extents: ReadonlyArray<FaultyFiles.Extent> = ["nothing", "half", "all"]
const counts = [1, 2, 5, Infinity]

describe("a server whose disk refuses a write, whichever it is", () => {
  for (const killed of [false, true]) {
    it.effect(
      killed
        ? "tells no client anything that another process, which goes on from there, does not stand by"
        : "comes to the same numbers once there is room, with each client told what was done and what was not",
      () =>
        quietly(Effect.gen(function*() {
          const fs = yield* FileSystem.FileSystem
          const folder = yield* fs.makeTempDirectoryScoped()
          const clean = yield* run(`${folder}/clean`, undefined, killed)
          assert.isObject(clean.result)
          assert.deepStrictEqual(clean.later, clean.result)
          let first = 1
          let i = killed ? 1 : 0
          let troubled = 0
          // A server cannot be started for the first time where there is no room at all.
          for (; first < clean.writes; first += long || first < 8 ? 1 : 6) {
            const one = { extent: extents[i % 3]!, count: counts[i % 4]! }
            const all = [
              ...extents.map((extent) => ({ extent, count: 1 })),
              ...counts.slice(1).map((count) => ({ extent: one.extent, count }))
            ]
            for (const { count, extent } of long ? all : [one]) {
              const place = `${folder}/${first}-${extent}-${count}`
              const what = `write ${first}, ${extent} done, ${count} times`
              yield* Effect.flatMap(live(place), ({ kill }) => kill)
              const { failures, gaveUp, later, models, result } = yield* run(place, { first, extent, count }, killed)
              troubled += failures
              assert.deepStrictEqual(result, clean.result, what)
              assert.deepStrictEqual(later, clean.later, what)
              if (count < patience) assert.isFalse(gaveUp, what)
              // One that was not there yet is made anew; what was trained is not lost to a moment.
              if (count === 1) assert.isAtMost(models, first < 8 ? 1 : 0, what)
              yield* fs.remove(place, { recursive: true })
            }
            i += 1
          }
          assert.isAbove(troubled, 10)
        })),
      long ? 600_000 : 60_000
    )
  }
})

/** An engine that writes what is to be kept itself, and fails to once it is told to. */
const selfWriting = () => {
  const engine = BigramEngine.make({ vocabularySize: 8 })
  let isFull = false
  const layer = Layer.succeed(Engine.Engine, {
    ...engine,
    writeState: (modelId, what, file) =>
      Effect.gen(function*() {
        if (isFull) {
          writeFileSync(file, "half")
          return yield* new Engine.EngineError({ reason: "Unavailable", description: "the disk is full" })
        }
        const snapshot = yield* engine.snapshot(modelId)
        const gradient = yield* engine.accumulated(modelId)
        const bytes = what === "weights" ? ModelState.encodeSnapshot(snapshot) : ModelState.encodeGradient(gradient!)
        writeFileSync(file, bytes)
        return { bytes: bytes.byteLength, step: snapshot.step }
      })
  })
  return {
    layer,
    fill: Effect.sync(() => {
      isFull = true
    }),
    makeRoom: Effect.sync(() => {
      isFull = false
    })
  }
}

describe("a server whose disk is full", () => {
  it.effect("undoes a step and a pass that the engine could not write down, and has room for them later", () =>
    quietly(Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      const { fill, layer, makeRoom } = selfWriting()
      const server = TinkerServer.layerClientWithStore().pipe(
        Layer.provide(CheckpointStore.layer(folder)),
        Layer.provide(ServerJournal.layer(`${folder}/.server`)),
        Layer.provide(layer)
      )
      const done = (submit: ReturnType<typeof Wire.post>) =>
        Effect.map(Effect.flatMap(submit, Wire.result), ({ body }) => body)
      const look = (modelId: string, seqId: number) =>
        Effect.map(
          done(Wire.forwardBackward(modelId, seqId, { data: [datum([1, 2, 3])], forwardOnly: true })),
          ({ loss_fn_outputs }) => loss_fn_outputs
        )
      yield* Effect.gen(function*() {
        const { modelId } = yield* Wire.readyModel
        const pass = (seqId: number) => done(Wire.forwardBackward(modelId, seqId, { data: [datum([1, 2, 3])] }))
        yield* pass(1)
        const before = yield* look(modelId, 2)
        yield* fill
        const step = yield* done(Wire.optimStep(modelId, 3))
        assert.strictEqual(step.category, "server")
        assert.include(String(step.error), "has undone it, so that nothing has changed: the disk is full")
        const added = yield* pass(4)
        assert.include(String(added.error), "has undone it")
        assert.deepStrictEqual(yield* look(modelId, 5), before)
        // What was half written is gone.
        assert.lengthOf(yield* fs.readDirectory(`${folder}/.server/state`), 2)
        yield* makeRoom
        const { metrics } = yield* done(Wire.optimStep(modelId, 6))
        // The norm of one pass, not of two.
        const other = String((yield* Wire.createModel(yield* Wire.createSession)).body.model_id)
        yield* done(Wire.forwardBackward(other, 1, { data: [datum([1, 2, 3])] }))
        assert.deepStrictEqual((yield* done(Wire.optimStep(other, 2))).metrics, metrics)
        assert.deepStrictEqual(yield* look(modelId, 7), yield* look(other, 3))
      }).pipe(Effect.provide(server))
    })))

  it.effect("answers 503 with the reason until what it was told of a session or a model is kept", () =>
    quietly(Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      const { modelId, sessionId } = yield* Effect.gen(function*() {
        const { client, kill } = yield* live(folder)
        const ready = yield* Effect.provideService(
          Effect.tap(
            Wire.readyModel,
            ({ modelId }) => Wire.post("retrieve_future", { request_id: `${modelId}:0`, allow_metadata_only: false })
          ),
          HttpClient.HttpClient,
          client
        )
        yield* kill
        return ready
      })
      const troubles: ReadonlyArray<
        readonly [string, number, Effect.Effect<Wire.Reply, unknown, HttpClient.HttpClient>]
      > = [
        ["a new session", 200, Wire.post("create_session", { tags: [], sdk_version: "0.38.0" })],
        ["unloading a model", 404, Wire.post("unload_model", { model_id: modelId })],
        [
          "the end of a session",
          200,
          Wire.post(`sessions/${sessionId}/finish`, {
            reason: { type: "success" },
            detail: null
          })
        ]
      ]
      for (const [what, afterwards, call] of troubles) {
        const full = yield* live(folder, { first: 1, count: 6, extent: "nothing" })
        yield* Effect.gen(function*() {
          const refused = yield* call
          assert.strictEqual(refused.status, 503, what)
          assert.include(String(refused.body.detail), "ENOSPC: no space left on device", what)
          let last = refused
          for (let i = 0; i < 9 && last.status === 503; i++) last = yield* call
          assert.strictEqual(last.status, 200, what)
        }).pipe(Effect.provideService(HttpClient.HttpClient, full.client))
        yield* full.kill
        const next = yield* live(folder)
        const again = yield* Effect.provideService(call, HttpClient.HttpClient, next.client)
        assert.strictEqual(again.status, afterwards, `${what}, in a later process`)
        yield* next.kill
      }
    })))
})
