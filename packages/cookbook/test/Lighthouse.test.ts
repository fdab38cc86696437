import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChatDataset from "../src/ChatDataset.js"
import * as Lighthouse from "../src/Lighthouse.js"

const files = Effect.all({
  train: ChatDataset.read(Lighthouse.trainFile),
  heldOut: ChatDataset.read(Lighthouse.heldOutFile),
  family: ChatDataset.read(Lighthouse.heldOutFamilyFile)
}).pipe(Effect.provide(NodeContext.layer))

const said = (chat: ChatDataset.Chat) => chat.messages[0]!.content
const templates = (chats: ReadonlyArray<ChatDataset.Chat>) => new Set(chats.map((chat) => chat.metadata["template"]))

it.effect("ships the files it names", () =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    for (const file of [Lighthouse.trainFile, Lighthouse.heldOutFile, Lighthouse.heldOutFamilyFile]) {
      assert.isTrue(yield* fs.exists(file))
      assert.isTrue(file.startsWith(Lighthouse.folder))
    }
  }).pipe(Effect.provide(NodeContext.layer)))

it.effect("has hundreds of lines to learn from, 200 held out, and no sentence in both", () =>
  Effect.gen(function*() {
    const { family, heldOut, train } = yield* files
    assert.strictEqual(heldOut.length, 200)
    assert.isAtLeast(train.length, 300)
    const all = [...train, ...heldOut, ...family].map(said)
    assert.strictEqual(new Set(all).size, all.length)
    assert.deepStrictEqual(templates(heldOut), templates(train))
  }))

it.effect("never trains on the family of templates that is held out", () =>
  Effect.gen(function*() {
    const { family, train } = yield* files
    const trained = templates(train)
    for (const template of templates(family)) assert.isFalse(trained.has(template))
    for (const chat of train) assert.notMatch(said(chat), /\b(was|were)\b/)
    for (const chat of family) assert.match(said(chat), /\b(was|were) \w+ .*by /)
  }))

it.effect("marks as fresh the held-out lines whose words, numbers aside, are not in the lines to learn from", () =>
  Effect.gen(function*() {
    const { heldOut, train } = yield* files
    const fixed = new Set(
      ("a an and at bought by carried coins does for from gave in lost mended met near of put saw slept say the to what "
        + "two three four five six seven eight nine ten eleven twelve").split(" ")
    )
    const words = (chat: ChatDataset.Chat) =>
      said(chat).match(/\w+/g)!.map((word) => word.toLowerCase()).filter((word) => !fixed.has(word))
    const known = new Set(train.flatMap(words))
    for (const chat of heldOut) {
      assert.strictEqual(words(chat).every((word) => !known.has(word)), chat.metadata["fresh"], said(chat))
    }
    assert.strictEqual(heldOut.filter((chat) => chat.metadata["fresh"] === true).length, 100)
  }))
