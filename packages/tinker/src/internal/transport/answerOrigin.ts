import * as Predicate from "effect/Predicate"
import * as ResponseLimits from "./responseLimits.js"

/**
 * Whether the service itself can have written the body of an answer that is no success: JSON that names the trouble. Proxies,
 * gateways and login pages on the way answer with pages, with texts, with JSON of their own or with nothing, also for requests
 * that the service has taken.
 */
export const isOfService = (body: Uint8Array): boolean => {
  const first = body.find((byte) => byte > 0x20)
  if (first !== openBrace) return false
  try {
    const value: unknown = ResponseLimits.parseJson(body)
    return Predicate.isRecord(value) && names.some((name) => name in value)
  } catch {
    return false
  }
}

const openBrace = 0x7b
const names = ["detail", "error", "error_message"]
