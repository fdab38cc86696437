import { Tokenizer } from "@effect-tinker/tokenizer"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as Lessons from "../src/Lessons.js"
import { byteTokenizer } from "./fixture.js"

const withFile = (lines: number) =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const file = `${yield* files.makeTempDirectoryScoped()}/chats.jsonl`
    const line = (i: number) =>
      JSON.stringify({ messages: [{ role: "user", content: `ask ${i}` }, { role: "assistant", content: `say ${i}` }] })
    yield* files.writeFileString(file, Array.from({ length: lines }, (_, i) => line(i)).join("\n"))
    return file
  })

/** What is learned of a file, or of the data set that ships. */
const lessonsOf = (file: string | undefined, maxTokens?: number) =>
  Effect.flatMap(
    Lessons.read(file),
    (conversations) => Lessons.encode(conversations, { maxTokens, steps: 100, batchSize: 16 })
  )

for (const [lines, train, heldOut, both] of [[100, 90, 10, 0], [9, 6, 3, 0], [2, 2, 2, 2], [1, 1, 1, 1]] as const) {
  it.scoped(`of ${lines} lines learns from ${train} and is examined on ${heldOut}, of which ${both} are learned too`, () =>
    Effect.gen(function*() {
      const lessons = yield* lessonsOf(yield* withFile(lines))
      assert.strictEqual(lessons.trainLength, train)
      assert.strictEqual(lessons.heldOut.length, heldOut)
      assert.strictEqual(lessons.alsoLearned, both)
      assert.isAbove(lessons.prompts.length, 0)
    }).pipe(Effect.provide([NodeContext.layer, byteTokenizer])))
}

it.scoped("counts the held-out conversations that stand in the file again", () =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const file = yield* withFile(9)
    const text = yield* files.readFileString(file)
    const lines = text.split("\n")
    // The third, the sixth and the ninth of nine are held out, and so of every third of eleven lines.
    yield* files.writeFileString(file, [...lines, lines[2], lines[5]].join("\n"))
    const { alsoLearned, heldOut } = yield* lessonsOf(file)
    assert.deepStrictEqual([heldOut.length, alsoLearned], [3, 2])
  }).pipe(Effect.provide([NodeContext.layer, byteTokenizer])))

it.scoped("names the line that is longer than the model's context", () =>
  Effect.gen(function*() {
    const file = yield* withFile(3)
    const error = yield* Effect.flip(lessonsOf(file, 10))
    assert.deepInclude(error, { _tag: "DatasetError", reason: "SequenceTooLong" })
    assert.include(error.message, file)
  }).pipe(Effect.provide([NodeContext.layer, byteTokenizer])))

it.scoped("leaves out keys that it is told are of no account", () =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const file = `${yield* files.makeTempDirectoryScoped()}/chats.jsonl`
    yield* files.writeFileString(
      file,
      JSON.stringify({ messages: [{ role: "assistant", content: "a", id: 1 }], system_prompt: "b" })
    )
    assert.lengthOf((yield* Lessons.read(file, { ignoredKeys: ["id", "system_prompt"] })).train, 1)
  }).pipe(Effect.provide(NodeContext.layer)))

it.scoped("turns no more into tokens than its steps and its examination need, whatever the file has", () =>
  Effect.gen(function*() {
    const file = yield* withFile(4000)
    const encoded: Array<string> = []
    const { batches, heldOut, prompts, trainLength } = yield* Effect.flatMap(
      Lessons.read(file),
      (conversations) => Lessons.encode(conversations, { maxTokens: undefined, steps: 3, batchSize: 2 })
    ).pipe(Effect.updateService(Tokenizer.Tokenizer, (tokenizer) => ({
      ...tokenizer,
      encode: (text) => {
        encoded.push(text)
        return tokenizer.encode(text)
      }
    })))
    assert.deepStrictEqual([trainLength, heldOut.length], [3600, Lessons.mostExamined])
    // Six for the steps, and eight for the fingerprint of the file.
    const answers = new Set(encoded.filter((text) => text.startsWith(" say ")))
    assert.isAtMost(answers.size, Lessons.mostExamined + 6 + 8)
    // Those are from all over the file.
    assert.deepStrictEqual([prompts[0]!.line, prompts[1]!.line], [10, 20])
    const learned = Array.from(yield* Stream.runCollect(batches)).flatMap(({ data }) => data)
    assert.lengthOf(learned, 6)
  }).pipe(Effect.provide([NodeContext.layer, byteTokenizer])))

it.effect("finds the data set that ships, no sentence of which is in both parts", () =>
  Effect.gen(function*() {
    const lessons = yield* lessonsOf(undefined)
    assert.isAtLeast(lessons.trainLength, 300)
    assert.isAtLeast(lessons.heldOut.length, 200)
    assert.strictEqual(lessons.prompts.length, 3)
    const text = (datum: Lessons.Lessons["heldOut"][number]) => JSON.stringify(datum.modelInput)
    const batches = yield* Stream.runCollect(lessons.batches)
    const trained = new Set(Array.from(batches).flatMap(({ data }) => data.map(text)))
    assert.strictEqual(trained.size, lessons.trainLength)
    assert.isFalse(lessons.heldOut.some((datum) => trained.has(text(datum))))
  }).pipe(Effect.provide([NodeContext.layer, byteTokenizer])))
