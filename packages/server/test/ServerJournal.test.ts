import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { SystemError } from "@effect/platform/Error"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ServerJournal } from "../src/index.js"
import * as Wire from "./wire.js"

const inLife = <A, E, R>(
  folder: string,
  work: (journal: ServerJournal.Service) => Effect.Effect<A, E, R>,
  slackBytes = 1 << 20
) =>
  Effect.flatMap(ServerJournal.ServerJournal, work).pipe(
    Effect.provide(ServerJournal.layer(folder, { slackBytes }))
  )

/** Files that are written anew are opened by way of this. */
const withNewFiles = (
  through: (open: ReturnType<FileSystem.FileSystem["open"]>) => ReturnType<FileSystem.FileSystem["open"]>
) =>
  Layer.effect(
    FileSystem.FileSystem,
    Effect.map(FileSystem.FileSystem, (fs) => ({
      ...fs,
      open: (path: string, options?: FileSystem.OpenFileOptions) =>
        path.endsWith(".new") ? through(fs.open(path, options)) : fs.open(path, options)
    }))
  )

const journals = Effect.fn(function*(folder: string) {
  const fs = yield* FileSystem.FileSystem
  return (yield* fs.readDirectory(folder)).filter((name) => name.startsWith("journal-"))
})

const count = 4000

/** Of every key others, some of them long. */
const payloadOf = (i: number, round: number) =>
  new Uint8Array(i % 500 === 7 && i < 2500 ? 1_500_000 : 900).fill(i * 31 + round)

it.scoped("a journal that is written anew holds the last of each key, in the order of the first, and its bytes", () =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.makeTempDirectoryScoped()
    const wanted = new Map<string, { readonly value: unknown; readonly payload: Uint8Array }>()
    yield* inLife(folder, ({ unsafeCommit }) =>
      Effect.gen(function*() {
        const put = (i: number, round: number) => {
          const one = { value: { i, round }, payload: payloadOf(i, round) }
          wanted.set(`key:${i}`, one)
          return { key: `key:${i}`, ...one }
        }
        for (let i = 0; i < count; i++) yield* unsafeCommit([put(i, 0), { key: `short:${i}`, value: i }])
        // The oldest are forgotten, so that what is left begins in the middle; a few are written again, at the end.
        for (let i = 0; i < count / 2; i++) {
          const isKept = i % 100 === 0
          if (!isKept) wanted.delete(`key:${i}`)
          yield* unsafeCommit([isKept ? put(i, 1) : { key: `key:${i}` }])
        }
        for (let i = 0; i < count; i++) yield* unsafeCommit([{ key: `short:${i}` }])
        while ((yield* journals(folder)).includes("journal-000001")) yield* Effect.yieldNow()
      }))
    yield* inLife(folder, ({ payload, take }) =>
      Effect.gen(function*() {
        const entries = yield* take
        assert.deepStrictEqual(
          entries,
          Array.from(wanted, ([key, { value }]) => ({ key, value }))
        )
        // Each is read by itself, which takes time.
        const some = Array.from(wanted).filter(([, one], i) => i % 20 === 0 || one.payload.length > 900)
        for (const [key, one] of some) {
          assert.isTrue(Buffer.from(one.payload).equals(yield* payload(key)), key)
        }
      }))
  }).pipe(Effect.provide(NodeContext.layer)))

it.scoped("changes are written while a journal is written anew, and are there afterwards with what was copied", () =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.makeTempDirectoryScoped()
    const begun = yield* Effect.makeLatch(false)
    const released = yield* Effect.makeLatch(false)
    const held = withNewFiles((open) => Effect.zipRight(Effect.zipRight(begun.open, released.await), open))
    const bytesOf = (value: number) => new Uint8Array(100).fill(value)
    const last = yield* inLife(folder, ({ payload, unsafeCommit }) =>
      Effect.gen(function*() {
        const put = (key: string, value: number) => unsafeCommit([{ key, value, payload: bytesOf(value) }])
        for (const key of ["same", "changed", "forgotten", "gone and back"]) yield* put(key, 0)
        for (let i = 0; i < 30; i++) yield* put("busy", i)
        yield* begun.await
        yield* put("changed", 1)
        yield* put("new", 2)
        yield* unsafeCommit([{ key: "forgotten" }, { key: "gone and back" }])
        yield* put("gone and back", 3)
        yield* released.open
        while ((yield* journals(folder)).includes("journal-000001")) yield* Effect.yieldNow()
        yield* put("after", 4)
        return [...yield* payload("same"), ...yield* payload("new"), ...yield* payload("after")]
      }), 1000).pipe(Effect.provide(held))
    assert.deepStrictEqual(last, [0, 2, 4].flatMap((value) => [...bytesOf(value)]))
    yield* inLife(folder, ({ payload, take }) =>
      Effect.gen(function*() {
        const values = new Map((yield* take).map(({ key, value }) => [key, value as number]))
        assert.deepStrictEqual(
          Array.from(values),
          [["same", 0], ["changed", 1], ["busy", 29], ["new", 2], ["gone and back", 3], ["after", 4]]
        )
        for (const [key, value] of values) assert.deepStrictEqual(yield* payload(key), bytesOf(value), key)
      }), 1 << 20)
  }).pipe(Effect.provide(NodeContext.layer)))

it.scoped("a journal that cannot be written anew goes on as it is, and is tried again with the next changes", () =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.makeTempDirectoryScoped()
    let isFull = true
    let attempts = 0
    const fillable = withNewFiles((open) => {
      attempts++
      return isFull
        ? Effect.fail(new SystemError({ reason: "WriteZero", module: "FileSystem", method: "open" }))
        : open
    })
    const seen = yield* inLife(folder, ({ unsafeCommit }) =>
      Effect.gen(function*() {
        const put = (value: number) => unsafeCommit([{ key: "busy", value, payload: new Uint8Array(200) }])
        for (let i = 0; i < 20; i++) yield* put(i)
        const during = yield* journals(folder)
        assert.isAbove(attempts, 0)
        const soFar = attempts
        for (let i = 0; i < 100; i++) yield* journals(folder)
        assert.isAtMost(attempts - soFar, 1)
        isFull = false
        for (let i = 20; (yield* journals(folder)).includes("journal-000001"); i++) yield* put(i)
        yield* put(-1)
        return during
      }), 1000).pipe(Effect.provide(fillable))
    assert.deepStrictEqual(seen, ["journal-000001"])
    yield* inLife(
      folder,
      ({ take }) => Effect.map(take, (entries) => assert.deepStrictEqual(entries, [{ key: "busy", value: -1 }]))
    )
  }).pipe(Effect.provide(NodeContext.layer)))

it.effect("a journal that keeps nothing takes all that it is given, and has none of it", () =>
  Effect.gen(function*() {
    const { none } = ServerJournal
    yield* none.unsafeCommit([{ key: "a", value: 1, payload: Uint8Array.of(1) }])
    none.unsafeDefer([{ key: "b", value: 2 }])
    const file = yield* none.writeState("state", Uint8Array.of(3))
    assert.deepStrictEqual(yield* none.take, [])
    assert.deepStrictEqual(yield* none.states, [])
    assert.isFalse(yield* none.hasState(file))
    assert.strictEqual((yield* Effect.flip(none.payload("a"))).reason, "NotFound")
    assert.strictEqual((yield* Effect.flip(none.readState(file))).reason, "NotFound")
    yield* none.removeState(file.name)
  }))

it.effect("a server that keeps nothing tells of no earlier one", () => {
  let told = 0
  const onRestored = () => Effect.sync(() => void told++)
  return Effect.gen(function*() {
    yield* Wire.readyModel
    assert.strictEqual(told, 0)
  }).pipe(Effect.provide(Wire.server({ protocol: { onRestored } })))
})
