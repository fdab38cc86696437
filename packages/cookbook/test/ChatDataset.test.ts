import { FileSystem } from "@effect/platform"
import { SystemError } from "@effect/platform/Error"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChatDataset from "../src/ChatDataset.js"

const line = (messages: unknown, rest: object = {}) => JSON.stringify({ messages, ...rest })

const good = line([{ role: "user", content: "Hello." }, { role: "assistant", content: "Good day." }])

const failing = (reason: "NotFound" | "PermissionDenied") =>
  FileSystem.layerNoop({
    readFileString: (path) =>
      Effect.fail(
        new SystemError({ reason, module: "FileSystem", method: "readFileString", pathOrDescriptor: path })
      )
  })

it.effect("reads each line with its number, and keeps the other keys", () =>
  Effect.gen(function*() {
    const text = `${good}\n\n${line([{ role: "assistant", content: "Alone." }], { template: "t", weight: 2 })}\r\n`
    const chats = yield* ChatDataset.parse(text, "chats.jsonl")
    assert.deepStrictEqual(chats.map((chat) => chat.line), [1, 3])
    assert.deepStrictEqual(chats[0]!.messages[1], { role: "assistant", content: "Good day." })
    assert.deepStrictEqual(chats[1]!.metadata, { template: "t", weight: 2 })
  }))

it.effect("reads a file that begins with a byte order mark", () =>
  Effect.gen(function*() {
    assert.strictEqual((yield* ChatDataset.parse(`\uFEFF${good}`, "chats.jsonl")).length, 1)
  }))

it.effect("names the file and the line of what is no JSON", () =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(ChatDataset.parse(`${good}\n{"messages": [\n`, "chats.jsonl"))
    assert.strictEqual(error.reason, "MalformedLine")
    assert.match(error.message, /^chats\.jsonl:2: /)
  }))

it.effect("names the place of a missing or wrong value, and does not repeat the content", () =>
  Effect.gen(function*() {
    const bad = [
      [line([{ role: "user", content: "secret" }, { role: "assistant" }]), "messages.1.content"],
      [line([{ role: "user", content: 7 }]), "messages.0.content"],
      [line([]), "messages"],
      [JSON.stringify({ prompt: "secret" }), "messages"]
    ] as const
    for (const [text, place] of bad) {
      const error = yield* Effect.flip(ChatDataset.parse(text, "chats.jsonl"))
      assert.strictEqual(error.reason, "MalformedLine")
      assert.include(error.message, place)
      assert.notInclude(error.message, "secret")
    }
  }))

it.effect("refuses a conversation in which the assistant says nothing", () =>
  Effect.gen(function*() {
    const text = `${good}\n${line([{ role: "user", content: "Hello?" }])}`
    const error = yield* Effect.flip(ChatDataset.parse(text, "chats.jsonl"))
    assert.strictEqual(error.reason, "NoAssistantMessage")
    assert.strictEqual(error.line, 2)
  }))

it.effect("refuses a file without a conversation", () =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(ChatDataset.parse("\n  \n", "chats.jsonl"))
    assert.strictEqual(error.reason, "Empty")
  }))

it.effect("tells a missing file from one that cannot be read", () =>
  Effect.gen(function*() {
    const missing = yield* Effect.flip(Effect.provide(ChatDataset.read("a.jsonl"), failing("NotFound")))
    assert.strictEqual(missing.reason, "FileMissing")
    assert.include(missing.message, "a.jsonl")
    const denied = yield* Effect.flip(Effect.provide(ChatDataset.read("a.jsonl"), failing("PermissionDenied")))
    assert.strictEqual(denied.reason, "Unreadable")
  }))
