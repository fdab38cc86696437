import * as ConsoleUrl from "effect-tinker/ConsoleUrl"
import * as RestClient from "effect-tinker/RestClient"
import * as TinkerConfig from "effect-tinker/TinkerConfig"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { hostname } from "node:os"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Failure from "../Failure.js"
import * as Output from "../Output.js"
import * as StoredKey from "../StoredKey.js"
import { UsageError } from "../UsageError.js"
import { Variables } from "../Variables.js"

export const login: Handler<{ readonly withToken: boolean }> = ({ withToken }) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const profile = yield* StoredKey.profileName
    const before = yield* StoredKey.find
    if (Option.isSome(before) && before.value.key !== undefined) {
      const whose = profile === undefined ? "there is a stored key" : `the profile ${profile} has a stored key`
      return yield* Failure.failed(`${whose} already (${before.value.key.name}). Remove it first: tinker auth logout`)
    }
    if (!withToken && output.isInteractive) {
      yield* output.notice(`Make a key at ${ConsoleUrl.hosted}/keys, named tinker-cli-${hostname()} for instance.`)
    }
    const key = yield* withToken
      ? Effect.map(output.input, (text) => Redacted.make(text.trim()))
      : output.secret("API key")
    if (Redacted.value(key) === "") {
      return yield* new UsageError({
        description:
          "no key was given, and nothing was stored. Type it where it is asked for, or write it to the standard input."
      })
    }
    if (/\s/.test(Redacted.value(key))) {
      return yield* new UsageError({
        description: "a key has no blanks and is one line; what was given is none, and was not stored."
      })
    }
    yield* checkShape(key)
    const known = yield* Effect.gen(function*() {
      const rest = yield* RestClient.RestClient
      return yield* Connection.brief(rest.getApiKey(key))
    }).pipe(
      Effect.provide(Connection.layer),
      Effect.mapError((error) =>
        error._tag === "ApiStatusError" && error.reason === "Authentication"
          ? new Failure.CommandFailed({
            code: "not_authenticated",
            exitCode: 3,
            status: error.status,
            message: `the service refuses this key, and it was not stored: ${error.detail}`
          })
          : error
      )
    )
    const name = known.name ?? String(known.keyId)
    yield* StoredKey.store(String(known.keyId), { type: "manual", key, name, note: known.note })
    yield* sayWhatWins
    yield* output.result({
      json: { key_id: known.keyId, name, ...(profile === undefined ? {} : { profile }) },
      text: () => `Stored the key ${name}${profile === undefined ? "" : ` for the profile ${profile}`}.\n`
    })
  })

/** Keys of other services may look otherwise. */
const checkShape = (key: Redacted.Redacted) =>
  Effect.flatMap(Connection.settings, (settings) => {
    const isHosted =
      (settings.get("TINKER_BASE_URL") ?? TinkerConfig.hosted).replace(/\/+$/, "") === TinkerConfig.hosted
    return isHosted && !/^(tml-|eyJ)/.test(Redacted.value(key))
      ? new UsageError({
        description:
          "that is no key of Tinker's, which begin with tml-, and it was not stored. Copy it whole from the console."
      })
      : Effect.void
  })

const sayWhatWins = Effect.flatMap(Variables, (variables) => {
  const winner = ["TINKER_API_KEY", "TINKER_CREDENTIAL_CMD"].find((name) => (variables[name] ?? "").trim() !== "")
  return winner === undefined
    ? Effect.void
    : Effect.flatMap(
      Output.Output,
      (output) => output.warning(`${winner} is set, and goes before the stored key. Unset it to use the stored one.`)
    )
})
