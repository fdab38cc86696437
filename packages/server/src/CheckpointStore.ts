/**
 * Checkpoints: where they are kept, in memory or in a folder that other programs can read.
 *
 * In a folder, a checkpoint is a directory `<run>/<kind>/<name>`:
 *
 * - kind `weights`, for training on: `state.safetensors` with each tensor `<name>` and, where the optimizer has them, its
 *   moments `<name>.exp_avg` and `<name>.exp_avg_sq`
 * - kinds `sampler_weights` and `external_weights`: `adapter_model.safetensors` and `adapter_config.json`, as PEFT reads
 *   them
 * - always `meta.json`: what else a {@link Info} says
 *
 * It is written beside its place, under a name that begins with a dot, and then renamed, so that it is there as a whole
 * or not at all. A folder belongs to one server at a time.
 */
import type * as PlatformError from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as TinkerPath from "effect-tinker/TinkerPath"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { Snapshot } from "./Engine.js"
import * as CheckpointFiles from "./internal/checkpointFiles.js"
import { ofBytes } from "./internal/storedFile.js"
import { ServerError } from "./ServerError.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class CheckpointStore extends Context.Tag("@effect-tinker/server/CheckpointStore")<CheckpointStore, Service>() {}

/**
 * What is known of a checkpoint without reading its tensors.
 *
 * @since 0.1.0
 * @category models
 */
export interface Info {
  readonly path: TinkerPath.TinkerPath
  readonly baseModel: string
  readonly lora: Snapshot["lora"]
  /** Optimizer steps taken. */
  readonly step: number
  /** Milliseconds since the epoch. */
  readonly createdAt: number
  /** Milliseconds since the epoch, when it is removed; never when absent. */
  readonly expiresAt: number | undefined
  readonly sizeBytes: number
  /** Whether everybody may use it. */
  readonly public: boolean
  readonly userMetadata: Readonly<Record<string, string>>
  /** Which request saved it, in the server's words. */
  readonly savedBy?: string | undefined
  /** Whose it is; everybody's when absent. */
  readonly owner?: string | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface SaveOptions {
  /** Replaces a checkpoint of the same path, which otherwise is an error with reason `Exists`. */
  readonly overwrite?: boolean | undefined
  readonly ttlSeconds?: number | undefined
  readonly userMetadata?: Readonly<Record<string, string>> | undefined
  readonly savedBy?: string | undefined
  readonly owner?: string | undefined
}

/**
 * A checkpoint whose time is over is as good as gone: reason `NotFound`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Only training checkpoints keep the optimizer's state. */
  readonly save: (
    path: TinkerPath.TinkerPath,
    snapshot: Snapshot,
    options?: SaveOptions
  ) => Effect.Effect<Info, ServerError>
  readonly load: (path: TinkerPath.TinkerPath) => Effect.Effect<Snapshot, ServerError>
  readonly info: (path: TinkerPath.TinkerPath) => Effect.Effect<Info, ServerError>
  /** Every checkpoint, the oldest first. */
  readonly list: Effect.Effect<ReadonlyArray<Info>>
  /** Changes what holds for a checkpoint; what is not given stays as it is. */
  readonly update: (path: TinkerPath.TinkerPath, changes: Changes) => Effect.Effect<Info, ServerError>
  readonly remove: (path: TinkerPath.TinkerPath) => Effect.Effect<void, ServerError>
  /** What others need of a checkpoint, e.g. `adapter_model.safetensors` and `adapter_config.json`. */
  readonly files: (path: TinkerPath.TinkerPath) => Effect.Effect<ReadonlyArray<StoredFile>, ServerError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface StoredFile {
  readonly name: string
  readonly sizeBytes: number
  /** From a byte on to the end. */
  readonly read: (offset: number) => Stream.Stream<Uint8Array, ServerError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Changes {
  readonly public?: boolean | undefined
  /** How long it is kept from now on; null: for ever. */
  readonly ttlSeconds?: number | null | undefined
}

/**
 * Keeps checkpoints for as long as the layer lives.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<CheckpointStore> = Layer.effect(
  CheckpointStore,
  Effect.map(
    Effect.sync(() => new Map<string, Snapshot>()),
    (snapshots) =>
      make({
        write: (info, snapshot) =>
          Effect.sync(() => {
            const kept = info.path.checkpointType === "training" ? snapshot : withoutOptimizer(snapshot)
            snapshots.set(TinkerPath.format(info.path), kept)
            return CheckpointFiles.byteLength(kept)
          }),
        update: () => Effect.void,
        read: (info) => Effect.succeed(snapshots.get(TinkerPath.format(info.path))!),
        remove: (info) => Effect.sync(() => void snapshots.delete(TinkerPath.format(info.path))),
        files: (info) =>
          Effect.sync(() =>
            CheckpointFiles.contents(info, snapshots.get(TinkerPath.format(info.path))!)
              .map(([name, bytes]) => ({ name, ...ofBytes(bytes) }))
          )
      }, [])
  )
)

/**
 * Keeps checkpoints in a folder, which is made if need be. Those that are there already can be loaded; what a process
 * that was killed has left behind is removed.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  folder: string
): Layer.Layer<CheckpointStore, ServerError, FileSystem.FileSystem | Path.Path> =>
  Layer.effect(
    CheckpointStore,
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const files = CheckpointFiles.make(fs, path, folder)
      const existing = yield* Effect.mapError(files.open, fileSystemError(`opening ${folder}`))
      const failed = (info: Pick<Info, "path">) => fileSystemError(TinkerPath.format(info.path))
      return make({
        write: (info, snapshot) => Effect.mapError(files.write(info, snapshot), failed(info)),
        update: (info) => Effect.mapError(files.update(info), failed(info)),
        read: (info) => Effect.mapError(files.read(info), failed(info)),
        remove: (info) => Effect.mapError(files.remove(info.path), failed(info)),
        files: (info) =>
          Effect.mapBoth(files.list(info), {
            onFailure: failed(info),
            onSuccess: (found) =>
              found.map(({ place, ...file }) => ({
                ...file,
                read: (offset) => Stream.mapError(fs.stream(place, { offset, chunkSize: 256 * 1024 }), failed(info))
              }))
          })
      }, existing)
    })
  )

/** Where the tensors go. Names are checked and existence is decided before. */
interface Backend {
  /** Gives the size in bytes. */
  readonly write: (info: Omit<Info, "sizeBytes">, snapshot: Snapshot) => Effect.Effect<number, ServerError>
  /** Keeps what is new in the info. */
  readonly update: (info: Info) => Effect.Effect<void, ServerError>
  readonly read: (info: Info) => Effect.Effect<Snapshot, ServerError>
  readonly remove: (info: Info) => Effect.Effect<void, ServerError>
  readonly files: (info: Info) => Effect.Effect<ReadonlyArray<StoredFile>, ServerError>
}

const make = (backend: Backend, existing: ReadonlyArray<Info>): Service => {
  const infos = new Map(existing.map((info) => [TinkerPath.format(info.path), info]))

  const find = (path: TinkerPath.TinkerPath): Effect.Effect<Info | undefined, ServerError> =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const info = infos.get(TinkerPath.format(path))
      if (info?.expiresAt === undefined || now < info.expiresAt) return Effect.succeed(info)
      infos.delete(TinkerPath.format(path))
      return Effect.as(backend.remove(info), undefined)
    })

  const get = (path: TinkerPath.TinkerPath): Effect.Effect<Info, ServerError> =>
    Effect.flatMap(find(path), (info) =>
      info === undefined
        ? new ServerError({ reason: "NotFound", description: `there is no checkpoint ${TinkerPath.format(path)}` })
        : Effect.succeed(info))

  return {
    save: (path, snapshot, options = {}) =>
      Effect.gen(function*() {
        if (!isName(path.name)) {
          return yield* new ServerError({
            reason: "InvalidName",
            description:
              `${JSON.stringify(path.name)} is no checkpoint name: 1 to 200 letters, digits, dots, dashes and `
              + "underscores, not beginning with a dot"
          })
        }
        if (options.overwrite !== true && (yield* find(path)) !== undefined) {
          return yield* new ServerError({
            reason: "Exists",
            description: `the checkpoint ${TinkerPath.format(path)} exists already`
          })
        }
        const createdAt = yield* Clock.currentTimeMillis
        const written = {
          path,
          baseModel: snapshot.baseModel,
          lora: snapshot.lora,
          step: snapshot.step,
          createdAt,
          expiresAt: options.ttlSeconds === undefined ? undefined : createdAt + options.ttlSeconds * 1000,
          public: false,
          userMetadata: options.userMetadata ?? {},
          savedBy: options.savedBy,
          owner: options.owner
        }
        const info = { ...written, sizeBytes: yield* backend.write(written, snapshot) }
        infos.set(TinkerPath.format(path), info)
        return info
      }),
    load: (path) => Effect.flatMap(get(path), backend.read),
    info: get,
    list: Effect.map(Clock.currentTimeMillis, (now) =>
      Array.from(infos.values())
        .filter((info) => info.expiresAt === undefined || now < info.expiresAt)
        .sort((a, b) => a.createdAt - b.createdAt)),
    update: (path, changes) =>
      Effect.gen(function*() {
        const info = yield* get(path)
        const now = yield* Clock.currentTimeMillis
        const { ttlSeconds } = changes
        const changed: Info = {
          ...info,
          public: changes.public ?? info.public,
          expiresAt: ttlSeconds === undefined
            ? info.expiresAt
            : ttlSeconds === null
            ? undefined
            : now + ttlSeconds * 1000
        }
        yield* backend.update(changed)
        infos.set(TinkerPath.format(path), changed)
        return changed
      }),
    remove: (path) =>
      Effect.flatMap(get(path), (info) => {
        infos.delete(TinkerPath.format(path))
        return backend.remove(info)
      }),
    files: (path) => Effect.flatMap(get(path), backend.files)
  }
}

const isName = (name: string): boolean => /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/.test(name)

const withoutOptimizer = (snapshot: Snapshot): Snapshot => ({ ...snapshot, expAvg: new Map(), expAvgSq: new Map() })

const fileSystemError = (what: string) => (error: PlatformError.PlatformError | ServerError): ServerError =>
  error._tag === "ServerError"
    ? error
    : new ServerError({ reason: "FileSystem", description: `${what}: ${error.message}`, cause: error })
