/** A message sent, and sent on to where its answers point, by the rules of {@link redirect}. */
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as TinkerEvents from "../../TinkerEvents.js"
import type { Request, Response } from "../../TinkerHttpClient.js"
import { bounded } from "./boundedBody.js"
import * as Deprecations from "./deprecations.js"
import { type Answer, type Exchange, noBytes } from "./exchange.js"
import { makeRequest } from "./httpRequest.js"
import { HasLeftOrigin } from "./manualRedirects.js"
import { crossOriginHeaders, redirect } from "./redirects.js"
import type { WatchedRequest } from "./requestWatch.js"
import { asTinkerError, connectionRefused } from "./transportErrors.js"

export type Followed = (
  request: Request,
  url: string,
  headers: Record<string, string>,
  timeout: Duration.Duration,
  call: string | undefined,
  watched: WatchedRequest | undefined
) => Effect.Effect<Response, HttpClientError.HttpClientError | TinkerError>

/** Source: the Fetch standard. */
const mostRedirects = 20

/** After so many in a row an empty 400 counts as an answer. Source: the Python SDK 0.38.0. */
const mostRefusals = 16

export const make = (exchange: Exchange, options: {
  readonly hub: TinkerEvents.Hub
  /** The address of the server as errors show it. */
  readonly shownUrl: string
}): Followed => {
  const { hub, shownUrl } = options
  const deprecations = Deprecations.make(hub)
  let refusalsLeft = mostRefusals

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
        const response = responseOf(request, answer, shownUrl)
        const next = redirects < mostRedirects ? redirect(request, url, response) : undefined
        const outcome = next === undefined
          ? Effect.succeed(response)
          : next.sameOrigin
          ? send(next.request, next.url, headers, timeout, call, watched, redirects + 1)
          : Effect.provideService(
            send(next.request, next.url, crossOriginHeaders(headers), timeout, call, watched, redirects + 1),
            HasLeftOrigin,
            true
          )
        const note = answer.headers[Deprecations.header]
        return note === undefined
          ? outcome
          : Effect.zipRight(deprecations.noted(note, answer.headers, request.operation, call), outcome)
      }
    )

  return (request, url, headers, timeout, call, watched) =>
    send(request, url, headers, timeout, call, watched, request.followsRedirects === false ? mostRedirects : 0)
}

const responseOf = (request: Request, { body, headers, status, stream }: Answer, shownUrl: string): Response =>
  stream === undefined
    ? { request, status, headers, body }
    : { request, status, headers, body: noBytes, stream: inParts(request, stream, shownUrl) }

const inParts = (
  request: Request,
  stream: Stream.Stream<Uint8Array, HttpClientError.HttpClientError>,
  shownUrl: string
): Stream.Stream<Uint8Array, TinkerError> =>
  Stream.mapError(
    request.maxResponseBytes === undefined ? stream : bounded(stream, request.maxResponseBytes),
    (error) => asTinkerError(request.operation, shownUrl, error)
  )
