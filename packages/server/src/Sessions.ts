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
  readonly onChange?: ((kept: Kept) => Effect.Effect<void, ServerError>) | undefined
  /** The sessions of an earlier server, the oldest first. Their heartbeats are as of now. */
  readonly restored?: ReadonlyArray<Kept> | undefined
}

/**
 * What is known of a session, apart from its heartbeats.
 *
 * @since 0.1.0
 * @category models
 */
export interface Kept extends Pick<Session, "id" | "tags" | "userMetadata" | "displayName" | "owner" | "createdAt"> {
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
  /** Whether it has ended and that is not kept. */
  isEndUnkept: boolean
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Service, never, Scope.Scope> =>
  Effect.gen(function*() {
    const serverScope = yield* Scope.Scope
    const { isEmpty = () => false, maxSessions = 10_000, sessionTimeout = defaultTimeout } = options
    const entries = new Map<string, Entry>()
    const bySession = new WeakMap<Session, Entry>()
    const entryOf = (session: Session): Entry => bySession.get(session)!
    let active = 0
    /** Ids of those that have ended, the first first. Of more than that nobody asks. */
    const ended: Array<string> = []
    const noteEnded = (id: string) => {
      ended.push(id)
      if (ended.length > maxSessions) entries.delete(ended.shift()!)
    }

    const end = (entry: Entry, status: Status): Effect.Effect<void, ServerError> =>
      Effect.suspend(() => {
        if (entry.status._tag !== "Active") return entry.isEndUnkept ? keepEnd(entry) : Effect.void
        entry.status = status
        active -= 1
        noteEnded(entry.session.id)
        return Effect.zipRight(Scope.close(entry.scope, Exit.void), keepEnd(entry))
      })

    const keepEnd = (entry: Entry): Effect.Effect<void, ServerError> =>
      Effect.suspend(() => {
        entry.isEndUnkept = true
        return Effect.map(changed(entry), () => {
          entry.isEndUnkept = false
        })
      })

    const changed = ({ projectId, session, status }: Entry): Effect.Effect<void, ServerError> => {
      const { createdAt, displayName, id, owner, tags, userMetadata } = session
      return options.onChange?.({ id, tags, userMetadata, displayName, owner, createdAt, projectId, status }) ??
        Effect.void
    }

    const open = ({ projectId, status, ...kept }: Kept, lastHeartbeat: number): Effect.Effect<Entry> =>
      Effect.gen(function*() {
        const scope = yield* Scope.fork(serverScope, ExecutionStrategy.sequential)
        const session: Session = {
          ...kept,
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
        const entry: Entry = { session, scope, projectId, lastHeartbeat, isUsed: false, status, isEndUnkept: false }
        entries.set(session.id, entry)
        bySession.set(session, entry)
        if (status._tag === "Active") active += 1
        else {
          noteEnded(session.id)
          yield* Scope.close(scope, Exit.void)
        }
        return entry
      })

    const startedAt = yield* Clock.currentTimeMillis
    for (const kept of options.restored ?? []) yield* open(kept, startedAt)

    // Where the end cannot be kept, the next sweep tries again.
    const expire = (entry: Entry) =>
      Effect.zipRight(
        Effect.ignoreLogged(end(entry, { _tag: "Expired" })),
        options.onExpired?.(entry.session) ?? Effect.void
      )

    const look = (now: number) => {
      for (const entry of entries.values()) {
        if (entry.isUsed) entry.lastHeartbeat = now
        entry.isUsed = false
      }
    }

    const timeout = Duration.toMillis(sessionTimeout)
    if (Number.isFinite(timeout)) {
      const sweep = Effect.flatMap(Clock.currentTimeMillis, (now) => {
        look(now)
        return Effect.forEach(
          Array.from(entries.values()),
          (entry) =>
            entry.status._tag === "Active" && now - entry.lastHeartbeat >= timeout
              ? expire(entry)
              : entry.isEndUnkept
              ? Effect.ignoreLogged(keepEnd(entry))
              : Effect.void,
          { discard: true }
        )
      })
      yield* Effect.forkScoped(Effect.repeat(sweep, Schedule.spaced(Duration.millis(timeout / sweepsPerTimeout))))
    }

    const makeRoom = Effect.flatMap(Clock.currentTimeMillis, (now) => {
      if (active < maxSessions) return Effect.succeed(true)
      look(now)
      let unused: Entry | undefined
      for (const entry of entries.values()) {
        const isOver = entry.status._tag !== "Active" || now - entry.lastHeartbeat < leastUnused
        if (isOver || !isEmpty(entry.session)) continue
        if (unused === undefined || entry.lastHeartbeat < unused.lastHeartbeat) unused = entry
      }
      return unused === undefined ? Effect.succeed(false) : Effect.as(expire(unused), true)
    })

    return {
      create: ({ projectId, ...options }) =>
        Effect.gen(function*() {
          const id = yield* uuid
          const createdAt = yield* Clock.currentTimeMillis
          const entry = yield* open({ ...options, id, createdAt, projectId, status: { _tag: "Active" } }, createdAt)
          yield* Effect.onError(changed(entry), () =>
            Effect.suspend(() => {
              entries.delete(id)
              active -= 1
              return Scope.close(entry.scope, Exit.void)
            }))
          return entry.session
        }),
      get: (sessionId) => entries.get(sessionId)?.session,
      list: () => Array.from(entries.values(), ({ session }) => session).reverse(),
      assignProject: (session, projectId) =>
        Effect.suspend(() => {
          const entry = entryOf(session)
          return Effect.map(changed({ ...entry, projectId }), () => {
            entry.projectId = projectId
          })
        }),
      makeRoom,
      use: (session) => {
        const entry = bySession.get(session)
        if (entry !== undefined) entry.isUsed = true
      },
      heartbeat: (session) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          entryOf(session).lastHeartbeat = now
        }),
      finish: (session, reason, detail) =>
        Effect.suspend(() => end(entryOf(session), { _tag: "Finished", reason, detail }))
    }
  })

const defaultTimeout = Duration.days(1)

/** Three heartbeats of the clients of this protocol. Whoever has just begun a session is about to use it. */
const leastUnused = 30_000

/** A session lives longer than the timeout by no more than this part of it. */
const sweepsPerTimeout = 10
