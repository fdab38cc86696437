import { type Engine, Safetensors } from "@effect-tinker/engine"
import { FileSystem, Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Fiber, Layer, Logger, LogLevel, TestClock } from "effect"
import { type TinkerPath } from "effect-tinker"
import { CheckpointStore } from "../src/index.js"

const tensor = (shape: ReadonlyArray<number>, first: number): Engine.Tensor => ({
  shape,
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => first + i)
})

const layerName = "base_model.model.model.layers.0.self_attn.q_proj"

const snapshot: Engine.Snapshot = {
  baseModel: "small",
  lora: { rank: 2, seed: 7, trainAttn: true, trainMlp: false, trainUnembed: true },
  step: 3,
  weights: new Map([
    [`${layerName}.lora_A.weight`, tensor([2, 3], 0)],
    [`${layerName}.lora_B.weight`, tensor([4, 2], 10)],
    ["base_model.model.lm_head.lora_A.weight", tensor([2, 3], 20)],
    ["base_model.model.lm_head.lora_B.weight", tensor([4, 2], 30)]
  ]),
  expAvg: new Map([[`${layerName}.lora_A.weight`, tensor([2, 3], 40)]]),
  expAvgSq: new Map([[`${layerName}.lora_A.weight`, tensor([2, 3], 50)]])
}

const at = (name: string, checkpointType: TinkerPath.CheckpointType = "training") =>
  ({ trainingRunId: "5e55-10:train:0", checkpointType, name }) as TinkerPath.TinkerPath

const store = CheckpointStore.CheckpointStore

const reason = <A, R>(effect: Effect.Effect<A, { readonly reason: string }, R>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason)

const withoutOptimizer = { ...snapshot, expAvg: new Map(), expAvgSq: new Map() }

/** A store in a folder of its own, which is removed in the end, and its folder. */
const inFolder = <A, E, R>(
  use: (
    folder: string,
    open: <B, F>(
      effect: Effect.Effect<B, F, CheckpointStore.CheckpointStore>
    ) => Effect.Effect<B, F, FileSystem.FileSystem | Path.Path>
  ) => Effect.Effect<A, E, R>
) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* Effect.orDie(fs.makeTempDirectoryScoped())
    return yield* use(folder, (effect) => Effect.provide(effect, Layer.orDie(CheckpointStore.layer(folder))))
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

/** What every store does. */
const behaviours = (
  name: string,
  run: <A, E>(effect: Effect.Effect<A, E, CheckpointStore.CheckpointStore>) => Effect.Effect<A, E>
) =>
  describe(name, () => {
    it.effect("gives back what was saved, and only training checkpoints keep the optimizer", () =>
      run(Effect.gen(function*() {
        const checkpoints = yield* store
        yield* checkpoints.save(at("a"), snapshot)
        yield* checkpoints.save(at("a", "sampler"), snapshot)
        assert.deepStrictEqual(yield* checkpoints.load(at("a")), snapshot)
        assert.deepStrictEqual(yield* checkpoints.load(at("a", "sampler")), withoutOptimizer)
      })))

    it.effect("knows what it keeps, the oldest first", () =>
      run(Effect.gen(function*() {
        const checkpoints = yield* store
        yield* checkpoints.save(at("b"), snapshot, { userMetadata: { why: "test" } })
        yield* TestClock.adjust("1 second")
        yield* checkpoints.save(at("a", "sampler"), snapshot)
        const [first, second] = yield* checkpoints.list
        assert.deepStrictEqual([first!.path, second!.path], [at("b"), at("a", "sampler")])
        assert.deepStrictEqual(first!.lora, snapshot.lora)
        assert.deepStrictEqual([first!.step, first!.createdAt, second!.createdAt], [3, 0, 1000])
        assert.deepStrictEqual(first!.userMetadata, { why: "test" })
        assert.isAtLeast(first!.sizeBytes, 160)
      })))

    it.effect("replaces a checkpoint only when told to", () =>
      run(Effect.gen(function*() {
        const checkpoints = yield* store
        yield* checkpoints.save(at("a"), snapshot)
        assert.strictEqual(yield* reason(checkpoints.save(at("a"), { ...snapshot, step: 4 })), "Exists")
        assert.strictEqual((yield* checkpoints.load(at("a"))).step, 3)
        yield* checkpoints.save(at("a"), { ...snapshot, step: 4 }, { overwrite: true })
        assert.strictEqual((yield* checkpoints.load(at("a"))).step, 4)
        assert.strictEqual((yield* checkpoints.list).length, 1)
      })))

    it.effect("removes a checkpoint when told to, and when its time is over", () =>
      run(Effect.gen(function*() {
        const checkpoints = yield* store
        yield* checkpoints.save(at("a"), snapshot)
        yield* checkpoints.save(at("b"), snapshot, { ttlSeconds: 60 })
        yield* checkpoints.remove(at("a"))
        assert.strictEqual(yield* reason(checkpoints.load(at("a"))), "NotFound")
        assert.strictEqual(yield* reason(checkpoints.remove(at("a"))), "NotFound")
        yield* TestClock.adjust("59 seconds")
        assert.strictEqual((yield* checkpoints.info(at("b"))).expiresAt, 60_000)
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* checkpoints.list, [])
        assert.strictEqual(yield* reason(checkpoints.load(at("b"))), "NotFound")
        yield* checkpoints.save(at("b"), snapshot)
      })))

    it.effect("changes who may use a checkpoint and how long it is kept, and nothing else", () =>
      run(Effect.gen(function*() {
        const checkpoints = yield* store
        const saved = yield* checkpoints.save(at("a"), snapshot, { userMetadata: { why: "test" } })
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* checkpoints.update(at("a"), { public: true }), { ...saved, public: true })
        const kept = yield* checkpoints.update(at("a"), { ttlSeconds: 60 })
        assert.deepStrictEqual(kept, { ...saved, public: true, expiresAt: 61_000 })
        yield* checkpoints.update(at("a"), { ttlSeconds: null })
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(yield* checkpoints.info(at("a")), { ...saved, public: true })
        assert.deepStrictEqual(yield* checkpoints.load(at("a")), snapshot)
        assert.strictEqual(yield* reason(checkpoints.update(at("b"), { public: true })), "NotFound")
      })))

    it.effect("makes changes of one checkpoint one after another, so that none is lost", () =>
      run(Effect.gen(function*() {
        const checkpoints = yield* store
        yield* checkpoints.save(at("a"), snapshot)
        yield* Effect.all([
          checkpoints.update(at("a"), { public: true }),
          checkpoints.update(at("a"), { ttlSeconds: 60 })
        ], { concurrency: "unbounded" })
        const { expiresAt, public: isPublic } = yield* checkpoints.info(at("a"))
        assert.deepStrictEqual([isPublic, expiresAt], [true, 60_000])
      })))

    it.effect("changes a checkpoint before it is removed or replaced, or not at all", () =>
      run(Effect.gen(function*() {
        const checkpoints = yield* store
        yield* checkpoints.save(at("a"), snapshot)
        const publish = checkpoints.update(at("a"), { public: true })
        const replace = checkpoints.save(at("a"), { ...snapshot, step: 4 }, { overwrite: true })
        const remove = checkpoints.remove(at("a"))
        yield* Effect.all([publish, replace], { concurrency: "unbounded" })
        const replaced = yield* checkpoints.info(at("a"))
        assert.deepStrictEqual([replaced.step, replaced.public], [4, false])
        yield* Effect.all([publish, remove], { concurrency: "unbounded" })
        assert.deepStrictEqual(yield* checkpoints.list, [])
        yield* checkpoints.save(at("a"), snapshot)
        yield* Effect.all([remove, Effect.flip(publish)], { concurrency: "unbounded" })
        assert.deepStrictEqual(yield* checkpoints.list, [])
        assert.strictEqual(yield* reason(checkpoints.info(at("a"))), "NotFound")
      })))

    it.effect("keeps for ever what would be kept until after the last date", () =>
      run(Effect.gen(function*() {
        const checkpoints = yield* store
        yield* checkpoints.save(at("a"), snapshot, { ttlSeconds: 8_640_000_000_000 })
        yield* checkpoints.save(at("b"), snapshot)
        yield* checkpoints.update(at("b"), { ttlSeconds: 1e300 })
        assert.deepStrictEqual((yield* checkpoints.list).map(({ expiresAt }) => expiresAt), [
          8_640_000_000_000_000,
          undefined
        ])
      })))

    it.effect("takes no name that could lead elsewhere", () =>
      run(Effect.gen(function*() {
        const checkpoints = yield* store
        for (const name of ["", ".", "..", "../a", "a/b", "a\\b", ".hidden", "a b", "a:b", "a".repeat(201)]) {
          assert.strictEqual(yield* reason(checkpoints.save(at(name), snapshot)), "InvalidName", name)
        }
        yield* checkpoints.save(at("step-12_final.v2"), snapshot)
      })))
  })

behaviours("CheckpointStore in memory", Effect.provide(CheckpointStore.layerMemory))

behaviours("CheckpointStore in a folder", (effect) => inFolder((_, open) => open(effect)))

describe("CheckpointStore in a folder, for others", () => {
  it.effect("keeps changes for a later process", () =>
    inFolder((_, open) =>
      Effect.gen(function*() {
        const changed = yield* open(
          Effect.flatMap(
            store,
            (checkpoints) =>
              Effect.zipRight(
                checkpoints.save(at("a"), snapshot),
                checkpoints.update(at("a"), { public: true, ttlSeconds: 3600 })
              )
          )
        )
        const { expiresAt, public: isPublic } = yield* open(Effect.flatMap(store, (found) => found.info(at("a"))))
        assert.deepStrictEqual([isPublic, expiresAt], [true, changed.expiresAt])
      })
    ))

  it.effect("finds what an earlier process saved", () =>
    inFolder((_, open) =>
      Effect.gen(function*() {
        const saved = yield* open(
          Effect.flatMap(
            store,
            (checkpoints) => checkpoints.save(at("a"), snapshot, { ttlSeconds: 60, userMetadata: { a: "b" } })
          )
        )
        yield* open(Effect.gen(function*() {
          const checkpoints = yield* store
          assert.deepStrictEqual(yield* checkpoints.list, [saved])
          assert.deepStrictEqual(yield* checkpoints.load(at("a")), snapshot)
        }))
      })
    ))

  it.effect("writes an adapter as PEFT reads it", () =>
    inFolder((folder, open) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        yield* open(Effect.flatMap(store, (checkpoints) => checkpoints.save(at("a", "sampler"), snapshot)))
        const directory = `${folder}/5e55-10%3atrain%3a0/sampler_weights/a`
        const tensors = Either.getOrThrow(
          Safetensors.decode(yield* fs.readFile(`${directory}/adapter_model.safetensors`))
        )
        assert.deepStrictEqual([...tensors.keys()], [...snapshot.weights.keys()])
        assert.deepInclude(JSON.parse(yield* fs.readFileString(`${directory}/adapter_config.json`)), {
          peft_type: "LORA",
          task_type: "CAUSAL_LM",
          base_model_name_or_path: "small",
          r: 2,
          lora_alpha: 32,
          target_modules: ["lm_head", "q_proj"]
        })
      })
    ))

  it.effect("knows after a restart which checkpoints are encrypted, and has nothing of them in the clear", () =>
    inFolder((folder, open) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const recipients = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]
        yield* open(
          Effect.flatMap(store, (checkpoints) => checkpoints.save(at("a", "external"), snapshot, { recipients }))
        )
        const directory = `${folder}/5e55-10%3atrain%3a0/external_weights/a`
        assert.deepStrictEqual((yield* fs.readDirectory(directory)).sort(), [
          "adapter_config.json.age",
          "adapter_model.safetensors.age",
          "meta.json"
        ])
        yield* open(
          Effect.gen(function*() {
            const checkpoints = yield* store
            assert.isTrue((yield* checkpoints.info(at("a", "external"))).encrypted)
            assert.strictEqual(yield* reason(checkpoints.load(at("a", "external"))), "Encrypted")
            assert.lengthOf(yield* checkpoints.files(at("a", "external")), 2)
            yield* checkpoints.save(at("a", "external"), snapshot, { overwrite: true })
            assert.deepStrictEqual((yield* checkpoints.load(at("a", "external"))).weights, snapshot.weights)
          })
        )
      })
    ))

  it.effect("writes weights and moments of a training checkpoint into one file, with the rest beside it", () =>
    inFolder((folder, open) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        yield* open(Effect.flatMap(store, (checkpoints) => checkpoints.save(at("a"), snapshot)))
        const directory = `${folder}/5e55-10%3atrain%3a0/weights/a`
        const tensors = Either.getOrThrow(Safetensors.decode(yield* fs.readFile(`${directory}/state.safetensors`)))
        assert.strictEqual(tensors.size, 6)
        assert.isTrue(tensors.has(`${layerName}.lora_A.weight.exp_avg`))
        assert.isTrue(tensors.has(`${layerName}.lora_A.weight.exp_avg_sq`))
        assert.deepInclude(JSON.parse(yield* fs.readFileString(`${directory}/meta.json`)), {
          base_model: "small",
          step: 3,
          rank: 2,
          train_mlp: false,
          expires_at: null
        })
      })
    ))

  it.effect("clears away what a killed process left, and brings back what it had put aside", () =>
    inFolder((folder, open) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const parent = `${folder}/5e55-10%3atrain%3a0/weights`
        yield* open(Effect.gen(function*() {
          const checkpoints = yield* store
          yield* checkpoints.save(at("aside"), snapshot)
          yield* checkpoints.save(at("replaced"), snapshot)
        }))
        // As if killed while writing, between the two renames, and before removing what was replaced.
        yield* fs.makeDirectory(`${parent}/.new-half`)
        yield* fs.writeFileString(`${parent}/.new-half/state.safetensors`, "half")
        yield* fs.rename(`${parent}/aside`, `${parent}/.old-aside`)
        yield* fs.copy(`${parent}/replaced`, `${parent}/.old-replaced`)
        yield* open(Effect.gen(function*() {
          const checkpoints = yield* store
          assert.deepStrictEqual((yield* checkpoints.list).map(({ path }) => path.name).sort(), ["aside", "replaced"])
          assert.deepStrictEqual(yield* checkpoints.load(at("aside")), snapshot)
        }))
        assert.deepStrictEqual((yield* fs.readDirectory(parent)).sort(), ["aside", "replaced"])
      })
    ))

  it.effect("leaves out a directory that is no checkpoint, and opens all the same", () =>
    inFolder((folder, open) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        yield* open(Effect.flatMap(store, (checkpoints) => checkpoints.save(at("good"), snapshot)))
        const parent = `${folder}/5e55-10%3atrain%3a0/weights`
        yield* fs.makeDirectory(`${parent}/empty`)
        yield* fs.makeDirectory(`${parent}/damaged`)
        yield* fs.writeFileString(`${parent}/damaged/meta.json`, "{}")
        yield* fs.writeFileString(`${folder}/notes.txt`, "mine")
        const list = yield* open(Effect.flatMap(store, (checkpoints) => checkpoints.list))
        assert.deepStrictEqual(list.map(({ path }) => path.name), ["good"])
      })
    ))

  it.effect("leaves a checkpoint with a date that is none where it is, and takes its name for nothing else", () =>
    inFolder((folder, open) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        yield* open(Effect.flatMap(store, (checkpoints) => checkpoints.save(at("a"), snapshot, { ttlSeconds: 60 })))
        const directory = `${folder}/5e55-10%3atrain%3a0/weights/a`
        const meta = yield* fs.readFileString(`${directory}/meta.json`)
        yield* fs.writeFileString(
          `${directory}/meta.json`,
          JSON.stringify({ ...JSON.parse(meta) as object, expires_at: "Invalid Date" })
        )
        const before = yield* fs.readDirectory(directory)
        const warnings: Array<unknown> = []
        const logger = Logger.make(({ message }) => void warnings.push(message))
        yield* open(Effect.gen(function*() {
          const checkpoints = yield* store
          assert.deepStrictEqual(yield* checkpoints.list, [])
          assert.strictEqual(yield* reason(checkpoints.load(at("a"))), "NotFound")
          assert.strictEqual(yield* reason(checkpoints.save(at("a"), snapshot)), "Exists")
        })).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
        assert.deepStrictEqual(yield* fs.readDirectory(directory), before)
        assert.include(String(warnings), "meta.json of tinker://5e55-10:train:0/weights/a")
      })
    ))

  it.effect("removes what is over from the disk: when it is opened, lists or saves", () =>
    inFolder((folder, open) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const names = Effect.map(fs.readDirectory(`${folder}/5e55-10%3atrain%3a0/weights`), (names) => names.sort())
        yield* open(Effect.gen(function*() {
          const checkpoints = yield* store
          yield* checkpoints.save(at("first"), snapshot, { ttlSeconds: 60 })
          yield* checkpoints.save(at("second"), snapshot, { ttlSeconds: 120 })
          yield* checkpoints.save(at("third"), snapshot, { ttlSeconds: 180 })
          yield* TestClock.adjust("1 minute")
          assert.lengthOf(yield* names, 3)
          yield* checkpoints.list
          assert.deepStrictEqual(yield* names, ["second", "third"])
          yield* TestClock.adjust("1 minute")
          yield* checkpoints.save(at("fourth"), snapshot)
          assert.deepStrictEqual(yield* names, ["fourth", "third"])
        }))
        yield* TestClock.adjust("1 minute")
        yield* open(Effect.asVoid(store))
        assert.deepStrictEqual(yield* names, ["fourth"])
      })
    ))

  it.effect("tells what the disk refused, and not where on this machine", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      const checkpoints = yield* Effect.provide(store, CheckpointStore.layer(folder))
      yield* checkpoints.save(at("a"), snapshot)
      yield* fs.remove(`${folder}/5e55-10%3atrain%3a0`, { recursive: true })
      const errors = [
        yield* Effect.flip(checkpoints.load(at("a"))),
        yield* Effect.flip(checkpoints.update(at("a"), { public: true }))
      ]
      for (const error of errors) {
        assert.strictEqual(error.reason, "FileSystem")
        assert.include(error.description, "tinker://5e55-10:train:0/weights/a")
        assert.include(error.description, "no such file")
        assert.notInclude(error.description, folder)
      }
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer), Logger.withMinimumLogLevel(LogLevel.None)))

  it.effect("says which file is damaged", () =>
    inFolder((folder, open) =>
      open(Effect.gen(function*() {
        const checkpoints = yield* store
        yield* checkpoints.save(at("a"), snapshot)
        return checkpoints
      })).pipe(
        Effect.tap(() =>
          Effect.flatMap(
            FileSystem.FileSystem,
            (fs) => fs.writeFileString(`${folder}/5e55-10%3atrain%3a0/weights/a/state.safetensors`, "cut")
          )
        ),
        Effect.flatMap((checkpoints) => Effect.flip(checkpoints.load(at("a")))),
        Effect.tap((error) =>
          Effect.sync(() => {
            assert.strictEqual(error.reason, "DamagedFile")
            assert.include(error.description, "state.safetensors of tinker://5e55-10:train:0/weights/a")
            assert.notInclude(error.description, folder)
          })
        )
      )
    ))

  it.effect("leaves nothing behind of a save that is interrupted or fails", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      // A disk that never finishes to write.
      const slow = Layer.succeed(FileSystem.FileSystem, { ...fs, open: () => Effect.never })
      const checkpoints = yield* Effect.provide(store, Layer.provide(CheckpointStore.layer(folder), slow))
      const saving = yield* Effect.fork(checkpoints.save(at("a"), snapshot))
      const parent = `${folder}/5e55-10%3atrain%3a0/weights`
      yield* Effect.repeat(fs.exists(`${parent}/.new-a`), { until: (exists) => exists })
      yield* Fiber.interrupt(saving)
      assert.deepStrictEqual(yield* fs.readDirectory(parent), [])
      assert.deepStrictEqual(yield* checkpoints.list, [])
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)))
})
