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
    for (const at of [OutFolder.prepare, OutFolder.check]) {
      for (const folder of [file, `${file}/out`, `${file}/a/b`]) {
        assert.strictEqual(
          (yield* Effect.flip(at(folder))).message,
          `cannot write to the output folder ${folder}: a file is where a folder would have to be. `
            + "Make room or pass another with --out."
        )
      }
    }
  }).pipe(Effect.provide(NodeContext.layer)))

it.scoped("looks whether a folder can be made, and leaves none, but what was there", () =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const above = yield* files.makeTempDirectoryScoped()
    yield* OutFolder.check(`${above}/a/b/c`)
    assert.deepStrictEqual(yield* files.readDirectory(above), [])
    yield* files.writeFileString(`${above}/file`, "")
    yield* OutFolder.check(above)
    assert.deepStrictEqual(yield* files.readDirectory(above), ["file"])
  }).pipe(Effect.provide(NodeContext.layer)))

it.effect("ends where the system makes no folder in one that is there", () =>
  Effect.gen(function*() {
    // As under /proc.
    const missing = new SystemError({
      module: "FileSystem",
      method: "makeDirectory",
      reason: "NotFound",
      cause: Object.assign(new Error("ENOENT"), { code: "ENOENT" })
    })
    const files = FileSystem.layerNoop({
      exists: (path) => Effect.succeed(path === "/proc"),
      makeDirectory: () => missing
    })
    for (const at of [OutFolder.prepare, OutFolder.check]) {
      const error = yield* Effect.flip(at("/proc/a/b")).pipe(Effect.provide(Layer.merge(NodeContext.layer, files)))
      assert.include(error.message, "/proc/a/b: the system makes no folder there")
    }
  }))

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

it.scoped("removes again what a run has made, and nothing that was there, or that it does not know of", () =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const above = yield* files.makeTempDirectoryScoped()
    const run = (folder: string, whole: boolean, ...more: ReadonlyArray<string>) =>
      Effect.gen(function*() {
        const undo = yield* OutFolder.undoing(folder, ["journal", "checkpoints"])
        yield* OutFolder.prepare(folder)
        yield* files.makeDirectory(`${folder}/checkpoints`, { recursive: true })
        yield* files.makeDirectory(`${folder}/journal`, { recursive: true })
        yield* files.writeFileString(`${folder}/journal/head`, "")
        for (const name of more) yield* files.writeFileString(`${folder}/${name}`, "")
        yield* undo({ whole })
        return (yield* files.readDirectory(above, { recursive: true })).toSorted()
      })
    assert.deepStrictEqual(yield* run(`${above}/runs/new`, true), [])
    assert.deepStrictEqual(yield* run(`${above}/runs`, true, "notes"), ["runs", "runs/notes"])
    assert.deepStrictEqual(yield* run(`${above}/runs`, false), [
      "runs",
      "runs/journal",
      "runs/journal/head",
      "runs/notes"
    ])
    assert.deepStrictEqual(yield* run(`${above}/runs`, true), [
      "runs",
      "runs/journal",
      "runs/journal/head",
      "runs/notes"
    ])
  }).pipe(Effect.provide(NodeContext.layer)))
