/**
 * Sessions of clients. Whatever belongs to a session lives in its scope, which closes when the session is finished or the
 * server stops.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"

/**
 * @since 0.1.0
 * @category models
 */
export interface Session {
  readonly id: string
  readonly tags: ReadonlyArray<string>
  readonly userMetadata: Readonly<Record<string, unknown>>
  readonly displayName: string | undefined
  /** Milliseconds since the epoch. */
  readonly createdAt: number
  /** Closes when the session is finished. */
  readonly scope: Scope.Scope
  /** Milliseconds since the epoch; the time of creation before the first one. */
  readonly lastHeartbeat: Effect.Effect<number>
  readonly status: Effect.Effect<Status>
}

/**
 * How a session ended, if it did, in the words of its client.
 *
 * @since 0.1.0
 * @category models
 */
export type Status =
  | { readonly _tag: "Active" }
  | { readonly _tag: "Finished"; readonly reason: string }

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly create: (
    options: Pick<Session, "tags" | "userMetadata" | "displayName">
  ) => Effect.Effect<Session>
  /** Also finds sessions that are finished. */
  readonly get: (sessionId: string) => Effect.Effect<Session | undefined>
  readonly heartbeat: (session: Session) => Effect.Effect<void>
  /** Ends a session. The first reason counts; to finish again is no error. */
  readonly finish: (session: Session, reason: string) => Effect.Effect<void>
}

interface Entry {
  readonly session: Session
  readonly scope: Scope.CloseableScope
  lastHeartbeat: number
  status: Status
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, Scope.Scope> = Effect.gen(function*() {
  const serverScope = yield* Scope.Scope
  const entries = new Map<string, Entry>()
  const entryOf = (session: Session): Entry => entries.get(session.id)!

  return {
    create: (options) =>
      Effect.gen(function*() {
        const id = yield* uuid
        const createdAt = yield* Clock.currentTimeMillis
        const scope = yield* Scope.fork(serverScope, ExecutionStrategy.sequential)
        const session: Session = {
          ...options,
          id,
          createdAt,
          scope,
          lastHeartbeat: Effect.sync(() => entryOf(session).lastHeartbeat),
          status: Effect.sync(() => entryOf(session).status)
        }
        entries.set(id, { session, scope, lastHeartbeat: createdAt, status: { _tag: "Active" } })
        return session
      }),
    get: (sessionId) => Effect.sync(() => entries.get(sessionId)?.session),
    heartbeat: (session) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        entryOf(session).lastHeartbeat = now
      }),
    finish: (session, reason) =>
      Effect.suspend(() => {
        const entry = entryOf(session)
        if (entry.status._tag === "Finished") return Effect.void
        entry.status = { _tag: "Finished", reason }
        return Scope.close(entry.scope, Exit.void)
      })
  }
})

/** A random UUID, version 4, from the random numbers of the program, so that a test may fix them. */
const uuid: Effect.Effect<string> = Effect.gen(function*() {
  const bytes: Array<number> = []
  for (let i = 0; i < 16; i++) bytes.push(yield* Random.nextIntBetween(0, 256))
  bytes[6] = (bytes[6]! & 0x0f) | 0x40
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("")
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-")
})
