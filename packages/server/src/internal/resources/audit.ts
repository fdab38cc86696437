/** What was done to sessions and checkpoints, for people to read later. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberLocal from "../effect/fiberLocal.js"

const key = FiberLocal.make<string | undefined>(undefined)

/** The name of the key that what is done now is done with, if it has one. */
export const currentKey: Effect.Effect<string | undefined> = FiberLocal.get(key)

/** Notes what is done under the name of this key. */
export const underKey = (name: string | undefined) => FiberLocal.within(key, name)

export interface Entry {
  /** Milliseconds since the epoch. */
  readonly at: number
  /** `<resource>_<action>`. */
  readonly event: string
  readonly details: Readonly<Record<string, unknown>>
}

export interface Audit {
  readonly note: (event: string, details: Readonly<Record<string, unknown>>) => Effect.Effect<void>
  /** The oldest first. */
  readonly entries: ReadonlyArray<Entry>
}

/** A server that runs for months shall not grow without end. */
const maxEntries = 100_000

/** Who keeps what was noted, and forgets what is too old. */
export interface Writer {
  readonly write: (number: number, entry: Entry) => Effect.Effect<void>
  readonly remove: (from: number, before: number) => Effect.Effect<void>
}

/** `restored` are entries of an earlier server, by their numbers. */
export const make = (
  restored: ReadonlyArray<Entry & { readonly number: number }>,
  keeper: Writer
): Audit => {
  const entries: Array<Entry> = restored.map(({ at, details, event }) => ({ at, event, details }))
  let next = (restored.at(-1)?.number ?? -1) + 1
  return {
    note: (event, details) =>
      Effect.gen(function*() {
        const keyName = yield* currentKey
        const entry: Entry = {
          at: yield* Clock.currentTimeMillis,
          event,
          details: keyName === undefined ? details : { ...details, api_key_name: keyName }
        }
        const number = next++
        entries.push(entry)
        yield* keeper.write(number, entry)
        // A tenth at once, as taking away the first one moves all the others.
        if (entries.length > maxEntries) {
          const first = next - entries.length
          entries.splice(0, maxEntries / 10)
          yield* keeper.remove(first, first + maxEntries / 10)
        }
      }),
    entries
  }
}
