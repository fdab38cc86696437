/**
 * The endpoint by which results of submitted requests are fetched: a long poll.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { RequestId } from "./Identifiers.js"
import { decodeValue, parseJson } from "./internal/decodeJson.js"
import { field } from "./internal/wireField.js"
import type { TinkerError } from "./TinkerError.js"
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
}

/**
 * @since 0.1.0
 * @category models
 */
export interface RetrieveOptions {
  readonly requestId: RequestId
  readonly requestType: RequestType
  /** How often this result was asked for before. */
  readonly iteration: number
  /** Whether the server may say how large the result is instead of sending it. */
  readonly allowMetadataOnly: boolean
  /** Whether the result comes as protobuf. */
  readonly protobuf: boolean
}

/**
 * What was submitted, as the service names it.
 *
 * @since 0.1.0
 * @category models
 */
export type RequestType =
  | "CreateModel"
  | "LoadWeights"
  | "SaveWeights"
  | "SaveWeightsForSampler"
  | "Forward"
  | "ForwardBackward"
  | "OptimStep"
  | "Sample"

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
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Protobuf {
  readonly _tag: "Protobuf"
  readonly bytes: Uint8Array
}

/**
 * @since 0.1.0
 * @category schemas
 */
export const FutureRetrieveRequest = Schema.Struct({
  requestId: field(RequestId, "request_id"),
  allowMetadataOnly: Schema.optionalWith(Schema.Boolean, { default: () => false }).pipe(
    Schema.fromKey("allow_metadata_only")
  )
})

const encodeRequest = Schema.encodeSync(FutureRetrieveRequest)

/** Longer than any server should hold the question. Source: the Python SDK 0.38.0. */
const pollTimeout = Duration.seconds(45)

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, TinkerHttpClient.TinkerHttpClient> = Effect.map(
  TinkerHttpClient.TinkerHttpClient,
  (http) =>
    FuturesApi.of({
      retrieve: (options) => {
        const operation = `retrieve_future (${options.requestType} ${options.requestId})`
        return http.execute({
          operation,
          method: "POST",
          path: "/api/v1/retrieve_future",
          timeout: pollTimeout,
          headers: {
            accept: options.protobuf ? "application/x-protobuf" : "application/json",
            "x-tinker-request-iteration": String(options.iteration),
            "x-tinker-request-type": options.requestType
          },
          body: TinkerHttpClient.jsonBody(encodeRequest(options))
        }).pipe(
          Effect.flatMap((response) => readReply(operation, response)),
          // A server that holds longer than our timeout is still at work.
          Effect.catchTag("ApiTimeoutError", () => Effect.succeed(pending))
        )
      }
    })
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<FuturesApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(FuturesApi, make)

const pending: Pending = { _tag: "Pending", queueState: undefined, reason: undefined }

const Body = Schema.Struct({
  type: Schema.optional(Schema.Unknown),
  status: Schema.optional(Schema.Unknown),
  queue_state: Schema.optional(Schema.Unknown),
  queue_state_reason: Schema.optional(Schema.Unknown),
  response_payload_size: Schema.optional(Schema.Unknown),
  error: Schema.optional(Schema.Unknown),
  category: Schema.optional(Schema.Unknown)
})

const readReply = (operation: string, response: TinkerHttpClient.Response): Effect.Effect<Reply, TinkerError> => {
  if (response.status === 408) {
    return parseJson(operation, response.body).pipe(
      Effect.flatMap((value) => decodeValue(operation, value, Body)),
      Effect.match({ onFailure: () => pending, onSuccess: toPending })
    )
  }
  if (response.status < 200 || response.status >= 300) {
    return Effect.fail(TinkerHttpClient.statusError(operation, response))
  }
  if (response.headers["content-type"]?.includes("application/x-protobuf")) {
    return Effect.succeed({ _tag: "Protobuf", bytes: response.body })
  }
  return Effect.gen(function*() {
    const value = yield* parseJson(operation, response.body)
    const body = yield* decodeValue(operation, value, Body)
    if (body.type === "try_again") return toPending(body)
    if (body.status === "complete_metadata") {
      return { _tag: "MetadataOnly", size: Number(body.response_payload_size ?? 0) }
    }
    if (body.error !== undefined) {
      return { _tag: "Failed", category: category(body.category), description: String(body.error) }
    }
    return { _tag: "Json", value }
  })
}

const toPending = (body: typeof Body.Type): Pending => ({
  _tag: "Pending",
  queueState: body.queue_state === undefined || body.queue_state === null ? undefined : queueState(body.queue_state),
  reason: typeof body.queue_state_reason === "string" ? body.queue_state_reason : undefined
})

const queueState = (value: unknown): QueueState =>
  value === "active" || value === "paused_capacity" || value === "paused_rate_limit" ? value : "unknown"

/** Some servers write the category with a capital. */
const category = (value: unknown): Failed["category"] => {
  const name = String(value).toLowerCase()
  return name === "server" || name === "user" ? name : "unknown"
}
