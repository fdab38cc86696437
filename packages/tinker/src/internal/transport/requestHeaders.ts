/** The headers of a request. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as TinkerConfig from "../../TinkerConfig.js"
import type { Request } from "../../TinkerHttpClient.js"
import type { Attempts } from "./attempts.js"
import { makeHeaders } from "./httpRequest.js"
import { cloudflareId, cloudflareSecret } from "./redirects.js"
import { runtimeHeaders } from "./runtimeHeaders.js"

export type HeadersOf = (
  request: Request,
  attempts: Attempts,
  call: string | undefined,
  key: Option.Option<Redacted.Redacted>,
  timeout: Duration.Duration
) => Record<string, string>

const version = "0.1.0"

/** `keyPrefix` begins the idempotency keys of a client. */
export const make = (config: TinkerConfig.Service, keyPrefix: string): HeadersOf => {
  const { clientId, clientSecret } = config.cloudflareAccess
  const fixedHeaders: Readonly<Record<string, string>> = {
    accept: "application/json",
    "user-agent": `effect-tinker/${version}`,
    "x-stainless-package-version": TinkerConfig.protocolVersion,
    ...runtimeHeaders(),
    ...(clientId === undefined ? {} : { [cloudflareId]: clientId }),
    ...(clientSecret === undefined ? {} : { [cloudflareSecret]: Redacted.value(clientSecret) }),
    ...Object.fromEntries(Object.entries(config.headers).map(([name, value]) => [name.toLowerCase(), value]))
  }
  let keys = 0

  return (request, attempts, call, key, timeout) => {
    const headers = makeHeaders(fixedHeaders, request.headers)
    headers["x-stainless-retry-count"] = String(attempts.retryCount)
    headers["x-stainless-read-timeout"] = String(Duration.toSeconds(timeout))
    if (call !== undefined) {
      headers["x-sdk-version"] = TinkerConfig.protocolVersion
      headers["x-sdk-method"] = call
    }
    if (Option.isSome(key)) headers["x-api-key"] = Redacted.value(key.value)
    if (request.method !== "GET") {
      if (request.body !== undefined) headers["content-type"] = request.body.contentType
      else if (request.method !== "DELETE") headers["content-type"] = "application/json"
      if (request.body?.encoding !== undefined) headers["content-encoding"] = request.body.encoding
      if (request.idempotencyKey !== null) {
        headers["x-idempotency-key"] = request.idempotencyKey ?? (attempts.idempotencyKey ??= `${keyPrefix}-${keys++}`)
      }
    }
    if (request.extraHeaders !== undefined) overwrite(headers, request.extraHeaders)
    return headers
  }
}

const overwrite = (
  headers: Record<string, string>,
  extra: Readonly<Record<string, string | undefined>>
): void => {
  for (const [name, value] of Object.entries(extra)) {
    if (value === undefined) delete headers[name]
    else headers[name] = value
  }
}
