import * as RestClient from "effect-tinker/RestClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Failure from "../Failure.js"
import * as Output from "../Output.js"
import * as StoredKey from "../StoredKey.js"
import * as Table from "../Table.js"

export const status: Handler<unknown> = () =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const isCredential = yield* hasCredential
    const asked = yield* Effect.flatMap(
      RestClient.RestClient,
      (rest) => Connection.brief(rest.getServerCapabilities)
    ).pipe(Effect.provide(Connection.layer), Effect.either)
    const yes = (holds: boolean) => holds ? "yes" : "no"
    yield* output.result({
      json: { credentials_available: isCredential, tinker_accessible: Either.isRight(asked) },
      text: Table.facts("Status", [
        ["Credentials available", yes(isCredential)],
        ["Tinker accessible", yes(Either.isRight(asked))]
      ])
    })
    if (Either.isLeft(asked)) {
      return yield* new Failure.CommandFailed({ ...Failure.ofError(asked.left), exitCode: 1 })
    }
    if (!isCredential) return yield* Failure.failed("there is no credential; this server asks for none.")
  })

/** Whether there is one, by variable, profile or file, without running a command. */
const hasCredential = Effect.gen(function*() {
  const settings = yield* Connection.settings
  if (settings.has("TINKER_API_KEY") || settings.has("TINKER_CREDENTIAL_CMD")) return true
  return Option.exists(yield* StoredKey.find, ({ key }) => key !== undefined)
})
