/**
 * Endpoints by which results of submitted requests are fetched: long polls, for one request or for all of a sampler.
 */
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import {
  FuturesRetrieveRequest,
  FuturesRetrieveResponse,
  type RequestType
} from "@effect-tinker/protocol/FuturesMessages"
import { RequestId } from "@effect-tinker/protocol/Identifiers"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { isOfService } from "./internal/transport/answerOrigin.js"
import { decodeValue, type Origin, parseJson, unreadable } from "./internal/transport/decodeJson.js"
import { post, requestOf, send } from "./internal/transport/endpoint.js"
import { readErrorDetail } from "./internal/transport/readErrorDetail.js"
import { statusError } from "./internal/transport/statusError.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class FuturesApi extends Context.Tag("effect-tinker/FuturesApi")<FuturesApi, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Asks once for the result of a request. The server holds the question for a while before it says {@link Pending}. */
  readonly retrieve: (options: RetrieveOptions) => Effect.Effect<Reply, TinkerError>

  /** Asks for what a sampler has finished since `prevCursor`, and says which results may be thrown away. */
  readonly retrieveMany: (
    request: FuturesRetrieveRequest,
    timeout: Duration.Duration,
    options?: TinkerHttpClient.CallOptions
  ) => Effect.Effect<FuturesRetrieveResponse, TinkerError>

  /** Tells the server that nobody wants the result any more. */
  readonly cancel: (requestId: RequestId) => Effect.Effect<void, TinkerError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface RetrieveOptions
  extends TinkerHttpClient.CallOptions, Pick<TinkerHttpClient.Request, "onBillingPause">
{
  readonly requestId: RequestId
  readonly requestType: RequestType
  /** How often this result was asked for before. */
  readonly iteration: number
  /** Whether the server may say how large the result is instead of sending it. */
  readonly allowMetadataOnly: boolean
  /** Whether the result comes as protobuf. */
  readonly protobuf: boolean
  /** The time from the call to its acceptance, in seconds; told with the first question. */
  readonly roundTrip?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export type Reply = Pending | MetadataOnly | Failed | Json | Protobuf

/**
 * Still waiting or running. `queueState` is absent when the server said nothing of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Pending {
  readonly _tag: "Pending"
  readonly queueState: QueueState | undefined
  readonly reason: string | undefined
  /** Whether it was an answer 408, by which some servers say so. */
  readonly isTimeout?: boolean | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export type QueueState = "active" | "paused_capacity" | "paused_rate_limit" | "unknown"

/**
 * Ready, and so large that the server asks first. `size` in bytes.
 *
 * @since 0.1.0
 * @category models
 */
export interface MetadataOnly {
  readonly _tag: "MetadataOnly"
  readonly size: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Failed {
  readonly _tag: "Failed"
  readonly category: "unknown" | "server" | "user"
  readonly description: string
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Json {
  readonly _tag: "Json"
  readonly value: unknown
  readonly response: TinkerHttpClient.Response
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Protobuf {
  readonly _tag: "Protobuf"
  readonly response: TinkerHttpClient.Response
}

/**
 * Longer than any server should hold the question. Source: the Python SDK 0.38.0.
 *
 * @internal
 */
export const pollTimeout = Duration.seconds(45)

const cancelTimeout = Duration.seconds(30)

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, TinkerHttpClient.TinkerHttpClient> = Effect.map(
  TinkerHttpClient.TinkerHttpClient,
  (http) => {
    const retrieveMany = post(http, Endpoints.retrieveFutures)
    const { method, path } = requestOf(Endpoints.retrieveFuture)
    const cancel = send(http, Endpoints.cancelFuture)
    return FuturesApi.of({
      retrieve: (options) => {
        const operation = `retrieve_future (${options.requestType} ${options.requestId})`
        return http.execute({
          operation,
          method,
          path,
          timeout: pollTimeout,
          session: options.session,
          attempts: options.attempts,
          call: options.call,
          onBillingPause: options.onBillingPause,
          headers: headersOf(options),
          // One for every result, so by hand: the schema would take longer than the rest of the request.
          body: TinkerHttpClient.jsonBody({
            request_id: options.requestId,
            allow_metadata_only: options.allowMetadataOnly
          })
        }).pipe(
          Effect.flatMap((response) => readReply({ operation, requestId: options.requestId, response })),
          // A server that holds longer than our timeout is still at work.
          Effect.catchTag("ApiTimeoutError", () => Effect.succeed(pending))
        )
      },
      // What is asked for by these belongs to several calls, or to none any more.
      retrieveMany: (request, timeout, options) =>
        TinkerHttpClient.asOwnRequest(retrieveMany(request, { timeout, ...options })),
      cancel: (requestId) => TinkerHttpClient.asOwnRequest(cancel({ body: { requestId } }, { timeout: cancelTimeout }))
    })
  }
)

const headersOf = (options: RetrieveOptions): Record<string, string> => {
  const headers: Record<string, string> = {
    // JSON comes from servers that know no other form.
    accept: options.protobuf ? "application/x-protobuf, application/json" : "application/json",
    "x-tinker-request-iteration": String(options.iteration),
    "x-tinker-request-type": options.requestType
  }
  if (options.iteration === 0 && options.roundTrip !== undefined) {
    headers["x-tinker-create-promise-roundtrip-time"] = String(options.roundTrip)
  }
  return headers
}

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<FuturesApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(FuturesApi, make)

const pending: Pending = { _tag: "Pending", queueState: undefined, reason: undefined }

const Body = Schema.Record({ key: Schema.String, value: Schema.Unknown })

const readReply = (origin: Origin): Effect.Effect<Reply, TinkerError> => {
  const { requestId, response } = origin
  if (response.status === 408) {
    return parseJson(origin).pipe(
      Effect.flatMap((value) => decodeValue(origin, value, Body)),
      Effect.match({ onFailure: () => pending, onSuccess: toPending }),
      Effect.map((reply) => ({ ...reply, isTimeout: true }))
    )
  }
  if (response.status < 200 || response.status >= 300) {
    // Some servers tell by these that the request itself has failed.
    if ((response.status === 422 || response.status === 400) && isOfService(response.body)) {
      return Effect.succeed({ _tag: "Failed", category: "user", description: readErrorDetail(response.body) })
    }
    const named = { operation: origin.operation, ...(requestId === undefined ? {} : { requestId }) }
    return Effect.flatMap(statusError(response, named), Effect.fail)
  }
  if (response.headers["content-type"]?.includes("application/x-protobuf")) {
    return Effect.succeed({ _tag: "Protobuf", response })
  }
  return Effect.flatMap(parseJson(origin), (value) => {
    if (!Predicate.isRecord(value)) return unreadable(origin, "it is no JSON object")
    if (value["type"] === "try_again") return Effect.succeed<Reply>(toPending(value))
    if (value["status"] === "complete_metadata") {
      return Effect.succeed<Reply>({ _tag: "MetadataOnly", size: Number(value["response_payload_size"] ?? 0) || 0 })
    }
    if (value["error"] !== undefined && value["error"] !== null) {
      return Effect.succeed<Reply>({
        _tag: "Failed",
        category: category(value["category"]),
        description: typeof value["error"] === "string" ? value["error"] : JSON.stringify(value["error"])
      })
    }
    return Effect.succeed<Reply>({ _tag: "Json", value, response })
  })
}

const toPending = (body: { readonly [key: string]: unknown }): Pending => ({
  _tag: "Pending",
  queueState: body["queue_state"] === undefined || body["queue_state"] === null
    ? undefined
    : queueState(body["queue_state"]),
  reason: typeof body["queue_state_reason"] === "string" ? body["queue_state_reason"] : undefined
})

const queueState = (value: unknown): QueueState =>
  value === "active" || value === "paused_capacity" || value === "paused_rate_limit" ? value : "unknown"

/** Some servers write the category with a capital. */
const category = (value: unknown): Failed["category"] => {
  const name = String(value).toLowerCase()
  return name === "server" || name === "user" ? name : "unknown"
}
