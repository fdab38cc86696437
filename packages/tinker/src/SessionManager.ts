/**
 * The session in which a client trains and samples: made at its first use, kept alive by heartbeats, finished with the scope.
 * When the server has lost it, the next call that needs one makes another; what belonged to the old one stays over.
 */
import type { SessionId } from "@effect-tinker/protocol/Identifiers"
import { spoken } from "@effect-tinker/protocol/Prose"
import * as ServiceMessages from "@effect-tinker/protocol/ServiceMessages"
import {
  type ApiStatusError,
  isTinkerError,
  SessionClosedError,
  type TinkerError
} from "@effect-tinker/protocol/TinkerError"
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
import { isMissing } from "./internal/isMissing.js"
import * as Monotonic from "./internal/monotonic.js"
import { sessionLossIn } from "./internal/sessionLoss.js"
import * as StateCell from "./internal/stateCell.js"
import * as RetryPolicy from "./RetryPolicy.js"
import * as ServiceApi from "./ServiceApi.js"
import * as TelemetryReporter from "./TelemetryReporter.js"
import * as TinkerConfig from "./TinkerConfig.js"
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
  /**
   * Runs what creates something in a session: the present one, or a new one when there is none or the server has lost it. When
   * the server says only now that it has, it runs once more in a new one.
   */
  readonly use: <A, R>(
    create: (session: Session) => Effect.Effect<A, TinkerError, R>
  ) => Effect.Effect<A, TinkerError, R>
  /** The present session's id. The first use creates the session and starts its heartbeats. */
  readonly sessionId: Effect.Effect<SessionId, TinkerError>
  /** The present session's id, if there is one by now. */
  readonly current: () => SessionId | undefined
  /** Ends with the client alone, for requests that belong to no session of it. */
  readonly life: TinkerHttpClient.SessionLife
  /** The present state and those that follow. */
  readonly states: Stream.Stream<State>
  /** What the server said when the session was made; `undefined` before that. */
  readonly messages: Effect.Effect<Messages | undefined>
  /** Ends the session with a reason of the user's; that of the scope comes too late then. Does nothing without one. */
  readonly close: (
    status: ServiceMessages.FinishReason,
    detail?: string | undefined
  ) => Effect.Effect<void, TinkerError>
  /** Sends heartbeats for a session of another process as well, as a client made from a handle does. */
  readonly keepAlive: (sessionId: SessionId) => Effect.Effect<TinkerHttpClient.SessionLife>
  /** Paths of checkpoints that the server has given. */
  readonly knownPaths: Set<string>
}

/**
 * One session, from its creation to its end.
 *
 * @since 0.1.0
 * @category models
 */
export interface Session extends TinkerHttpClient.SessionLife {
  readonly sessionId: SessionId
  /** Fails when the session is over. */
  readonly check: (operation: string) => Effect.Effect<void, SessionClosedError>
  /** What the server refuses because it has lost this session becomes the end of the session. */
  readonly noteLoss: <A, R>(effect: Effect.Effect<A, TinkerError, R>) => Effect.Effect<A, TinkerError, R>
  /** Numbers of the models of the session, from 0. */
  readonly nextModelSeqId: Effect.Effect<number>
  /** Numbers of its sampling sessions, from 0; unnamed sampler saves count too. */
  readonly nextSamplingSessionSeqId: Effect.Effect<number>
}

/**
 * - `none`: nothing was trained or sampled yet
 * - `active`: the last heartbeat was accepted
 * - `unreachable`: heartbeats fail, since this time
 * - `over`: closed by this client, finished by someone, expired, or lost by the server; but for `closed` a new one may follow
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

/** A heartbeat later than this means that something else kept the thread busy, or that the process was paused. */
const lateness = Duration.seconds(5)

/** So often in a row the service has to say that it does not know the session. */
const convincing = 2

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
  const creating = yield* Effect.makeSemaphore(1)
  const state = StateCell.make<State>({ _tag: "none" }, sameState)
  const others = new Map<SessionId, Live>()
  let messages: Messages | undefined
  let present: Live | undefined
  let isClosed = false

  const life: TinkerHttpClient.SessionLife = {
    sessionId: undefined,
    over: () => isClosed ? "closed" : undefined
  }

  const close: Effect.Effect<void> = Effect.suspend(() => {
    if (isClosed) return Effect.void
    isClosed = true
    return Effect.forEach(
      [present, ...others.values()],
      (session) => session === undefined ? Effect.void : session.end("closed"),
      { discard: true }
    ).pipe(
      Effect.zipRight(http.endSession(life)),
      Effect.zipRight(Effect.sync(() => {
        if (state.get()._tag !== "over") state.set({ _tag: "over", reason: "closed" })
        state.end()
      }))
    )
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
      }, { session: life })
    )
  )

  // Once, however many sessions there are.
  let refreshes = false
  const refresh = Effect.suspend(() => {
    if (refreshes) return Effect.void
    refreshes = true
    return Scope.extend(clientConfig.refresh, scope)
  })

  let finishes = false
  const finishWithScope = Effect.suspend(() => {
    if (finishes) return Effect.void
    finishes = true
    return Scope.addFinalizerExit(scope, (exit) => finish(exit))
  })

  // Between the server's answer and the finalizer nothing may interrupt, or nobody would finish the session.
  const create: Effect.Effect<Live, TinkerError> = Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(restore(request), (created) => {
      const session = live(created.sessionId, state)
      messages = { info: created.infoMessage, warning: created.warningMessage, error: created.errorMessage }
      return Effect.as(
        Effect.all([
          logMessages(messages),
          finishWithScope,
          Effect.sync(() => {
            present = session
            state.set({ _tag: "active", sessionId: session.sessionId })
          }),
          Option.isNone(reporter) ? Effect.void : reporter.value.sessionStarted(session.sessionId),
          refresh,
          Effect.forkIn(heartbeats(session, state), scope)
        ], { discard: true }),
        session
      )
    })
  )

  const usable = (): Live | undefined => present?.over() === undefined ? present : undefined

  const ensure: Effect.Effect<Live, TinkerError> = Effect.suspend(() => {
    if (isClosed) return new SessionClosedError({ operation: "SessionManager.sessionId", reason: "closed" })
    const found = usable()
    if (found !== undefined) return Effect.succeed(found)
    return creating.withPermits(1)(Effect.suspend(() => {
      const found = usable()
      return found === undefined ? create : Effect.succeed(found)
    }))
  })

  const live = (sessionId: SessionId, state: StateCell.StateCell<State> | undefined): Live => {
    let over: SessionClosedError["reason"] | undefined
    const session: Live = {
      sessionId,
      over: () => over,
      check: (operation) =>
        Effect.suspend(() =>
          over === undefined ? Effect.void : new SessionClosedError({ operation, reason: over, sessionId })
        ),
      noteLoss: (effect) =>
        Effect.catchAll(effect, (error) =>
          Effect.flatMap(lossBehind(session, error), (reason) =>
            reason === undefined
              ? Effect.fail(error)
              : Effect.zipRight(
                session.end(reason),
                new SessionClosedError({ operation: error.operation, reason: over ?? reason, sessionId })
              ))),
      end: (reason) =>
        Effect.suspend(() => {
          if (over !== undefined) return Effect.void
          over = reason
          if (present === session) state?.set({ _tag: "over", reason })
          return http.endSession(session)
        }),
      nextModelSeqId: counter(),
      nextSamplingSessionSeqId: counter()
    }
    return session
  }

  /** Why the session is over, if that is behind an error. A model may be gone because its session is, which a heartbeat tells. */
  const lossBehind = (
    session: Live,
    error: TinkerError
  ): Effect.Effect<SessionClosedError["reason"] | undefined> => {
    const refusal = refusalBehind(error)
    if (refusal === undefined) return Effect.succeed(undefined)
    const said = sessionLossIn(refusal)
    if (said !== undefined) return Effect.succeed(said)
    return Effect.match(api.sessionHeartbeat(session.sessionId), {
      onSuccess: () => undefined,
      onFailure: (error) => {
        const denied = refusalBehind(error)
        return denied === undefined ? undefined : denialIn(denied)
      }
    })
  }

  // What waits ends first, so that it ends as closed and not as what the server makes of a finished session.
  const finish = (exit: Exit.Exit<unknown, unknown>) =>
    Effect.suspend(() => {
      const session = usable()
      if (session === undefined) return Effect.void
      const reason = Exit.isSuccess(exit) ? "success" : Cause.isInterruptedOnly(exit.cause) ? "interrupted" : "errored"
      const goodbyes = Effect.zipRight(
        close,
        TinkerHttpClient.asOwnRequest(api.finishSession(session.sessionId, reason))
      )
      return goodbyes.pipe(
        Effect.interruptible,
        Effect.timeout(goodbye),
        Effect.catchAll((error) => Effect.logDebug("the session could not be finished", error.message))
      )
    })

  const heartbeats = (session: Live, state: StateCell.StateCell<State> | undefined): Effect.Effect<void> =>
    Effect.gen(function*() {
      const { sessionId } = session
      let lastAccepted = yield* Monotonic.now
      let failures = 0
      let denials = 0

      const sleep = Effect.gen(function*() {
        const interval = Duration.toMillis(config.heartbeatInterval)
        const slept = yield* Monotonic.now
        const sleptAt = yield* Clock.currentTimeMillis
        yield* Effect.sleep(config.heartbeatInterval)
        // While a machine sleeps, its wall clock alone goes on.
        const late = Math.max((yield* Monotonic.now) - slept, (yield* Clock.currentTimeMillis) - sleptAt) - interval
        if (late >= Duration.toMillis(lateness)) {
          yield* Effect.logWarning(
            `a heartbeat of the session is ${spoken(late)} late, and the server ends `
              + "sessions that it does not hear of. Either this machine or process was paused, or synchronous code kept the "
              + "thread busy, which belongs in a worker"
          )
        }
      })

      const failed = (error: TinkerError) =>
        Effect.gen(function*() {
          failures += 1
          const now = yield* Monotonic.now
          const refusal = refusalBehind(error)
          const denied = refusal === undefined ? undefined : denialIn(refusal)
          denials = denied === undefined ? 0 : denials + 1
          if (denied !== undefined && denials >= convincing) return yield* lost(error.message, denied)
          if (failures > config.heartbeatFailureLimit) {
            return yield* lost(`${failures} heartbeats in a row failed: ${error.message}`, "lost")
          }
          if (state?.get()._tag === "active") {
            state.set({ _tag: "unreachable", sessionId, since: DateTime.unsafeMake(yield* Clock.currentTimeMillis) })
          }
          if (now - lastAccepted > Duration.toMillis(silence)) {
            yield* Effect.logWarning(
              `no heartbeat was accepted for ${spoken(now - lastAccepted)}; `
                + "the server may end the session",
              error.message
            )
          }
        })

      const lost = (why: string, reason: SessionClosedError["reason"]) =>
        Effect.zipRight(
          Effect.logWarning(
            `the session is over (${reason}), and its training clients with it; the next call that creates or samples starts `
              + `a new one. ${why}`
          ),
          session.end(reason)
        )

      const accepted = Effect.map(Monotonic.now, (now) => {
        lastAccepted = now
        failures = 0
        denials = 0
        if (present === session) state?.set({ _tag: "active", sessionId })
      })

      while (session.over() === undefined) {
        yield* sleep
        if (session.over() !== undefined) break
        yield* Effect.matchEffect(api.sessionHeartbeat(sessionId), { onFailure: failed, onSuccess: () => accepted })
      }
    }).pipe(
      Effect.annotateLogs({ module: "SessionManager", sessionId: session.sessionId }),
      Effect.interruptible
    )

  // Runs last: by then the session's own finalizer has said goodbye.
  yield* Effect.addFinalizer(() => close)

  return SessionManager.of({
    use: (create) =>
      Effect.flatMap(
        ensure,
        (session) =>
          Effect.catchTag(session.noteLoss(create(session)), "SessionClosedError", (error) =>
            error.reason === "closed" || error.sessionId !== session.sessionId
              ? Effect.fail(error)
              : Effect.flatMap(ensure, (next) =>
                next.noteLoss(create(next))))
      ),
    sessionId: Effect.map(ensure, (session) => session.sessionId),
    current: () => present?.sessionId,
    life,
    states: state.changes,
    messages: Effect.sync(() => messages),
    close: (status, detail) =>
      Effect.suspend(() => {
        const session = usable()
        if (session === undefined) return close
        const told = RetryPolicy.retry(api.finishSession(session.sessionId, status, detail))
        return Effect.zipRight(close, Effect.catchIf(told, isMissing, () => Effect.void))
      }),
    keepAlive: (sessionId) =>
      Effect.suspend(() => {
        const own = usable()
        if (own?.sessionId === sessionId) return Effect.succeed(own)
        const known = others.get(sessionId)
        if (known !== undefined && known.over() === undefined) return Effect.succeed(known)
        const other = live(sessionId, undefined)
        others.set(sessionId, other)
        return Effect.as(Effect.zipRight(refresh, Effect.forkIn(heartbeats(other, undefined), scope)), other)
      }),
    knownPaths: new Set()
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

interface Live extends Session {
  readonly end: (reason: SessionClosedError["reason"]) => Effect.Effect<void>
}

/** The refusal by which the service says that it knows something no longer, as the error itself or as its cause. */
const refusalBehind = (error: TinkerError): ApiStatusError | undefined => {
  const refusal = error._tag === "OutcomeUnknownError" ? error.cause : error
  return isTinkerError(refusal) && refusal._tag === "ApiStatusError" && refusal.isForeign !== true
      && (refusal.status === 404 || refusal.status === 410)
    ? refusal
    : undefined
}

/** A server that knows no heartbeats, or a gateway that speaks JSON, answers 404 without a word of the session. */
const denialIn = (refusal: ApiStatusError): SessionClosedError["reason"] | undefined =>
  sessionLossIn(refusal) ?? (refusal.status === 410 ? "expired" : undefined)

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

const sameState = (a: State, b: State): boolean =>
  a._tag === b._tag && ("sessionId" in a ? a.sessionId : undefined) === ("sessionId" in b ? b.sessionId : undefined)
