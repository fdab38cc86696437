import { BigramEngine } from "@effect-tinker/engine"
import { CheckpointStore, Faults, TinkerServer } from "@effect-tinker/server"
import { Error as PlatformError, FileSystem, KeyValueStore } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Chunk, Effect, Exit, Fiber, Layer, Logger, Option, Schema, Stream, TestClock } from "effect"
import { AdamParams, ApiFuture, type Datum, ServiceClient, Tinker } from "effect-tinker"
import * as RoleRenderer from "../src/RoleRenderer.js"
import * as RunJournal from "../src/RunJournal.js"
import type { RunJournalError } from "../src/RunJournalError.js"
import * as Supervised from "../src/Supervised.js"
import { chat, createModel, example, files, layerBytes } from "./fixture.js"

const datum = (word: string) => RoleRenderer.toDatum(example(chat("Say it.", word).messages))

const words = ["ab", "cd", "ef", "gh", "ij"]

const data = words.map(datum)

/** The server outlives the processes that train on it. */
const server = TinkerServer.layerClientWithStore().pipe(
  Layer.provide(Layer.merge(BigramEngine.layer(), CheckpointStore.layerMemory))
)

type Entries = Map<string, string>

/** A store whose process dies at a write, which may leave half of it. What a dead process does reaches nobody. */
const storeOf = (entries: Entries, dies?: { readonly atWrite: number; readonly torn: boolean }) => {
  let writes = 0
  let dead = false
  const alive = <A>(f: () => A) => Effect.suspend(() => dead ? Effect.interrupt : Effect.succeed(f()))
  return KeyValueStore.makeStringOnly({
    get: (key) => alive(() => Option.fromNullable(entries.get(key))),
    set: (key, value) =>
      Effect.suspend(() => {
        if (dead) return Effect.interrupt
        writes += 1
        if (writes !== dies?.atWrite) return Effect.sync(() => void entries.set(key, value))
        dead = true
        if (dies.torn) entries.set(key, value.slice(0, value.length / 2))
        return Effect.interrupt
      }),
    remove: (key) => alive(() => entries.delete(key)),
    clear: alive(() => entries.clear()),
    size: alive(() => entries.size)
  })
}

interface RunOptions {
  readonly entries: Entries
  readonly totalSteps?: number
  readonly dies?: { readonly atWrite: number; readonly torn: boolean }
  readonly settings?: Readonly<Record<string, string | number>> | undefined
  readonly lessons?: ReadonlyArray<Datum.Datum> | undefined
  readonly allowOtherData?: boolean | undefined
  readonly allowOtherBatching?: boolean | undefined
  /** Instead of `totalSteps`, a batch size of 2 and a seed of 3. */
  readonly batches?: Supervised.BatchesOptions | undefined
  /** The batches come from a file of these words instead of `lessons`. */
  readonly words?: ReadonlyArray<string> | undefined
  /** False: the batches do not tell their data, nor how they are drawn. */
  readonly isTold?: boolean
  /** Checkpoints that the server no longer has. */
  readonly isGone?: (path: string) => boolean
}

const long = process.env.TINKER_TEST_LONG === "1"

/** The client, asking for other checkpoints than those that are gone, so that the refusal is the server's own. */
const withoutCheckpoints = (isGone: (path: string) => boolean) =>
  Layer.effect(
    ServiceClient.ServiceClient,
    Effect.map(ServiceClient.ServiceClient, (service) => ({
      ...service,
      createTrainingClientFromStateWithOptimizer: (path: string) =>
        service.createTrainingClientFromStateWithOptimizer(isGone(path) ? `${path}-gone` : path)
    }))
  )

/** One process: trains until it is done or dies. */
const run = (
  {
    allowOtherBatching,
    allowOtherData,
    dies,
    entries,
    isGone = () => false,
    isTold = true,
    lessons = data,
    settings,
    totalSteps = long ? 30 : 10,
    words,
    batches = { batchSize: 2, steps: totalSteps, seed: 3 }
  }: RunOptions
) =>
  Effect.gen(function*() {
    const journal = yield* RunJournal.open({
      name: "run",
      step: Supervised.Step,
      create: createModel,
      settings,
      allowOtherData,
      allowOtherBatching
    })
    const drawn = words === undefined
      ? Supervised.batches(lessons, batches)
      : Stream.provideLayer(
        Supervised.batchesFromFile("f", batches),
        Layer.merge(layerBytes, files(words.map((word) => JSON.stringify(chat("Say it.", word))).join("\n")))
      )
    const steps = yield* drawn.pipe(
      Stream.map((batch) => isTold ? batch : { ...batch, fingerprint: undefined, batching: undefined }),
      journal.remaining,
      Supervised.steps(journal.training, {
        adamParams: AdamParams.make({ learningRate: 0.5 }),
        checkpoint: { every: 4 }
      }),
      journal.recorded,
      Stream.runCollect
    )
    const { lossFnOutputs } = yield* ApiFuture.flatten(journal.training.forward({ data, lossFn: "cross_entropy" }))
    return {
      trained: Chunk.toReadonlyArray(steps).map(({ step }) => step),
      history: (yield* journal.history).map(({ nllPerToken, step }) => [step, nllPerToken] as const),
      position: journal.position,
      logprobs: lossFnOutputs.map(({ logprobs }) => logprobs!.data)
    }
  }).pipe(
    Effect.scoped,
    Effect.provide(withoutCheckpoints(isGone).pipe(Layer.provide(Tinker.layer()))),
    Effect.provideService(KeyValueStore.KeyValueStore, storeOf(entries, dies))
  )

/**
 * A process that finds the lock of one that died waits for its lease on the virtual clock. What it waits for later, as before it asks again,
 * it may come to after that clock has gone on, where something before takes real time.
 */
const afterLease = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(effect)
    yield* TestClock.adjust("30 seconds")
    yield* Effect.repeat(Effect.zipRight(TestClock.adjust("1 second"), Fiber.poll(fiber)), { until: Option.isSome })
    return yield* Fiber.join(fiber)
  })

/** The warnings of an effect. */
const warnings = (messages: Array<string>) =>
  Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ logLevel, message }) => {
      if (logLevel._tag === "Warning") messages.push(String(message))
    })
  )

const failure = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(effect), (exit) => {
    const error = Exit.isFailure(exit) ? Cause.failureOption(exit.cause) : Option.none()
    if (Option.isSome(error)) return error.value
    throw new Error(`did not fail: ${String(exit)}`)
  })

describe("RunJournal", () => {
  it.effect("a run that is not broken trains every batch once, and its history tells them all", () =>
    Effect.gen(function*() {
      const { history, position, trained } = yield* run({ entries: new Map(), totalSteps: 10 })
      const all = Array.from({ length: 10 }, (_, i) => i)
      assert.deepStrictEqual(trained, all)
      assert.deepStrictEqual(history.map(([step]) => step), all)
      assert.strictEqual(position, 0)
    }).pipe(Effect.provide(server)))

  for (const torn of [false, true]) {
    it.effect(
      `a process killed at any write${
        torn ? ", half of it done," : ""
      } is gone on with: the weights and losses of a run never broken`,
      () =>
        Effect.gen(function*() {
          const unbroken = yield* run({ entries: new Map() })
          let deaths = 0
          while (true) {
            const entries: Entries = new Map()
            const first = yield* Effect.exit(run({ entries, dies: { atWrite: deaths + 1, torn } }))
            if (Exit.isSuccess(first)) break
            deaths += 1
            const resumed = yield* afterLease(run({ entries }))
            assert.deepStrictEqual(resumed.logprobs, unbroken.logprobs, `weights, killed at write ${deaths}`)
            assert.deepStrictEqual(resumed.history, unbroken.history, `losses, killed at write ${deaths}`)
            assert.deepStrictEqual(
              resumed.trained,
              Array.from({ length: (long ? 30 : 10) - resumed.position }, (_, i) => resumed.position + i)
            )
          }
          // Three for the lock, the settings, and for each checkpoint its steps and where the run stands.
          assert.strictEqual(deaths, 4 + 2 * (long ? 8 : 3))
        }).pipe(Effect.provide(server))
    )
  }

  it.effect("a run that is done trains nothing more", () =>
    Effect.gen(function*() {
      const entries: Entries = new Map()
      const first = yield* run({ entries })
      const second = yield* run({ entries })
      assert.deepStrictEqual(second.trained, [])
      assert.deepStrictEqual(second.history, first.history)
      assert.deepStrictEqual(second.logprobs, first.logprobs)
    }).pipe(Effect.provide(server)))

  it.effect("a second process fails with InUse while the first is alive, and harms nothing", () =>
    Effect.gen(function*() {
      const entries: Entries = new Map()
      const open = RunJournal.open({ name: "run", step: Supervised.Step, create: createModel }).pipe(
        Effect.provide(Tinker.layer()),
        Effect.provideService(KeyValueStore.KeyValueStore, storeOf(entries))
      )
      const error = yield* Effect.scoped(Effect.zipRight(open, afterLease(failure(Effect.scoped(open)))))
      assert.strictEqual((error as RunJournalError).reason, "InUse")
      assert.deepStrictEqual(Array.from(entries.keys()), ["run.head.0"])
    }).pipe(Effect.provide(server)))

  it.effect("of two that take over a dead process at the same moment one fails with InUse", () =>
    Effect.gen(function*() {
      const entries: Entries = new Map()
      yield* Effect.exit(run({ entries, dies: { atWrite: 8, torn: false } }))
      const both = yield* afterLease(
        Effect.all([Effect.exit(run({ entries })), Effect.exit(run({ entries }))], { concurrency: 2 })
      )
      assert.deepStrictEqual(both.map(Exit.isSuccess).sort(), [false, true])
      const failed = yield* failure(both.find(Exit.isFailure)!)
      assert.strictEqual((failed as RunJournalError).reason, "InUse")
    }).pipe(Effect.provide(server)))

  it.effect("whose journal was taken over while it was suspended writes nothing more", () =>
    Effect.gen(function*() {
      const entries: Entries = new Map()
      const error = yield* failure(
        Effect.gen(function*() {
          const journal = yield* RunJournal.open({ name: "run", step: Supervised.Step, create: createModel })
          const lock = Array.from(entries.keys()).find((key) => key.endsWith(".lock"))!
          entries.set(lock, "another's")
          const before = new Map(entries)
          yield* Supervised.batches(data, { batchSize: 2, steps: 4 }).pipe(
            Supervised.steps(journal.training, { checkpoint: { every: 2 } }),
            journal.recorded,
            Stream.runDrain,
            Effect.ensuring(Effect.sync(() => assert.deepStrictEqual(entries, before)))
          )
        }).pipe(
          Effect.scoped,
          Effect.provide(Tinker.layer()),
          Effect.provideService(KeyValueStore.KeyValueStore, storeOf(entries))
        )
      )
      assert.strictEqual((error as RunJournalError).reason, "Lost")
      assert.strictEqual(entries.get("run.lock"), "another's")
    }).pipe(Effect.provide(server)))

  it.effect("options of a journal that make no sense are refused, naming them", () =>
    Effect.gen(function*() {
      const wrong: ReadonlyArray<readonly [field: string, object]> = [
        ["lease", { lease: 0 }],
        ["lease", { lease: -5 }],
        ["lease", { lease: null }],
        ["lease", { lease: "abc" }],
        ["lease", { lease: Infinity }],
        ["settings.a", { settings: { a: NaN } }],
        ["settings.a", { settings: { a: {} } }],
        ["setings", { setings: { a: 1 } }],
        ["allowOtherdata", { allowOtherdata: true }]
      ]
      for (const [field, options] of wrong) {
        const error = yield* RunJournal.open({
          name: "run",
          step: Supervised.Step,
          create: createModel,
          ...options as object
        }).pipe(
          Effect.scoped,
          Effect.provide(withoutCheckpoints(() => false).pipe(Layer.provide(Tinker.layer()))),
          Effect.provideService(KeyValueStore.KeyValueStore, storeOf(new Map(), undefined)),
          Effect.flip
        )
        assert.strictEqual(error._tag === "InvalidInputError" ? error.field : error._tag, field)
      }
    }).pipe(Effect.provide(server)))

  it.effect("a run with other settings is refused, and told which", () =>
    Effect.gen(function*() {
      const entries: Entries = new Map()
      yield* run({ entries, totalSteps: 4, settings: { batchSize: 2, data: "a" } })
      const error = yield* failure(run({ entries, totalSteps: 4, settings: { batchSize: 4, data: "a" } }))
      assert.strictEqual((error as RunJournalError).reason, "DifferentRun")
      assert.include((error as RunJournalError).message, "batchSize (2 before, 4 now)")
    }).pipe(Effect.provide(server)))

  const changed = [...data.slice(0, 4), datum("iJ")]
  const cases: ReadonlyArray<readonly [what: string, lessons: ReadonlyArray<Datum.Datum>]> = [
    ["a line was changed", changed],
    ["lines were reordered", data.toReversed()],
    ["a line was added", [...data, datum("kl")]],
    ["a line is missing", data.slice(1)]
  ]
  for (const [what, lessons] of cases) {
    it.effect(`a run on data of which ${what} is refused, and nothing is written, unless that is allowed`, () =>
      Effect.gen(function*() {
        const entries: Entries = new Map()
        yield* run({ entries, totalSteps: 4 })
        const before = new Map(entries)
        const error = yield* failure(run({ entries, lessons, totalSteps: 6 }))
        assert.strictEqual((error as RunJournalError).reason, "DifferentRun")
        assert.include((error as RunJournalError).message, "other data")
        assert.deepStrictEqual(entries, before)

        const resumed = yield* run({
          entries,
          lessons,
          totalSteps: 6,
          allowOtherData: true,
          allowOtherBatching: true
        })
        assert.deepStrictEqual(resumed.trained, [4, 5])
        // From now on these are its data.
        assert.deepStrictEqual((yield* run({ entries, lessons, totalSteps: 6 })).trained, [])
        assert.strictEqual(
          ((yield* failure(run({ entries, totalSteps: 6 }))) as RunJournalError).reason,
          "DifferentRun"
        )
      }).pipe(Effect.provide(server), Effect.provide(Logger.remove(Logger.defaultLogger))))
  }

  const otherBatches: ReadonlyArray<readonly [named: string, batches: Supervised.BatchesOptions]> = [
    ["seed (3 before, 4 now)", { batchSize: 2, steps: 6, seed: 4 }],
    ["batchSize (2 before, 3 now)", { batchSize: 3, steps: 6, seed: 3 }],
    ["steps (6 before, 7 now)", { batchSize: 2, steps: 7, seed: 3 }],
    ["steps (6 before, 9 now)", { batchSize: 2, epochs: 3, seed: 3 }]
  ]
  for (const [named, batches] of otherBatches) {
    it.effect(`a run with other batches is refused, ${named}, and nothing is written, unless that is allowed`, () =>
      Effect.gen(function*() {
        const entries: Entries = new Map()
        // Dies with the checkpoint of step 4 written down.
        yield* Effect.exit(run({ entries, totalSteps: 6, dies: { atWrite: 7, torn: false } }))
        yield* afterLease(run({ entries, totalSteps: 6, isGone: () => true }).pipe(Effect.exit))
        const before = new Map(entries)
        const error = yield* failure(run({ entries, batches }))
        assert.strictEqual((error as RunJournalError).reason, "DifferentRun")
        assert.include((error as RunJournalError).message, `other batches: ${named}`)
        assert.deepStrictEqual(entries, before)

        const said: Array<string> = []
        const resumed = yield* Effect.provide(run({ entries, batches, allowOtherBatching: true }), warnings(said))
        assert.strictEqual(resumed.trained[0], 4)
        assert.include(said.join(), named)
        // From now on these are its batches.
        assert.deepStrictEqual((yield* run({ entries, batches })).trained, [])
      }).pipe(Effect.provide(server), Effect.provide(Logger.remove(Logger.defaultLogger))))
  }

  it.effect("epochs that make as many steps are the same batches", () =>
    Effect.gen(function*() {
      const entries: Entries = new Map()
      yield* run({ entries, totalSteps: 6 })
      const { trained } = yield* run({ entries, batches: { batchSize: 2, epochs: 2, seed: 3 } })
      assert.deepStrictEqual(trained, [])
    }).pipe(Effect.provide(server)))

  it.effect("a journal that does not know its data says once that it cannot compare them, and knows them from then on", () =>
    Effect.gen(function*() {
      const entries: Entries = new Map()
      yield* run({ entries, totalSteps: 6, isTold: false })
      const said: Array<string> = []
      const logged = warnings(said)
      yield* Effect.provide(run({ entries, totalSteps: 6 }), logged)
      assert.lengthOf(said, 1)
      assert.include(said[0], "without a fingerprint of its data and how its batches are drawn")
      yield* Effect.provide(run({ entries, totalSteps: 6 }), logged)
      assert.lengthOf(said, 1)
      const error = yield* failure(run({ entries, lessons: data.slice(1), totalSteps: 6 }))
      assert.include((error as RunJournalError).message, "other data")
      // Nor is it silent when those that it is given now do not tell.
      yield* Effect.provide(run({ entries, totalSteps: 6, isTold: false }), logged)
      assert.lengthOf(said, 2)
      assert.include(said[1], "the batches do not tell a fingerprint")
    }).pipe(Effect.provide(server)))

  it.effect("a run of data in memory goes on from a file of the same, says that it cannot compare them, and then can", () =>
    Effect.gen(function*() {
      const unbroken = yield* run({ entries: new Map(), totalSteps: 6 })
      const entries: Entries = new Map()
      // Dies with the checkpoint of step 4 written down.
      yield* Effect.exit(run({ entries, totalSteps: 6, dies: { atWrite: 7, torn: false } }))
      const said: Array<string> = []
      const resumed = yield* afterLease(Effect.provide(run({ entries, totalSteps: 6, words }), warnings(said)))
      assert.deepStrictEqual(resumed.trained, [4, 5])
      assert.deepStrictEqual([resumed.history, resumed.logprobs], [unbroken.history, unbroken.logprobs])
      assert.lengthOf(said.filter((text) => text.includes("cannot be checked")), 1)
      assert.include(
        said.join(),
        "without a fingerprint of its data that can be compared with the one of these batches"
      )
      for (const other of [words.toReversed(), words.slice(1), [...words.slice(1), "iJ"], [...words, "kl"]]) {
        const error = yield* failure(run({ entries, totalSteps: 6, words: other }))
        assert.include((error as RunJournalError).message, "other data")
      }
      assert.deepStrictEqual((yield* run({ entries, totalSteps: 6, words })).trained, [])
    }).pipe(Effect.provide(server), Effect.provide(Logger.remove(Logger.defaultLogger))))

  it.effect("a journal whose head is gone, whole or torn, is Unreadable rather than begun anew", () =>
    Effect.gen(function*() {
      for (const totalSteps of [4, 10]) {
        for (const torn of [false, true]) {
          const entries: Entries = new Map()
          yield* run({ entries, totalSteps })
          entries.delete("run.head.0")
          entries.delete("run.head.1")
          if (torn) entries.set("run.head.0", "half")
          const before = new Map(entries)
          const error = yield* failure(run({ entries, totalSteps }))
          assert.strictEqual((error as RunJournalError).reason, "Unreadable")
          assert.match((error as RunJournalError).message, /Remove the journal to begin anew/)
          assert.deepStrictEqual(entries, before)
        }
      }
    }).pipe(Effect.provide(server)))

  it.effect("a process killed at any write, whose heads are gone then, is begun anew where nothing was saved, and else Unreadable", () =>
    Effect.gen(function*() {
      const unbroken = yield* run({ entries: new Map() })
      let unreadable = 0
      for (let atWrite = 1;; atWrite++) {
        const entries: Entries = new Map()
        const first = yield* Effect.exit(run({ entries, dies: { atWrite, torn: false } }))
        entries.delete("run.head.0")
        entries.delete("run.head.1")
        const records = Array.from(entries).filter(([key]) => key.includes("record"))
        if (records.length === 0) {
          assert.deepStrictEqual((yield* afterLease(run({ entries }))).logprobs, unbroken.logprobs)
        } else {
          unreadable += 1
          const error = yield* afterLease(failure(run({ entries })))
          assert.deepInclude(error, { _tag: "RunJournalError", reason: "Unreadable" })
          assert.deepStrictEqual(Array.from(entries), records)
        }
        if (Exit.isSuccess(first)) break
      }
      assert.isAtLeast(unreadable, 6)
    }).pipe(Effect.provide(server)))

  it.effect("a journal without heads is Unreadable by any of its first records, and by the mark of an older version", () =>
    Effect.gen(function*() {
      const whole: Entries = new Map()
      yield* run({ entries: whole, totalSteps: 12 })
      const traces = ["run.record.000000", "run.record.000001", "run.record.000002"]
      assert.includeMembers(Array.from(whole.keys()), traces)
      for (const trace of [...traces, "run.begun"]) {
        for (const torn of [false, true]) {
          const entries: Entries = new Map([[trace, whole.get(trace) ?? ""]])
          if (torn) entries.set("run.head.0", "half")
          const before = new Map(entries)
          // Nor is it begun anew the next time.
          for (let i = 0; i < 2; i++) {
            const error = yield* failure(run({ entries, totalSteps: 12 }))
            assert.deepInclude(error, { _tag: "RunJournalError", reason: "Unreadable" }, trace)
            assert.deepStrictEqual(entries, before)
          }
        }
      }
    }).pipe(Effect.provide(server)))

  it.effect("a journal in files whose heads are gone is Unreadable, however far the run was", () =>
    Effect.gen(function*() {
      const files = yield* FileSystem.FileSystem
      for (const steps of [4, 5, 8, 10]) {
        const folder = yield* files.makeTempDirectoryScoped()
        const process = (taken: number) =>
          RunJournal.open({ name: "run", step: Supervised.Step, create: createModel }).pipe(
            Effect.flatMap((journal) =>
              Supervised.batches(data, { batchSize: 2, steps: 10 }).pipe(
                journal.remaining,
                Supervised.steps(journal.training, { checkpoint: { every: 4 } }),
                journal.recorded,
                Stream.take(taken),
                Stream.runCount
              )
            ),
            Effect.scoped,
            Effect.provide([Tinker.layer(), KeyValueStore.layerFileSystem(folder)])
          )
        assert.strictEqual(yield* process(steps), steps)
        yield* files.remove(`${folder}/run.head.0`)
        yield* files.remove(`${folder}/run.head.1`)
        const before = yield* files.readDirectory(folder)
        const error = yield* failure(process(10))
        assert.deepInclude(error, { _tag: "RunJournalError", reason: "Unreadable" })
        assert.deepStrictEqual(yield* files.readDirectory(folder), before)
      }
    }).pipe(Effect.scoped, Effect.provide([server, NodeContext.layer])))

  it.effect("a journal of an older version, which named its records otherwise, is gone on with and read", () =>
    Effect.gen(function*() {
      const unbroken = yield* run({ entries: new Map(), totalSteps: 12 })
      const entries: Entries = new Map()
      // Dies with the checkpoints of steps 4 and 8 written down.
      yield* Effect.exit(run({ entries, totalSteps: 12, dies: { atWrite: 9, torn: false } }))
      for (const [index, steps] of [[0, 4], [1, 8]]) {
        entries.set(`run.steps.00000${steps}`, entries.get(`run.record.00000${index}`)!)
        entries.delete(`run.record.00000${index}`)
      }
      const resumed = yield* afterLease(run({ entries, totalSteps: 12 }))
      assert.strictEqual(resumed.position, 8)
      assert.deepStrictEqual(resumed.history, unbroken.history)
      assert.deepStrictEqual((yield* run({ entries, totalSteps: 12 })).history, unbroken.history)
    }).pipe(Effect.provide(server)))

  it.effect("a step that its schema cannot write down and read back is refused by name, and nothing is written", () =>
    Effect.gen(function*() {
      const step = Schema.Struct({
        step: Schema.Int,
        checkpoint: Schema.UndefinedOr(Schema.String),
        loss: Schema.Number
      })
      const odd: ReadonlyArray<readonly [loss: unknown, field: string]> = [
        ["secret", "step.loss"],
        [undefined, "step.loss"],
        [NaN, "step.loss"],
        [10n, "step.loss"]
      ]
      for (const [loss, field] of odd) {
        const entries: Entries = new Map()
        const error = yield* RunJournal.open({ name: "run", step, create: createModel }).pipe(
          Effect.flatMap((journal) => {
            const before = new Map(entries)
            return Stream.make({ step: 0, checkpoint: "tinker://a", loss: loss as number }).pipe(
              journal.recorded,
              Stream.runDrain,
              Effect.ensuring(Effect.sync(() => assert.deepStrictEqual(entries, before)))
            )
          }),
          Effect.scoped,
          Effect.provide(Tinker.layer()),
          Effect.provideService(KeyValueStore.KeyValueStore, storeOf(entries)),
          failure
        )
        assert.deepInclude(error, { _tag: "InvalidInputError", operation: "RunJournal.recorded", field })
        assert.notInclude(String(error), "secret")
      }
    }).pipe(Effect.provide(server)))

  it.effect("what are no batches and no steps is refused by name, by a stream that fails", () =>
    Effect.gen(function*() {
      const noStreams = [undefined, null, 5, "a", [], {}, Effect.void, () => Stream.empty, Promise.resolve(1)]
      const noSteps = [undefined, null, "1", -1, 0.5, NaN, 1n, {}]
      const noTexts = [null, 5, "", [], {}]
      const cases: ReadonlyArray<readonly [of: "remaining" | "recorded", field: string, given: unknown]> = [
        ...noStreams.map((given) => ["remaining", "batches", given] as const),
        ...noStreams.map((given) => ["recorded", "steps", given] as const),
        ...[undefined, null, 5, "a", [], () => 1, Symbol("a")].flatMap((given) => [
          ["remaining", "batch", Stream.make(given)] as const,
          ["recorded", "step", Stream.make(given)] as const
        ]),
        ...noSteps.flatMap((step) => [
          ["remaining", "batch.step", Stream.make({ step })] as const,
          ["recorded", "step.step", Stream.make({ step, checkpoint: undefined })] as const
        ]),
        ...noTexts.flatMap((given) => [
          ["remaining", "batch.fingerprint", Stream.make({ step: 0, fingerprint: given })] as const,
          ["recorded", "step.checkpoint", Stream.make({ step: 0, checkpoint: given })] as const
        ]),
        ...[null, 5, "a", []].map((batching) =>
          ["remaining", "batch.batching", Stream.make({ step: 0, batching })] as const
        ),
        ["remaining", "batch.batching.seed", Stream.make({ step: 0, batching: { seed: NaN } })],
        ["remaining", "batch.batching.seed", Stream.make({ step: 0, batching: { seed: "3" } })]
      ]
      const journal = yield* RunJournal.open({ name: "run", step: Supervised.Step, create: createModel })
      for (const [of, field, given] of cases) {
        const wrap = journal[of] as (given: unknown) => Stream.Stream<unknown, unknown>
        const error = yield* failure(Stream.runDrain(wrap(given)))
        assert.deepInclude(error, { _tag: "InvalidInputError", operation: `RunJournal.${of}`, field })
      }
    }).pipe(
      Effect.scoped,
      Effect.provide(Tinker.layer()),
      Effect.provideService(KeyValueStore.KeyValueStore, storeOf(new Map())),
      Effect.provide(server)
    ))

  it.effect("a run goes on with the same data from a file of another name, and with nothing else in it", () =>
    Effect.gen(function*() {
      const entries: Entries = new Map()
      const resume = (file: string, content: string) =>
        RunJournal.open({ name: "run", step: Supervised.Step, create: createModel }).pipe(
          Effect.flatMap((journal) =>
            Supervised.batchesFromFile(file, { batchSize: 1, steps: 4 }).pipe(
              journal.remaining,
              Supervised.steps(journal.training, { checkpoint: { every: 2 } }),
              journal.recorded,
              Stream.take(journal.position + 2),
              Stream.runCount
            )
          ),
          Effect.scoped,
          Effect.provide([Tinker.layer(), layerBytes, files(content)]),
          Effect.provideService(KeyValueStore.KeyValueStore, storeOf(entries))
        )
      const line = (answer: string) => JSON.stringify({ messages: chat("Say it.", answer).messages })
      const content = ["ab", "cd", "ef"].map(line).join("\n")
      assert.strictEqual(yield* resume("data/train.jsonl", content), 2)
      assert.strictEqual(yield* resume("elsewhere/copy.jsonl", content), 2)
      const error = yield* failure(resume("data/train.jsonl", content.replace("cd", "cD")))
      assert.strictEqual((error as RunJournalError).reason, "DifferentRun")
    }).pipe(Effect.provide(server)))

  it.effect("goes on from an older checkpoint when the newest is gone, and never from none", () =>
    Effect.gen(function*() {
      const entries: Entries = new Map()
      const unbroken = yield* run({ entries: new Map(), totalSteps: 12 })
      // Dies with the checkpoints of steps 4 and 8 written down.
      yield* Effect.exit(run({ entries, totalSteps: 12, dies: { atWrite: 9, torn: false } }))

      const none = yield* afterLease(failure(run({ entries, totalSteps: 12, isGone: () => true })))
      assert.strictEqual((none as RunJournalError).reason, "CheckpointsGone")

      const resumed = yield* run({ entries, totalSteps: 12, isGone: (path) => path.endsWith("000008") })
      assert.strictEqual(resumed.position, 4)
      assert.deepStrictEqual(resumed.logprobs, unbroken.logprobs)
      assert.deepStrictEqual(resumed.history, unbroken.history)
    }).pipe(Effect.provide(server)))

  const odd: ReadonlyArray<readonly [string, Faults.Fault]> = [
    ["404 for the session", Faults.answer(404, { body: { detail: "there is no session abc" } })],
    ["410 for the session", Faults.answer(410, { body: { detail: "the session abc has ended" } })],
    ["a proxy's page 404", Faults.answer(404, { body: "<html>nginx</html>", contentType: "text/html" })]
  ]
  for (const [what, fault] of odd) {
    it.effect(`${what} in answer to a load is no lost checkpoint: the newest is gone on from`, () =>
      Effect.gen(function*() {
        const { plan, unused } = yield* Faults.Faults
        const entries: Entries = new Map()
        yield* Effect.exit(run({ entries, totalSteps: 12, dies: { atWrite: 9, torn: false } }))
        yield* plan({ path: "load_weights", fault })
        const resumed = yield* afterLease(run({ entries, totalSteps: 12 }))
        assert.strictEqual(resumed.position, 8)
        assert.lengthOf(yield* unused, 0)
      }).pipe(Effect.provide(Layer.provideMerge(server, Faults.layer))))
  }

  it.effect("a journal that is damaged is Unreadable rather than begun anew", () =>
    Effect.gen(function*() {
      const entries: Entries = new Map([["run.head.0", "half"], ["run.head.1", "half"]])
      const error = yield* failure(run({ entries }))
      assert.strictEqual((error as RunJournalError).reason, "Unreadable")
    }).pipe(Effect.provide(server)))

  it.effect("a store that fails is told of as that", () =>
    Effect.gen(function*() {
      const broken = KeyValueStore.makeStringOnly({
        get: () => Effect.succeedNone,
        set: () =>
          new PlatformError.SystemError({ reason: "PermissionDenied", module: "FileSystem", method: "writeFile" }),
        remove: () => Effect.void,
        clear: Effect.void,
        size: Effect.succeed(0)
      })
      const error = yield* failure(
        RunJournal.open({ name: "run", step: Supervised.Step, create: createModel }).pipe(
          Effect.scoped,
          Effect.provide(Tinker.layer()),
          Effect.provideService(KeyValueStore.KeyValueStore, broken)
        )
      )
      assert.strictEqual((error as RunJournalError).reason, "StoreFailed")
    }).pipe(Effect.provide(server)))
})
