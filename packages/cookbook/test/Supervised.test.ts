import { Tokenizer } from "@effect-tinker/tokenizer"
import { FileSystem } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Chunk, Effect, Either, FastCheck, Fiber, Layer, Option, Stream, TestClock } from "effect"
import { AdamParams, ApiFuture, RestClient, ServiceClient } from "effect-tinker"
import type { TrainingClient } from "effect-tinker"
import { spawnSync } from "node:child_process"
import * as ChatDataset from "../src/ChatDataset.js"
import * as ChatFile from "../src/ChatFile.js"
import { chatLessons } from "../src/internal/chatLessons.js"
import { datumOf } from "../src/internal/example.js"
import * as LearningRateSchedule from "../src/LearningRateSchedule.js"
import * as RoleRenderer from "../src/RoleRenderer.js"
import * as Supervised from "../src/Supervised.js"
import { bytes, chat, client, createModel, example, files, layerBytes } from "./fixture.js"

const datum = (user: string, assistant: string) => RoleRenderer.toDatum(example(chat(user, assistant).messages))

const lesson = [datum("Hi.", "abc"), datum("Who?", "abc")]

const adamParams = AdamParams.make({ learningRate: 0.5, eps: 1e-8 })

const stepNumbers = <E>(batches: Stream.Stream<Supervised.Batch, E>) =>
  Stream.runCollect(batches).pipe(Effect.map((all) => Chunk.toReadonlyArray(all)))

/** A client that writes down what is submitted and awaited. */
const recorder = (events: Array<string>): TrainingClient.Service => {
  const counts = new Map<string, number>()
  const submit = <A>(name: string, result: A) =>
    Effect.sync((): ApiFuture.ApiFuture<A> => {
      const n = counts.get(name) ?? 0
      counts.set(name, n + 1)
      events.push(`${name} ${n}`)
      return {
        [ApiFuture.TypeId]: ApiFuture.TypeId,
        requestIds: [],
        await: Effect.sync(() => {
          events.push(`await ${name} ${n}`)
          return result
        }),
        states: Stream.empty,
        cancel: Effect.void
      }
    })
  const unused = () => Effect.die("not part of training")
  return {
    forward: unused,
    forwardBackward: () => submit("gradients", { lossFnOutputType: "", lossFnOutputs: [], metrics: {} }),
    optimStep: () => submit("update", { metrics: undefined }),
    saveState: ({ name }: { readonly name: string }) => submit(`save ${name}`, { path: `tinker://${name}` }),
    saveWeightsForSampler: unused,
    saveWeightsAndGetSamplingClient: unused
  } as unknown as TrainingClient.Service
}

it.effect("trains: the loss of each step is lower, and the numbers of the run go with it", () =>
  Effect.gen(function*() {
    const training = yield* createModel
    const steps = yield* Supervised.batches(lesson, { batchSize: 2, epochs: 6 }).pipe(
      Supervised.steps(training, { adamParams, schedule: LearningRateSchedule.constant }),
      Stream.runCollect
    )
    const losses = Chunk.toReadonlyArray(steps).map((step) => step.nllPerToken)
    for (let i = 1; i < losses.length; i++) assert.isBelow(losses[i]!, losses[i - 1]!)
    assert.deepInclude(Chunk.unsafeLast(steps), {
      step: 5,
      totalSteps: 6,
      epoch: 5,
      learningRate: 0.5,
      tokens: lesson.reduce(
        (sum, { modelInput: { chunks } }) => sum + (chunks[0]?.type === "encoded_text" ? chunks[0].tokens.length : 0),
        0
      )
    })
  }).pipe(Effect.provide(client())))

it.effect("reports the mean loss of the tokens that count", () =>
  Effect.gen(function*() {
    const training = yield* createModel
    const output = yield* ApiFuture.flatten(training.forward({ data: lesson, lossFn: "cross_entropy" }))
    const step = yield* Supervised.batches(lesson, { batchSize: 2 }).pipe(
      Supervised.steps(training, { adamParams }),
      Stream.runHead,
      Effect.flatten
    )
    // The weights of each of the two examples sum to 1.
    assert.closeTo(step.nllPerToken, output.metrics["loss:sum"]! / 2, 1e-5)
  }).pipe(Effect.provide(client())))

it.effect("submits a step before it awaits the one ahead, and no more", () =>
  Effect.gen(function*() {
    const events: Array<string> = []
    yield* Supervised.batches(lesson, { batchSize: 2, epochs: 3 }).pipe(
      Supervised.steps(recorder(events)),
      Stream.runForEach(({ step }) => Effect.sync(() => events.push(`done ${step}`)))
    )
    assert.deepStrictEqual(events, [
      "gradients 0",
      "update 0",
      "gradients 1",
      "update 1",
      "await gradients 0",
      "await update 0",
      "done 0",
      "gradients 2",
      "update 2",
      "await gradients 1",
      "await update 1",
      "done 1",
      "await gradients 2",
      "await update 2",
      "done 2"
    ])
  }))

it.effect("submits nothing further once nobody asks for steps", () =>
  Effect.gen(function*() {
    const events: Array<string> = []
    yield* Supervised.batches(lesson, { batchSize: 1, epochs: 50 }).pipe(
      Supervised.steps(recorder(events)),
      Stream.take(1),
      Stream.runDrain
    )
    assert.deepStrictEqual(events.filter((event) => event.startsWith("gradients")), ["gradients 0", "gradients 1"])
  }))

it.effect("saves right after the update that a checkpoint belongs to, and after the last", () =>
  Effect.gen(function*() {
    const events: Array<string> = []
    const steps = yield* Supervised.batches(lesson, { batchSize: 2, epochs: 3 }).pipe(
      Supervised.steps(recorder(events), { checkpoint: { every: 2 } }),
      Stream.runCollect
    )
    assert.deepStrictEqual(events.filter((event) => !event.startsWith("await")), [
      "gradients 0",
      "update 0",
      "gradients 1",
      "update 1",
      "save step-000002 0",
      "gradients 2",
      "update 2",
      "save step-000003 0"
    ])
    assert.deepStrictEqual(Chunk.toReadonlyArray(steps).map((step) => step.checkpoint), [
      undefined,
      "tinker://step-000002",
      "tinker://step-000003"
    ])
  }))

it.effect("saves the weights of its step, not of the step that was submitted ahead", () =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const run = (epochs: number) =>
      Effect.gen(function*() {
        const training = yield* createModel
        const steps = yield* Supervised.batches(lesson, { batchSize: 2, epochs }).pipe(
          Supervised.steps(training, {
            adamParams,
            schedule: LearningRateSchedule.constant,
            checkpoint: { every: 2, name: (steps) => `run-${epochs}-${steps}` }
          }),
          Stream.runCollect
        )
        const path = Chunk.toReadonlyArray(steps)[1]!.checkpoint!
        const restored = yield* service.createTrainingClientFromState(path)
        return yield* Supervised.evaluate(restored, lesson)
      })
    assert.deepStrictEqual(yield* run(2), yield* run(5))
  }).pipe(Effect.provide(client())))

it.effect("keeps the metadata it was given with each checkpoint", () =>
  Effect.gen(function*() {
    const training = yield* createModel
    yield* Supervised.batches(lesson, { batchSize: 2, epochs: 2 }).pipe(
      Supervised.steps(training, { checkpoint: { every: 1, userMetadata: { renderer: RoleRenderer.name } } }),
      Stream.runDrain
    )
    const { checkpoints } = yield* Effect.flatMap(
      RestClient.RestClient,
      (rest) => rest.listCheckpoints(training.info.modelId)
    )
    assert.deepStrictEqual(checkpoints.map(({ userMetadata }) => userMetadata), [
      { renderer: "role" },
      { renderer: "role" }
    ])
  }).pipe(Effect.provide(client())))

it.effect("multiplies the learning rate by the schedule, which is a falling line by default", () =>
  Effect.gen(function*() {
    const rates = (options: Supervised.StepsOptions) =>
      Supervised.batches(lesson, { batchSize: 2, epochs: 4 }).pipe(
        Supervised.steps(recorder([]), options),
        Stream.map((step) => step.learningRate),
        Stream.runCollect,
        Effect.map((all) => Chunk.toReadonlyArray(all))
      )
    assert.deepStrictEqual(yield* rates({ adamParams: AdamParams.make({ learningRate: 2 }) }), [2, 1.5, 1, 0.5])
    assert.deepStrictEqual(
      yield* rates({ adamParams: AdamParams.make({ learningRate: 2 }), schedule: LearningRateSchedule.constant }),
      [2, 2, 2, 2]
    )
  }))

it.effect("measures tokens by the second on the clock, from one finished step to the next", () =>
  Effect.gen(function*() {
    const fiber = yield* Effect.gen(function*() {
      const training = yield* createModel
      return yield* Supervised.batches(lesson, { batchSize: 2, epochs: 4 }).pipe(
        Supervised.steps(training, { adamParams }),
        Stream.runCollect
      )
    }).pipe(Effect.fork)
    yield* TestClock.adjust("1 minute")
    const steps = Chunk.toReadonlyArray(yield* Fiber.join(fiber))
    for (const step of steps.slice(1)) assert.closeTo(step.tokensPerSecond, step.tokens / 4, step.tokens / 8)
  }).pipe(Effect.provide(client({ stepDuration: "2 seconds" }))))

it.effect("ends with the error of a step that fails", () =>
  Effect.gen(function*() {
    const training = yield* createModel
    const broken = AdamParams.make({ learningRate: -1 })
    const error = yield* Supervised.batches(lesson, { batchSize: 2 }).pipe(
      Supervised.steps(training, { adamParams: broken }),
      Stream.runDrain,
      Effect.flip
    )
    assert.strictEqual(error._tag, "InvalidInputError")
  }).pipe(Effect.provide(client())))

it.effect("evaluates in groups of any size to the same loss, and changes nothing", () =>
  Effect.gen(function*() {
    const training = yield* createModel
    const data = [...lesson, datum("Where is it?", "There.")]
    const whole = yield* Supervised.evaluate(training, data)
    const parts = yield* Supervised.evaluate(training, data, { batchSize: 2 })
    assert.closeTo(parts.nllPerToken, whole.nllPerToken, 1e-6)
    assert.closeTo(whole.weight, 3, 1e-5)
  }).pipe(Effect.provide(client())))

it.effect("gives each epoch every datum once, in an order of its own that the seed decides", () =>
  Effect.gen(function*() {
    const data = Array.from({ length: 12 }, (_, i) => datum(String(i), "x"))
    const orders = (seed: number) =>
      stepNumbers(Supervised.batches(data, { batchSize: 4, epochs: 2, seed })).pipe(
        Effect.map((batches) =>
          [0, 1].map((epoch) =>
            batches.filter((batch) => batch.epoch === epoch).flatMap((batch) => batch.data.map((d) => data.indexOf(d)))
          )
        )
      )
    const [first, second] = yield* orders(1)
    for (const order of [first!, second!]) {
      assert.deepStrictEqual(order.slice().sort((a, b) => a - b), Array.from({ length: 12 }, (_, i) => i))
    }
    assert.notDeepEqual(first, second)
    assert.deepStrictEqual(yield* orders(1), [first, second])
    assert.notDeepEqual(yield* orders(2), [first, second])
  }))

it.effect("trains every datum once an epoch, whatever the batch size, and counts the steps of that", () =>
  Effect.gen(function*() {
    for (
      const [count, batchSize, sizes] of [[31, 16, [16, 15]], [7, 3, [3, 3, 1]], [6, 3, [3, 3]], [2, 8, [2]]] as const
    ) {
      const data = Array.from({ length: count }, (_, i) => datum(String(i), "x"))
      const batches = yield* stepNumbers(Supervised.batches(data, { batchSize, epochs: 2 }))
      assert.deepStrictEqual(batches.map((batch) => batch.data.length), [...sizes, ...sizes])
      assert.deepStrictEqual(batches.map((batch) => batch.step), batches.map((_, i) => i))
      for (const batch of batches) assert.strictEqual(batch.totalSteps, 2 * sizes.length)
      for (const epoch of [0, 1]) {
        const seen = batches.filter((batch) => batch.epoch === epoch).flatMap((batch) => batch.data)
        assert.strictEqual(seen.length, count)
        assert.strictEqual(new Set(seen).size, count)
      }
    }
  }))

it.effect("takes as many steps as it is told, beginning as many epochs as that takes", () =>
  Effect.gen(function*() {
    const data = Array.from({ length: 7 }, (_, i) => datum(String(i), "x"))
    const bySteps = yield* stepNumbers(Supervised.batches(data, { batchSize: 3, steps: 5 }))
    assert.deepStrictEqual(bySteps.map((batch) => batch.epoch), [0, 0, 0, 1, 1])
    assert.deepStrictEqual(bySteps.map((batch) => batch.totalSteps), [5, 5, 5, 5, 5])
  }))

it.effect("reports a loss that does not depend on how many data a batch has", () =>
  Effect.gen(function*() {
    const training = yield* createModel
    const same = Array.from({ length: 5 }, () => datum("Hi.", "abc"))
    const losses = yield* Supervised.batches(same, { batchSize: 3 }).pipe(
      Supervised.steps(training, { adamParams: AdamParams.make({ learningRate: 0 }) }),
      Stream.map((step) => step.nllPerToken),
      Stream.runCollect
    )
    const [full, smaller] = Chunk.toReadonlyArray(losses)
    assert.closeTo(smaller!, full!, 1e-6)
  }).pipe(Effect.provide(client())))

it.effect("refuses options and data that make no sense, naming them, before anything is sent", () =>
  Effect.gen(function*() {
    const wrong: ReadonlyArray<readonly [fields: ReadonlyArray<string>, Supervised.BatchesOptions]> = [
      [["batchSize"], { batchSize: 0 }],
      [["batchSize"], { batchSize: -3 }],
      [["batchSize"], { batchSize: 2.5 }],
      [["batchSize"], { batchSize: NaN }],
      [["batchSize"], { batchSize: Infinity }],
      [["batchSize"], { batchSize: "8" as never }],
      [["epochs"], { batchSize: 1, epochs: NaN }],
      [["epochs"], { batchSize: 1, epochs: 0 }],
      [["epochs"], { batchSize: 1, epochs: 1.5 }],
      [["steps"], { batchSize: 1, steps: -1 }],
      [["steps"], { batchSize: 1, steps: 2, epochs: 1 }],
      [["seed"], { batchSize: 1, seed: 0.5 }],
      [["batchSize", "epochs"], { batchSize: 0, epochs: NaN }],
      [["epoch"], { batchSize: 1, epoch: 3 } as never],
      [["batch_size", "batchSize"], { batch_size: 4 } as never]
    ]
    for (const [fields, options] of wrong) {
      const ofData = yield* Effect.flip(Stream.runDrain(Supervised.batches(lesson, options)))
      assert.deepStrictEqual([ofData.field, ...ofData.others.map(({ field }) => field)], fields)
      const ofFile = yield* Effect.flip(Stream.runDrain(Supervised.batchesFromFile("f", options)))
      assert.strictEqual(ofFile._tag, "InvalidInputError")
    }
    for (const maxTokens of [NaN, 0, -1, 2.5]) {
      const ofFile = yield* Effect.flip(Stream.runDrain(Supervised.batchesFromFile("f", { batchSize: 1, maxTokens })))
      const ofChats = yield* Effect.flip(Supervised.dataFromChats([], { maxTokens }))
      for (const error of [ofFile, ofChats]) assert.deepInclude(error, { field: "maxTokens" })
    }
    const none = yield* Effect.flip(Stream.runDrain(Supervised.batches([], { batchSize: 8, steps: 3 })))
    assert.strictEqual(none.field, "data")

    const events: Array<string> = []
    const ofSteps: ReadonlyArray<readonly [field: string, Supervised.StepsOptions<number>]> = [
      ["checkpoint.every", { checkpoint: { every: 0 } }],
      ["evaluate.every", { evaluate: { every: NaN, run: () => Effect.succeed(1) } }],
      ["checkpoints", { checkpoints: { every: 1 } } as never],
      ["checkpoint", { checkpoint: 50 } as never],
      ["checkpoint.every", { checkpoint: {} } as never],
      ["evaluate.every", { evaluate: { run: () => Effect.succeed(1) } } as never],
      ["adam_params", { adam_params: {} } as never]
    ]
    for (const [field, options] of ofSteps) {
      const error = yield* Supervised.batches(lesson, { batchSize: 1 }).pipe(
        Supervised.steps(recorder(events), options),
        Stream.runDrain,
        Effect.flip
      )
      assert.strictEqual(error._tag === "InvalidInputError" ? error.field : error._tag, field)
    }
    const size = yield* Effect.flip(Supervised.evaluate(recorder(events), lesson, { batchSize: 0 }))
    assert.strictEqual(size._tag === "InvalidInputError" ? size.field : size._tag, "batchSize")
    const nothing = yield* Effect.flip(Supervised.evaluate(recorder(events), []))
    assert.strictEqual(nothing._tag === "InvalidInputError" ? nothing.field : nothing._tag, "data")
    assert.deepStrictEqual(events, [])
  }).pipe(Effect.provide(Layer.merge(layerBytes, files("")))))

/** The loss after each step, by a program that lets every step end before the next. */
const awaited = (epochs: number) =>
  Effect.gen(function*() {
    const training = yield* createModel
    const losses: Array<number> = []
    yield* Supervised.batches(lesson, { batchSize: 1, epochs, seed: 5 }).pipe(
      Stream.runForEach((batch) =>
        Effect.gen(function*() {
          const learningRate = 0.5 * LearningRateSchedule.linear(batch.step, batch.totalSteps)
          yield* ApiFuture.flatten(training.forwardBackward({ data: batch.data, lossFn: "cross_entropy" }))
          yield* ApiFuture.flatten(training.optimStep(AdamParams.make({ ...adamParams, learningRate })))
          losses.push((yield* Supervised.evaluate(training, lesson)).nllPerToken)
        })
      )
    )
    return losses
  })

for (const every of [1, 2, 3]) {
  it.effect(`evaluates the very weights of its step, when that is each ${every} steps and after the last`, () =>
    Effect.gen(function*() {
      const expected = yield* awaited(4)
      const training = yield* createModel
      const seen: Array<number> = []
      const steps = yield* Supervised.batches(lesson, { batchSize: 1, epochs: 4, seed: 5 }).pipe(
        Supervised.steps(training, {
          adamParams,
          evaluate: {
            every,
            run: (training, { step }) => {
              seen.push(step)
              return Effect.map(Supervised.evaluate(training, lesson), ({ nllPerToken }) => nllPerToken)
            }
          }
        }),
        Stream.runCollect
      )
      const isDue = (step: number) => (step + 1) % every === 0 || step === 7
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(steps).map((step) => step.evaluation),
        expected.map((loss, step) => isDue(step) ? loss : undefined)
      )
      assert.deepStrictEqual(seen, expected.map((_, step) => step).filter(isDue))
    }).pipe(Effect.provide(client())))
}

it.effect("submits the next step when an evaluation is done, and overlaps the others as ever", () =>
  Effect.gen(function*() {
    const events: Array<string> = []
    yield* Supervised.batches(lesson, { batchSize: 2, epochs: 4 }).pipe(
      Supervised.steps(recorder(events), {
        evaluate: { every: 2, run: (_, { step }) => Effect.sync(() => events.push(`evaluate ${step}`)) }
      }),
      Stream.runForEach(({ step }) => Effect.sync(() => events.push(`done ${step}`)))
    )
    assert.deepStrictEqual(events.filter((event) => !event.startsWith("await") && !event.startsWith("update")), [
      "gradients 0",
      "gradients 1",
      "done 0",
      "evaluate 1",
      "gradients 2",
      "done 1",
      "gradients 3",
      "done 2",
      "evaluate 3",
      "done 3"
    ])
  }))

it.effect("ends with the error of an evaluation", () =>
  Effect.gen(function*() {
    const error = yield* Supervised.batches(lesson, { batchSize: 2 }).pipe(
      Supervised.steps(recorder([]), { evaluate: { every: 1, run: () => Effect.fail("too bad" as const) } }),
      Stream.runDrain,
      Effect.flip
    )
    assert.strictEqual(error, "too bad")
  }))

it.effect("refuses a conversation that is too long before the first batch, and names its line", () =>
  Effect.gen(function*() {
    const line = (text: string) => JSON.stringify({ messages: [{ role: "assistant", content: text }] })
    const error = yield* Supervised.batchesFromFile("chats.jsonl", { batchSize: 1, maxTokens: 25 }).pipe(
      Stream.runHead,
      Effect.flip,
      Effect.provide(Layer.merge(layerBytes, files(`${line("Yes.")}\n${line("No, not at all.")}\n`)))
    )
    assert.deepInclude(error, { _tag: "DatasetError", reason: "SequenceTooLong", line: 2 })
    assert.include(error.message, "25")
  }))

const line = (answer: string, rest: object = {}) =>
  JSON.stringify({ messages: [{ role: "assistant", content: answer }], ...rest })

const drain = (content: string, options: object = {}) =>
  Supervised.batchesFromFile("f", { batchSize: 1, ...options }).pipe(
    Stream.runDrain,
    Effect.provide(Layer.merge(layerBytes, files(content)))
  )

it.effect("tells of all lines of a file that cannot be learned at once, before the first batch", () =>
  Effect.gen(function*() {
    const content = [
      line("Yes."),
      "{",
      line("Yes.", { tools: [{}] }),
      line("No, not at all."),
      line("a\n\nuser: b"),
      line("Yes.", { split: "test" })
    ].join("\n")
    const error = yield* Effect.flip(drain(content, { maxTokens: 25 }))
    if (error._tag !== "DatasetError") throw error
    assert.strictEqual(error.totalLines, 6)
    assert.deepStrictEqual(
      [error, ...error.others].map(({ file, keys, line, reason }) => [file, line, reason, keys]),
      [
        ["f", 2, "MalformedLine", undefined],
        ["f", 3, "Unsupported", ["tools"]],
        ["f", 5, "NotExact", undefined],
        ["f", 6, "Unsupported", undefined]
      ]
    )
    assert.match(
      error.message,
      /\n4 of 6 lines are wrong\. Once each line is JSON, the lines without such marks are kept by jq .*\. If tools is of no account, name it in ignoredKeys\.$/
    )

    // What takes the tokenizer to be found is told when nothing else is wrong, and all of it at once.
    const long = yield* Effect.flip(
      drain([line("Yes."), line("No, not at all."), line("No."), line("No, never.")].join("\n"), { maxTokens: 25 })
    )
    if (long._tag !== "DatasetError") throw long
    assert.deepStrictEqual(
      [long, ...long.others].map(({ line, reason }) => [line, reason]),
      [[2, "SequenceTooLong"], [4, "SequenceTooLong"]]
    )
    assert.include(long.message, "2 of 4 lines are wrong.")

    // Without a tokenizer all but the length is found.
    const checked = yield* Effect.flip(Effect.provide(Supervised.chatsFromFile("f"), files(content)))
    if (checked._tag !== "DatasetError") throw checked
    assert.deepStrictEqual([checked, ...checked.others].map(({ line }) => line), [2, 3, 5, 6])
    const good = yield* Effect.provide(Supervised.chatsFromFile("f"), files(`${line("Yes.")}\n${line("No.")}`))
    assert.strictEqual(good.length, 2)
    assert.deepStrictEqual((yield* good.read([1, 0])).map(({ line }) => line), [2, 1])
  }))

it.effect("tells of all conversations that cannot be learned at once, wherever they are from", () =>
  Effect.gen(function*() {
    const chats = [
      chat("Hi.", "abc"),
      { ...chat("Hi.", "abc", { tools: [{}] }), file: "a", line: 7 },
      { ...chat("Hi.", "abc", { tools: [{}] }), file: "b", line: 8 },
      { ...chat("Hi.", "abc", { tools: [{}] }), file: "b", line: 9 }
    ]
    const error = yield* Effect.flip(Supervised.dataFromChats(chats))
    assert.deepInclude(error, { _tag: "DatasetError", file: "a", line: 7, totalLines: 4 })
    assert.match(error.message, /^a:7: .*\n {2}b:8: .* The same in line 9\.\n3 of 4 lines are wrong\. If tools is /)
    const many = yield* Effect.flip(Supervised.dataFromChats(Array<typeof chats[1]>(1000).fill(chats[1]!)))
    assert.match(many.message, /^a:7: .* and 995 more\. 1000 of 1000 lines are wrong\./)
  }).pipe(Effect.provide(layerBytes)))

it.effect("refuses lines that say they are for tests among those to train on, and says by what", () =>
  Effect.gen(function*() {
    const marks: ReadonlyArray<readonly [place: string, rest: object]> = [
      ["split", { split: "test" }],
      ["split", { split: "Validation" }],
      ["split", { split: "held-out" }],
      ["split", { split: "test[:10%]" }],
      ["Split", { Split: "test_sft" }],
      ["dataset_split", { dataset_split: "dev" }],
      ["subset", { subset: "eval" }],
      ["is_test", { is_test: true }],
      ["heldOut", { heldOut: true }],
      ["extra_info.split", { extra_info: { index: 1, split: "test" } }]
    ]
    for (const [place, rest] of marks) {
      const content = `${line("Yes.")}\n${line("No.", rest)}`
      const error = yield* Effect.flip(drain(content))
      // Leaving the key out would have the line learned.
      assert.deepInclude(error, { _tag: "DatasetError", reason: "Unsupported", line: 2 })
      assert.isUndefined(error._tag === "DatasetError" ? error.keys : "none")
      assert.include(error.message, `says by ${place} that it is for tests`)
      assert.include(error.message, "a file of their own")
      for (const key of place.split(".")) yield* drain(content, { ignoredKeys: [key] })
      // A file of nothing else is refused where it is trained on, too.
      assert.strictEqual((yield* Effect.flip(drain(line("No.", rest))))._tag, "DatasetError")
    }
    const others = [
      { split: "train" },
      { split: "train_eval" },
      { split: "latest" },
      { subset: "math" },
      { fold: 3 },
      { test: "assert a" },
      { is_test: false },
      { source: "test" },
      { extra_info: null, tags: ["test"] }
    ]
    for (const rest of others) yield* drain(line("Yes.", rest))
  }))

/** A key as others write it. */
const spellings = (key: string): ReadonlyArray<string> => [
  key,
  key.toUpperCase(),
  `${key} `,
  ` ${key}`,
  key.replaceAll("_", "-"),
  key.replaceAll("_", " "),
  key.replaceAll("_", "."),
  key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())
]

/** A mark beside the messages, or in objects there. */
const nestings = (key: string, value: unknown): ReadonlyArray<object> => [
  { [key]: value },
  { meta: { [key]: value } },
  { meta: { info: { [key]: value }, id: 1 } },
  { a: { b: { c: { d: { [key]: value } } } } }
]

const marks: ReadonlyArray<
  readonly [keys: ReadonlyArray<string>, change: ReadonlyArray<unknown>, harmless: ReadonlyArray<unknown>]
> = [
  [["is_test", "held_out", "for_eval", "validation", "test_set"], [true, 1, "true", "yes"], [
    false,
    0,
    "false",
    "no",
    null,
    "",
    "assert a"
  ]],
  [["split", "data_split", "original_split", "subset", "splits"], ["test", ["test"], "Validation", ["dev", "eval"], {
    name: "test"
  }], ["train", ["train"], "", [], null, "math", 3, "train+test"]],
  [
    ["exclude", "deleted", "skip", "is_skipped", "mask", "masked", "exclude_from_training", "removed", "do_not_train"],
    [true, 1, "yes", "2024-01-01", ["all"]],
    [false, 0, "false", "no", null, "", [], {}]
  ],
  [
    [
      "keep",
      "include",
      "is_valid",
      "use_in_training",
      "for_training",
      "in_training_set",
      "eligible_for_training",
      "approved"
    ],
    [false, 0, "false", "no"],
    [true, 1, "yes", null, ""]
  ],
  [["train", "is_trainable", "loss_weight", "weight"], [false, 0, 0.5, "no", [1, 0]], [true, 1, "true", null, []]],
  [["loss_mask", "completion_mask"], [0, [1, 0], true], [null, [], ""]],
  [["train_on_inputs"], [true, 1, "true"], [false, 0, "false", null]],
  [["tools", "functions", "system_prompt", "images", "tool_choice"], [[{}], { a: 1 }, "some"], [
    [],
    {},
    null,
    "",
    false,
    "[]",
    "none"
  ]]
]

it.effect("finds marks that change what is learned however their keys are written, at any depth, by what they say", () =>
  Effect.gen(function*() {
    const read = (rests: ReadonlyArray<object>, ignoredKeys: ReadonlyArray<string> = []) =>
      Effect.either(Effect.provide(
        Supervised.chatsFromFile("f", { ignoredKeys }),
        files(rests.map((rest) => line("Yes.", rest)).join("\n"))
      ))
    for (const [keys, changes, harmless] of marks) {
      for (const key of keys) {
        const changing = changes.flatMap((value) => [
          ...nestings(key, value),
          ...spellings(key).map((key) => ({ [key]: value }))
        ])
        const refused = Either.getOrThrow(Either.flip(yield* read(changing)))
        assert.deepInclude(refused, { _tag: "DatasetError", reason: "Unsupported", wrongLines: changing.length }, key)
        // What is named in ignoredKeys is not found, however it is written there.
        for (const ignored of spellings(key)) assert.isTrue(Either.isRight(yield* read(changing, [ignored])), ignored)
        if (refused._tag === "DatasetError" && refused.keys !== undefined) {
          assert.isTrue(Either.isRight(yield* read(changing, refused.keys)), key)
        }
        assert.isTrue(Either.isRight(yield* read(harmless.flatMap((value) => nestings(key, value)))), key)
      }
    }
    const others = [
      { train_loss: 0.3, eval_score: 0.5, passed_tests: 3, unit_test: "a", test_cases: ["a"], latest: true },
      { tags: ["test", "skip"], source: "functions", dropout: 0.1, attention: "mask", valid: true, used: "often" },
      { delete_at: "2031-01-01", training: "phase 1", quality: "invalid", created_by: "me", drop_on: "a" },
      { usage: { prompt_tokens: 3 }, choices: [{ excluded: true }], label: 0, labels: ["a"], system: null, fold: 3 }
    ]
    assert.isTrue(Either.isRight(yield* read(others)))
  }))

/** What is said of a file whose lines say these things beside their messages. */
const refusal = (rests: ReadonlyArray<object>) =>
  Supervised.chatsFromFile("f").pipe(
    Effect.flip,
    Effect.provide(files(rests.map((rest) => line("Yes.", rest)).join("\n"))),
    Effect.map((error) => error._tag === "DatasetError" ? error : assert.fail(error.message))
  )

it.effect("says by which one command the lines to learn are kept, and not to leave out a mark", () =>
  Effect.gen(function*() {
    const told: ReadonlyArray<readonly [tests: string, rests: ReadonlyArray<object>]> = [
      [".split? == \"test\"", [{ split: "test" }]],
      [".split? == \"test\"", [{ response: "B", tools: [{}], split: "test" }]],
      [".split? == (\"test\", [\"dev\"])", [{ split: "test" }, { split: ["dev"] }, { split: "test" }]],
      [".meta?.info?.split? == \"dev\"", [{ meta: { info: { split: "dev" } } }]],
      [".is_test? == true, .Split? == \"test_sft\"", [{ is_test: true }, { Split: "test_sft", tools: [{}] }]],
      [".[\"Is-Test\"]? == \"yes\"", [{ "Is-Test": "yes" }]],
      [".[\"meta data\"]?[\"is\\u0027test\"]? == 1", [{ "meta data": { "is'test": 1 } }]],
      [".keep? == false", [{ keep: false }]],
      [".is_train? == false", [{ is_train: false }]],
      [".for_training? == (false, \"no\")", [{ for_training: false }, { for_training: "no" }]],
      [".weight? == 0", [{ weight: 0 }]]
    ]
    for (const [tests, rests] of told) {
      const { advice, message } = yield* refusal([{}, ...rests])
      assert.strictEqual(
        advice,
        `The lines without such marks are kept by jq -c 'select([${tests}] | any | not)'.`
      )
      assert.include(message, advice ?? "none")
      assert.notInclude(message, "ignoredKeys")
    }
    // What may be words of somebody is not told; where such values are of any kind, their key is known by what is none.
    const secrets = yield* refusal([{}, { deleted_at: "secret" }, { deleted_at: "2024-01-01" }])
    assert.include(secrets.advice ?? "", "jq -c 'select([(.deleted_at? | . == 0 or (tostring | test(")
    assert.notInclude(secrets.message, "secret")
    for (
      const rests of [
        [{ split: "test of a secret" }],
        Array.from({ length: 11 }, (_, i) => ({ split: `test_${i}` })),
        Array.from({ length: 11 }, (_, i) => ({ [`m${i}`]: { is_test: true } })),
        [{ [`${"a".repeat(41)} split`]: "test" }]
      ]
    ) {
      const { advice, message } = yield* refusal([{}, ...rests])
      assert.match(advice ?? "", /^The lines without such marks are best kept by a program of your own/)
      assert.notInclude(message, "secret")
    }
    // Where nothing would be left there is nothing to keep.
    const none = yield* refusal([{ split: "test" }, { deleted: true }])
    assert.strictEqual(
      none.advice,
      "All lines say that they are for tests or to be left out, so none is left to train on."
    )
    assert.include((yield* refusal([{ split: "test" }])).message, "none is left to train on")
    // What is wrong with a line otherwise takes another remedy.
    for (const rest of [{ tools: [{}] }, { loss_mask: [1, 0] }, { weight: 0.5 }, { train: [1, 0] }]) {
      assert.isUndefined((yield* refusal([{}, rest])).advice)
    }
  }))

const hasJq = spawnSync("jq", ["--version"]).status === 0

/** Files whose lines say what they are for in a few ways, and others that say nothing, or something else there. */
const markedFile = FastCheck.constantFrom<
  ReadonlyArray<readonly [keys: ReadonlyArray<string>, values: ReadonlyArray<unknown>]>
>(
  [
    [["split"], [
      "train",
      "Train",
      "train_sft",
      "training",
      "test",
      "Validation",
      "held out",
      ["test"],
      ["train"],
      { name: "dev" },
      null,
      3,
      ""
    ]],
    [["metadata", "split"], ["train", "test", "eval", null, "latest"]],
    [["meta data", "Is-Test"], [true, false, "yes", " Yes ", "no", 1, 0, null, "assert a"]]
  ],
  [
    [["deleted_at"], [
      null,
      "",
      "2024-01-01",
      "None",
      " ",
      false,
      0,
      -0,
      0.0,
      5,
      [],
      {},
      "[]",
      ["a"],
      { a: 1 },
      "Off",
      "nothing",
      "[x]"
    ]],
    [["a", "b", "c'd", "exclude"], [null, "no", "some", "0.0", "0x0", true]]
  ],
  [
    [["is_train"], [true, false, "no", "yes", null, 1, 0]],
    [["for_training"], [true, false, "False", "phase 1", null]],
    [["quality", "approved"], [true, false, 0, "none"]],
    [["skip"], Array.from({ length: 30 }, (_, i) => i < 10 ? null : `because ${i}`)]
  ]
).chain((marks) =>
  FastCheck.array(
    FastCheck.tuple(...marks.map(([keys, values]) =>
      FastCheck.option(
        FastCheck.oneof(
          { weight: 6, arbitrary: FastCheck.constantFrom(...values).map((value) => nested(keys, value)) },
          // Where an object was to be there is something else.
          {
            weight: 1,
            arbitrary: FastCheck.constantFrom<unknown>(null, "test", 3, ["test"]).map((value) =>
              nested(keys.slice(0, 1), keys.length > 1 ? value : null)
            )
          }
        ),
        { nil: {} }
      )
    )).map((parts): object => Object.assign({}, ...parts)),
    { minLength: 1, maxLength: 40 }
  )
)

const nested = (keys: ReadonlyArray<string>, value: unknown): object =>
  keys.reduceRight((inner, key) => ({ [key]: inner }), value) as object

it.effect.skipIf(!hasJq)(
  "tells a command that keeps the very lines of a file that are not refused",
  () =>
    Effect.gen(function*() {
      let commands = 0
      for (const rests of FastCheck.sample(markedFile, { numRuns: 150, seed: 7 })) {
        const lines = rests.map((rest, id) => line("Yes.", { id, ...rest }))
        const checked = yield* Effect.either(Effect.provide(Supervised.chatsFromFile("f"), files(lines.join("\n"))))
        if (Either.isRight(checked) || checked.left._tag !== "DatasetError") continue
        const { advice, line: first, others } = checked.left
        const command = /jq -c '.*'(?=\.$)/.exec(advice ?? "")?.[0]
        const refused = new Set([first, ...others.map(({ line }) => line)])
        if (command === undefined) {
          assert.strictEqual(refused.size, lines.length)
          continue
        }
        commands += 1
        const { status, stdout } = spawnSync("sh", ["-c", command], { input: lines.join("\n"), encoding: "utf8" })
        assert.strictEqual(status, 0, command)
        const kept = stdout.split("\n").filter((text) => text !== "").map((text) =>
          (JSON.parse(text) as { id: number }).id
        )
        assert.deepStrictEqual(kept, lines.map((_, id) => id).filter((id) => !refused.has(id + 1)), command)
      }
      assert.isAbove(commands, 100)
    })
)

it.effect("takes conversations that all say they are for tests as data to be examined on, and not among others", () =>
  Effect.gen(function*() {
    const heldOut = [chat("Hi.", "abc", { split: "test" }), chat("Hi.", "abc", { split: "validation" })]
    assert.lengthOf(yield* Supervised.dataFromChats(heldOut), 2)
    const error = yield* Effect.flip(Supervised.dataFromChats([...heldOut, chat("Hi.", "abc", { split: "train" })]))
    assert.deepInclude(error, { reason: "Unsupported", totalLines: 3 })
    assert.include(error.message, "says by split that it is for tests")
  }).pipe(Effect.provide(layerBytes)))

it.effect("refuses a datum of which nothing would be learned, by its place", () =>
  Effect.gen(function*() {
    const { tokens, weights } = example(chat("Hi.", "abc").messages)
    const none = RoleRenderer.toDatum({ tokens, weights: weights.map(() => 0) })
    const error = yield* Effect.flip(
      Stream.runDrain(Supervised.batches([lesson[0]!, none, lesson[1]!, none], { batchSize: 1 }))
    )
    assert.strictEqual(error.field, "data.1")
    assert.deepStrictEqual(error.others.map(({ field }) => field), ["data.3"])
    assert.match(error.message, /weights that are all 0, so there is nothing to learn/)
  }))

it.effect("draws of a file the very batches that it draws of all its data", () =>
  Effect.gen(function*() {
    for (const count of [1, 7, 61]) {
      // Whatever a file has for a blank line, which JSON need not.
      const blanks = ["", "\u00a0", "\u3000", "\f", "\v", "\ufeff", "\u2028", " \t"]
      const blank = (i: number) => blanks[i % blanks.length]!
      const lines = Array.from({ length: count }, (_, i) => `${line(`say ${i}`)}\r\n${blank(i)}`)
      const content = `\n${lines.join("\n")}\n${blank(count)}`
      const data = yield* Effect.flatMap(ChatDataset.parse(content, "f"), (chats) => Supervised.dataFromChats(chats))
      for (
        const options of [{ batchSize: 3, seed: 5, epochs: 2 }, { batchSize: 16, steps: 2 }, { batchSize: 2, steps: 1 }]
      ) {
        const plain = ({ fingerprint: _, ...batch }: Supervised.Batch) => batch
        const eager = yield* stepNumbers(Supervised.batches(data, options))
        const lazy = yield* Supervised.batchesFromFile("f", options).pipe(
          Stream.runCollect,
          Effect.provide(files(content))
        )
        assert.deepStrictEqual(Array.from(lazy, plain), eager.map(plain))
        assert.strictEqual(new Set(Array.from(lazy, ({ fingerprint }) => fingerprint)).size, 1)
      }
    }
  }).pipe(Effect.provide(layerBytes)))

it.effect("turns into tokens what the steps need and a few for the fingerprint, which does not depend on how many there are", () =>
  Effect.gen(function*() {
    const encoded = new Set<string>()
    const counting = Layer.succeed(Tokenizer.Tokenizer, {
      ...bytes,
      encode: (text: string) => {
        encoded.add(text)
        return bytes.encode(text)
      }
    })
    const content = (last: string) =>
      [...Array.from({ length: 999 }, (_, i) => line(`say ${i}`)), line(last)].join("\n")
    const run = (steps: number, last = "say 999") =>
      Effect.gen(function*() {
        encoded.clear()
        const head = yield* Stream.runHead(Supervised.batchesFromFile("f", { batchSize: 2, steps }))
        return [Option.getOrThrow(head).fingerprint, Array.from(encoded).filter((text) => text.includes("say")).length]
      }).pipe(Effect.provide(Layer.merge(counting, files(content(last)))))
    const [fingerprint, few] = yield* run(1)
    assert.isAtMost(Number(few), 2 + 8)
    assert.strictEqual((yield* run(20))[0], fingerprint)
    // Also of a line that is not among the few, and that no step needs.
    assert.notStrictEqual((yield* run(1, "say 998"))[0], fingerprint)
  }))

it.effect("holds data that fit, and makes others once more, unless their line is not what it was", () =>
  Effect.gen(function*() {
    const content = (answer: string) => Array.from({ length: 600 }, (_, i) => line(`${answer} ${i}`)).join("\n")
    let text = content("a")
    const changing = FileSystem.layerNoop({
      stat: (path) => Effect.provide(Effect.flatMap(FileSystem.FileSystem, (now) => now.stat(path)), files(text)),
      stream: (path, options) =>
        Stream.unwrap(Effect.map(FileSystem.FileSystem, (now) => now.stream(path, options))).pipe(
          Stream.provideSomeLayer(Layer.suspend(() => files(text)))
        )
    })
    const chats = yield* Effect.provide(Supervised.chatsFromFile("f"), changing)
    const all = Uint32Array.from({ length: 600 }, (_, i) => i)
    const data = yield* Effect.flatMap(chats.read(all), (chats) => Supervised.dataFromChats(chats))
    const held = chatLessons(chats, datumOf(RoleRenderer.fromTokenizer(bytes), undefined), 1000)
    const told: Array<readonly [number, number]> = []
    yield* held.check(
      all,
      ({ conversations, totalBytes }) => Effect.sync(() => void told.push([conversations, totalBytes!]))
    )
    assert.deepStrictEqual(told, [[0, text.length], [500, text.length], [600, text.length]])
    assert.deepStrictEqual(yield* held.read(Uint32Array.of(599, 0, 300)), [data[599]!, data[0]!, data[300]!])

    text = content("b")
    assert.deepStrictEqual(yield* held.read(Uint32Array.of(1, 0)), [data[1]!, data[0]!])
    const error = yield* Effect.flip(held.read(Uint32Array.of(0, 300)))
    assert.deepInclude(error, { _tag: "DatasetError", reason: "Unreadable", file: "f", line: 301 })
    assert.match(error.message, /^f:301: is not what it was when the file was checked/)
    text = ""
    assert.deepInclude(yield* Effect.flip(chats.read([3])), { _tag: "DatasetError", reason: "Unreadable", line: 4 })
    assert.deepInclude(yield* Effect.flip(chats.read([600])), { _tag: "InvalidInputError", field: "places" })
  }).pipe(Effect.provide(layerBytes)))

it.effect("selects conversations of a file by their places, and counts those that stand among others too", () =>
  Effect.gen(function*() {
    const content = ["a", "b", "a", "c", "b", "b"].map((answer) => line(answer)).join("\n")
    const chats = yield* Effect.provide(Supervised.chatsFromFile("f"), files(content))
    const some = yield* ChatFile.select(chats, [5, 3, 0])
    assert.deepStrictEqual((yield* some.read([1, 0])).map(({ line }) => line), [4, 6])
    assert.strictEqual(ChatFile.countShared(some, yield* ChatFile.select(chats, [1, 4])), 1)
    assert.strictEqual(ChatFile.countShared(yield* ChatFile.select(chats, [0, 2, 3]), some), 3)
    assert.deepInclude(yield* Effect.flip(ChatFile.select(some, [3])), { field: "places" })
  }))

it.effect("reads what has no size, as a pipe, once, and finds its lines again", () =>
  Effect.gen(function*() {
    let reads = 0
    const pipe = FileSystem.layerNoop({
      stat: () => Effect.succeed({ type: "FIFO", size: FileSystem.Size(0) } as FileSystem.File.Info),
      readFile: () => {
        reads += 1
        return Effect.succeed(new TextEncoder().encode(`${line("a")}\n${line("b")}\n`))
      }
    })
    const chats = yield* Effect.provide(Supervised.chatsFromFile("/dev/stdin"), pipe)
    assert.deepStrictEqual((yield* chats.read([1])).map(({ messages }) => messages[0]!.content), ["b"])
    assert.strictEqual(reads, 1)
  }))
