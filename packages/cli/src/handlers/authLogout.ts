import * as ConsoleUrl from "effect-tinker/ConsoleUrl"
import * as RestClient from "effect-tinker/RestClient"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Failure from "../Failure.js"
import * as Output from "../Output.js"
import * as StoredKey from "../StoredKey.js"

export const logout: Handler<unknown> = () =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const found = yield* StoredKey.find
    if (Option.isNone(found)) {
      return yield* Failure.failed("there is no stored key to remove. TINKER_API_KEY is no stored one: unset it.")
    }
    const { id, key } = found.value
    yield* StoredKey.remove(found.value)
    // One that was made for this machine is of no use elsewhere; one that was pasted may be in use.
    const isRevoked = key?.type === "generated"
    if (key !== undefined && isRevoked) {
      yield* Effect.flatMap(RestClient.RestClient, (rest) => Connection.brief(rest.deleteApiKey(key.key))).pipe(
        Effect.provide(Connection.layer),
        Effect.mapError((error) =>
          Failure.failed(
            `the key ${id} was removed here, but not at the service, where it stays valid: ${
              Failure.ofError(error).message
            }`
          )
        )
      )
    }
    yield* output.result({
      json: { key_id: id, revoked: isRevoked },
      text: () =>
        isRevoked
          ? `Removed the key ${key?.name ?? id}, here and at the service.\n`
          : `Removed the key ${
            key?.name ?? id
          } from this machine. It stays valid; revoke it at ${ConsoleUrl.hosted}/keys\n`
    })
  })
