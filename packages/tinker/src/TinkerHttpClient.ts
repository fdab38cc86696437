/**
 * The authenticated HTTP client of the service: one request at a time, and the only place where HTTP failures become
 * `TinkerError`.
 *
 * Two answers are dealt with here, under the same idempotency key: a refused token is replaced and the request sent once
 * more, and 402 (no credit) is waited out for as long as the server or the option `billingPause` says.
 */
import type * as Endpoint from "@effect-tinker/protocol/Endpoint"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import { spoken } from "@effect-tinker/protocol/Prose"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import {
  ApiResponseValidationError,
  ApiStatusError,
  ApiTimeoutError,
  reasonOfStatus,
  SessionClosedError
} from "@effect-tinker/protocol/TinkerError"
import type * as Headers from "@effect/platform/Headers"
import * as PlatformHeaders from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as DateTimes from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import * as Credentials from "./Credentials.js"
import * as Deprecations from "./internal/call/deprecations.js"
import * as ThrottledWarning from "./internal/call/throttledWarning.js"
import * as Monotonic from "./internal/monotonic.js"
import { isOfService } from "./internal/transport/answerOrigin.js"
import { type Attempts, CurrentAttempts, makeAttempts, type Sender } from "./internal/transport/attempts.js"
import { bounded, readWhole } from "./internal/transport/boundedBody.js"
import * as Deadlines from "./internal/transport/deadlines.js"
import { decodeJson } from "./internal/transport/decodeJson.js"
import { makeHeaders, makeRequest } from "./internal/transport/httpRequest.js"
import { IsAbroad, manualRedirects, redirectIssue } from "./internal/transport/manualRedirects.js"
import * as PolicyRun from "./internal/transport/policyRun.js"
import * as QueryValues from "./internal/transport/queryValues.js"
import { readErrorDetail } from "./internal/transport/readErrorDetail.js"
import { cloudflareId, cloudflareSecret, redirect, travelling, weightsToken } from "./internal/transport/redirects.js"
import * as RequestLog from "./internal/transport/requestLog.js"
import * as RequestWatch from "./internal/transport/requestWatch.js"
import type { WatchedRequest } from "./internal/transport/requestWatch.js"
import { retryAfter } from "./internal/transport/retryAfter.js"
import { runtimeHeaders } from "./internal/transport/runtimeHeaders.js"
import { traceparent } from "./internal/transport/traceparent.js"
import { asTinkerError, connectionRefused } from "./internal/transport/transportErrors.js"
import { uuid } from "./internal/uuid.js"
import * as RawResponse from "./RawResponse.js"
import * as RequestExtras from "./RequestExtras.js"
import * as RetryPolicy from "./RetryPolicy.js"
import * as TinkerConfig from "./TinkerConfig.js"
import * as TinkerEvents from "./TinkerEvents.js"
import * as TinkerMetrics from "./TinkerMetrics.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class TinkerHttpClient extends Context.Tag("effect-tinker/TinkerHttpClient")<TinkerHttpClient, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Sends a request and returns whatever status came back, its body read whole. */
  readonly execute: (request: Request) => Effect.Effect<Response, TinkerError>

  /** Sends a request. A status other than 2xx is an `ApiStatusError`. */
  readonly request: (request: Request) => Effect.Effect<Response, TinkerError>

  /** Sends a request and decodes its JSON answer. */
  readonly json: <A, I>(request: Request, schema: Schema.Schema<A, I>) => Effect.Effect<A, TinkerError>

  /** How long 402 is waited out, unless the option `billingPause` says. */
  readonly setBillingPause: (duration: Duration.Duration) => Effect.Effect<void>

  /** Ends the requests of a session on their way, which is over by now. */
  readonly endSession: (session: SessionLife) => Effect.Effect<void>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Request {
  /** Named in errors and spans, e.g. `optim_step`. */
  readonly operation: string
  readonly method: Method
  /** The path from `/api/v1` on. Ids in it are not escaped: the service wants their colons and slashes as they are. */
  readonly path: string
  /** The query over the one that the path has, and over the option `query`. */
  readonly query?: RequestExtras.Query | undefined
  readonly body?: Body | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Over all others, the client's own among them; `undefined` leaves one out. Names are in lower case. */
  readonly extraHeaders?: Readonly<Record<string, string | undefined>> | undefined
  /** Default: one of its own for each request that changes something. `null` sends none. */
  readonly idempotencyKey?: string | null | undefined
  /** Default: the option `requestTimeout`. */
  readonly timeout?: Duration.Duration | undefined
  /** The most that is read of its answer. Default: the option `maxResponseBytes`; none for a body that is `streamedIn`. */
  readonly maxResponseBytes?: number | undefined
  /** Sent instead of the current credential; such a request is not repeated when the credential is refused. */
  readonly credential?: Option.Option<Redacted.Redacted> | undefined
  /** What the request is about, e.g. `training run r`; errors name it. */
  readonly subject?: string | undefined
  /** Whether an answer that points elsewhere is followed. Default true. */
  readonly followsRedirects?: boolean | undefined
  /** Whether 402 is waited out. Default true. */
  readonly pausesForBilling?: boolean | undefined
  /** The session without which the request makes no sense: it ends with it. */
  readonly session?: SessionLife | undefined
  /** Default: those of {@link CurrentAttempts}, or none. */
  readonly attempts?: Attempts | undefined
  /** The public call behind the request, unless {@link PublicCall} names one around it. */
  readonly call?: string | undefined
  /** Is told when the request waits for credit, and since when. */
  readonly onBillingPause?: ((since: DateTime.Utc) => void) | undefined
  /**
   * Given, the body of an answer 2xx is not read but left to the answer's `stream`. Its connection closes with this scope, and
   * the timeout bounds the time until the body begins.
   */
  readonly streamedIn?: Scope.Scope | undefined
  /** Is told of every answer, also of those after which the request is sent again, and how long it took. */
  readonly onAnswer?: ((answer: Response, elapsed: Duration.Duration) => void) | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE"

/**
 * What callers tell of a request beside its content.
 *
 * @since 0.1.0
 * @category models
 */
export type CallOptions = Pick<Request, "attempts" | "call" | "session">

/**
 * The life of a session, as far as requests depend on it.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionLife {
  /** Undefined for a session of which nothing but its end is known. */
  readonly sessionId: string | undefined
  /** Why it is over, once it is. */
  readonly over: () => SessionClosedError["reason"] | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Body {
  /** The content type, of the SDK's own requests `application/json` or `application/x-protobuf`. */
  readonly contentType: string
  readonly bytes: Uint8Array
  readonly encoding?: "zstd" | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Response {
  readonly request: Request
  readonly status: number
  readonly headers: Headers.Headers
  /** Empty, if there is a `stream`. */
  readonly body: Uint8Array
  /** The body as it arrives, to be read once. */
  readonly stream?: Stream.Stream<Uint8Array, TinkerError> | undefined
}

export { type Attempts, CurrentAttempts, makeAttempts, type Sender } from "./internal/transport/attempts.js"

/**
 * The public call on whose behalf requests are sent, e.g. `TrainingClient.optimStep`; the outermost one counts.
 *
 * @since 0.1.0
 * @category config
 */
export class PublicCall extends Context.Reference<PublicCall>()("effect-tinker/TinkerHttpClient/PublicCall", {
  defaultValue: (): { readonly name: string | undefined } => ({ name: undefined })
}) {}

/**
 * Makes of a request one of the client itself, which belongs to no region of the user's code, whichever of its calls happens to
 * be the first to need it: it has no public name, no extras, and nobody sees its answers.
 *
 * @since 0.1.0
 * @category combinators
 */
export const ofNobody: <A, E, R>(request: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = (request) =>
  Effect.mapInputContext(request, (context) =>
    Context.add(context, PublicCall, { name: undefined }).pipe(
      Context.add(RequestExtras.CurrentExtras, undefined),
      Context.add(RawResponse.CurrentListener, undefined)
    ))

/**
 * Kinds of traffic that should not delay each other. Runtimes with pools of connections keep one a kind.
 *
 * @since 0.1.0
 * @category models
 */
export type Traffic = Endpoint.Traffic | "download"

/**
 * The kind of what a region of code sends, where the path does not tell it.
 *
 * @since 0.1.0
 * @category config
 */
export class CurrentTraffic extends Context.Reference<CurrentTraffic>()(
  "effect-tinker/TinkerHttpClient/CurrentTraffic",
  { defaultValue: (): Traffic | undefined => undefined }
) {}

/**
 * Whether a region of code is done with each part of a streamed body when it asks for the next. Then a runtime may use its
 * memory again. Default false.
 *
 * @since 0.1.0
 * @category config
 */
export class TakesLentParts extends Context.Reference<TakesLentParts>()(
  "effect-tinker/TinkerHttpClient/TakesLentParts",
  { defaultValue: (): boolean => false }
) {}

/**
 * @since 0.1.0
 * @category utils
 */
export const trafficOf = (path: string): Traffic => traffic.get(path.slice(path.lastIndexOf("/") + 1)) ?? "train"

/** The traffic of the endpoints that are for something else than training, by the last part of their paths. */
const traffic: ReadonlyMap<string, Traffic> = new Map(
  [
    Endpoints.asample,
    Endpoints.retrieveFuture,
    Endpoints.retrieveFutures,
    Endpoints.cancelFuture,
    Endpoints.createSession,
    Endpoints.sessionHeartbeat,
    Endpoints.finishSession,
    Endpoints.createSamplingSession,
    Endpoints.clientConfig,
    Endpoints.dynamicConfig,
    Endpoints.authToken,
    Endpoints.telemetry
  ].map(({ path, traffic }) => [path.slice(path.lastIndexOf("/") + 1), traffic])
)

/**
 * Names what an `HttpClient` may offer beside itself: sending without a fiber, which is several times cheaper. A client that
 * was made of it by a transformation no longer has it, so that no transformation is passed over.
 *
 * @since 0.1.0
 * @category symbols
 */
export const SendDirectly: unique symbol = Symbol.for("effect-tinker/TinkerHttpClient/SendDirectly")

/**
 * @since 0.1.0
 * @category models
 */
export interface DirectHttpClient extends HttpClient.HttpClient {
  /**
   * Sends a request, calls back once with what came of it, and gives the means to stop, after which it does not call. An answer
   * longer than `maxBytes`, as it comes or unpacked, is an error with a `ResponseLimits.RefusedAnswer` as its cause.
   */
  readonly [SendDirectly]: (
    request: HttpClientRequest.HttpClientRequest,
    done: (outcome: Effect.Effect<DirectAnswer, HttpClientError.HttpClientError>) => void,
    maxBytes: number
  ) => () => void
}

/**
 * @since 0.1.0
 * @category models
 */
export interface DirectAnswer {
  readonly status: number
  readonly headers: Headers.Headers
  readonly body: Uint8Array
}

/**
 * Compresses request bodies. `@effect-tinker/node` supplies it for Node; without it they go out as they are, which servers
 * take too.
 *
 * @since 0.1.0
 * @category tags
 */
export class Zstd extends Context.Tag("effect-tinker/TinkerHttpClient/Zstd")<Zstd, {
  readonly compress: (bytes: Uint8Array) => Effect.Effect<Uint8Array>
}>() {}

/**
 * A value as a JSON body. Fields that are `undefined` are left out.
 *
 * @since 0.1.0
 * @category constructors
 */
export const jsonBody = (value: unknown): Body => ({
  contentType: "application/json",
  bytes: encoder.encode(JSON.stringify(value))
})

const encoder = new TextEncoder()

/**
 * The `ApiStatusError` of a response.
 *
 * @since 0.1.0
 * @category constructors
 */
export const statusError = (
  response: Response,
  options?: { readonly operation?: string; readonly requestId?: string }
): Effect.Effect<ApiStatusError> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const wait = retryAfter(response.headers, now)
    return new ApiStatusError({
      operation: options?.operation ?? response.request.operation,
      status: response.status,
      reason: reasonOfStatus(response.status),
      detail: readErrorDetail(response.body),
      retryAfter: wait,
      retryAt: wait === undefined || Duration.lessThanOrEqualTo(wait, "1 minute")
        ? undefined
        : DateTimes.unsafeMake(now + Duration.toMillis(wait)),
      isForeign: isOfService(response.body) ? undefined : true,
      shouldRetry: shouldRetry.get(response.headers["x-should-retry"] ?? ""),
      requestId: options?.requestId,
      subject: response.request.subject
    })
  })

const shouldRetry = new Map([["true", true], ["false", false]])

const version = "0.1.0"

/** Between warnings that there is no credit. Source: the Python SDK 0.38.0. */
const billingWarnings = Duration.minutes(1)

/** How long a request waits for credit, until the server says otherwise. Source: the Python SDK 0.38.0. */
const defaultBillingPause = Duration.hours(1)

/** Source: the Fetch standard. */
const mostRedirects = 20

/** After so many in a row an empty 400 counts as an answer. Source: the Python SDK 0.38.0. */
const mostRefusals = 16

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<
  Service,
  never,
  HttpClient.HttpClient | TinkerConfig.TinkerConfig | Credentials.Credentials | Scope.Scope
> = Effect.gen(function*() {
  const client = yield* HttpClient.HttpClient
  const config = yield* TinkerConfig.TinkerConfig
  const credentials = yield* Credentials.Credentials
  const deadlines = yield* Deadlines.make
  const keyPrefix = yield* uuid
  const hub = yield* TinkerEvents.CurrentHub
  const deprecations = Deprecations.make(hub)
  const shownUrl = RequestLog.withoutUserInfo(config.baseUrl)
  const defaultQuery = Object.keys(config.query).length === 0 ? undefined : config.query
  const watch = RequestWatch.make({
    hub,
    metrics: yield* TinkerMetrics.CurrentMetrics,
    trafficOf
  })
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
  let billingPause = Option.getOrElse(config.billingPause, () => defaultBillingPause)
  let lastBillingWarning = -Infinity
  let refusalsLeft = mostRefusals
  const sender: Sender = {
    maxRetries: Option.getOrElse(config.maxRetries, () => Infinity),
    warn: ThrottledWarning.makeKeyed()
  }

  const headersOf = (
    request: Request,
    attempts: Attempts,
    call: string | undefined,
    key: Option.Option<Redacted.Redacted>,
    timeout: Duration.Duration
  ): Record<string, string> => {
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

  const sendDirectly = Predicate.hasProperty(client, SendDirectly)
    ? (client as DirectHttpClient)[SendDirectly]
    : undefined

  const maxBytesOf = ({ maxResponseBytes, path }: Request): number =>
    maxResponseBytes ?? config.maxResponseBytes[path.endsWith(Endpoints.retrieveFuture.path) ? "results" : "others"]

  /** The answer of a client that leaves redirects to the SDK. */
  const steered = <E, R>(
    message: HttpClientRequest.HttpClientRequest,
    request: Request,
    send: (
      client: HttpClient.HttpClient
    ) => (
      message: HttpClientRequest.HttpClientRequest
    ) => Effect.Effect<HttpClientResponse.HttpClientResponse, E, R>
  ): Effect.Effect<HttpClientResponse.HttpClientResponse, E | TinkerError, R> =>
    Effect.suspend(() => {
      let sent = message.url
      return Effect.flatMap(send(manualRedirects(client, (url) => sent = url))(message), (answer) => {
        const description = redirectIssue(answer, sent)
        return description === undefined
          ? Effect.succeed(answer)
          : new ApiResponseValidationError({ operation: request.operation, description, path: request.path })
      })
    })

  const read = (request: Request, answer: HttpClientResponse.HttpClientResponse) =>
    Effect.mapError(
      readWhole(answer, maxBytesOf(request)),
      (error) => error._tag === "RefusedAnswer" ? asTinkerError(request.operation, shownUrl, error) : error
    )

  /** An answer whose body is still to come, if it is 2xx; the connection is the scope's. */
  const opened = (
    message: HttpClientRequest.HttpClientRequest,
    request: Request,
    scope: Scope.Scope
  ): Effect.Effect<Answer, HttpClientError.HttpClientError | TinkerError> =>
    Scope.extend(steered(message, request, (client) => HttpClient.withScope(client).execute), scope).pipe(
      // It may last for long, and must not take the place of other requests meanwhile.
      Effect.provideService(CurrentTraffic, "download"),
      Effect.locally(HttpClient.currentTracerPropagation, false),
      Effect.flatMap((answer): Effect.Effect<Answer, HttpClientError.HttpClientError | TinkerError> =>
        answer.status >= 200 && answer.status < 300
          ? Effect.succeed({ status: answer.status, headers: answer.headers, body: noBytes, stream: answer.stream })
          : read(request, answer)
      )
    )

  const exchange = (
    message: HttpClientRequest.HttpClientRequest,
    request: Request,
    timeout: Duration.Duration,
    watched: WatchedRequest | undefined
  ): Effect.Effect<Answer, HttpClientError.HttpClientError | TinkerError> => {
    let isLate = false
    const onTimeout = () => {
      isLate = true
      return new ApiTimeoutError({ operation: request.operation, reason: "request", deadline: timeout })
    }
    const life = request.session
    if (sendDirectly !== undefined && request.streamedIn === undefined) {
      return deadlines.async(
        (done) => {
          const stop = sendDirectly(message, done, maxBytesOf(request))
          if (watched === undefined) return stop
          // A timeout and the end of the session stop it too, and fail then.
          return () => {
            stop()
            if (!isLate && life?.over() === undefined) watched.interrupted()
          }
        },
        timeout,
        onTimeout,
        life
      )
    }
    const answered = request.streamedIn !== undefined
      ? opened(message, request, request.streamedIn)
      // The platform's clients send the ids of spans unless they are told not to.
      : Effect.locally(
        Effect.flatMap(
          steered(message, request, (client) => client.execute),
          (answer) => read(request, answer)
        ),
        HttpClient.currentTracerPropagation,
        false
      )
    return unlessInterrupted(deadlines.within(answered, timeout, onTimeout, life), watched)
  }

  const send = (
    request: Request,
    url: string,
    headers: Record<string, string>,
    timeout: Duration.Duration,
    call: string | undefined,
    watched: WatchedRequest | undefined,
    redirects: number
  ): Effect.Effect<Response, HttpClientError.HttpClientError | TinkerError> =>
    Effect.flatMap(
      exchange(makeRequest({ method: request.method, url, headers, body: request.body }), request, timeout, watched),
      (answer): Effect.Effect<Response, HttpClientError.HttpClientError | TinkerError> => {
        watched?.answered(answer.status, answer.body.byteLength)
        if (answer.status === 400 && answer.body.length === 0 && refusalsLeft > 0) {
          refusalsLeft -= 1
          return connectionRefused(request.operation, shownUrl)
        }
        if (refusalsLeft < mostRefusals) refusalsLeft += 1
        const response: Response = answer.stream === undefined
          ? { request, status: answer.status, headers: answer.headers, body: answer.body }
          : {
            request,
            status: answer.status,
            headers: answer.headers,
            body: noBytes,
            stream: inParts(request, answer.stream)
          }
        const next = redirects < mostRedirects ? redirect(request, url, response) : undefined
        const outcome = next === undefined
          ? Effect.succeed(response)
          : next.sameOrigin
          ? send(next.request, next.url, headers, timeout, call, watched, redirects + 1)
          : Effect.provideService(
            send(next.request, next.url, travelling(headers), timeout, call, watched, redirects + 1),
            IsAbroad,
            true
          )
        const note = answer.headers[Deprecations.header]
        return note === undefined
          ? outcome
          : Effect.zipRight(deprecations.noted(note, answer.headers, request.operation, call), outcome)
      }
    )

  const inParts = (
    request: Request,
    stream: Stream.Stream<Uint8Array, HttpClientError.HttpClientError>
  ): Stream.Stream<Uint8Array, TinkerError> =>
    Stream.mapError(
      request.maxResponseBytes === undefined ? stream : bounded(stream, request.maxResponseBytes),
      (error) => asTinkerError(request.operation, shownUrl, error)
    )

  const sendOnce = (
    request: Request,
    attempts: Attempts,
    call: string | undefined,
    key: Option.Option<Redacted.Redacted>
  ): Effect.Effect<Response, TinkerError> => {
    const timeout = request.timeout ?? config.requestTimeout
    const listener = request.onAnswer
    const sending = Effect.withFiberRuntime<Response, HttpClientError.HttpClientError | TinkerError>((fiber) => {
      const address = config.baseUrl + request.path
      const url = defaultQuery === undefined && request.query === undefined
        ? address
        : QueryValues.over(QueryValues.under(address, defaultQuery ?? {}), request.query ?? {})
      const headers = headersOf(request, attempts, call, key, timeout)
      const watched = watch.isWanted() ? watch.requestOf(fiber, request, attempts) : undefined
      watched?.sent(request.body?.bytes.byteLength ?? 0)
      const redirects = request.followsRedirects === false ? mostRedirects : 0
      const sent = send(request, url, headers, timeout, call, watched, redirects)
      const told = listener === undefined ? sent : timed(sent, listener)
      return RequestLog.isWanted(fiber) ? RequestLog.logged(told, { request, url: address, headers, attempts }) : told
    })
    const caught = Effect.catchAll(sending, (error) => {
      const told = asTinkerError(request.operation, shownUrl, error)
      attempts.watched?.failed(told)
      return Effect.fail(told)
    })
    const isPlain = clientSecret === undefined && request.headers?.[weightsToken] === undefined
      && request.extraHeaders === undefined && request.followsRedirects !== false
    return isPlain
      ? caught
      : Effect.locallyWith(
        caught,
        PlatformHeaders.currentRedactedNames,
        (names) =>
          names.concat(
            "x-api-key",
            weightsToken,
            cloudflareSecret,
            "location",
            ...Object.keys(request.extraHeaders ?? {})
          )
      )
  }

  const withReplay = (
    request: Request,
    attempts: Attempts,
    call: string | undefined
  ): Effect.Effect<Response, TinkerError> => {
    if (request.credential !== undefined) return sendOnce(request, attempts, call, request.credential)
    return Effect.flatMap(
      credentials.current,
      (key) =>
        Effect.flatMap(sendOnce(request, attempts, call, key), (response) =>
          response.status !== 401
            ? Effect.succeed(response)
            : Effect.flatMap(
              RetryPolicy.CurrentPolicies,
              ({ refusedToken }) => withNewToken(request, attempts, call, key, response, PolicyRun.begin(refusedToken))
            ))
    )
  }

  /** Sends a request again whose token was refused, with a new one, as often as the policy says. */
  const withNewToken = (
    request: Request,
    attempts: Attempts,
    call: string | undefined,
    refused: Option.Option<Redacted.Redacted>,
    response: Response,
    run: PolicyRun.PolicyRun
  ): Effect.Effect<Response, TinkerError> =>
    Effect.gen(function*() {
      const wait = yield* Effect.flatMap(statusError(response), run.next)
      const isWanted = wait !== undefined
      const renewed = yield* unlessInterrupted(credentials.renew(refused), attempts.watched)
      if (!isWanted || !renewed) return response
      yield* unlessInterrupted(PolicyRun.sleep(wait), attempts.watched)
      const key = yield* credentials.current
      const again = yield* sendOnce(request, attempts, call, key)
      return again.status === 401 ? yield* withNewToken(request, attempts, call, key, again, run) : again
    })

  const pauseForBilling = (request: Request, since: number, waited: number, wait: number) =>
    Effect.gen(function*() {
      const now = yield* Monotonic.now
      if (now - lastBillingWarning >= Duration.toMillis(billingWarnings)) {
        lastBillingWarning = now
        yield* Effect.logWarning(
          `${request.operation}: the server answered 402: there is no credit. It was waited for for `
            + `${Math.round(waited / 1000)} s so far, and is for at most ${spoken(billingPause)}; add credit to go on`
        )
      }
      request.onBillingPause?.(DateTimes.unsafeMake(since))
      yield* PolicyRun.sleep(wait)
    })

  const withBillingPause = (
    request: Request,
    attempts: Attempts,
    call: string | undefined
  ): Effect.Effect<Response, TinkerError> =>
    Effect.flatMap(
      withReplay(request, attempts, call),
      (response) =>
        response.status !== 402 || request.pausesForBilling === false
          ? Effect.succeed(response)
          : untilThereIsCredit(request, attempts, call, response)
    )

  const untilThereIsCredit = (
    request: Request,
    attempts: Attempts,
    call: string | undefined,
    first: Response
  ): Effect.Effect<Response, TinkerError> =>
    Effect.gen(function*() {
      const { billing } = yield* RetryPolicy.CurrentPolicies
      const run = PolicyRun.begin(billing)
      const since = yield* Clock.currentTimeMillis
      const began = yield* Monotonic.now
      let response = first
      for (let attempt = 2; response.status === 402; attempt++) {
        const waited = (yield* Monotonic.now) - began
        if (waited >= Duration.toMillis(billingPause)) break
        const error = yield* statusError(response)
        const wait = yield* run.next(error)
        if (wait === undefined || waited + wait > Duration.toMillis(billingPause)) break
        if (hub.isHeard()) {
          const { operation } = request
          hub.publish({ _tag: "RetryScheduled", operation, policy: "billing", attempt, wait, error })
        }
        yield* unlessInterrupted(pauseForBilling(request, since, waited, wait), attempts.watched)
        response = yield* withReplay(request, attempts, call)
      }
      return response
    })

  const execute = (request: Request): Effect.Effect<Response, TinkerError> =>
    Effect.withFiberRuntime((fiber) => {
      const over = request.session?.over()
      if (over !== undefined) return Effect.fail(sessionClosed(request.operation, request.session!, over))
      const context = fiber.currentContext
      const attempts = request.attempts ?? Context.get(context, CurrentAttempts) ?? makeAttempts()
      attempts.sender ??= sender
      const call = Context.get(context, PublicCall).name ?? request.call
      let sent = config.propagateTrace ? withTraceparent(request, fiber.currentSpan) : request
      const extras = Context.get(context, RequestExtras.CurrentExtras)
      if (extras !== undefined) {
        const extended = RequestExtras.apply(sent, extras, { isPoll: trafficOf(request.path) === "poll" })
        if (Either.isLeft(extended)) return Effect.fail(extended.left)
        sent = extended.right
      }
      const listener = Context.get(context, RawResponse.CurrentListener)
      if (listener !== undefined) sent = toldOf(sent, listener, shownUrl, attempts)
      const answered = withBillingPause(sent, attempts, call)
      // Who makes several attempts says when there is no other.
      return attempts.mayRepeat || !watch.isWanted()
        ? answered
        : Effect.ensuring(answered, Effect.sync(() => attempts.watched?.end()))
    })

  const request = (options: Request): Effect.Effect<Response, TinkerError> =>
    Effect.flatMap(execute(options), (response) =>
      response.status >= 200 && response.status < 300
        ? Effect.succeed(response)
        : Effect.flatMap(statusError(response), Effect.fail))

  return TinkerHttpClient.of({
    execute,
    request,
    json: (options, schema) => Effect.flatMap(request(options), (response) => decodeJson(response, schema)),
    setBillingPause: (duration) =>
      Effect.sync(() => {
        billingPause = Option.getOrElse(config.billingPause, () => duration)
      }),
    endSession: (session) =>
      Effect.sync(() => {
        const over = session.over()
        if (over !== undefined) deadlines.end(session, sessionClosed("SessionManager", session, over))
      })
  })
})

const sessionClosed = (operation: string, { sessionId }: SessionLife, reason: SessionClosedError["reason"]) =>
  new SessionClosedError({ operation, reason, sessionId })

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  TinkerHttpClient,
  never,
  HttpClient.HttpClient | TinkerConfig.TinkerConfig | Credentials.Credentials
> = Layer.scoped(TinkerHttpClient, make)

type Answer = DirectAnswer & { readonly stream?: Stream.Stream<Uint8Array, HttpClientError.HttpClientError> }

const noBytes = new Uint8Array(0)

const overwrite = (
  headers: Record<string, string>,
  extra: Readonly<Record<string, string | undefined>>
): void => {
  for (const [name, value] of Object.entries(extra)) {
    if (value === undefined) delete headers[name]
    else headers[name] = value
  }
}

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

const unlessInterrupted = <A, E>(effect: Effect.Effect<A, E>, watched: WatchedRequest | undefined) =>
  watched === undefined ? effect : Effect.onInterrupt(effect, () => Effect.sync(() => watched.interrupted()))

/** The option `query` stays out of the address that is told, as does the user in it: they may be credentials. */
const toldOf = (
  request: Request,
  listener: (response: RawResponse.RawResponse) => void,
  baseUrl: string,
  attempts: Attempts
): Request => {
  const url = QueryValues.over(baseUrl + request.path, request.query ?? {})
  return {
    ...request,
    onAnswer: (answer, elapsed) => {
      listener(RawResponse.make({ answer, url, elapsed, retries: attempts.retryCount }))
      request.onAnswer?.(answer, elapsed)
    }
  }
}

const withTraceparent = (request: Request, span: Tracer.AnySpan | undefined): Request => {
  const value = traceparent(span)
  return value === undefined ? request : { ...request, headers: { ...request.headers, traceparent: value } }
}
