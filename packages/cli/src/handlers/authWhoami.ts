import * as RestClient from "effect-tinker/RestClient"
import * as Effect from "effect/Effect"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Failure from "../Failure.js"
import * as Output from "../Output.js"
import * as Table from "../Table.js"

export const whoami: Handler<unknown> = () =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const rest = yield* RestClient.RestClient
    const { email, orgUrn, userUrn } = yield* Effect.mapError(
      Connection.brief(rest.whoami),
      (error) =>
        // There is a credential, and it may be accepted; it only does not say whose it is.
        error._tag === "InvalidInputError" && error.operation === "RestClient.whoami"
          ? Failure.failed(`the credential ${error.description}`)
          : error
    )
    yield* output.result({
      json: { user_urn: userUrn, org_urn: orgUrn, email: email ?? null },
      text: Table.facts("Who you are", [["Email", email ?? "N/A"], ["User", userUrn], ["Organization", orgUrn]])
    })
  }).pipe(Effect.provide(Connection.layer))
