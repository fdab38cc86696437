import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { SystemError } from "@effect/platform/Error"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as OutFolder from "../src/OutFolder.js"

it.scoped("makes the folder and leaves nothing in it", () =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const folder = `${yield* files.makeTempDirectoryScoped()}/a/b`
    yield* OutFolder.prepare(folder)
    assert.deepStrictEqual(yield* files.readDirectory(folder), [])
  }).pipe(Effect.provide(NodeContext.layer)))

it.scoped("says that a folder cannot be made where a file is", () =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const file = `${yield* files.makeTempDirectoryScoped()}/file`
    yield* files.writeFileString(file, "")
    const error = yield* Effect.flip(OutFolder.prepare(`${file}/out`))
    assert.include(error.message, `${file}/out`)
    assert.include(error.message, "--out")
  }).pipe(Effect.provide(NodeContext.layer)))

it.effect("says that the disk is full, and takes away what was written", () =>
  Effect.gen(function*() {
    const removed: Array<string> = []
    const full = FileSystem.layerNoop({
      makeDirectory: () => Effect.void,
      writeFile: (path) =>
        new SystemError({
          module: "FileSystem",
          method: "writeFile",
          reason: "Unknown",
          pathOrDescriptor: path,
          cause: new Error("ENOSPC: no space left on device, write")
        }),
      remove: (path) => Effect.sync(() => void removed.push(path))
    })
    const error = yield* Effect.flip(OutFolder.prepare("out")).pipe(
      Effect.provide(Layer.merge(NodeContext.layer, full))
    )
    assert.include(error.message, "no space left on device")
    assert.strictEqual(removed.length, 1)
  }))
