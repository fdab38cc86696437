/**
 * Sessions of clients. Whatever belongs to a session lives in its scope, which closes when the session is finished or the
 * server stops.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { uuid } from "./internal/resources/uuid.js"
import type { ServerError } from "./ServerError.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Session {
  readonly id: string
  readonly tags: ReadonlyArray<string>
  readonly userMetadata: Readonly<Record<string, unknown>>
  readonly displayName: string | undefined
  /** Whose it is; everybody's where no keys are asked for. */
  readonly owner?: string | undefined
  /** The one that it belongs to, if any. */
  readonly projectId: string | undefined
  /** Milliseconds since the epoch. */
  readonly createdAt: number
  /** Closes when the session is finished. */
  readonly scope: Scope.Scope
  /** When it was last heard of, in milliseconds since the epoch; at first the time of creation. */
  readonly lastHeartbeat: number
  readonly status: Status
}

/**
 * How a session ended, if it did: in the words of its client, or as the server had not heard of it for too long.
 *
 * @since 0.1.0
 * @category models
 */
export type Status =
  | { readonly _tag: "Active" }
  | { readonly _tag: "Finished"; readonly reason: string; readonly detail?: string | undefined }
  | { readonly _tag: "Expired" }

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Fails, and makes none, when it cannot be kept. */
  readonly create: (
    options: Pick<Session, "tags" | "userMetadata" | "displayName" | "owner"> & {
      readonly projectId?: string | undefined
    }
  ) => Effect.Effect<Session, ServerError>
  /** A session by its id, also one that is finished. */
  readonly get: (sessionId: string) => Session | undefined
  /** All of them, the newest first, finished ones too. */
  readonly list: () => ReadonlyArray<Session>
  /** Fails, and changes nothing, when it cannot be kept. */
  readonly assignProject: (session: Session, projectId: string) => Effect.Effect<void, ServerError>
  readonly heartbeat: (session: Session) => Effect.Effect<void>
  /** Notes that somebody has asked for something in it, which counts as a heartbeat at the next look at what is unused. */
  readonly use: (session: Session) => void
  /** Whether there may be one more; where there are too many, the one that was unused for longest ends first. */
  readonly makeRoom: Effect.Effect<boolean>
  /**
   * Ends a session. The first reason counts; to finish again is no error. Fails when that cannot be kept: it has ended then,
   * and to finish it again tries to keep it.
   */
  readonly finish: (session: Session, reason: string, detail?: string) => Effect.Effect<void, ServerError>
}

/**
 * @since 0.1.0
 * @category config
 */
export interface Options {
  /** Sessions without a heartbeat, or any other request, for so long end. Default one day. */
  readonly sessionTimeout?: Duration.DurationInput | undefined
  /** Sessions that have not ended, and as many that have. Default 10,000. */
  readonly maxSessions?: number | undefined
  /** Whether nothing would be lost with a session. Default: of none. */
  readonly isEmpty?: ((session: Session) => boolean) | undefined
  /** Called when one has ended so. */
  readonly onExpired?: ((session: Session) => Effect.Effect<void>) | undefined
  /** Called when what is known of a session has changed; after it has ended, and what belonged to it. */
  readonly onChange?: ((persisted: Persisted) => Effect.Effect<void, ServerError>) | undefined
  /** The sessions of an earlier server, the oldest first. Their heartbeats are as of now. */
  readonly restored?: ReadonlyArray<Persisted> | undefined
}

/**
 * What is known of a session, apart from its heartbeats.
 *
 * @since 0.1.0
 * @category models
 */
export interface Persisted
  extends Pick<Session, "id" | "tags" | "userMetadata" | "displayName" | "owner" | "createdAt">
{
  readonly projectId: string | undefined
  readonly status: Status
}

interface Entry {
  readonly session: Session
  readonly scope: Scope.CloseableScope
  projectId: string | undefined
  lastHeartbeat: number
  /** Whether anybody has asked for something since the last look. */
  isUsed: boolean
  status: Status
  /** Whether it has ended and that is not written down. */
  isEndUnsaved: boolean
}

/** The sessions of a server. */
interface Registry {
  readonly options: Options
  readonly maxSessions: number
  readonly serverScope: Scope.Scope
  /** The sessions by their ids. */
  readonly entries: Map<string, Entry>
  readonly bySession: WeakMap<Session, Entry>
  /** How many have not ended. */
  active: number
  /** Ids of those that have ended, the first first. Of more than that nobody asks. */
  readonly ended: Array<string>
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Service, never, Scope.Scope> =>
  Effect.gen(function*() {
    const registry: Registry = {
      options,
      maxSessions: options.maxSessions ?? 10_000,
      serverScope: yield* Scope.Scope,
      entries: new Map(),
      bySession: new WeakMap(),
      active: 0,
      ended: []
    }
    const { bySession, entries } = registry
    const startedAt = yield* Clock.currentTimeMillis
    for (const persisted of options.restored ?? []) yield* open(registry, persisted, startedAt)
    const timeout = Duration.toMillis(options.sessionTimeout ?? defaultTimeout)
    if (Number.isFinite(timeout)) {
      yield* Effect.forkScoped(
        Effect.repeat(expireUnused(registry, timeout), Schedule.spaced(Duration.millis(timeout / sweepsPerTimeout)))
      )
    }
    return {
      create: (options) => create(registry, options),
      get: (sessionId) => entries.get(sessionId)?.session,
      list: () => Array.from(entries.values(), ({ session }) => session).reverse(),
      assignProject: (session, projectId) => assignProject(registry, session, projectId),
      makeRoom: makeRoom(registry),
      use: (session) => {
        const entry = bySession.get(session)
        if (entry !== undefined) entry.isUsed = true
      },
      heartbeat: (session) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          entryOf(registry, session).lastHeartbeat = now
        }),
      finish: (session, reason, detail) =>
        Effect.suspend(() => end(registry, entryOf(registry, session), { _tag: "Finished", reason, detail }))
    }
  })

const entryOf = ({ bySession }: Registry, session: Session): Entry => bySession.get(session)!

const create = (
  registry: Registry,
  { projectId, ...options }: Parameters<Service["create"]>[0]
): Effect.Effect<Session, ServerError> =>
  Effect.gen(function*() {
    const id = yield* uuid
    const createdAt = yield* Clock.currentTimeMillis
    const persisted = { ...options, id, createdAt, projectId, status: { _tag: "Active" } } as const
    const entry = yield* open(registry, persisted, createdAt)
    yield* Effect.onError(changed(registry, entry), () =>
      Effect.suspend(() => {
        registry.entries.delete(id)
        registry.active -= 1
        return Scope.close(entry.scope, Exit.void)
      }))
    return entry.session
  })

const assignProject = (registry: Registry, session: Session, projectId: string): Effect.Effect<void, ServerError> =>
  Effect.suspend(() => {
    const entry = entryOf(registry, session)
    return Effect.map(changed(registry, { ...entry, projectId }), () => {
      entry.projectId = projectId
    })
  })

/** Makes a session known, with a scope of its own, which is closed if the session has ended. */
const open = (
  registry: Registry,
  { projectId, status, ...persisted }: Persisted,
  lastHeartbeat: number
): Effect.Effect<Entry> =>
  Effect.gen(function*() {
    const scope = yield* Scope.fork(registry.serverScope, ExecutionStrategy.sequential)
    const session: Session = {
      ...persisted,
      scope,
      get projectId() {
        return entry.projectId
      },
      get lastHeartbeat() {
        return entry.lastHeartbeat
      },
      get status() {
        return entry.status
      }
    }
    const entry: Entry = { session, scope, projectId, lastHeartbeat, isUsed: false, status, isEndUnsaved: false }
    registry.entries.set(session.id, entry)
    registry.bySession.set(session, entry)
    if (status._tag === "Active") registry.active += 1
    else {
      noteEnded(registry, session.id)
      yield* Scope.close(scope, Exit.void)
    }
    return entry
  })

const end = (registry: Registry, entry: Entry, status: Status): Effect.Effect<void, ServerError> =>
  Effect.suspend(() => {
    if (entry.status._tag !== "Active") return entry.isEndUnsaved ? saveEnd(registry, entry) : Effect.void
    entry.status = status
    registry.active -= 1
    noteEnded(registry, entry.session.id)
    return Effect.zipRight(Scope.close(entry.scope, Exit.void), saveEnd(registry, entry))
  })

const noteEnded = ({ ended, entries, maxSessions }: Registry, id: string): void => {
  ended.push(id)
  if (ended.length > maxSessions) entries.delete(ended.shift()!)
}

const saveEnd = (registry: Registry, entry: Entry): Effect.Effect<void, ServerError> =>
  Effect.suspend(() => {
    entry.isEndUnsaved = true
    return Effect.map(changed(registry, entry), () => {
      entry.isEndUnsaved = false
    })
  })

const changed = (
  { options }: Registry,
  { projectId, session, status }: Entry
): Effect.Effect<void, ServerError> => {
  const { createdAt, displayName, id, owner, tags, userMetadata } = session
  return options.onChange?.({ id, tags, userMetadata, displayName, owner, createdAt, projectId, status }) ??
    Effect.void
}

/** Ends a session that nobody uses. Where the end cannot be saved, the next sweep tries again. */
const expire = (registry: Registry, entry: Entry): Effect.Effect<void> =>
  Effect.zipRight(
    Effect.ignoreLogged(end(registry, entry, { _tag: "Expired" })),
    registry.options.onExpired?.(entry.session) ?? Effect.void
  )

/** Ends all that were not heard of for so many milliseconds. */
const expireUnused = (registry: Registry, timeout: number): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    countUsesAsHeartbeats(registry, now)
    return Effect.forEach(
      Array.from(registry.entries.values()),
      (entry) =>
        entry.status._tag === "Active" && now - entry.lastHeartbeat >= timeout
          ? expire(registry, entry)
          : entry.isEndUnsaved
          ? Effect.ignoreLogged(saveEnd(registry, entry))
          : Effect.void,
      { discard: true }
    )
  })

const countUsesAsHeartbeats = ({ entries }: Registry, now: number): void => {
  for (const entry of entries.values()) {
    if (entry.isUsed) entry.lastHeartbeat = now
    entry.isUsed = false
  }
}

const makeRoom = (registry: Registry): Effect.Effect<boolean> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    if (registry.active < registry.maxSessions) return Effect.succeed(true)
    countUsesAsHeartbeats(registry, now)
    let unused: Entry | undefined
    for (const entry of registry.entries.values()) {
      const isOver = entry.status._tag !== "Active" || now - entry.lastHeartbeat < leastUnusedMillis
      if (isOver || registry.options.isEmpty?.(entry.session) !== true) continue
      if (unused === undefined || entry.lastHeartbeat < unused.lastHeartbeat) unused = entry
    }
    return unused === undefined ? Effect.succeed(false) : Effect.as(expire(registry, unused), true)
  })

const defaultTimeout = Duration.days(1)

/** Three heartbeats of the clients of this protocol. Whoever has just begun a session is about to use it. */
const leastUnusedMillis = 30_000

/** A session lives longer than the timeout by no more than this part of it. */
const sweepsPerTimeout = 10
