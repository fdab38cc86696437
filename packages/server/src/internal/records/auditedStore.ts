/** A store whose changes are noted: in the audit log, and as how long each checkpoint took how much room. */
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as CheckpointStore from "../../CheckpointStore.js"
import type * as Audit from "../resources/audit.js"

/** A checkpoint that is or was there. */
export interface Lifetime {
  /** When it was removed before its time, in milliseconds since the epoch. */
  removedAt: number | undefined
  /** The checkpoint as it was last. */
  info: CheckpointStore.Info
}

export interface AuditedStore {
  readonly store: CheckpointStore.Service
  readonly lifetimes: ReadonlyArray<Lifetime>
}

/**
 * A store that knows when checkpoints came and went. The ones that are there already have stayed since they were made. `earlier` were
 * removed before; `onRemoved` is told of those that are from now on.
 */
export const make = (
  store: CheckpointStore.Service,
  audit: Audit.Audit,
  earlier: ReadonlyArray<Lifetime>,
  onRemoved: (info: CheckpointStore.Info, removedAt: number) => Effect.Effect<void>
): Effect.Effect<AuditedStore> =>
  Effect.map(store.list, (existing) => {
    const lifetimes: Array<Lifetime> = existing.map((info) => ({ info, removedAt: undefined }))
    const current = new Map(lifetimes.map((lifetime) => [TinkerPath.format(lifetime.info.path), lifetime]))
    lifetimes.unshift(...earlier)

    const end = (path: string) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const lifetime = current.get(path)
        current.delete(path)
        if (lifetime === undefined) return Effect.void
        lifetime.removedAt = Math.min(now, lifetime.info.expiresAt ?? now)
        return onRemoved(lifetime.info, lifetime.removedAt)
      })

    const note = (event: string, path: TinkerPath.TinkerPath, details: Readonly<Record<string, unknown>> = {}) =>
      audit.note(event, { tinker_path: TinkerPath.format(path), model_id: path.trainingRunId, ...details })

    return {
      lifetimes,
      store: {
        ...store,
        save: (path, snapshot, options) =>
          Effect.tap(store.save(path, snapshot, options), (info) => {
            const key = TinkerPath.format(path)
            return Effect.zipRight(
              end(key),
              Effect.suspend(() => {
                const lifetime = { info, removedAt: undefined }
                lifetimes.push(lifetime)
                current.set(key, lifetime)
                return note("checkpoint_save", path, {
                  size_bytes: info.sizeBytes,
                  ttl_seconds: options?.ttlSeconds ?? null
                })
              })
            )
          }),
        update: (path, changes) =>
          Effect.tap(store.update(path, changes), (info) => {
            const lifetime = current.get(TinkerPath.format(path))
            if (lifetime !== undefined) lifetime.info = info
            return changes.public === undefined
              ? note("checkpoint_set_ttl", path, { ttl_seconds: changes.ttlSeconds ?? null })
              : note(changes.public ? "checkpoint_publish" : "checkpoint_unpublish", path)
          }),
        remove: (path) =>
          Effect.tap(
            store.remove(path),
            () => Effect.zipRight(end(TinkerPath.format(path)), note("checkpoint_delete", path))
          )
      }
    }
  })
