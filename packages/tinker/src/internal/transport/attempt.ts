/** One attempt at a request, with one credential: its address and headers, who hears of it, and its failure as a `TinkerError`. */
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Headers from "@effect/platform/Headers"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type * as TinkerConfig from "../../TinkerConfig.js"
import type { Request, Response } from "../../TinkerHttpClient.js"
import * as Fibers from "../effect/fibers.js"
import * as Monotonic from "../monotonic.js"
import type { Attempts } from "./attempts.js"
import type { Followed } from "./followed.js"
import * as QueryValues from "./queryValues.js"
import { cloudflareSecret, weightsToken } from "./redirects.js"
import type { HeadersOf } from "./requestHeaders.js"
import * as RequestLog from "./requestLog.js"
import type { RequestWatch } from "./requestWatch.js"
import { asTinkerError } from "./transportErrors.js"

export type Attempt = (
  request: Request,
  attempts: Attempts,
  call: string | undefined,
  key: Option.Option<Redacted.Redacted>
) => Effect.Effect<Response, TinkerError>

export const make = (followed: Followed, options: {
  readonly config: TinkerConfig.Service
  readonly headersOf: HeadersOf
  readonly watch: RequestWatch
  /** The address of the server as errors show it. */
  readonly shownUrl: string
}): Attempt => {
  const { config, headersOf, shownUrl, watch } = options
  const defaultQuery = Object.keys(config.query).length === 0 ? undefined : config.query
  const hasNoSecrets = config.cloudflareAccess.clientSecret === undefined

  return (request, attempts, call, key) => {
    const timeout = request.timeout ?? config.requestTimeout
    const listener = request.onAnswer
    const sending = Fibers.withRunning((fiber): ReturnType<Followed> => {
      const address = config.baseUrl + request.path
      const url = defaultQuery === undefined && request.query === undefined
        ? address
        : QueryValues.over(QueryValues.under(address, defaultQuery ?? {}), request.query ?? {})
      const headers = headersOf(request, attempts, call, key, timeout)
      const watched = watch.isWanted() ? watch.requestOf(fiber, request, attempts) : undefined
      watched?.sent(request.body?.bytes.byteLength ?? 0)
      const sent = followed(request, url, headers, timeout, call, watched)
      const heard = listener === undefined ? sent : timed(sent, listener)
      return Fibers.logsDebug(fiber) ? RequestLog.logged(heard, { request, url: address, headers, attempts }) : heard
    })
    const caught = Effect.catchAll(sending, (error) => {
      const failure = asTinkerError(request.operation, shownUrl, error)
      attempts.watched?.failed(failure)
      return Effect.fail(failure)
    })
    const isPlain = hasNoSecrets && request.headers?.[weightsToken] === undefined
      && request.extraHeaders === undefined && request.followsRedirects !== false
    return isPlain ? caught : withRedactedNames(caught, request)
  }
}

/** Headers that hold secrets are hidden wherever the request is shown. */
const withRedactedNames = <A, E>(effect: Effect.Effect<A, E>, { extraHeaders = {} }: Request): Effect.Effect<A, E> =>
  Effect.locallyWith(
    effect,
    Headers.currentRedactedNames,
    (names) => names.concat("x-api-key", weightsToken, cloudflareSecret, "location", ...Object.keys(extraHeaders))
  )

const timed = <E>(
  sent: Effect.Effect<Response, E>,
  listener: (answer: Response, elapsed: Duration.Duration) => void
): Effect.Effect<Response, E> =>
  Effect.clockWith((clock) => {
    const start = Monotonic.unsafeNow(clock)
    return Effect.map(sent, (response) => {
      listener(response, Duration.millis(Monotonic.unsafeNow(clock) - start))
      return response
    })
  })
