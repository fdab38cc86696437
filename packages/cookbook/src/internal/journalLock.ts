import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { RunJournalError } from "../RunJournalError.js"
import type { JournalStore, Stored } from "./journalStore.js"

/** Renewals in the time after which an owner that renews no more is taken for dead. */
const renewals = 3

/**
 * Makes this process the journal's only writer for as long as the scope is open, and gives the check to be made before
 * each write.
 *
 * The clocks of two machines differ. So a lock is a value that its owner changes all the time: one that stays the same for
 * `lease` has lost its owner, and one that changes is in use.
 *
 * A store has no "write unless there is one", so those that find no owner agree on one first, by two values that say who
 * came last and that somebody came. Who finds that nobody had come, and still is the last after saying that somebody did, is
 * the only one (a splitter: Lamport, "A fast mutual exclusion algorithm", 1987). Where nobody is, each says again that it came
 * last, after a time of its own, and who still is a renewal later has it (Fischer's algorithm, there too).
 */
export const acquire = (
  store: JournalStore,
  journal: string,
  lease: Duration.Duration
): Effect.Effect<Effect.Effect<void, RunJournalError>, RunJournalError, Scope.Scope> =>
  Effect.gen(function*() {
    const interval = Duration.millis(Duration.toMillis(lease) / renewals)
    const owner = (yield* Random.nextIntBetween(0, Number.MAX_SAFE_INTEGER)).toString(36)
    let beats = 0

    const isFirst = Effect.gen(function*() {
      yield* store.write(keys.last, owner)
      if ((yield* store.read(keys.taken))._tag !== "Absent") return false
      yield* store.write(keys.taken, owner)
      return isBy(yield* store.read(keys.last), owner)
    })

    /** Fails as soon as somebody else is the owner, or will be. */
    const outlast = (before: Stored): Effect.Effect<void, RunJournalError> =>
      Effect.gen(function*() {
        yield* Effect.sleep(Duration.times(interval, yield* Random.next))
        if (!same(yield* store.read(keys.lock), before)) return yield* inUse(journal)
        yield* store.write(keys.last, owner)
        yield* store.write(keys.taken, owner)
        yield* Effect.sleep(interval)
        if (!same(yield* store.read(keys.lock), before)) return yield* inUse(journal)
        const last = yield* store.read(keys.last)
        if (isBy(last, owner)) return
        // Two that write at the same moment may leave a value that is nobody's.
        return yield* last._tag === "Whole" ? inUse(journal) : outlast(before)
      })

    const held = yield* store.read(keys.lock)
    if (held._tag === "Absent") {
      if (!(yield* isFirst)) {
        yield* Effect.sleep(interval)
        yield* outlast(held)
      }
    } else {
      for (let i = 0; i <= renewals; i++) {
        yield* Effect.sleep(interval)
        if (!same(yield* store.read(keys.lock), held)) return yield* inUse(journal)
      }
      yield* outlast(held)
    }

    // A renewal and a check at the same time would see half of each other.
    const alone = yield* Effect.makeSemaphore(1)
    const renew = Effect.suspend(() => store.write(keys.lock, `${owner} ${beats++}`))
    const check = Effect.flatMap(store.read(keys.lock), (stored) => isBy(stored, owner) ? Effect.void : lost(journal))
    // The lock last: who finds none finds nothing else of this owner either.
    const release = Effect.forEach(
      [keys.last, keys.taken, keys.lock],
      // Another that waits may have removed one.
      (key) => Effect.ignore(store.remove(key)),
      { discard: true }
    )

    yield* Effect.acquireRelease(
      renew,
      () => Effect.ignore(alone.withPermits(1)(Effect.zipRight(check, release)))
    )

    yield* alone.withPermits(1)(Effect.zipRight(check, renew)).pipe(
      // A store that fails now may not fail the next time.
      Effect.catchIf(({ reason }) => reason === "StoreFailed", () => Effect.void),
      Effect.schedule(Schedule.spaced(interval)),
      // What was lost shows at the next write.
      Effect.ignore,
      Effect.forkScoped
    )
    return alone.withPermits(1)(check)
  })

const keys = { lock: "lock", last: "lock-last", taken: "lock-taken" } as const

/** An owner's name may be followed by a number that changes. */
const isBy = (stored: Stored, owner: string): boolean => stored._tag === "Whole" && stored.text.split(" ")[0] === owner

const same = (a: Stored, b: Stored): boolean =>
  a._tag === b._tag && (a._tag !== "Whole" || b._tag !== "Whole" || a.text === b.text)

const inUse = (journal: string) =>
  new RunJournalError({
    reason: "InUse",
    journal,
    description: "another process is writing it.",
    advice: "Wait for that run to end, or give this one another name."
  })

const lost = (journal: string) =>
  new RunJournalError({
    reason: "Lost",
    journal,
    description: "another process has taken it over, as this one was not heard of for too long.",
    advice: "Start again from there."
  })
