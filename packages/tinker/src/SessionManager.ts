/**
 * The session in which a client trains and samples: made at its first use, kept alive by heartbeats, finished with the scope.
 * When the server has lost it, the next call that needs one makes another; what belonged to the old one stays over.
 */
import type { SessionId } from "@effect-tinker/protocol/Identifiers"
import * as ServiceMessages from "@effect-tinker/protocol/ServiceMessages"
import { SessionClosedError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
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
import * as Heartbeats from "./internal/session/heartbeats.js"
import * as LiveSession from "./internal/session/liveSession.js"
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

/** The end of a program does not wait longer than this for a server to hear of it. */
const flushDeadline = Duration.seconds(2)

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
  const scope = yield* Effect.scope
  const state = StateCell.make<State>({ _tag: "none" }, sameState)
  const others = new Map<SessionId, LiveSession.LiveSession>()
  let present: LiveSession.LiveSession | undefined
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

  const usable = (): LiveSession.LiveSession | undefined => present?.over() === undefined ? present : undefined

  /** A session that is heard of as long as it lasts; its state is told while it is the present one. */
  const kept = (sessionId: SessionId): LiveSession.LiveSession =>
    LiveSession.make(sessionId, {
      api,
      http,
      onOver: (session, reason) => {
        if (present === session) state.set({ _tag: "over", reason })
      }
    })
  const beating = yield* heartbeatsOf(state, () => present)
  // Once, however many sessions there are.
  const refresh = yield* Effect.once(Scope.extend(clientConfig.refresh, scope))
  const finishWithScope = yield* Effect.once(Scope.addFinalizerExit(scope, (exit) =>
    Effect.suspend(() => {
      const session = usable()
      return session === undefined ? Effect.void : finished(session, exit, close, api)
    })))

  const creation = yield* creationOf(life)
  let messages: Messages | undefined
  // Between the server's answer and the finalizer nothing may interrupt, or nobody would finish the session.
  const create = Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const created = yield* restore(creation.request)
      const session = kept(created.sessionId)
      messages = { info: created.infoMessage, warning: created.warningMessage, error: created.errorMessage }
      yield* logMessages(messages)
      yield* finishWithScope
      present = session
      state.set({ _tag: "active", sessionId: session.sessionId })
      yield* creation.tell(session.sessionId)
      yield* refresh
      yield* beating(session)
      return session
    })
  )
  const creating = yield* Effect.makeSemaphore(1)
  const ensure: Effect.Effect<LiveSession.LiveSession, TinkerError> = Effect.suspend(() => {
    if (isClosed) return new SessionClosedError({ operation: "SessionManager.sessionId", reason: "closed" })
    const found = usable()
    if (found !== undefined) return Effect.succeed(found)
    return creating.withPermits(1)(Effect.suspend(() => {
      const found = usable()
      return found === undefined ? create : Effect.succeed(found)
    }))
  })

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
        const other = kept(sessionId)
        others.set(sessionId, other)
        return Effect.as(Effect.zipRight(refresh, beating(other)), other)
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

/** The request for a session, and who is told of it. */
const creationOf = (life: TinkerHttpClient.SessionLife) =>
  Effect.gen(function*() {
    const api = yield* ServiceApi.ServiceApi
    const clientConfig = yield* ClientConfig.ClientConfig
    const config = yield* TinkerConfig.TinkerConfig
    const reporter = yield* Effect.serviceOption(TelemetryReporter.TelemetryReporter)
    return {
      request: Effect.zipRight(
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
      ),
      tell: (sessionId: SessionId) => Option.isNone(reporter) ? Effect.void : reporter.value.sessionStarted(sessionId)
    }
  })

/** Starts the heartbeats of a session in the scope; those of the present one are its state. */
const heartbeatsOf = (state: StateCell.StateCell<State>, present: () => Session | undefined) =>
  Effect.gen(function*() {
    const api = yield* ServiceApi.ServiceApi
    const config = yield* TinkerConfig.TinkerConfig
    const scope = yield* Effect.scope
    return (session: LiveSession.LiveSession) => {
      const { sessionId } = session
      return Effect.forkIn(
        Heartbeats.run(session, {
          api,
          config,
          onAccepted: Effect.sync(() => {
            if (present() === session) state.set({ _tag: "active", sessionId })
          }),
          onFailed: Effect.map(Clock.currentTimeMillis, (now) => {
            if (present() === session && state.get()._tag === "active") {
              state.set({ _tag: "unreachable", sessionId, since: DateTime.unsafeMake(now) })
            }
          })
        }),
        scope
      )
    }
  })

/** Says goodbye. What waits ends first, so that it ends as closed and not as what the server makes of a finished session. */
const finished = (
  { sessionId }: Session,
  exit: Exit.Exit<unknown, unknown>,
  close: Effect.Effect<void>,
  api: ServiceApi.Service
): Effect.Effect<void> => {
  const reason = Exit.isSuccess(exit) ? "success" : Cause.isInterruptedOnly(exit.cause) ? "interrupted" : "errored"
  return Effect.zipRight(close, TinkerHttpClient.asOwnRequest(api.finishSession(sessionId, reason))).pipe(
    Effect.interruptible,
    Effect.timeout(flushDeadline),
    Effect.catchAll((error) => Effect.logDebug("the session could not be finished", error.message))
  )
}

const logMessages = ({ error, info, warning }: Messages) =>
  Effect.all([
    info === undefined ? Effect.void : Effect.logInfo(info),
    warning === undefined ? Effect.void : Effect.logWarning(warning),
    error === undefined ? Effect.void : Effect.logError(error)
  ], { discard: true })

const sameState = (a: State, b: State): boolean =>
  a._tag === b._tag && ("sessionId" in a ? a.sessionId : undefined) === ("sessionId" in b ? b.sessionId : undefined)
