/**
 * What the package of a runtime may offer the client beside an `HttpClient`, and what it needs to know for that. Programs do not need it:
 * `@effect-tinker/node` uses it.
 */
import type * as Endpoint from "@effect-tinker/protocol/Endpoint"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import type * as Headers from "@effect/platform/Headers"
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"

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
  "effect-tinker/HttpRuntime/CurrentTraffic",
  { defaultValue: (): Traffic | undefined => undefined }
) {}

/**
 * The kind of a request, by its path.
 *
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
 * Whether a region of code is done with each part of a streamed body when it asks for the next. Then a runtime may use its
 * memory again. Default false.
 *
 * @since 0.1.0
 * @category config
 */
export class TakesLentParts extends Context.Reference<TakesLentParts>()(
  "effect-tinker/HttpRuntime/TakesLentParts",
  { defaultValue: (): boolean => false }
) {}

/**
 * Names what an `HttpClient` may offer beside itself: sending without a fiber, which is several times cheaper. A client that
 * was made of it by a transformation no longer has it, so that no transformation is passed over.
 *
 * @since 0.1.0
 * @category symbols
 */
export const SendDirectly: unique symbol = Symbol.for("effect-tinker/HttpRuntime/SendDirectly")

/**
 * An `HttpClient` that offers it.
 *
 * @since 0.1.0
 * @category models
 */
export interface DirectHttpClient extends HttpClient.HttpClient {
  /**
   * Sends a request, calls back once with what came of it, and gives the means to stop, after which it does not call. An answer
   * longer than `maxBytes`, as it comes or unpacked, is an error with a {@link RefusedAnswer} as its cause.
   */
  readonly [SendDirectly]: (
    request: HttpClientRequest.HttpClientRequest,
    done: (outcome: Effect.Effect<DirectAnswer, HttpClientError.HttpClientError>) => void,
    maxBytes: number
  ) => () => void
}

/**
 * An answer, read whole.
 *
 * @since 0.1.0
 * @category models
 */
export interface DirectAnswer {
  readonly status: number
  readonly headers: Headers.Headers
  readonly body: Uint8Array
}

/**
 * Compresses request bodies. Without it they go out as they are, which servers take too.
 *
 * @since 0.1.0
 * @category tags
 */
export class Zstd extends Context.Tag("effect-tinker/HttpRuntime/Zstd")<Zstd, {
  readonly compress: (bytes: Uint8Array) => Effect.Effect<Uint8Array>
}>() {}

/**
 * Why an answer was read no further. Transports give it as the cause of their error, and the SDK as that of its
 * `ApiResponseValidationError`. The same request would be answered so again, so it is not sent again.
 *
 * @since 0.1.0
 * @category errors
 */
export class RefusedAnswer extends Data.TaggedError("RefusedAnswer")<{
  readonly reason: "TooLong" | "TooOftenEncoded" | "TooDeep"
  /** Bytes, encodings, or levels: the most that is taken. */
  readonly limit: number
}> {
  override get message() {
    const most = this.limit.toLocaleString("en")
    switch (this.reason) {
      case "TooLong":
        return `it is longer, or unpacks to more, than the ${most} bytes that are read of one. If it may be that long, raise the `
          + "option maxResponseBytes"
      case "TooOftenEncoded":
        return `its body is encoded again and again, and no more than ${most} encodings are undone`
      case "TooDeep":
        return `its JSON is nested more than ${most} deep`
    }
  }
}

/** How often a body may be encoded, one encoding over the other. */
const mostEncodings = 2

/**
 * The encodings of a body, by its header `content-encoding`, in the order in which they were applied; or why they are not undone.
 *
 * @since 0.1.0
 * @category utils
 */
export const encodingsOf = (header: string | undefined): Either.Either<ReadonlyArray<string>, RefusedAnswer> => {
  if (header === undefined) return none
  const names = header.split(",").map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "" && name !== "identity")
  return names.length > mostEncodings
    ? Either.left(new RefusedAnswer({ reason: "TooOftenEncoded", limit: mostEncodings }))
    : Either.right(names)
}

const none = Either.right([])
