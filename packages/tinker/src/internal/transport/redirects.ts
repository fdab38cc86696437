/** Answers that send a request elsewhere, and what must not go there. */
import type * as TinkerHttpClient from "../../TinkerHttpClient.js"
import { makeHeaders } from "./httpRequest.js"

export const cloudflareId = "cf-access-client-id"
export const cloudflareSecret = "cf-access-client-secret"
export const weightsToken = "x-tinker-weights-access-token"

/**
 * What of a request may go to another origin. Everything else stays at home, whatever its name: only who has set a header
 * knows what it is worth.
 */
export const crossOriginHeaders = (headers: Readonly<Record<string, string>>): Record<string, string> => {
  const rest = makeHeaders({}, undefined)
  for (const name in headers) if (mayTravel.has(name)) rest[name] = headers[name]!
  return rest
}

const mayTravel: ReadonlySet<string> = new Set([
  "accept",
  "accept-encoding",
  "accept-language",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "range",
  "user-agent"
])

/**
 * Where a response sends its request, by the rules of browsers. What carries data never leaves its origin: an answer that
 * wants that is passed on as it is.
 */
export const redirect = (
  request: TinkerHttpClient.Request,
  url: string,
  response: TinkerHttpClient.Response
) => {
  const location = response.headers["location"]
  if (!redirectStatuses.has(response.status) || location === undefined || !URL.canParse(location, url)) return undefined
  const target = new URL(location, url)
  const sameOrigin = target.origin === new URL(url).origin
  const keepsMethod = response.status === 307 || response.status === 308
  if (request.method !== "GET" && keepsMethod && !sameOrigin) return undefined
  return {
    url: target.href,
    sameOrigin,
    request: keepsMethod ? request : { ...request, method: "GET" as const, body: undefined }
  }
}

const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
