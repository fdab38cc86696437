/** One session as the client knows it: its numbers, and its end, which a refusal may tell of. */
import type { SessionId } from "@effect-tinker/protocol/Identifiers"
import {
  type ApiStatusError,
  isTinkerError,
  SessionClosedError,
  type TinkerError
} from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import type * as ServiceApi from "../../ServiceApi.js"
import type { Session } from "../../SessionManager.js"
import type * as TinkerHttpClient from "../../TinkerHttpClient.js"
import { sessionLossIn } from "./sessionLoss.js"

type Reason = SessionClosedError["reason"]

export interface LiveSession extends Session {
  /** Ends it, with all its requests on their way. Only the first call counts. */
  readonly end: (reason: Reason) => Effect.Effect<void>
}

export const make = (sessionId: SessionId, options: {
  readonly api: Pick<ServiceApi.Service, "sessionHeartbeat">
  readonly http: Pick<TinkerHttpClient.Service, "endSession">
  /** Is told of its end. */
  readonly onOver: (session: LiveSession, reason: Reason) => void
}): LiveSession => {
  const { api, http, onOver } = options
  let over: Reason | undefined
  const session: LiveSession = {
    sessionId,
    over: () => over,
    check: (operation) =>
      Effect.suspend(() =>
        over === undefined ? Effect.void : new SessionClosedError({ operation, reason: over, sessionId })
      ),
    noteLoss: (effect) =>
      Effect.catchAll(
        effect,
        (error) =>
          Effect.flatMap(lossBehind(sessionId, error, api), (reason) =>
            reason === undefined
              ? Effect.fail(error)
              : Effect.zipRight(
                session.end(reason),
                new SessionClosedError({ operation: error.operation, reason: over ?? reason, sessionId })
              ))
      ),
    end: (reason) =>
      Effect.suspend(() => {
        if (over !== undefined) return Effect.void
        over = reason
        onOver(session, reason)
        return http.endSession(session)
      }),
    nextModelSeqId: counter(),
    nextSamplingSessionSeqId: counter()
  }
  return session
}

const counter = (): Effect.Effect<number> => {
  let next = 0
  return Effect.sync(() => next++)
}

/** Why the session is over, if that is behind an error. A model may be gone because its session is, which a heartbeat tells. */
const lossBehind = (
  sessionId: SessionId,
  error: TinkerError,
  api: Pick<ServiceApi.Service, "sessionHeartbeat">
): Effect.Effect<Reason | undefined> => {
  const refusal = refusalBehind(error)
  if (refusal === undefined) return Effect.succeed(undefined)
  const said = sessionLossIn(refusal)
  if (said !== undefined) return Effect.succeed(said)
  return Effect.match(api.sessionHeartbeat(sessionId), { onSuccess: () => undefined, onFailure: sessionEndReason })
}

/** Why the session is over, if the answer to a heartbeat says so. */
export const sessionEndReason = (error: TinkerError): Reason | undefined => {
  const refusal = refusalBehind(error)
  // A server that knows no heartbeats, or a gateway that speaks JSON, answers 404 without a word of the session.
  return refusal && (sessionLossIn(refusal) ?? (refusal.status === 410 ? "expired" : undefined))
}

/** The refusal by which the service says that it knows something no longer, as the error itself or as its cause. */
const refusalBehind = (error: TinkerError): ApiStatusError | undefined => {
  const refusal = error._tag === "OutcomeUnknownError" ? error.cause : error
  return isTinkerError(refusal) && refusal._tag === "ApiStatusError" && refusal.isForeign !== true
      && (refusal.status === 404 || refusal.status === 410)
    ? refusal
    : undefined
}
