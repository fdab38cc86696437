/** One message to the server and the answer to it, within the request's time and its session's life. */
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import { ApiResponseValidationError, ApiTimeoutError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { CurrentTraffic, type DirectAnswer, type DirectHttpClient, SendDirectly } from "../../HttpRuntime.js"
import type * as TinkerConfig from "../../TinkerConfig.js"
import type { Request } from "../../TinkerHttpClient.js"
import { readWhole } from "./boundedBody.js"
import type * as Deadlines from "./deadlines.js"
import { manualRedirects, redirectIssue } from "./manualRedirects.js"
import type { WatchedRequest } from "./requestWatch.js"
import { asTinkerError } from "./transportErrors.js"
import { unlessInterrupted } from "./unlessInterrupted.js"

/** With a `stream`, the body is empty and still to come. */
export type Answer = DirectAnswer & {
  readonly stream?: Stream.Stream<Uint8Array, HttpClientError.HttpClientError>
}

export type Exchange = (
  message: HttpClientRequest.HttpClientRequest,
  request: Request,
  timeout: Duration.Duration,
  watched: WatchedRequest | undefined
) => Effect.Effect<Answer, HttpClientError.HttpClientError | TinkerError>

export const make = (options: {
  readonly client: HttpClient.HttpClient
  readonly config: Pick<TinkerConfig.Service, "maxResponseBytes">
  readonly deadlines: Deadlines.Deadlines
  /** The address of the server as errors show it. */
  readonly shownUrl: string
}): Exchange => {
  const { client, config, deadlines, shownUrl } = options
  const sendDirectly = Predicate.hasProperty(client, SendDirectly)
    ? (client as DirectHttpClient)[SendDirectly]
    : undefined

  const maxBytesOf = ({ maxResponseBytes, path }: Request): number =>
    maxResponseBytes ?? config.maxResponseBytes[path.endsWith(Endpoints.retrieveFuture.path) ? "results" : "others"]

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
    Scope.extend(steered(client, message, request, (client) => HttpClient.withScope(client).execute), scope).pipe(
      // It may last for long, and must not take the place of other requests meanwhile.
      Effect.provideService(CurrentTraffic, "download"),
      Effect.locally(HttpClient.currentTracerPropagation, false),
      Effect.flatMap((answer): Effect.Effect<Answer, HttpClientError.HttpClientError | TinkerError> =>
        answer.status >= 200 && answer.status < 300
          ? Effect.succeed({ status: answer.status, headers: answer.headers, body: noBytes, stream: answer.stream })
          : read(request, answer)
      )
    )

  return (message, request, timeout, watched) => {
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
          steered(client, message, request, (client) => client.execute),
          (answer) => read(request, answer)
        ),
        HttpClient.currentTracerPropagation,
        false
      )
    return unlessInterrupted(deadlines.within(answered, timeout, onTimeout, life), watched)
  }
}

export const noBytes = new Uint8Array(0)

/** The answer of a client that leaves redirects to the SDK. */
const steered = <E, R>(
  client: HttpClient.HttpClient,
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
