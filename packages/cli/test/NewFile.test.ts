import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { chmodSync, lstatSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as NewFile from "../src/NewFile.js"
import { folder } from "./program.js"

const write = (place: string, text: string) =>
  Effect.provide(NewFile.write(place, Stream.make(new TextEncoder().encode(text))), NodeContext.layer)

it.scopedLive("writes what a link leads to, keeps the mode of a file, and writes into a pipe as it is", () =>
  Effect.gen(function*() {
    const place = yield* folder
    const real = join(place, "real")
    writeFileSync(real, "before")
    chmodSync(real, 0o600)
    symlinkSync(real, join(place, "link"))
    assert.strictEqual(yield* write(join(place, "link"), "now"), 3)
    assert.isTrue(lstatSync(join(place, "link")).isSymbolicLink())
    assert.strictEqual(readFileSync(real, "utf8"), "now")
    assert.strictEqual(statSync(real).mode & 0o777, 0o600)
    const pipe = join(place, "pipe")
    execFileSync("mkfifo", [pipe])
    const reader = spawn("cat", [pipe])
    const read = Effect.async<string>((resume) => {
      let text = ""
      reader.stdout.on("data", (part: Buffer) => text += part.toString())
      reader.on("close", () => resume(Effect.succeed(text)))
    })
    const [text] = yield* Effect.all([read, write(pipe, "through")], { concurrency: 2 })
    assert.strictEqual(text, "through")
    assert.isTrue(statSync(pipe).isFIFO())
  }))

it.scopedLive("leaves a folder in the way alone, and nothing behind where the bytes end with a failure", () =>
  Effect.gen(function*() {
    const place = yield* folder
    mkdirSync(join(place, "there"))
    const error = yield* Effect.flip(write(join(place, "there"), "x"))
    assert.match(error.message, /there is a folder\. Give the name of a file/)
    yield* Effect.flip(
      Effect.provide(
        NewFile.write(join(place, "new"), Stream.concat(Stream.make(new Uint8Array(3)), Stream.fail("cut"))),
        NodeContext.layer
      )
    )
    assert.deepStrictEqual(execFileSync("ls", ["-A", place], { encoding: "utf8" }).trim().split("\n"), ["there"])
  }))
