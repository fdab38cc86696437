/** Who may ask: holders of a key, or of a token that a key was exchanged for. */
import type { Access, Answer } from "@effect-tinker/protocol/Endpoint"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { secret } from "../resources/secret.js"
import * as Users from "../resources/users.js"
import * as Http from "./http.js"

export interface NamedKey {
  readonly key: string
  /** Whose it is, or what for. */
  readonly name?: string | undefined
}

export interface Authentication {
  readonly check: (access: Access, credential: string | undefined) => Effect.Effect<void, Http.Refusal>
  /** Gives a token for the key that the request was let in with. */
  readonly exchange: Http.Handler<Answer<typeof Endpoints.authToken>>
  /** Whose a key or a token is; none for one that is not valid here. Keys of one name belong to one user. */
  readonly userOf: (credential: string) => Option.Option<string | undefined>
  /** The name of the key that a key or a token proves, if it has one. */
  readonly nameOf: (credential: string | undefined) => string | undefined
  /** Tells about the key that the request was let in with. */
  readonly describe: Http.Handler<Answer<typeof Endpoints.getApiKey>>
  /** Takes that key away from whoever has it, as long as the server runs. */
  readonly revoke: Http.Handler
}

export const make = (options: {
  readonly keys: ReadonlyArray<string | NamedKey> | undefined
  /** How long tokens live; without it keys are all there is. */
  readonly lifetime: Duration.DurationInput | undefined
  /** How often tokens were revoked. */
  readonly revocations: Effect.Effect<number>
}): Authentication => {
  const keys = options.keys && new Map(options.keys.map((key, i) => {
    const named = typeof key === "string" ? { key } : key
    return [named.key, { id: i + 1, name: named.name }]
  }))
  const lifetime = options.lifetime === undefined ? undefined : Duration.toSeconds(options.lifetime)
  const issued = new Map<
    string,
    { readonly key: string | undefined; readonly expiresAt: number; readonly revocations: number }
  >()

  const isKey = (key: string): boolean => keys === undefined || keys.has(key)

  const named = (credential: string) => Option.fromNullable(keys?.get(issued.get(credential)?.key ?? credential))

  const checkKey = (key: string | undefined): Effect.Effect<void, Http.Refusal> => {
    if (keys === undefined || (key !== undefined && keys.has(key))) return Effect.void
    return Http.refuse(401, key === undefined ? "the API key is missing" : "the API key is not known here")
  }

  const checkToken = (token: string | undefined): Effect.Effect<void, Http.Refusal> =>
    Effect.gen(function*() {
      if (token === undefined) return yield* Http.refuse(401, "the token is missing")
      const known = issued.get(token)
      if (known === undefined) return yield* invalidToken("the token is not one of this server's")
      const isRevoked = known.key !== undefined && !isKey(known.key)
      if (isRevoked || (yield* options.revocations) > known.revocations) {
        return yield* invalidToken("the token was revoked")
      }
      if ((yield* Clock.currentTimeMillis) >= known.expiresAt * 1000) {
        return yield* invalidToken("the token has expired")
      }
    })

  return {
    userOf: (credential) => keys === undefined ? Option.some(undefined) : Option.map(named(credential), userName),
    nameOf: (credential) => credential === undefined ? undefined : Option.getOrUndefined(named(credential))?.name,
    check: (access, credential) => {
      if (access === "open") return Effect.void
      return access === "key" || lifetime === undefined ? checkKey(credential) : checkToken(credential)
    },
    describe: (request) => {
      const known = keys?.get(keyOf(request) ?? "")
      return Effect.succeed(Http.answer(Endpoints.getApiKey, {
        keyId: known?.id ?? 0,
        name: known?.name,
        note: known === undefined ? "this server asks for no keys" : undefined,
        details: null
      }))
    },
    revoke: (request) =>
      Effect.gen(function*() {
        const key = keyOf(request)
        const known = key === undefined ? undefined : keys?.get(key)
        if (key === undefined || known === undefined) {
          return yield* Http.refuse(404, "this server asks for no keys, so there is none to take away")
        }
        keys?.delete(key)
        yield* Effect.logWarning(
          `key ${known.id} was revoked by its holder; it will be valid after a restart unless its settings change`
        )
        return Http.noContent
      }),
    exchange: (request) =>
      Effect.gen(function*() {
        if (lifetime === undefined) return yield* Http.refuse(404, "this server takes keys, and gives no tokens")
        const issuedAt = Math.floor((yield* Clock.currentTimeMillis) / 1000)
        const expiresAt = issuedAt + lifetime
        const key = keyOf(request)
        const name = key === undefined ? undefined : Option.getOrUndefined(Option.map(named(key), userName))
        const token = jwt({ ...claimsOf(name), iat: issuedAt, exp: expiresAt, jti: secret() })
        issued.set(token, { key, expiresAt, revocations: yield* options.revocations })
        return Http.answer(Endpoints.authToken, { jwt: Redacted.make(token) })
      })
  }
}

const keyOf = ({ headers }: Http.Received): string | undefined => headers["x-api-key"]

const invalidToken = (detail: string) =>
  Http.refuse(401, detail, { "www-authenticate": "Bearer error=\"invalid_token\"" })

/** Keys without a name are each somebody's own. */
const userName = ({ id, name }: { readonly id: number; readonly name: string | undefined }): string =>
  name ?? `key-${id}`

/** What tokens say of their holder. */
const claimsOf = (owner: Users.Owner) => ({
  sub: Users.urnOf(owner),
  org_id: "local",
  email: Users.emailOf(owner)
})

/** Nobody else has to believe it, so it is not signed: the server knows the tokens that it has issued, each by its secret `jti`. */
const jwt = (payload: Readonly<Record<string, unknown>>): string =>
  [JSON.stringify({ alg: "none", typ: "JWT" }), JSON.stringify(payload), "unsigned"]
    .map((part) => Encoding.encodeBase64Url(part))
    .join(".")
