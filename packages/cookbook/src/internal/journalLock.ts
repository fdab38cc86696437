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
 * A store has no "write unless there is one", and the clocks of two machines differ. So a lock is a value that its owner
 * changes all the time: one that stays the same for `lease` has lost its owner, and one that changes is in use. Whoever
 * takes it looks once more, a renewal later, whether another did so at the same moment.
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

    const held = yield* store.read(key)
    if (held._tag !== "Absent") {
      for (let i = 0; i <= renewals; i++) {
        yield* Effect.sleep(interval)
        if (!same(yield* store.read(key), held)) return yield* inUse(journal)
      }
    }

    // A renewal and a check at the same time would see half of each other.
    const alone = yield* Effect.makeSemaphore(1)
    const renew = Effect.suspend(() => store.write(key, `${owner} ${beats++}`))
    const isOurs = Effect.map(
      store.read(key),
      (stored) => stored._tag === "Whole" && stored.text.startsWith(`${owner} `)
    )
    const check = Effect.flatMap(isOurs, (ours) => ours ? Effect.void : lost(journal))

    yield* renew
    yield* Effect.addFinalizer(() => Effect.ignore(alone.withPermits(1)(Effect.zipRight(check, store.remove(key)))))
    if (held._tag !== "Absent") yield* Effect.sleep(interval)
    if (!(yield* isOurs)) return yield* inUse(journal)

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

const key = "lock"

const same = (a: Stored, b: Stored): boolean =>
  a._tag === b._tag && (a._tag !== "Whole" || b._tag !== "Whole" || a.text === b.text)

const inUse = (journal: string) =>
  new RunJournalError({
    reason: "InUse",
    journal,
    description: "another process is writing it. Wait for that run to end, or give this one another name."
  })

const lost = (journal: string) =>
  new RunJournalError({
    reason: "Lost",
    journal,
    description: "another process has taken it over, as this one was not heard of for too long. Start again from there."
  })
