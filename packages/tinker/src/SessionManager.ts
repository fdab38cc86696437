/**
 * The session in which everything is trained and sampled: created at its first use, kept alive by heartbeats, and finished
 * when the scope closes.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as ClientConfig from "./ClientConfig.js"
import type { SessionId } from "./Identifiers.js"
import { cachedSuccess } from "./internal/cachedSuccess.js"
import * as RetryPolicy from "./RetryPolicy.js"
import * as ServiceApi from "./ServiceApi.js"
import * as TinkerConfig from "./TinkerConfig.js"
import type { TinkerError } from "./TinkerError.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class SessionManager extends Context.Tag("effect-tinker/SessionManager")<SessionManager, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The session's id. The first use creates the session and starts its heartbeats. */
  readonly sessionId: Effect.Effect<SessionId, TinkerError>
  /** Numbers of the models of the session, from 0. */
  readonly nextModelSeqId: Effect.Effect<number>
  /** Numbers of its sampling sessions, from 0; unnamed sampler saves count too. */
  readonly nextSamplingSessionSeqId: Effect.Effect<number>
}

/** Heartbeats that fail this long are worth a warning. Source: the Python SDK 0.38.0. */
const silence = Duration.minutes(2)

/** The end of a program does not wait longer than this for a server to hear of it. */
const goodbye = Duration.seconds(2)

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<
  Service,
  never,
  ServiceApi.ServiceApi | ClientConfig.ClientConfig | TinkerConfig.TinkerConfig | Scope.Scope
> = Effect.gen(function*() {
  const api = yield* ServiceApi.ServiceApi
  const clientConfig = yield* ClientConfig.ClientConfig
  const config = yield* TinkerConfig.TinkerConfig
  const scope = yield* Effect.scope

  const request = Effect.zipRight(
    clientConfig.get,
    RetryPolicy.retry(
      api.createSession({
        tags: config.tags,
        userMetadata: config.userMetadata,
        sdkVersion: TinkerConfig.protocolVersion,
        projectId: Option.getOrUndefined(config.projectId),
        displayName: Option.getOrUndefined(config.displayName),
        type: "create_session"
      })
    )
  )

  // Between the server's answer and the finalizer nothing may interrupt, or nobody would finish the session.
  const create = Effect.uninterruptibleMask((restore) =>
    Effect.tap(restore(request), (session) =>
      Effect.all([
        logMessages(session),
        Scope.addFinalizerExit(scope, (exit) => finish(api, session.sessionId, exit)),
        Effect.forkIn(heartbeats(api, session.sessionId, config.heartbeatInterval), scope)
      ], { discard: true }))
  ).pipe(Effect.map((session) => session.sessionId))

  return SessionManager.of({
    sessionId: yield* cachedSuccess(create),
    nextModelSeqId: counter(),
    nextSamplingSessionSeqId: counter()
  })
})

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  SessionManager,
  never,
  ServiceApi.ServiceApi | ClientConfig.ClientConfig | TinkerConfig.TinkerConfig
> = Layer.scoped(SessionManager, make)

const counter = (): Effect.Effect<number> => {
  let next = 0
  return Effect.sync(() => next++)
}

const logMessages = (session: ServiceApi.CreateSessionResponse) =>
  Effect.all([
    session.infoMessage === undefined ? Effect.void : Effect.logInfo(session.infoMessage),
    session.warningMessage === undefined ? Effect.void : Effect.logWarning(session.warningMessage),
    session.errorMessage === undefined ? Effect.void : Effect.logError(session.errorMessage)
  ], { discard: true })

const heartbeats = (api: ServiceApi.Service, sessionId: SessionId, interval: Duration.Duration) =>
  Effect.gen(function*() {
    let lastAccepted = yield* Clock.currentTimeMillis
    const warn = (error: TinkerError) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        now - lastAccepted <= Duration.toMillis(silence)
          ? Effect.void
          : Effect.logWarning(
            `no heartbeat was accepted for ${Duration.format(Duration.millis(now - lastAccepted))}; `
              + "the server may end the session",
            error.message
          ))
    let finished = false
    while (!finished) {
      yield* Effect.sleep(interval)
      yield* api.sessionHeartbeat(sessionId).pipe(
        Effect.zipRight(Clock.currentTimeMillis),
        Effect.tap((now) => {
          lastAccepted = now
        }),
        Effect.catchAll((error) => {
          // 410: the session is finished and wants no more beats.
          finished = error._tag === "ApiStatusError" && error.reason === "Expired"
          return finished ? Effect.logDebug("the session is finished") : warn(error)
        })
      )
    }
  }).pipe(Effect.annotateLogs({ module: "SessionManager", sessionId }), Effect.interruptible)

const finish = (api: ServiceApi.Service, sessionId: SessionId, exit: Exit.Exit<unknown, unknown>) =>
  api.finishSession(
    sessionId,
    Exit.isSuccess(exit) ? "success" : Cause.isInterruptedOnly(exit.cause) ? "interrupted" : "errored"
  ).pipe(
    Effect.interruptible,
    Effect.timeout(goodbye),
    Effect.catchAll((error) => Effect.logDebug("the session could not be finished", error.message))
  )
