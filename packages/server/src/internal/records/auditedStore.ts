/** A store whose changes are noted: in the audit log, and as how long each checkpoint took how much room. */
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as CheckpointStore from "../../CheckpointStore.js"
import type * as Audit from "../resources/audit.js"

/** A checkpoint that is or was there. */
export interface Stay {
  /** When it was removed before its time, in milliseconds since the epoch. */
  removedAt: number | undefined
  /** The checkpoint as it was last. */
  info: CheckpointStore.Info
}

export interface WatchedStore {
  readonly store: CheckpointStore.Service
  readonly stays: ReadonlyArray<Stay>
}

/**
 * A store that knows when checkpoints came and went. The ones that are there already have stayed since they were made. `earlier` were
 * removed before; `onRemoved` is told of those that are from now on.
 */
export const make = (
  store: CheckpointStore.Service,
  audit: Audit.Audit,
  earlier: ReadonlyArray<Stay>,
  onRemoved: (info: CheckpointStore.Info, removedAt: number) => Effect.Effect<void>
): Effect.Effect<WatchedStore> =>
  Effect.map(store.list, (existing) => {
    const stays: Array<Stay> = existing.map((info) => ({ info, removedAt: undefined }))
    const current = new Map(stays.map((stay) => [TinkerPath.format(stay.info.path), stay]))
    stays.unshift(...earlier)

    const end = (path: string) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const stay = current.get(path)
        current.delete(path)
        if (stay === undefined) return Effect.void
        stay.removedAt = Math.min(now, stay.info.expiresAt ?? now)
        return onRemoved(stay.info, stay.removedAt)
      })

    const note = (event: string, path: TinkerPath.TinkerPath, details: Readonly<Record<string, unknown>> = {}) =>
      audit.note(event, { tinker_path: TinkerPath.format(path), model_id: path.trainingRunId, ...details })

    return {
      stays,
      store: {
        ...store,
        save: (path, snapshot, options) =>
          Effect.tap(store.save(path, snapshot, options), (info) => {
            const key = TinkerPath.format(path)
            return Effect.zipRight(
              end(key),
              Effect.suspend(() => {
                const stay = { info, removedAt: undefined }
                stays.push(stay)
                current.set(key, stay)
                return note("checkpoint_save", path, {
                  size_bytes: info.sizeBytes,
                  ttl_seconds: options?.ttlSeconds ?? null
                })
              })
            )
          }),
        update: (path, changes) =>
          Effect.tap(store.update(path, changes), (info) => {
            const stay = current.get(TinkerPath.format(path))
            if (stay !== undefined) stay.info = info
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
