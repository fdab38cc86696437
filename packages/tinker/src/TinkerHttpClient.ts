/**
 * The authenticated HTTP client of the service: one request at a time, and the only place where HTTP failures become
 * `TinkerError`.
 *
 * Two answers are dealt with here, under the same idempotency key: a refused token is replaced and the request sent once
 * more, and 402 (no credit) is waited out for as long as the server or the option `billingPause` says.
 */
import type { SessionClosedError, TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as TinkerErrors from "@effect-tinker/protocol/TinkerError"
import type * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Credentials from "./Credentials.js"
import { trafficOf } from "./HttpRuntime.js"
import * as ThrottledWarning from "./internal/call/throttledWarning.js"
import * as Fibers from "./internal/effect/fibers.js"
import * as Attempt from "./internal/transport/attempt.js"
import { type Attempts, CurrentAttempts, makeAttempts, type Sender } from "./internal/transport/attempts.js"
import * as BillingPause from "./internal/transport/billingPause.js"
import * as Deadlines from "./internal/transport/deadlines.js"
import { decodeJson } from "./internal/transport/decodeJson.js"
import * as Exchange from "./internal/transport/exchange.js"
import * as Followed from "./internal/transport/followed.js"
import { withListener, withTraceparent } from "./internal/transport/observedRequest.js"
import * as RenewedToken from "./internal/transport/renewedToken.js"
import * as RequestHeaders from "./internal/transport/requestHeaders.js"
import * as RequestLog from "./internal/transport/requestLog.js"
import * as RequestWatch from "./internal/transport/requestWatch.js"
import { statusError } from "./internal/transport/statusError.js"
import { uuid } from "./internal/uuid.js"
import * as RawResponse from "./RawResponse.js"
import * as RequestExtras from "./RequestExtras.js"
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
  /** Default: those of the `RetryPolicy.retry` around it, or none. */
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

/**
 * The public call on whose behalf requests are sent, e.g. `TrainingClient.optimStep`; the outermost one counts.
 *
 * @internal
 */
export class PublicCall extends Context.Reference<PublicCall>()("effect-tinker/TinkerHttpClient/PublicCall", {
  defaultValue: (): { readonly name: string | undefined } => ({ name: undefined })
}) {}

/**
 * Makes of a request the client's own, which belongs to no region of the user's code, whichever of its calls happens to
 * be the first to need it: it has no public name, no extras, and nobody sees its answers.
 *
 * @internal
 */
export const asOwnRequest: <A, E, R>(request: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = (request) =>
  Effect.mapInputContext(request, (context) =>
    Context.add(context, PublicCall, { name: undefined }).pipe(
      Context.add(RequestExtras.CurrentExtras, undefined),
      Context.add(RawResponse.CurrentListener, undefined)
    ))

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
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<
  Service,
  never,
  HttpClient.HttpClient | TinkerConfig.TinkerConfig | Credentials.Credentials | Scope.Scope
> = Effect.gen(function*() {
  const config = yield* TinkerConfig.TinkerConfig
  const deadlines = yield* Deadlines.make
  const hub = yield* TinkerEvents.CurrentHub
  const shownUrl = RequestLog.withoutUserInfo(config.baseUrl)
  const watch = RequestWatch.make({ hub, metrics: yield* TinkerMetrics.CurrentMetrics })
  const sender: Sender = {
    maxRetries: Option.getOrElse(config.maxRetries, () => Infinity),
    warn: ThrottledWarning.makeKeyed()
  }

  // What surrounds one exchange with the server, from the inside out. `RetryPolicy.retry` is around all of it: each of its attempts
  // has a token that is accepted and credit, so that neither counts as an attempt.
  const exchange = Exchange.make({ client: yield* HttpClient.HttpClient, config, deadlines, shownUrl })
  const followed = Followed.make(exchange, { hub, shownUrl })
  const headersOf = RequestHeaders.make(config, yield* uuid)
  const attempt = Attempt.make(followed, { config, headersOf, watch, shownUrl })
  const authenticated = RenewedToken.make(attempt, yield* Credentials.Credentials)
  const billing = BillingPause.make(authenticated, config.billingPause, hub)

  const execute = (request: Request): Effect.Effect<Response, TinkerError> =>
    Fibers.withRunning((fiber) => {
      const over = request.session?.over()
      if (over !== undefined) return Effect.fail(sessionClosed(request.operation, request.session!, over))
      const context = fiber.currentContext
      const attempts = request.attempts ?? Context.get(context, CurrentAttempts) ?? makeAttempts()
      attempts.sender ??= sender
      const call = Context.get(context, PublicCall).name ?? request.call
      let sent = config.propagateTrace ? withTraceparent(request, Fibers.spanOf(fiber)) : request
      const extras = Context.get(context, RequestExtras.CurrentExtras)
      if (extras !== undefined) {
        const extended = RequestExtras.apply(sent, extras, { isPoll: trafficOf(request.path) === "poll" })
        if (Either.isLeft(extended)) return Effect.fail(extended.left)
        sent = extended.right
      }
      const listener = Context.get(context, RawResponse.CurrentListener)
      if (listener !== undefined) sent = withListener(sent, listener, shownUrl, attempts)
      const answered = billing.send(sent, attempts, call)
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
    setBillingPause: (duration) => Effect.sync(() => billing.setLongest(duration)),
    endSession: (session) =>
      Effect.sync(() => {
        const over = session.over()
        if (over !== undefined) deadlines.end(session, sessionClosed("SessionManager", session, over))
      })
  })
})

const sessionClosed = (operation: string, { sessionId }: SessionLife, reason: SessionClosedError["reason"]) =>
  new TinkerErrors.SessionClosedError({ operation, reason, sessionId })

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  TinkerHttpClient,
  never,
  HttpClient.HttpClient | TinkerConfig.TinkerConfig | Credentials.Credentials
> = Layer.scoped(TinkerHttpClient, make)
