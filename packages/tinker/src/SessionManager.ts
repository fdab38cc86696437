/**
 * The session in which a client trains and samples: made at its first use, kept alive by heartbeats, finished with the scope.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as ClientConfig from "./ClientConfig.js"
import type { SessionId } from "./Identifiers.js"
import { cachedSuccess } from "./internal/cachedSuccess.js"
import { isMissing } from "./internal/isMissing.js"
import * as StateCell from "./internal/stateCell.js"
import * as RetryPolicy from "./RetryPolicy.js"
import * as ServiceApi from "./ServiceApi.js"
import * as TelemetryReporter from "./TelemetryReporter.js"
import * as TinkerConfig from "./TinkerConfig.js"
import { SessionClosedError, type TinkerError } from "./TinkerError.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

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
  /** Fails when the session is over. */
  readonly check: (operation: string) => Effect.Effect<void, SessionClosedError>
  /** The session's id, if there is one by now. */
  readonly current: () => SessionId | undefined
  /** The present state and those that follow. */
  readonly states: Stream.Stream<State>
  /** What the server said when the session was made; `undefined` before that. */
  readonly messages: Effect.Effect<Messages | undefined>
  /** Ends the session with a reason of the user's; that of the scope comes too late then. Does nothing without one. */
  readonly close: (status: ServiceApi.FinishReason, detail?: string | undefined) => Effect.Effect<void, TinkerError>
  /** Sends heartbeats for a session of another process as well, as a client made from a handle does. */
  readonly keepAlive: (sessionId: SessionId) => Effect.Effect<void>
  /** Paths of checkpoints that the server has given. */
  readonly knownPaths: Set<string>
  /** Numbers of the models of the session, from 0. */
  readonly nextModelSeqId: Effect.Effect<number>
  /** Numbers of its sampling sessions, from 0; unnamed sampler saves count too. */
  readonly nextSamplingSessionSeqId: Effect.Effect<number>
}

/**
 * - `none`: nothing was trained or sampled yet
 * - `active`: the last heartbeat was accepted
 * - `unreachable`: heartbeats fail, since this time
 * - `over`: closed by this client, finished by someone, or lost by the server
 *
 * @since 0.1.0
 * @category models
 */
export type State =
  | { readonly _tag: "none" }
  | { readonly _tag: "active"; readonly sessionId: SessionId }
  | { readonly _tag: "unreachable"; readonly sessionId: SessionId; readonly since: DateTime.Utc }
  | { readonly _tag: "over"; readonly reason: SessionClosedError["reason"] }

/**
 * @since 0.1.0
 * @category models
 */
export interface Messages {
  readonly info: string | undefined
  readonly warning: string | undefined
  readonly error: string | undefined
}

/** Heartbeats that fail this long are worth a warning. Source: the Python SDK 0.38.0. */
const silence = Duration.minutes(2)

/** The end of a program does not wait longer than this for a server to hear of it. */
const goodbye = Duration.seconds(2)

/** A heartbeat later than this means that something else kept the thread busy. */
const lateness = Duration.seconds(5)

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<
  Service,
  never,
  | ServiceApi.ServiceApi
  | ClientConfig.ClientConfig
  | TinkerConfig.TinkerConfig
  | TinkerHttpClient.TinkerHttpClient
  | Scope.Scope
> = Effect.gen(function*() {
  const api = yield* ServiceApi.ServiceApi
  const http = yield* TinkerHttpClient.TinkerHttpClient
  const clientConfig = yield* ClientConfig.ClientConfig
  const config = yield* TinkerConfig.TinkerConfig
  const scope = yield* Effect.scope
  const reporter = yield* Effect.serviceOption(TelemetryReporter.TelemetryReporter)
  const state = StateCell.make<State>({ _tag: "none" }, sameState)
  let messages: Messages | undefined
  let current: SessionId | undefined

  const end = (reason: SessionClosedError["reason"]): Effect.Effect<void> =>
    Effect.suspend(() => {
      const current = state.get()
      if (current._tag === "over") return Effect.void
      state.set({ _tag: "over", reason })
      state.end()
      return http.endSession(reason, "sessionId" in current ? current.sessionId : undefined)
    })

  const check = (operation: string): Effect.Effect<void, SessionClosedError> =>
    Effect.suspend(() => {
      const current = state.get()
      return current._tag === "over" ? new SessionClosedError({ operation, reason: current.reason }) : Effect.void
    })

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

  // Once, however many sessions are kept alive.
  let refreshes = false
  const refresh = Effect.suspend(() => {
    if (refreshes) return Effect.void
    refreshes = true
    return Scope.extend(clientConfig.refresh, scope)
  })

  // Between the server's answer and the finalizer nothing may interrupt, or nobody would finish the session.
  const create = Effect.uninterruptibleMask((restore) =>
    Effect.tap(restore(request), (session) => {
      messages = { info: session.infoMessage, warning: session.warningMessage, error: session.errorMessage }
      return Effect.all([
        logMessages(messages),
        Scope.addFinalizerExit(scope, (exit) => finish(session.sessionId, exit)),
        Effect.sync(() => {
          current = session.sessionId
          state.set({ _tag: "active", sessionId: session.sessionId })
        }),
        Option.isNone(reporter) ? Effect.void : reporter.value.sessionStarted(session.sessionId),
        refresh,
        Effect.forkIn(heartbeats(session.sessionId, state, end), scope)
      ], { discard: true })
    })
  ).pipe(Effect.map((session) => session.sessionId))

  const finish = (sessionId: SessionId, exit: Exit.Exit<unknown, unknown>) =>
    Effect.suspend(() => {
      if (state.get()._tag === "over") return Effect.void
      const reason = Exit.isSuccess(exit) ? "success" : Cause.isInterruptedOnly(exit.cause) ? "interrupted" : "errored"
      return TinkerHttpClient.ofNobody(api.finishSession(sessionId, reason)).pipe(
        Effect.interruptible,
        Effect.timeout(goodbye),
        Effect.catchAll((error) => Effect.logDebug("the session could not be finished", error.message))
      )
    })

  const heartbeats = (
    sessionId: SessionId,
    state: StateCell.StateCell<State>,
    end: (reason: SessionClosedError["reason"]) => Effect.Effect<void>
  ): Effect.Effect<void> =>
    Effect.gen(function*() {
      let lastAccepted = yield* Clock.currentTimeMillis
      let everAccepted = false
      let failures = 0

      const sleep = Effect.gen(function*() {
        const due = (yield* Clock.currentTimeMillis) + Duration.toMillis(config.heartbeatInterval)
        yield* Effect.sleep(config.heartbeatInterval)
        const late = (yield* Clock.currentTimeMillis) - due
        if (late >= Duration.toMillis(lateness)) {
          yield* Effect.logWarning(
            `a heartbeat of the session is ${Duration.format(Duration.millis(late))} late: synchronous code keeps the `
              + "thread busy, and the server ends sessions that it does not hear of. Move the work to a worker"
          )
        }
      })

      const failed = (error: TinkerError) =>
        Effect.gen(function*() {
          failures += 1
          const now = yield* Clock.currentTimeMillis
          const status = error._tag === "ApiStatusError" ? error.status : undefined
          if (status === 410) return yield* end("finished")
          // A server that never knew heartbeats is not one that lost the session.
          if (status === 404 && everAccepted) return yield* lost("the server no longer knows the session")
          if (failures > config.heartbeatFailureLimit) {
            return yield* lost(`${failures} heartbeats in a row failed: ${error.message}`)
          }
          if (state.get()._tag === "active") {
            state.set({ _tag: "unreachable", sessionId, since: DateTime.unsafeMake(now) })
          }
          if (now - lastAccepted > Duration.toMillis(silence)) {
            yield* Effect.logWarning(
              `no heartbeat was accepted for ${Duration.format(Duration.millis(now - lastAccepted))}; `
                + "the server may end the session",
              error.message
            )
          }
        })

      const lost = (why: string) => Effect.zipRight(Effect.logWarning(`the session is lost: ${why}`), end("lost"))

      const accepted = Effect.map(Clock.currentTimeMillis, (now) => {
        lastAccepted = now
        everAccepted = true
        failures = 0
        state.set({ _tag: "active", sessionId })
      })

      while (state.get()._tag !== "over") {
        yield* sleep
        yield* Effect.matchEffect(api.sessionHeartbeat(sessionId), { onFailure: failed, onSuccess: () => accepted })
      }
    }).pipe(Effect.annotateLogs({ module: "SessionManager", sessionId }), Effect.interruptible)

  // Runs last: by then the session's own finalizer has said goodbye.
  yield* Effect.addFinalizer(() => end("closed"))
  const created = yield* cachedSuccess(create)
  const others = new Set<SessionId>()

  return SessionManager.of({
    sessionId: Effect.zipRight(check("SessionManager.sessionId"), created),
    check,
    current: () => current,
    states: state.changes,
    messages: Effect.sync(() => messages),
    close: (status, detail) =>
      Effect.suspend(() => {
        const current = state.get()
        if (!("sessionId" in current)) return end("closed")
        return RetryPolicy.retry(api.finishSession(current.sessionId, status, detail)).pipe(
          Effect.catchIf(isMissing, () => Effect.void),
          Effect.ensuring(end("closed"))
        )
      }),
    keepAlive: (sessionId) =>
      Effect.suspend(() => {
        const own = state.get()
        if (others.has(sessionId) || ("sessionId" in own && own.sessionId === sessionId)) return Effect.void
        others.add(sessionId)
        const other = StateCell.make<State>({ _tag: "active", sessionId }, sameState)
        const end = (reason: SessionClosedError["reason"]) =>
          Effect.sync(() => {
            others.delete(sessionId)
            other.set({ _tag: "over", reason })
          })
        return Effect.zipRight(refresh, Effect.forkIn(heartbeats(sessionId, other, end), scope))
      }),
    knownPaths: new Set(),
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
  | ServiceApi.ServiceApi
  | ClientConfig.ClientConfig
  | TinkerConfig.TinkerConfig
  | TinkerHttpClient.TinkerHttpClient
> = Layer.scoped(SessionManager, make)

const counter = (): Effect.Effect<number> => {
  let next = 0
  return Effect.sync(() => next++)
}

const logMessages = ({ error, info, warning }: Messages) =>
  Effect.all([
    info === undefined ? Effect.void : Effect.logInfo(info),
    warning === undefined ? Effect.void : Effect.logWarning(warning),
    error === undefined ? Effect.void : Effect.logError(error)
  ], { discard: true })

const sameState = (a: State, b: State): boolean => a._tag === b._tag
