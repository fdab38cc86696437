import { BigramEngine, type Engine } from "@effect-tinker/engine"
import { Error as PlatformError, FileSystem, type Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, LogLevel } from "effect"
import { type TinkerPath } from "effect-tinker"
import { CheckpointStore, ServerJournal, TinkerServer } from "../src/index.js"
import * as Wire from "./wire.js"

const long = process.env.TINKER_TEST_LONG === "1"

const name = "base_model.model.lm_head.lora_A.weight"
const tensor = (first: number) => ({ shape: [2, 3], data: Float32Array.from({ length: 6 }, (_, i) => first + i) })
const snapshot: Engine.Snapshot = {
  baseModel: "small",
  lora: { rank: 2, seed: 7, trainAttn: true, trainMlp: false, trainUnembed: true },
  step: 3,
  weights: new Map([[name, tensor(0)]]),
  expAvg: new Map([[name, tensor(40)]]),
  expAvgSq: new Map([[name, tensor(50)]])
}

const kinds = { training: "weights", sampler: "sampler_weights", external: "external_weights" } as const

const at = (checkpointType: TinkerPath.CheckpointType, name = "a") =>
  ({ trainingRunId: "run", checkpointType, name }) as TinkerPath.TinkerPath

type Files = FileSystem.FileSystem | Path.Path

/** A test with a folder, and stores in it, one after another; with what they have logged above information. */
const inFolder = (
  title: string,
  test: (
    folder: string,
    open: <A, E>(effect: Effect.Effect<A, E, CheckpointStore.CheckpointStore>) => Effect.Effect<A, E, Files>,
    logged: Array<string>
  ) => Effect.Effect<void, unknown, Files>
) =>
  it.effect(title, () =>
    Effect.gen(function*() {
      const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
      const logged: Array<string> = []
      const logger = Logger.replace(
        Logger.defaultLogger,
        Logger.make(({ logLevel, message }) => {
          if (LogLevel.greaterThan(logLevel, LogLevel.Info)) logged.push(`${logLevel.label} ${String(message)}`)
        })
      )
      const open = <A, E>(effect: Effect.Effect<A, E, CheckpointStore.CheckpointStore>) =>
        Effect.provide(effect, Layer.orDie(CheckpointStore.layer(folder)))
      yield* Effect.provide(test(folder, open, logged), logger)
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)), long ? 120_000 : 20_000)

const save = Effect.flatMap(
  CheckpointStore.CheckpointStore,
  (store) =>
    Effect.forEach(Object.keys(kinds), (kind) =>
      Effect.zipRight(
        store.save(at(kind as TinkerPath.CheckpointType), snapshot),
        // What is said of it anew leaves its checksums as they are.
        store.update(at(kind as TinkerPath.CheckpointType), { public: true })
      ))
)

const reasonOf = <A, R>(effect: Effect.Effect<A, { readonly reason: string; readonly description: string }, R>) =>
  Effect.match(effect, { onSuccess: () => undefined, onFailure: (error) => error })

describe("a checkpoint whose files are not as they were saved", () => {
  inFolder(
    "is neither loaded nor given to anybody, whichever byte it is, and the others are",
    (folder, open, logged) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        yield* open(save)
        let tried = 0
        for (const [kind, directory] of Object.entries(kinds)) {
          const place = `${folder}/run/${directory}/a`
          const path = at(kind as TinkerPath.CheckpointType)
          for (const file of (yield* fs.readDirectory(place)).filter((name) => name !== "meta.json")) {
            const whole = yield* fs.readFile(`${place}/${file}`)
            const step = long ? 1 : whole.length >> 2
            for (let i = 0; i < whole.length + step; i += step) {
              const bytes = Uint8Array.from(whole)
              // The last time round it is cut.
              if (i < whole.length) bytes[i]! ^= 1
              yield* fs.writeFile(`${place}/${file}`, i < whole.length ? bytes : bytes.subarray(0, whole.length - 1))
              yield* open(Effect.gen(function*() {
                const store = yield* CheckpointStore.CheckpointStore
                const given = yield* reasonOf(store.files(path))
                const loaded = file === "adapter_config.json" ? given : yield* reasonOf(store.load(path))
                for (const error of [given, loaded]) {
                  assert.strictEqual(error?.reason, "DamagedFile", `${kind} ${file} ${i}`)
                  assert.include(error!.description, "it is not as it was saved")
                  assert.notInclude(error!.description, folder)
                }
                for (const other of Object.keys(kinds).filter((other) => other !== kind)) {
                  yield* store.load(at(other as TinkerPath.CheckpointType))
                  yield* store.files(at(other as TinkerPath.CheckpointType))
                }
              }))
              tried++
            }
            yield* fs.remove(`${place}/${file}`)
            const gone = yield* open(
              Effect.flatMap(CheckpointStore.CheckpointStore, (store) => reasonOf(store.files(path)))
            )
            assert.include(gone!.description, "it is not there any more")
            yield* fs.writeFile(`${place}/${file}`, whole)
          }
          yield* open(Effect.flatMap(CheckpointStore.CheckpointStore, (store) => store.load(path)))
        }
        assert.isAtLeast(tried, 20)
        assert.isTrue(logged.some((line) => line.startsWith("ERROR") && line.includes(`${folder}/run/weights/a`)))
      })
  )

  inFolder(
    "is taken as it is where it was saved by others, without checksums",
    (folder, open) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        yield* open(save)
        const place = `${folder}/run/weights/a`
        const { sha256, ...meta } = JSON.parse(yield* fs.readFileString(`${place}/meta.json`)) as Record<
          string,
          unknown
        >
        assert.hasAllKeys(sha256, ["state.safetensors"])
        yield* fs.writeFileString(`${place}/meta.json`, JSON.stringify(meta))
        const bytes = yield* fs.readFile(`${place}/state.safetensors`)
        bytes[bytes.length - 1]! ^= 1
        yield* fs.writeFile(`${place}/state.safetensors`, bytes)
        yield* open(Effect.flatMap(CheckpointStore.CheckpointStore, (store) =>
          Effect.zipRight(store.load(at("training")), store.files(at("training")))))
      })
  )

  inFolder("is answered 410 by a server, and fails what was to go on from it", (folder) =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const server = TinkerServer.layerClientWithStore().pipe(
        Layer.provide(Layer.orDie(CheckpointStore.layer(folder))),
        Layer.provide(BigramEngine.layer({ vocabularySize: 8 }))
      )
      yield* Effect.gen(function*() {
        const { modelId, sessionId } = yield* Wire.readyModel
        const saved = yield* Effect.flatMap(
          Wire.post("save_weights", { model_id: modelId, seq_id: 1, path: "a" }),
          Wire.result
        )
        const [run] = yield* fs.readDirectory(folder)
        const place = `${folder}/${run}/weights/a/state.safetensors`
        const bytes = yield* fs.readFile(place)
        bytes[bytes.length - 1]! ^= 1
        yield* fs.writeFile(place, bytes)
        const refused = yield* Wire.createSampler(sessionId, { base_model: undefined, model_path: saved.body.path })
        assert.strictEqual(refused.status, 410)
        assert.include(String(refused.body.detail), "it is not as it was saved")
        const made = yield* Effect.flatMap(
          Wire.post("load_weights", { session_id: sessionId, model_seq_id: 1, path: saved.body.path, optimizer: true }),
          Wire.result
        )
        assert.include(String(made.body.error), "it is not as it was saved")
      }).pipe(Effect.provide(server))
    }))
})

/** A folder that may not be read, also by those who may read everything. */
const unreadable = (folder: string) =>
  Layer.effect(
    FileSystem.FileSystem,
    Effect.map(FileSystem.FileSystem, (fs) => ({
      ...fs,
      readDirectory: (path: string, options?: FileSystem.ReadDirectoryOptions) =>
        path === folder
          ? Effect.fail(
            new PlatformError.SystemError({ reason: "PermissionDenied", module: "FileSystem", method: "readDirectory" })
          )
          : fs.readDirectory(path, options)
    }))
  )

describe("one odd entry in a folder of data", () => {
  inFolder(
    "keeps no store from opening with the rest, and is warned of by name",
    (folder, open, logged) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        yield* open(save)
        const nowhere = (place: string) => fs.symlink(`${folder}/nowhere`, place)
        yield* fs.makeDirectory(`${folder}/other/weights`, { recursive: true })
        yield* fs.makeDirectory(`${folder}/closed/weights/b`, { recursive: true })
        yield* fs.makeDirectory(`${folder}/third`)
        yield* nowhere(`${folder}/dangling`)
        yield* nowhere(`${folder}/other/weights/b`)
        yield* nowhere(`${folder}/other/weights/.old-c`)
        yield* nowhere(`${folder}/other/sampler_weights`)
        yield* nowhere(`${folder}/run/weights/a/notes`)
        yield* fs.writeFileString(`${folder}/third/weights`, "a file where a folder should be")
        yield* fs.writeFileString(`${folder}/fourth`, "likewise")
        const names = yield* open(
          Effect.flatMap(CheckpointStore.CheckpointStore, (store) =>
            Effect.zipRight(
              Effect.all([store.load(at("training")), store.files(at("training"))]),
              Effect.map(store.list, (all) => all.map(({ path }) => path.checkpointType).sort())
            ))
        ).pipe(Effect.provide(unreadable(`${folder}/closed/weights`)))
        assert.deepStrictEqual(names, ["external", "sampler", "training"])
        for (const place of ["dangling", "other/weights/b", "run/weights/a/notes", "third/weights", "closed/weights"]) {
          assert.isTrue(logged.some((line) => line.startsWith("WARN") && line.includes(`${folder}/${place}`)), place)
        }
      })
  )

  for (
    const [what, spoil] of [
      ["a journal that is a folder", (fs, server) => fs.makeDirectory(`${server}/journal-000007`)],
      [
        "a journal that is a link to nowhere",
        (fs, server) => fs.symlink(`${server}/nowhere`, `${server}/journal-000007`)
      ],
      ["a folder among the state", (fs, server) => fs.makeDirectory(`${server}/state/odd/er`, { recursive: true })],
      ["a link to nowhere among the state", (fs, server) => fs.symlink(`${server}/nowhere`, `${server}/state/odd`)]
    ] satisfies ReadonlyArray<
      readonly [string, (fs: FileSystem.FileSystem, server: string) => Effect.Effect<void, PlatformError.PlatformError>]
    >
  ) {
    inFolder(`keeps no server from going on: ${what}`, (folder, _, logged) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const server = TinkerServer.layerClientWithStore().pipe(
          Layer.provide(CheckpointStore.layer(folder)),
          Layer.provide(ServerJournal.layer(`${folder}/.server`)),
          Layer.provide(BigramEngine.layer({ vocabularySize: 8 })),
          Layer.orDie
        )
        const { modelId } = yield* Effect.provide(
          Effect.tap(Wire.readyModel, ({ modelId }) =>
            Wire.post("retrieve_future", { request_id: `${modelId}:0`, allow_metadata_only: false })),
          server
        )
        yield* spoil(fs, `${folder}/.server`)
        const step = yield* Effect.provide(Effect.flatMap(Wire.optimStep(modelId, 1), Wire.result), server)
        assert.property(step.body, "metrics")
        assert.isTrue(logged.some((line) =>
          line.includes(`${folder}/.server`)
        ))
      }))
  }

  inFolder(
    "keeps no server from starting: a file where the folder of the state should be",
    (folder, _, logged) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        yield* fs.makeDirectory(`${folder}/.server`)
        yield* fs.writeFileString(`${folder}/.server/state`, "odd")
        const status = yield* Effect.map(Wire.readyModel, ({ modelId }) => modelId).pipe(
          Effect.provide(
            TinkerServer.layerClientWithStore().pipe(
              Layer.provide(CheckpointStore.layer(folder)),
              Layer.provide(ServerJournal.layer(`${folder}/.server`)),
              Layer.provide(BigramEngine.layer({ vocabularySize: 8 })),
              Layer.orDie
            )
          )
        )
        assert.include(status, ":train:0")
        assert.isTrue(logged.some((line) => line.startsWith("ERROR") && line.includes(`${folder}/.server/state`)))
        assert.lengthOf(yield* fs.readDirectory(`${folder}/.server/aside`), 1)
      })
  )
})
