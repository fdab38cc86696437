/** What was done to sessions and checkpoints, for people to read later. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

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

export const make = (): Audit => {
  const entries: Array<Entry> = []
  return {
    note: (event, details) =>
      Effect.map(Clock.currentTimeMillis, (at) => {
        entries.push({ at, event, details })
        // A tenth at once, as taking away the first one moves all the others.
        if (entries.length > maxEntries) entries.splice(0, maxEntries / 10)
      }),
    entries
  }
}
