import { Tokenizer } from "@effect-tinker/tokenizer"
import { FileSystem, KeyValueStore } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Chunk, Effect, Layer, Stream } from "effect"
import { ApiFuture, ServiceClient, TinkerError } from "effect-tinker"
import type { TrainingClient } from "effect-tinker"
import * as ChatDataset from "../src/ChatDataset.js"
import * as ChatFile from "../src/ChatFile.js"
import * as ExactAnswers from "../src/ExactAnswers.js"
import * as LearningRateSchedule from "../src/LearningRateSchedule.js"
import * as RoleRenderer from "../src/RoleRenderer.js"
import * as RunJournal from "../src/RunJournal.js"
import * as Supervised from "../src/Supervised.js"
import { bytes, chat, example, files, layerBytes } from "./fixture.js"

/** Each function as a program without types calls it. */
type Call = (...given: ReadonlyArray<unknown>) => Effect.Effect<unknown, unknown, Services>

type Services =
  | FileSystem.FileSystem
  | KeyValueStore.KeyValueStore
  | ServiceClient.ServiceClient
  | Tokenizer.Tokenizer

/** A function that gives a stream, which is run. */
const drained = (f: unknown): Call => (...given) =>
  Stream.runDrain((f as (...given: ReadonlyArray<unknown>) => Stream.Stream<unknown, unknown, Services>)(...given))

const data = [RoleRenderer.toDatum(example(chat("Hi.", "abc").messages))]
const good = chat("Hi.", "abc")
const lines = `${JSON.stringify({ messages: good.messages })}\n`

const sent: Array<string> = []

/** What a client is asked for, which is nothing before all is checked. */
const training = (() => {
  const submit = <A>(name: string, result: A) => () =>
    Effect.sync((): ApiFuture.ApiFuture<A> => {
      sent.push(name)
      return {
        [ApiFuture.TypeId]: ApiFuture.TypeId,
        requestIds: [],
        await: Effect.succeed(result),
        states: Stream.empty,
        cancel: Effect.void
      }
    })
  const output = { lossFnOutputType: "", lossFnOutputs: [], metrics: {} }
  return {
    forward: submit("forward", output),
    forwardBackward: submit("forwardBackward", output),
    optimStep: submit("optimStep", { metrics: undefined }),
    saveState: submit("saveState", { path: "tinker://a" })
  } as unknown as TrainingClient.Service
})()

const untouched = (name: string) => () => Effect.sync(() => sent.push(name)).pipe(Effect.zipRight(Effect.never))

const nowhere = Layer.mergeAll(
  layerBytes,
  FileSystem.layerNoop({ stat: untouched("stat"), stream: () => Stream.unwrap(untouched("stream")()) }),
  Layer.succeed(ServiceClient.ServiceClient, {} as ServiceClient.Service),
  Layer.succeed(
    KeyValueStore.KeyValueStore,
    KeyValueStore.makeStringOnly({
      get: untouched("get"),
      set: untouched("set"),
      remove: untouched("remove"),
      clear: Effect.void,
      size: Effect.succeed(0)
    })
  )
)

const batches = Supervised.batches(data, { batchSize: 1 })
const journal = { name: "run", step: Supervised.Step, create: Effect.succeed(training) }

const read = ChatDataset.read as unknown as Call
const stream = drained(ChatDataset.stream)
const parse = ChatDataset.parse as unknown as Call
const fromFile = drained(Supervised.batchesFromFile)
const ofData = drained(Supervised.batches)
const dataFromChats = Supervised.dataFromChats as unknown as Call
const chatsFromFile = Supervised.chatsFromFile as unknown as Call
const select = ChatFile.select as unknown as Call
const fromChatFile = Supervised.batchesFromChatFile as unknown as Call
/** One conversation, which is not to be read. */
const opened = {
  file: "f",
  length: 1,
  read: () => Effect.die("what makes no sense is refused before a file is read"),
  marks: new Uint32Array(2),
  bytesAt: () => 1
} as ChatFile.ChatFile
const renderer = RoleRenderer.fromTokenizer(bytes)
const generationPrompt = renderer.generationPrompt as unknown as Call
const supervisedExample = renderer.supervisedExample as unknown as Call
const evaluate = Supervised.evaluate as unknown as Call
const stepsWith = Supervised.steps as unknown as (...given: ReadonlyArray<unknown>) => (batches: unknown) => unknown
const steps = drained((...given: ReadonlyArray<unknown>) => stepsWith(...given)(batches))
const stepsOf = drained((given: unknown) => stepsWith(training)(given))
const open: Call = (options) => Effect.scoped((RunJournal.open as unknown as Call)(options))
const measure = ExactAnswers.measure as unknown as Call

const noOptions = [null, 5, "a", true, [], () => 1, new Date(0), Effect.void]
const noTexts = [null, 5, true, {}, [], new URL("file:///a"), ""]
const noFlags = [null, "no", "false", 0, 1, {}]
const noCounts = [null, "2", 0, -1, 1.5, NaN, Infinity, true, {}, [1], 1n]
const noFunctions = [null, 5, "a", {}, Effect.void]
const noLists = [null, undefined, 5, "abc", {}, new Set()]

type Case = readonly [name: string, field: string, call: Effect.Effect<unknown, unknown, Services>]

const each = (name: string, field: string, values: ReadonlyArray<unknown>, call: (value: unknown) => Case[2]) =>
  values.map((value): Case => [name, field, Effect.suspend(() => call(value))])

const chatWith = (fields: object) => [good, { ...good, ...fields }]
const messageWith = (fields: object) => chatWith({ messages: [{ role: "assistant", content: "A", ...fields }] })

const chatCases = (name: string, call: (chats: unknown) => Case[2]): ReadonlyArray<Case> => [
  ...each(name, "chats", noLists, call),
  ...each(name, "chats.0", [null, undefined, 5, "a", []], (value) => call([value])),
  ...each(name, "chats.1.messages", [null, undefined, "a", {}], (messages) => call(chatWith({ messages }))),
  ...each(name, "chats.1.messages.0", [null, 5, "a", []], (message) => call(chatWith({ messages: [message] }))),
  ...each(name, "chats.1.metadata", [null, undefined, 5, "a", []], (metadata) => call(chatWith({ metadata }))),
  ...each(name, "chats.1.file", [null, 5], (file) => call(chatWith({ file }))),
  ...each(name, "chats.1.line", [null, "1", 1.5], (line) => call(chatWith({ line }))),
  ...each(name, "chats.1.weight", [0], (weight) => call(chatWith({ weight }))),
  ...each(name, "chats.1.messages.0.weight", [0, 1], (weight) => call(messageWith({ weight }))),
  ...each(name, "chats.1.messages.0.name", ["a"], (name) => call(messageWith({ name }))),
  ...each(name, "chats.1.messages.0.role", [null, 5, ""], (role) => call(messageWith({ role }))),
  ...each(name, "chats.1.messages.0.content", [null, undefined, 5, []], (content) => call(messageWith({ content }))),
  ...each(name, "chats.1.messages.0.trainable", noFlags, (trainable) => call(messageWith({ trainable }))),
  ...each(name, "chats.1.messages.0.rest", [null, 5, "a"], (rest) => call(messageWith({ rest })))
]

const messageCases = (name: string, call: (messages: unknown) => Case[2]): ReadonlyArray<Case> => {
  const withField = (fields: object) => call([good.messages[0], { role: "assistant", content: "A", ...fields }])
  return [
    ...each(name, "messages", noLists, call),
    ...each(name, "messages.1", [null, undefined, 5, "a", []], (message) => call([good.messages[0], message])),
    ...each(name, "messages.1.weight", [0, 1], (weight) => withField({ weight })),
    ...each(name, "messages.1.name", ["a"], (name) => withField({ name })),
    ...each(name, "messages.1.role", [null, 5, ""], (role) => withField({ role })),
    ...each(name, "messages.1.content", [null, undefined, 5, []], (content) => withField({ content })),
    ...each(name, "messages.1.trainable", noFlags, (trainable) => withField({ trainable })),
    ...each(name, "messages.1.rest", [null, 5, "a"], (rest) => withField({ rest }))
  ]
}

const readerCases = (name: string, call: (file: unknown, options?: unknown) => Case[2], more: object = {}) => [
  ...each(name, "options", noOptions, (options) => call("f", options)),
  ...each(name, "ignoreKeys", [["a"]], (ignoreKeys) => call("f", { ...more, ignoreKeys })),
  ...each(
    name,
    "ignoredKeys",
    ["timestamp", null, 5, {}, new Set(["a"])],
    (ignoredKeys) => call("f", { ...more, ignoredKeys })
  ),
  ...each(name, "ignoredKeys.1", [5, null], (key) => call("f", { ...more, ignoredKeys: ["a", key] })),
  ...each(name, "onProgress", noFunctions, (onProgress) => call("f", { ...more, onProgress }))
]

const batchCases = (name: string, call: (options: unknown) => Case[2]) => [
  ...each(name, "options", [undefined, ...noOptions], call),
  ...each(name, "batchSize", [undefined, ...noCounts], (batchSize) => call({ batchSize })),
  ...each(name, "epochs", noCounts, (epochs) => call({ batchSize: 1, epochs })),
  ...each(name, "steps", noCounts, (steps) => call({ batchSize: 1, steps })),
  ...each(name, "seed", [null, "1", 0.5, NaN], (seed) => call({ batchSize: 1, seed })),
  ...each(name, "maxToken", [5], (maxToken) => call({ batchSize: 1, maxToken }))
]

const dataCases = (name: string, call: (data: unknown) => Case[2]) => [
  ...each(name, "data", [...noLists, []], call),
  ...each(
    name,
    "data.1",
    [null, undefined, 5, "a", {}, [], { ...data[0], modelInput: null }, good],
    (datum) => call([data[0], datum])
  )
]

const cases: ReadonlyArray<Case> = [
  ...each("read", "file", [undefined, ...noTexts], (file) => read(file)),
  ...readerCases("read", read),
  ...each("stream", "file", [undefined, ...noTexts], (file) => stream(file)),
  ...readerCases("stream", stream),
  ...each("parse", "text", [undefined, null, 5, {}], (text) => parse(text, "f")),
  ...each("parse", "file", [undefined, null, 5, {}], (file) => parse(lines, file)),
  ...readerCases("parse", (file, options) => parse(lines, file, options)),

  ...each("chatsFromFile", "file", [undefined, ...noTexts], (file) => chatsFromFile(file)),
  ...readerCases("chatsFromFile", chatsFromFile),

  ...messageCases("generationPrompt", (messages) => generationPrompt(messages)),
  ...each("generationPrompt", "role", noTexts, (role) => generationPrompt(good.messages, role)),
  ...messageCases("supervisedExample", (messages) => supervisedExample(messages)),

  ...each("batchesFromFile", "file", [undefined, ...noTexts], (file) => fromFile(file, { batchSize: 1 })),
  ...batchCases("batchesFromFile", (options) => fromFile("f", options)),
  ...readerCases("batchesFromFile", fromFile, { batchSize: 1 }),
  ...each("batchesFromFile", "maxTokens", noCounts, (maxTokens) => fromFile("f", { batchSize: 1, maxTokens })),
  ...each("batchesFromChatFile", "chats", [null, undefined, 5, "f"], (chats) => fromChatFile(chats, { batchSize: 1 })),
  ...each(
    "batchesFromChatFile",
    "chats.length",
    noCounts,
    (length) => fromChatFile({ ...opened, length }, { batchSize: 1 })
  ),
  ...batchCases("batchesFromChatFile", (options) => fromChatFile(opened, options)),
  ...each(
    "batchesFromChatFile",
    "onProgress",
    noFunctions,
    (onProgress) => fromChatFile(opened, { batchSize: 1, onProgress })
  ),
  ...each("select", "chats", [null, undefined, 5, "f"], (chats) => select(chats, [0])),
  ...each(
    "select",
    "places",
    [null, undefined, 5, "a", {}, [1], [-1], [0.5], ["0"], [NaN]],
    (places) => select(opened, places)
  ),
  ...batchCases("batches", (options) => ofData(data, options)),
  ...dataCases("batches", (data) => ofData(data, { batchSize: 1 })),

  ...chatCases("dataFromChats", (chats) => dataFromChats(chats)),
  ...each("dataFromChats", "options", noOptions, (options) => dataFromChats([good], options)),
  ...each("dataFromChats", "maxTokens", noCounts, (maxTokens) => dataFromChats([good], { maxTokens })),
  ...each("dataFromChats", "onProgress", noFunctions, (onProgress) => dataFromChats([good], { onProgress })),
  ...each("dataFromChats", "maxToken", [5], (maxToken) => dataFromChats([good], { maxToken })),

  ...each(
    "evaluate",
    "training",
    [null, undefined, 5, {}, Effect.succeed(training)],
    (client) => evaluate(client, data)
  ),
  ...dataCases("evaluate", (data) => evaluate(training, data)),
  ...each("evaluate", "options", noOptions, (options) => evaluate(training, data, options)),
  ...each("evaluate", "batchSize", noCounts, (batchSize) => evaluate(training, data, { batchSize })),
  ...each("evaluate", "batchsize", [5], (batchsize) => evaluate(training, data, { batchsize })),

  ...each("steps", "training", [null, undefined, 5, {}, Effect.succeed(training)], (client) => steps(client)),
  ...each("steps", "batches", [null, undefined, 5, [], Effect.void], stepsOf),
  ...each("steps", "batch", [null, 5, "a", data], (batch) => stepsOf(Stream.make(batch))),
  ...each(
    "steps",
    "batch.step",
    [undefined, "0", -1, 0.5],
    (step) => stepsOf(Stream.make({ data, step, totalSteps: 1, epoch: 0 }))
  ),
  ...each("steps", "options", noOptions, (options) => steps(training, options)),
  ...each("steps", "adamParams", [null, 5, "a", []], (adamParams) => steps(training, { adamParams })),
  ...each(
    "steps",
    "adamParams.learningRate",
    [NaN, -1, "1"],
    (learningRate) => steps(training, { adamParams: { learningRate } })
  ),
  ...each("steps", "schedule", noFunctions, (schedule) => steps(training, { schedule })),
  ...each(
    "steps",
    "schedule",
    [null, undefined, NaN, -1, "1", {}, Infinity],
    (factor) => steps(training, { schedule: () => factor })
  ),
  ...each(
    "steps",
    "schedule",
    [5, null, "a"],
    (schedule) => steps(training, { schedule: LearningRateSchedule.withWarmUp(schedule as never, 2) })
  ),
  ...each(
    "steps",
    "schedule",
    [null, "2", -1, 0.5, NaN, undefined],
    (warmUp) =>
      steps(training, { schedule: LearningRateSchedule.withWarmUp(LearningRateSchedule.linear, warmUp as never) })
  ),
  ...each("steps", "checkpoint", [null, 5, "a", []], (checkpoint) => steps(training, { checkpoint })),
  ...each("steps", "checkpoint.every", [undefined, ...noCounts], (every) => steps(training, { checkpoint: { every } })),
  ...each("steps", "checkpoint.names", ["a"], (names) => steps(training, { checkpoint: { every: 1, names } })),
  ...each(
    "steps",
    "checkpoint.name",
    [...noFunctions, ...noTexts.map((text) => () => text)],
    (name) => steps(training, { checkpoint: { every: 1, name } })
  ),
  ...each(
    "steps",
    "checkpoint.userMetadata",
    [null, 5, "a", []],
    (userMetadata) => steps(training, { checkpoint: { every: 1, userMetadata } })
  ),
  ...each(
    "steps",
    "checkpoint.userMetadata.renderer",
    noTexts.filter((text) => typeof text !== "string"),
    (renderer) => steps(training, { checkpoint: { every: 1, userMetadata: { renderer } } })
  ),
  ...each("steps", "evaluate", [null, 5, "a", []], (evaluate) => steps(training, { evaluate })),
  ...each(
    "steps",
    "evaluate.every",
    [undefined, ...noCounts],
    (every) => steps(training, { evaluate: { every, run: () => Effect.void } })
  ),
  ...each(
    "steps",
    "evaluate.run",
    [undefined, ...noFunctions],
    (run) => steps(training, { evaluate: { every: 1, run } })
  ),

  ...each("open", "options", [undefined, ...noOptions], open),
  ...each("open", "name", [undefined, ...noTexts], (name) => open({ ...journal, name })),
  ...each("open", "step", [undefined, null, 5, {}, "a"], (step) => open({ ...journal, step })),
  ...each(
    "open",
    "create",
    [undefined, null, 5, {}, training, () => Effect.void],
    (create) => open({ ...journal, create })
  ),
  ...each("open", "settings", [null, 5, "a", []], (settings) => open({ ...journal, settings })),
  ...each("open", "settings.a", [null, undefined, NaN, {}, 1n], (a) => open({ ...journal, settings: { a } })),
  ...each("open", "allowOtherData", noFlags, (allowOtherData) => open({ ...journal, allowOtherData })),
  ...each("open", "allowOtherBatching", noFlags, (allowOtherBatching) => open({ ...journal, allowOtherBatching })),
  ...each("open", "lease", [null, 0, -5, "abc", Infinity, {}], (lease) => open({ ...journal, lease })),
  ...each("open", "setings", [{}], (setings) => open({ ...journal, setings })),

  ...each("measure", "sampling", [null, undefined, 5, {}], (sampling) => measure(sampling, [good])),
  ...chatCases("measure", (chats) => measure({ sample: untouched("sample") }, chats)),
  ...each("measure", "options", noOptions, (options) => measure({ sample: untouched("sample") }, [good], options)),
  ...each(
    "measure",
    "maxTokens",
    noCounts,
    (maxTokens) => measure({ sample: untouched("sample") }, [good], { maxTokens })
  ),
  ...each("measure", "group", noFunctions, (group) => measure({ sample: untouched("sample") }, [good], { group }))
]

for (const name of Array.from(new Set(cases.map(([name]) => name)))) {
  it.effect(`${name} refuses arguments of every wrong kind by name, before anything is read or sent`, () =>
    Effect.gen(function*() {
      for (const [, field, call] of cases.filter((one) => one[0] === name)) {
        sent.length = 0
        const error = yield* Effect.flip(call)
        const found = error instanceof TinkerError.InvalidInputError ? error.field : error
        assert.strictEqual(found, field, String(error))
        assert.deepStrictEqual(sent, [], String(error))
      }
    }).pipe(Effect.provide(nowhere)))
}

it.effect("a text in place of a number is told of as a text", () =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(Stream.runDrain(Supervised.batches(data, { batchSize: "2" as never })))
    assert.include(error.message, "batchSize: is a text; it must be a whole number, 1 or more.")
  }))

it.effect("functions that give back no Effect are refused by name where they do", () =>
  Effect.gen(function*() {
    for (const given of [undefined, null, 5, "a", Promise.resolve(1)]) {
      const ofSteps = yield* Effect.flip(steps(training, { evaluate: { every: 1, run: () => given } }))
      assert.deepInclude(ofSteps, { _tag: "InvalidInputError", field: "evaluate.run" })
      const ofRead = yield* Effect.flip(read("f", { onProgress: () => given }))
      assert.deepInclude(ofRead, { _tag: "InvalidInputError", field: "onProgress" })
      const ofData = yield* Effect.flip(dataFromChats([good], { onProgress: () => given }))
      assert.deepInclude(ofData, { _tag: "InvalidInputError", field: "onProgress" })
    }
  }).pipe(Effect.provide(Layer.merge(nowhere, files(lines)))))

it.effect("what is right is taken as it is, with every option said to be undefined", () =>
  Effect.gen(function*() {
    const seen = yield* Supervised.batches(data, { batchSize: 1, epochs: undefined, steps: undefined, seed: undefined })
      .pipe(
        Supervised.steps(training, {
          adamParams: undefined,
          schedule: undefined,
          checkpoint: { every: 1, name: undefined },
          evaluate: undefined
        }),
        Stream.runCollect
      )
    assert.deepInclude(Chunk.unsafeHead(seen), { step: 0, checkpoint: "tinker://a" })
    assert.lengthOf(yield* Supervised.dataFromChats([good], { maxTokens: undefined }), 1)
    yield* ChatDataset.parse(lines, "f", { ignoredKeys: undefined, onProgress: undefined })
  }).pipe(Effect.provide(layerBytes)))
