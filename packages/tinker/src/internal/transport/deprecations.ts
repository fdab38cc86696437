import type * as Headers from "@effect/platform/Headers"
import * as Effect from "effect/Effect"
import type { Hub } from "../../TinkerEvents.js"

/** Notes of the server that something which the program uses will end. */
export interface Deprecations {
  /** Tells of a note once for each call that it is about, by log and event. */
  readonly noted: (
    note: string,
    headers: Headers.Headers,
    operation: string,
    call: string | undefined
  ) => Effect.Effect<void>
}

/** The header whose value is the note. */
export const header = "x-deprecation-note"

/** The header whose value `error` makes the note an error in the log; otherwise it is a warning. */
const levelHeader = "x-deprecation-level"

/** A server whose notes never repeat fills no memory. */
const mostKept = 1000

export const make = (hub: Hub): Deprecations => {
  const told = new Set<string>()
  return {
    noted: (note, headers, operation, call) =>
      Effect.suspend(() => {
        const name = call ?? operation
        const key = `${name}\n${note}`
        if (told.has(key) || told.size >= mostKept) return Effect.void
        told.add(key)
        const level = headers[levelHeader] === "error" ? "error" : "warning"
        if (hub.isHeard()) hub.publish({ _tag: "DeprecationNoted", operation, call, note, level })
        const log = level === "error" ? Effect.logError : Effect.logWarning
        return log(`${name}: the server says that this is deprecated: ${note}`)
      })
  }
}
