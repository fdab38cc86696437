import { InvalidInputError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as ClientConfig from "../ClientConfig.js"
import type * as Credentials from "../Credentials.js"
import type { Identity } from "../RestClient.js"
import { readPayload } from "./jwt.js"

type Claims = Readonly<Record<string, unknown>>

/** Who the token in use says its holder is: the user's own, or the one that the server gives for a key. */
export const identityOf = (
  credentials: Credentials.Service,
  clientConfig: ClientConfig.Service
): Effect.Effect<Identity, TinkerError> =>
  Effect.gen(function*() {
    const own = claimsOf(yield* credentials.own)
    if (typeof own?.iss === "string" && own.iss.startsWith(issuer)) return yield* identity(own)
    yield* clientConfig.get
    const current = yield* credentials.current
    if (Option.isNone(current)) return yield* refuse("is missing, and without one nobody is known.")
    const claims = claimsOf(current)
    return yield* claims === undefined
      ? refuse("is a key, which does not tell whose it is, and this server gives no token for it.")
      : identity(claims)
  })

/** The beginning of the issuer of tokens that the service gives to people. Source: the Python SDK 0.38.0. */
const issuer = "passport-"

const claimsOf = (credential: Option.Option<Redacted.Redacted>): Claims | undefined =>
  Option.match(credential, { onNone: () => undefined, onSome: (secret) => readPayload(Redacted.value(secret)) })

const identity = ({ email, org_id: orgId, sub }: Claims): Effect.Effect<Identity, InvalidInputError> => {
  if (typeof sub !== "string" || sub === "") return refuse("is a token that names no user (its claim sub is missing).")
  if (typeof orgId !== "string" || orgId === "") {
    return refuse("is a token that names no organization (its claim org_id is missing).")
  }
  return Effect.succeed({
    userUrn: sub,
    orgUrn: `tml:organization:${orgId}`,
    email: typeof email === "string" && email !== "" ? email : undefined
  })
}

const refuse = (description: string) =>
  Effect.fail(new InvalidInputError({ operation: "RestClient.whoami", field: "apiKey", description }))
