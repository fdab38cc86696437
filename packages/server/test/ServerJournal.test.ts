import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { ServerJournal } from "../src/index.js"

const inLife = <A, E>(folder: string, work: (journal: ServerJournal.Service) => Effect.Effect<A, E>) =>
  Effect.flatMap(ServerJournal.ServerJournal, work).pipe(
    Effect.provide(ServerJournal.layer(folder, { slackBytes: 1 << 20 }))
  )

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
        assert.deepStrictEqual(
          (yield* fs.readDirectory(folder)).filter((name) => name === "journal-000001"),
          []
        )
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
