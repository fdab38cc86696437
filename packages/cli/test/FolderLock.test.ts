import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { SystemError } from "@effect/platform/Error"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import { spawn } from "node:child_process"
import * as FolderLock from "../src/FolderLock.js"
import * as ProcessMark from "../src/ProcessMark.js"

const inFolder = (
  name: string,
  test: (folder: string) => Effect.Effect<void, unknown, FileSystem.FileSystem | NodeContext.NodeContext | Scope.Scope>
) =>
  it.scoped(name, () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      yield* test(`${yield* fs.makeTempDirectoryScoped()}/data`)
    }).pipe(Effect.provide(NodeContext.layer)))

/** As a process with this mark has left it. */
const leave = (folder: string, text: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    yield* fs.makeDirectory(`${folder}/.lock/7`, { recursive: true })
    yield* fs.writeFileString(`${folder}/.lock/7/owner`, text)
  })

/** The number of a process that has ended. */
const ended = Effect.async<number>((resume) => {
  const child = spawn(process.execPath, ["--version"], { stdio: "ignore" })
  child.once("exit", () => resume(Effect.succeed(child.pid!)))
})

/** A system that tells of its processes what is given, or nothing. */
const withProcesses = (stat: string | undefined) =>
  Layer.effect(
    FileSystem.FileSystem,
    Effect.map(FileSystem.FileSystem, (fs) => ({
      ...fs,
      readFileString: (path: string) => {
        if (!path.startsWith("/proc/")) return fs.readFileString(path)
        return stat !== undefined && path.endsWith("/stat") ? Effect.succeed(stat) : new SystemError({
          module: "FileSystem",
          method: "readFile",
          reason: "NotFound",
          pathOrDescriptor: path
        })
      }
    }))
  ).pipe(Layer.provideMerge(NodeContext.layer))

const statOf = (state: string, start: number) => `1 (a (b) c) ${state} ${Array(18).fill("0").join(" ")} ${start} 0 0\n`

describe("a folder", () => {
  inFolder("that is in use is refused, untouched, with who has it and what to do", (folder) =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      yield* FolderLock.acquire(folder)
      const before = yield* fs.readDirectory(folder, { recursive: true })
      const error = yield* Effect.flip(FolderLock.acquire(folder))
      assert.strictEqual(
        error.message,
        `the folder ${folder} is in use by process ${process.pid}, another server. `
          + "Stop that one, or give another folder with --data."
      )
      assert.deepStrictEqual(yield* fs.readDirectory(folder, { recursive: true }), before)
    }))

  inFolder("is free again when the scope has closed, however often", (folder) =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      for (let i = 0; i < 3; i++) {
        yield* Effect.scoped(Effect.zipRight(
          FolderLock.acquire(folder),
          Effect.flip(Effect.scoped(FolderLock.acquire(folder)))
        ))
      }
      assert.lengthOf(yield* fs.readDirectory(`${folder}/.lock`), 1)
    }))

  inFolder("of a process that has ended is taken over", (folder) =>
    Effect.gen(function*() {
      yield* leave(folder, JSON.stringify({ ...(yield* ProcessMark.own), pid: yield* ended }))
      yield* FolderLock.acquire(folder)
      assert.include((yield* Effect.flip(FolderLock.acquire(folder))).message, `process ${process.pid},`)
    }))

  inFolder("of a process whose number is another's now is taken over", (folder) =>
    Effect.gen(function*() {
      const own = yield* ProcessMark.own
      yield* leave(folder, JSON.stringify({ ...own, start: "1" }))
      if (own.start === undefined) yield* Effect.flip(FolderLock.acquire(folder))
      else yield* FolderLock.acquire(folder)
    }))

  inFolder("of a process from before the machine was started anew is taken over", (folder) =>
    Effect.gen(function*() {
      const own = yield* ProcessMark.own
      yield* leave(folder, JSON.stringify({ ...own, boot: "another" }))
      if (own.boot === undefined) yield* Effect.flip(FolderLock.acquire(folder))
      else yield* FolderLock.acquire(folder)
    }))

  inFolder(
    "of a process that has ended, and whose parent has not noticed, is taken over",
    (folder) =>
      Effect.gen(function*() {
        yield* leave(folder, JSON.stringify({ pid: process.pid, start: "5" }))
        const acquire = FolderLock.acquire(folder)
        yield* Effect.flip(Effect.provide(acquire, withProcesses(statOf("S", 5))))
        yield* Effect.provide(acquire, withProcesses(statOf("Z", 5)))
      })
  )

  inFolder(
    "with a lock that a machine without power has left half written is taken over",
    (folder) =>
      Effect.gen(function*() {
        yield* leave(folder, "{\"pid\":")
        yield* FolderLock.acquire(folder)
      })
  )

  inFolder(
    "is kept by the number alone where processes do not tell when they began",
    (folder) =>
      Effect.gen(function*() {
        yield* leave(folder, JSON.stringify({ pid: yield* ended }))
        yield* FolderLock.acquire(folder)
        const error = yield* Effect.flip(FolderLock.acquire(folder))
        assert.include(error.message, `process ${process.pid},`)
      }).pipe(Effect.provide(withProcesses(undefined)))
  )

  for (const [what, before] of [["free", undefined], ["left behind", "{}"]] as const) {
    inFolder(`that is ${what} has one owner, of many that want it at once`, (folder) =>
      Effect.gen(function*() {
        if (before !== undefined) yield* leave(folder, before)
        // Whoever has it gives it back at once, so that others come while a third looks.
        let owners = 0
        let most = 0
        const turn = Effect.gen(function*() {
          const scope = yield* Scope.make()
          const exit = yield* Effect.exit(Scope.extend(FolderLock.acquire(folder), scope))
          if (Exit.isSuccess(exit)) {
            owners += 1
            most = Math.max(most, owners)
            yield* Effect.yieldNow()
            owners -= 1
          }
          yield* Scope.close(scope, Exit.void)
          return Exit.isSuccess(exit)
        })
        const won = yield* Effect.all(Array.from({ length: 200 }, () => turn), { concurrency: 20 })
        assert.strictEqual(most, 1)
        assert.include(won, true)

        const all = yield* Effect.all(Array.from({ length: 50 }, () => Effect.either(FolderLock.acquire(folder))), {
          concurrency: "unbounded"
        })
        assert.lengthOf(all.filter(({ _tag }) => _tag === "Right"), 1)
      }))
  }

  inFolder("that cannot be made is refused with the reason", (folder) =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      yield* fs.writeFileString(folder, "")
      const error = yield* Effect.flip(FolderLock.acquire(folder))
      assert.include(error.message, folder)
      assert.include(error.message, "--data")
    }))
})

it.scoped("a folder that cannot be made, as a file is in the way, is told of in plain words", () =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const file = yield* files.makeTempFileScoped()
    assert.strictEqual(
      (yield* Effect.flip(FolderLock.acquire(`${file}/a`))).message,
      `the folder ${file}/a cannot be used: a file is where a folder would have to be. Mend that, or give another with --data.`
    )
  }).pipe(Effect.provide(NodeContext.layer)))
