/** Who may ask: holders of a key, or of a token that a key was exchanged for. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Http from "./http.js"

/** What a route wants to see: nothing, a key, or what proves a key to the server it is on. */
export type Access = "open" | "key" | "session"

export interface Authentication {
  readonly check: (access: Access, credential: string | undefined) => Effect.Effect<void, Http.Refusal>
  /** Gives a token for the key that the request was let in with. */
  readonly exchange: Http.Handler
  readonly isKey: (key: string) => boolean
}

export const make = (options: {
  readonly keys: ReadonlyArray<string> | undefined
  /** How long tokens live; without it keys are all there is. */
  readonly lifetime: Duration.DurationInput | undefined
  /** How often tokens were revoked. */
  readonly revocations: Effect.Effect<number>
}): Authentication => {
  const keys = options.keys === undefined ? undefined : new Set(options.keys)
  const lifetime = options.lifetime === undefined ? undefined : Duration.toSeconds(options.lifetime)
  const issued = new Map<string, { readonly expiresAt: number; readonly revocations: number }>()

  const isKey = (key: string): boolean => keys === undefined || keys.has(key)

  const checkKey = (key: string | undefined): Effect.Effect<void, Http.Refusal> => {
    if (keys === undefined || (key !== undefined && keys.has(key))) return Effect.void
    return Http.refuse(401, key === undefined ? "the API key is missing" : "the API key is not known here")
  }

  const checkToken = (token: string | undefined): Effect.Effect<void, Http.Refusal> =>
    Effect.gen(function*() {
      if (token === undefined) return yield* Http.refuse(401, "the token is missing")
      const known = issued.get(token)
      if (known === undefined) return yield* invalidToken("the token is not one of this server's")
      if ((yield* options.revocations) > known.revocations) return yield* invalidToken("the token was revoked")
      if ((yield* Clock.currentTimeMillis) >= known.expiresAt * 1000) {
        return yield* invalidToken("the token has expired")
      }
    })

  return {
    isKey,
    check: (access, credential) => {
      if (access === "open") return Effect.void
      return access === "key" || lifetime === undefined ? checkKey(credential) : checkToken(credential)
    },
    exchange: () =>
      Effect.gen(function*() {
        if (lifetime === undefined) return yield* Http.refuse(404, "this server takes keys, and gives no tokens")
        const issuedAt = Math.floor((yield* Clock.currentTimeMillis) / 1000)
        const expiresAt = issuedAt + lifetime
        const token = jwt({ ...user, iat: issuedAt, exp: expiresAt, jti: String(issued.size) })
        issued.set(token, { expiresAt, revocations: yield* options.revocations })
        return Http.json({ jwt: token })
      })
  }
}

const invalidToken = (detail: string) =>
  Http.refuse(401, detail, { "www-authenticate": "Bearer error=\"invalid_token\"" })

/** The one user there is. */
export const user = {
  sub: "tml:organization_user:local",
  org_id: "local",
  email: "user@localhost"
}

/** Nobody else has to believe it, so it is not signed; the server knows the tokens that it has issued. */
const jwt = (payload: Readonly<Record<string, unknown>>): string =>
  [JSON.stringify({ alg: "none", typ: "JWT" }), JSON.stringify(payload), "unsigned"]
    .map((part) => Encoding.encodeBase64Url(part))
    .join(".")
