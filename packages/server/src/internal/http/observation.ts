/** Tells whoever wants to know what became of requests. */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Answered } from "../../TinkerProtocol.js"
import * as DownloadRoutes from "../resources/downloadRoutes.js"
import type { Metrics } from "../resources/metrics.js"
import { brief } from "./wording.js"

/** The same answer, of which others are told. */
export type Observe = <E, R>(
  request: HttpServerRequest.HttpServerRequest,
  route: string,
  answer: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>

/** Costs nothing where nobody wants to know. */
export const make = (
  metrics: Metrics | undefined,
  onAnswer: ((answered: Answered) => Effect.Effect<void>) | undefined
): Observe =>
(request, route, answer) => {
  if (metrics === undefined && onAnswer === undefined) return answer
  const path = request.url.split("?")[0]!
  return Effect.flatMap(
    Clock.currentTimeNanos,
    (start) =>
      Effect.onExit(answer, (exit) =>
        Effect.flatMap(Clock.currentTimeNanos, (end) => {
          const answered: Answered = {
            method: request.method,
            path: brief(path.startsWith(DownloadRoutes.filesPath) ? `${DownloadRoutes.filesPath}/…` : path),
            route,
            status: exit._tag === "Success" ? exit.value.status : 499,
            millis: Number(end - start) / 1e6
          }
          metrics?.observe(answered)
          return onAnswer?.(answered) ?? Effect.void
        }))
  )
}
