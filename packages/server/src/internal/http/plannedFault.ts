/** What becomes of a request and its answer when a fault is planned. */
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { Fault, PlannedAnswer } from "../../Faults.js"
import * as Http from "./http.js"

/**
 * A planned fault: the connection is to break without an answer.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConnectionDropped extends Data.TaggedError("ConnectionDropped") {}

type Answer<R> = Effect.Effect<HttpServerResponse.HttpServerResponse, never, R>

/** The route's answer, or what a fault makes of it. The route may be asked several times. */
export const apply = <R>(
  fault: Fault | undefined,
  answer: Answer<R>
): Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  ConnectionDropped,
  R | HttpServerRequest.HttpServerRequest
> => {
  switch (fault?._tag) {
    case undefined:
    case "FailFuture":
      return answer
    case "Answer":
      return Effect.succeed(plannedAnswer(fault))
    case "ReplaceAnswer":
      return Effect.as(answer, plannedAnswer(fault.by))
    case "Drop":
      return new ConnectionDropped()
    case "LoseAnswer":
      return Effect.zipRight(answer, new ConnectionDropped())
    case "Delay":
      return Effect.zipRight(Effect.sleep(fault.duration), answer)
    case "DelayAnswer":
      return Effect.zipLeft(answer, Effect.sleep(fault.duration))
    case "Duplicate":
      return Effect.zipRight(answer, answer)
    case "Truncate":
      return Effect.map(answer, (response) => truncated(response, fault.bytes))
    case "BreakBody":
      return Effect.zipWith(answer, HttpServerRequest.HttpServerRequest, brokenBody)
  }
}

const plannedAnswer = (
  { body, contentType, headers, status }: PlannedAnswer
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.setHeaders(
    typeof body !== "string"
      ? Http.json(body, status)
      : body === ""
      ? HttpServerResponse.empty({ status, headers: { "content-length": "0" } })
      : HttpServerResponse.uint8Array(new TextEncoder().encode(body), { status, contentType }),
    headers
  )

const bodyOf = ({ body }: HttpServerResponse.HttpServerResponse): Uint8Array =>
  body._tag === "Uint8Array" ? body.body : new Uint8Array(0)

const truncated = (response: HttpServerResponse.HttpServerResponse, kept: number | undefined) => {
  const whole = bodyOf(response)
  const bytes = whole.subarray(0, kept ?? whole.length >> 1)
  return HttpServerResponse.uint8Array(bytes, {
    status: response.status,
    headers: { ...response.headers, "content-length": String(bytes.length) }
  })
}

/** The headers promise the whole body. */
const brokenBody = (
  response: HttpServerResponse.HttpServerResponse,
  request: HttpServerRequest.HttpServerRequest
) => {
  const whole = bodyOf(response)
  const half = Stream.make(whole.subarray(0, whole.length >> 1))
  const broken = breakConnection(request, new ConnectionDropped())
  return HttpServerResponse.stream(Stream.concat(half, Stream.fromEffect(broken)), {
    status: response.status,
    headers: response.headers
  })
}

/**
 * Closes the socket below once what was written has gone; then the server interrupts this fiber. Where there is no
 * socket, `otherwise` happens.
 */
export const breakConnection = <A, E>(
  { source }: HttpServerRequest.HttpServerRequest,
  otherwise: Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    const socket = Predicate.hasProperty(source, "socket") ? source.socket : undefined
    if (Predicate.hasProperty(socket, "destroySoon") && typeof socket.destroySoon === "function") {
      socket.destroySoon()
      return Effect.never
    }
    return otherwise
  })
