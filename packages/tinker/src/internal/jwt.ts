import * as Predicate from "effect/Predicate"
import { parseJson } from "./transport/responseLimits.js"

/** What a JSON web token says of itself, in seconds since 1970. The signature is for the server to check. */
export interface Claims {
  readonly issuedAt: number | undefined
  readonly expiresAt: number | undefined
}

/** Whether a credential is a token rather than a key. */
export const isJwt = (credential: string): boolean => credential.startsWith("eyJ")

/** All that a token says; undefined for what is no token. */
export const readPayload = (token: string): Readonly<Record<string, unknown>> | undefined => {
  let claims: unknown
  try {
    const payload = atob((token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/"))
    claims = parseJson(Uint8Array.from(payload, (letter) => letter.charCodeAt(0)))
  } catch {
    return undefined
  }
  return Predicate.isReadonlyRecord(claims) ? claims : undefined
}

/** Undefined for what is no token. */
export const readClaims = (token: string): Claims | undefined => {
  const claims = readPayload(token)
  if (claims === undefined) return undefined
  const seconds = (name: string) => typeof claims[name] === "number" ? claims[name] : undefined
  return { issuedAt: seconds("iat"), expiresAt: seconds("exp") }
}
