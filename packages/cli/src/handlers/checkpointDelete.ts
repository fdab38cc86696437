import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as RestClient from "effect-tinker/RestClient"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Change from "../Change.js"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Humanize from "../Humanize.js"
import * as Output from "../Output.js"
import * as Selection from "../Selection.js"
import { UsageError } from "../UsageError.js"

interface Input extends Selection.Selection {
  readonly dryRun: boolean
  readonly yes: boolean
}

export const remove: Handler<Input> = (input) =>
  Effect.gen(function*() {
    if (input.all && Option.isNone(input.runId) && !Selection.isNarrowed(input)) {
      return yield* new UsageError({
        description:
          "--all alone would delete every checkpoint there is. Say which, as with --older-than 30d or --keep-last 3."
      })
    }
    const chosen = yield* Selection.find(input, "delete")
    if (!(yield* Change.isWanted(chosen, { what: "Delete", ...input }))) return
    yield* deleteAll(chosen)
  })

/** Deletes checkpoints, and tells of each. */
export const deleteAll = (chosen: ReadonlyArray<Selection.Chosen>) =>
  Effect.gen(function*() {
    const rest = yield* RestClient.RestClient
    const output = yield* Output.Output
    const outcome = yield* Change.each(chosen, {
      what: "Deleting",
      change: ({ path }) => Connection.brief(rest.deleteCheckpoint(path)),
      isAlready: isGone
    })
    const { already, done } = outcome
    const freed = Change.sizeOf(done)
    yield* output.result({
      json: {
        deleted_count: done.length,
        deleted: done.map(({ path }) => path),
        already_gone: already.map(({ path }) => path),
        failed: Change.failuresOf(outcome),
        freed_bytes: freed
      },
      text: () => [...done, ...already].map(({ path }) => `${path}\n`).join("")
    })
    if (output.format === "table") {
      yield* output.notice(
        `${done.length} deleted${freed > 0 ? `, ${Humanize.size(freed)} freed` : ""}${
          already.length === 0 ? "" : `; ${already.length} had been deleted before`
        }.`
      )
    }
    yield* Change.check(outcome, chosen, "deleted")
  }).pipe(Effect.provide(Connection.layer))

const isGone = (error: TinkerError): boolean => error._tag === "ApiStatusError" && error.reason === "NotFound"
