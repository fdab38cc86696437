import type { SessionClosedError, TinkerError } from "@effect-tinker/protocol/TinkerError"

/**
 * Why the session is over, when an error is the service's word that it does not know it or has ended it. A sampling session that
 * is gone is another matter.
 */
export const sessionLossIn = (error: TinkerError): SessionClosedError["reason"] | undefined => {
  if (error._tag !== "ApiStatusError" || error.isForeign === true) return undefined
  if (error.status !== 404 && error.status !== 410) return undefined
  if (!/\bsession\b/i.test(error.detail) || /sampl/i.test(error.detail)) return undefined
  if (error.status === 404) return "lost"
  return /finish/i.test(error.detail) ? "finished" : "expired"
}
