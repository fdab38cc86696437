import { Error as PlatformError, KeyValueStore } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Cause, Deferred, Duration, Effect, Exit, Fiber, Option, Random, TestClock } from "effect"
import * as JournalLock from "../src/internal/journalLock.js"
import * as JournalStore from "../src/internal/journalStore.js"

/**
 * A store that lets others go first now and then, and whose writes are those of a file: emptied, then written, so that two at
 * the same moment mix, and one that is read meanwhile is half there.
 */
const sharedStore = (entries: Map<string, string>) => {
  const wait = Effect.flatMap(Random.nextIntBetween(0, 4), (times) => Effect.repeatN(Effect.yieldNow(), times))
  return KeyValueStore.makeStringOnly({
    get: (key) => Effect.map(wait, () => Option.fromNullable(entries.get(key))),
    set: (key, value) =>
      Effect.gen(function*() {
        yield* wait
        entries.set(key, "")
        yield* wait
        // What the other wrote stands behind where it is longer.
        entries.set(key, value + (entries.get(key) ?? "").slice(value.length))
      }),
    remove: (key) =>
      Effect.flatMap(wait, () =>
        entries.delete(key)
          ? Effect.void
          : new PlatformError.SystemError({ reason: "NotFound", module: "FileSystem", method: "remove" })),
    clear: Effect.void,
    size: Effect.sync(() => entries.size)
  })
}

/** Opens the lock so many times at the same moment, and gives how each ended; those that have it keep it till then. */
const race = (entries: Map<string, string>, openings: number, seed: number) =>
  Effect.gen(function*() {
    const store = JournalStore.make(sharedStore(entries), "run")
    const end = yield* Deferred.make<void>()
    const fibers = yield* Effect.forEach(Array.from({ length: openings }), () =>
      JournalLock.acquire(store, "run", Duration.seconds(15)).pipe(
        Effect.tap(() =>
          Deferred.await(end)
        ),
        Effect.flatten,
        Effect.scoped,
        Effect.fork
      ))
    yield* TestClock.adjust("1 minute")
    yield* Deferred.succeed(end, undefined)
    return yield* Effect.forEach(fibers, Fiber.await)
  }).pipe(Effect.withRandom(Random.make(seed)))

for (const [what, before] of [["that is new", []], ["whose owner died", [["run.lock", "dead"]]]] as const) {
  it.effect(`of those that open a journal ${what} at the same moment exactly one has it, and the others are told so`, () =>
    Effect.gen(function*() {
      for (let seed = 0; seed < 20; seed++) {
        const entries = new Map<string, string>(before)
        const exits = yield* race(entries, 2 + seed % 3, seed)
        const failed = exits.filter(Exit.isFailure)
        assert.lengthOf(failed, exits.length - 1, `seed ${seed}`)
        for (const { cause } of failed) {
          assert.deepInclude(Cause.squash(cause), { reason: "InUse" }, `seed ${seed}`)
        }
        assert.notProperty(Object.fromEntries(entries), "run.lock")
        // It is free again.
        assert.isTrue(Exit.isSuccess((yield* race(entries, 1, seed))[0]!), `seed ${seed}`)
      }
    }))
}

it.effect("a lock that is free is had at once", () =>
  Effect.gen(function*() {
    const store = JournalStore.make(sharedStore(new Map()), "run")
    const fiber = yield* Effect.fork(Effect.scoped(JournalLock.acquire(store, "run", Duration.seconds(15))))
    yield* TestClock.adjust(0)
    assert.isTrue(Exit.isSuccess(yield* Fiber.await(fiber)))
  }))
