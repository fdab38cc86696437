import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
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

for (const [lines, train, heldOut] of [[100, 90, 10], [9, 6, 3], [2, 2, 2], [1, 1, 1]] as const) {
  it.scoped(`of ${lines} lines learns from ${train} and is examined on ${heldOut}`, () =>
    Effect.gen(function*() {
      const lessons = yield* Lessons.read(yield* withFile(lines), undefined)
      assert.strictEqual(lessons.train.length, train)
      assert.strictEqual(lessons.heldOut.length, heldOut)
      assert.isAbove(lessons.prompts.length, 0)
    }).pipe(Effect.provide([NodeContext.layer, byteTokenizer])))
}

it.scoped("names the line that is longer than the model's context", () =>
  Effect.gen(function*() {
    const file = yield* withFile(3)
    const error = yield* Effect.flip(Lessons.read(file, 10))
    assert.deepInclude(error, { _tag: "DatasetError", reason: "SequenceTooLong" })
    assert.include(error.message, file)
  }).pipe(Effect.provide([NodeContext.layer, byteTokenizer])))

it.effect("finds the data set that ships, no sentence of which is in both parts", () =>
  Effect.gen(function*() {
    const lessons = yield* Lessons.read(undefined, undefined)
    assert.isAtLeast(lessons.train.length, 300)
    assert.isAtLeast(lessons.heldOut.length, 200)
    assert.strictEqual(lessons.prompts.length, 3)
    const text = (datum: Lessons.Lessons["train"][number]) => JSON.stringify(datum.modelInput)
    const trained = new Set(lessons.train.map(text))
    assert.isFalse(lessons.heldOut.some((datum) => trained.has(text(datum))))
  }).pipe(Effect.provide([NodeContext.layer, byteTokenizer])))
