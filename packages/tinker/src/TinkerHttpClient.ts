/**
 * The authenticated HTTP client of the service: one attempt a request, and the only place where HTTP failures become
 * `TinkerError`.
 */
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Credentials from "./Credentials.js"
import { decodeJson } from "./internal/decodeJson.js"
import { readErrorDetail } from "./internal/readErrorDetail.js"
import { retryAfter } from "./internal/retryAfter.js"
import { uuid } from "./internal/uuid.js"
import * as TinkerConfig from "./TinkerConfig.js"
import type { TinkerError } from "./TinkerError.js"
import {
  ApiConnectionError,
  ApiStatusError,
  ApiTimeoutError,
  InvalidInputError,
  reasonOfStatus
} from "./TinkerError.js"

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
  /** Sends a request once and returns whatever status came back, its body read whole. */
  readonly execute: (request: Request) => Effect.Effect<Response, TinkerError>

  /** Sends a request once. A status other than 2xx is an `ApiStatusError`. */
  readonly request: (request: Request) => Effect.Effect<Response, TinkerError>

  /** Sends a request once and decodes its JSON answer. */
  readonly json: <A, I>(request: Request, schema: Schema.Schema<A, I>) => Effect.Effect<A, TinkerError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Request {
  /** Named in errors and spans, e.g. `optim_step`. */
  readonly operation: string
  readonly method: "GET" | "POST" | "PUT" | "DELETE"
  /** From `/api/v1` on. Ids in it are not escaped: the service wants their colons and slashes as they are. */
  readonly path: string
  readonly body?: Body | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Default: the option `requestTimeout`. */
  readonly timeout?: Duration.Duration | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Body {
  readonly contentType: "application/json" | "application/x-protobuf"
  readonly bytes: Uint8Array
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Response {
  readonly status: number
  readonly headers: Headers.Headers
  readonly body: Uint8Array
}

/**
 * What the attempts at one logical request share.
 *
 * @since 0.1.0
 * @category config
 */
export class Attempt extends Context.Reference<Attempt>()("effect-tinker/TinkerHttpClient/Attempt", {
  defaultValue: (): { readonly idempotencyKey: string | undefined; readonly retryCount: number } => ({
    idempotencyKey: undefined,
    retryCount: 0
  })
}) {}

/**
 * A value as a JSON body. Fields that are `undefined` are left out.
 *
 * @since 0.1.0
 * @category constructors
 */
export const jsonBody = (value: unknown): Body => ({
  contentType: "application/json",
  bytes: new TextEncoder().encode(JSON.stringify(value))
})

/**
 * The `ApiStatusError` of a response.
 *
 * @since 0.1.0
 * @category constructors
 */
export const statusError = (operation: string, response: Response): ApiStatusError =>
  new ApiStatusError({
    operation,
    status: response.status,
    reason: reasonOfStatus(response.status),
    detail: readErrorDetail(response.body),
    retryAfter: retryAfter(response.headers)
  })

const version = "0.1.0"

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<
  Service,
  never,
  HttpClient.HttpClient | TinkerConfig.TinkerConfig | Credentials.Credentials
> = Effect.gen(function*() {
  const client = yield* HttpClient.HttpClient
  const config = yield* TinkerConfig.TinkerConfig
  const credentials = yield* Credentials.Credentials

  const execute = (request: Request): Effect.Effect<Response, TinkerError> => {
    const timeout = request.timeout ?? config.requestTimeout
    return Effect.gen(function*() {
      const key = yield* credentials.current
      const attempt = yield* Attempt
      const headers: Record<string, string> = {
        accept: "application/json",
        "user-agent": `effect-tinker/${version}`,
        "x-stainless-package-version": TinkerConfig.protocolVersion,
        "x-stainless-retry-count": String(attempt.retryCount),
        "x-stainless-read-timeout": String(Duration.toSeconds(timeout)),
        ...request.headers
      }
      if (Option.isSome(key)) headers["x-api-key"] = Redacted.value(key.value)
      if (request.method !== "GET") {
        headers["x-idempotency-key"] = attempt.idempotencyKey ?? (yield* uuid)
      }
      const bare = HttpClientRequest.make(request.method)(config.baseUrl + request.path, { headers })
      const response = yield* client.execute(
        request.body === undefined
          ? bare
          : HttpClientRequest.bodyUint8Array(bare, request.body.bytes, request.body.contentType)
      )
      const body = yield* response.arrayBuffer
      return { status: response.status, headers: response.headers, body: new Uint8Array(body) }
    }).pipe(
      Effect.catchTags({
        RequestError: (error) => Effect.fail(fromRequestError(request.operation, config.baseUrl, error)),
        ResponseError: (error) => Effect.fail(connectionLost(request.operation, config.baseUrl, error.cause ?? error))
      }),
      Effect.timeoutFail({
        duration: timeout,
        onTimeout: () => new ApiTimeoutError({ operation: request.operation, reason: "request", deadline: timeout })
      }),
      Effect.locallyWith(Headers.currentRedactedNames, (names) => names.concat("x-api-key"))
    )
  }

  const request = (options: Request): Effect.Effect<Response, TinkerError> =>
    Effect.flatMap(execute(options), (response) =>
      response.status >= 200 && response.status < 300
        ? Effect.succeed(response)
        : Effect.fail(statusError(options.operation, response)))

  return TinkerHttpClient.of({
    execute,
    request,
    json: (options, schema) =>
      Effect.flatMap(request(options), (response) => decodeJson(options.operation, response.body, schema))
  })
})

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  TinkerHttpClient,
  never,
  HttpClient.HttpClient | TinkerConfig.TinkerConfig | Credentials.Credentials
> = Layer.effect(TinkerHttpClient, make)

const fromRequestError = (operation: string, url: string, error: HttpClientError.RequestError): TinkerError =>
  error.reason === "InvalidUrl"
    ? new InvalidInputError({
      operation,
      field: "baseUrl",
      description: `${JSON.stringify(url)} is no address. Check TINKER_BASE_URL.`
    })
    : connectionLost(operation, url, error.cause ?? error)

const connectionLost = (operation: string, url: string, cause: unknown): ApiConnectionError =>
  new ApiConnectionError({ operation, url, description: describe(cause), cause })

/** Runtimes bury the reason: an `Error` whose cause, or the causes of which, name it. */
const describe = (cause: unknown): string => {
  if (!(cause instanceof Error)) return "the connection failed"
  if (cause.cause instanceof Error) return describe(cause.cause)
  if (cause instanceof AggregateError && cause.errors[0] instanceof Error) return describe(cause.errors[0])
  return cause.message || cause.name
}
