import type * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { RunJournalError } from "../RunJournalError.js"

/** The values of one journal. What was half written when a process died is told from what is whole. */
export interface JournalStore {
  readonly read: (key: string) => Effect.Effect<Stored, RunJournalError>
  readonly write: (key: string, text: string) => Effect.Effect<void, RunJournalError>
  readonly remove: (key: string) => Effect.Effect<void, RunJournalError>
}

export type Stored =
  | { readonly _tag: "Absent" }
  | { readonly _tag: "Torn" }
  | { readonly _tag: "Whole"; readonly text: string }

export const make = (store: KeyValueStore.KeyValueStore, journal: string): JournalStore => {
  const keyOf = (key: string) => `${journal}.${key}`
  const failed = (action: string) => (cause: unknown) =>
    new RunJournalError({
      reason: "StoreFailed",
      journal,
      description: `the store could not ${action} it.`,
      advice: "Check that its folder is there and may be written to.",
      cause
    })
  return {
    read: (key) =>
      Effect.mapBoth(store.get(keyOf(key)), {
        onFailure: failed("read"),
        onSuccess: Option.match({ onNone: (): Stored => ({ _tag: "Absent" }), onSome: unseal })
      }),
    write: (key, text) => Effect.mapError(store.set(keyOf(key), seal(text)), failed("write")),
    remove: (key) => Effect.mapError(store.remove(keyOf(key)), failed("change"))
  }
}

const seal = (text: string): string => `${checksum(text)} ${text}`

const unseal = (value: string): Stored => {
  const at = value.indexOf(" ")
  const text = value.slice(at + 1)
  return at > 0 && value.slice(0, at) === checksum(text) ? { _tag: "Whole", text } : { _tag: "Torn" }
}

/** 32-bit FNV-1a of the UTF-16 units. Source: the FNV draft, http://www.isthe.com/chongo/tech/comp/fnv. */
const checksum = (text: string): string => {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return (hash >>> 0).toString(16)
}

export const unreadable = (
  journal: string,
  what: string,
  cause?: unknown,
  advice = "Remove the journal to begin anew, or put back a copy of it."
) => new RunJournalError({ reason: "Unreadable", journal, description: `${what} is damaged or gone.`, advice, cause })

/** Decodes a whole value as JSON. */
export const decode =
  <A, I>(journal: string, what: string, schema: Schema.Schema<A, I>) =>
  (text: string): Effect.Effect<A, RunJournalError> =>
    Effect.mapError(
      Schema.decode(Schema.parseJson(schema))(text),
      (cause) => unreadable(journal, what, cause)
    )
