import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as RestClient from "effect-tinker/RestClient"
import * as Effect from "effect/Effect"
import * as Change from "../Change.js"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Output from "../Output.js"
import * as Selection from "../Selection.js"

interface Input extends Selection.Selection {
  readonly dryRun: boolean
  readonly yes: boolean
}

/** Everybody can use what is published, so that it is asked for; keeping it to oneself again is not. */
const changed = (input: Input, isPublic: boolean) =>
  Effect.gen(function*() {
    const [what, doing, verb, done] = isPublic
      ? ["Publish", "Publishing", "published", "Published"] as const
      : ["Unpublish", "Unpublishing", "unpublished", "Unpublished"] as const
    const chosen = yield* Selection.find(input, isPublic ? "publish" : "unpublish")
    const isAsked = isPublic && (yield* Output.Output).isInteractive
    if (!(yield* Change.isWanted(chosen, { what, isAsked, dryRun: input.dryRun, yes: input.yes }))) return
    yield* Effect.gen(function*() {
      const rest = yield* RestClient.RestClient
      const output = yield* Output.Output
      const outcome = yield* Change.each(chosen, {
        what: doing,
        change: ({ path }) =>
          Connection.brief(
            isPublic ? rest.publishCheckpoint(path) : rest.unpublishCheckpoint(path)
          ),
        isAlready: isSo
      })
      const now = [...outcome.done, ...outcome.already]
      yield* output.result({
        json: {
          checkpoints: now.map(({ path }) => ({ tinker_path: path, public: isPublic })),
          failed: Change.failuresOf(outcome)
        },
        text: () =>
          [
            ...outcome.done.map(({ path }) => `${done} ${path}\n`),
            ...outcome.already.map(({ path }) => `${path} was ${isPublic ? "public" : "not public"} already\n`)
          ].join("")
      })
      yield* Change.check(outcome, chosen, verb)
    }).pipe(Effect.provide(Connection.layer))
  })

const isSo = (error: TinkerError): boolean => error._tag === "ApiStatusError" && error.reason === "Conflict"

export const publish: Handler<Input> = (input) => changed(input, true)

export const unpublish: Handler<Input> = (input) => changed(input, false)
