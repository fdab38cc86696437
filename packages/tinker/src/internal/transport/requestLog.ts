import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as TinkerHttpClient from "../../TinkerHttpClient.js"
import type { Attempts } from "./attempts.js"

/** Logs an attempt and its answer at debug level, without bodies. */
export const logged = <E>(
  sent: Effect.Effect<TinkerHttpClient.Response, E>,
  { attempts, headers, request, url }: {
    readonly request: TinkerHttpClient.Request
    readonly url: string
    readonly headers: Readonly<Record<string, string>>
    readonly attempts: Attempts
  }
): Effect.Effect<TinkerHttpClient.Response, E> => {
  const line = `${request.method} ${withoutUserInfo(url)} (attempt ${attempts.retryCount + 1}, ${
    request.body?.bytes.byteLength ?? 0
  } bytes)`
  const asked = Effect.logDebug(`${line} ${JSON.stringify(redacted(headers))}`)
  return Effect.zipRight(
    asked,
    Effect.onExit(sent, (exit) =>
      Effect.logDebug(
        Exit.isSuccess(exit)
          ? `${line}: ${exit.value.status}, ${exit.value.body.byteLength} bytes`
          : `${line}: no answer`
      ))
  )
}

/** The headers of the client's own making. Whatever else is sent may be secret. */
const shown =
  /^(accept|content-type|content-encoding|user-agent|traceparent|x-idempotency-key|x-sdk-.*|x-stainless-.*|x-tinker-request-.*)$/

const redacted = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, shown.test(name) ? value : "[REDACTED]"])
  )

export const withoutUserInfo = (url: string): string => url.replace(/^([a-z]+:\/\/)?[^/?#]*@/i, "$1[REDACTED]@")
