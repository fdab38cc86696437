/**
 * Checkpoints: where they are kept, in memory or in a folder that other programs can read.
 *
 * In a folder, a checkpoint is a directory `<run>/<kind>/<name>`:
 *
 * - kind `weights`, for training on: `state.safetensors` with each tensor `<name>` and, where the optimizer has them, its
 *   moments `<name>.exp_avg` and `<name>.exp_avg_sq`
 * - kinds `sampler_weights` and `external_weights`: `adapter_model.safetensors` and `adapter_config.json`, as PEFT reads
 *   them
 * - of those that are encrypted, the same files with `.age` behind their names
 * - always `meta.json`: what else a {@link Info} says, and the SHA-256 of each file beside it
 *
 * A file whose SHA-256 is another one now is neither loaded nor given to anybody: reason `DamagedFile`. Those that others
 * made, without checksums, are taken as they are.
 *
 * It is written beside its place, under a name that begins with a dot, and then renamed, so that it is there as a whole
 * or not at all. A folder belongs to one server at a time.
 */
import type { Snapshot } from "@effect-tinker/engine/Engine"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import type * as PlatformError from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as DiskTrouble from "./internal/http/diskTrouble.js"
import { ofBytes } from "./internal/http/storedFile.js"
import * as KeyedMutex from "./internal/models/keyedMutex.js"
import * as CheckpointContents from "./internal/records/checkpointContents.js"
import * as CheckpointFiles from "./internal/records/checkpointFiles.js"
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
  /** The request that saved it, in the server's words. */
  readonly savedBy?: string | undefined
  /** Whose it is; everybody's when absent. */
  readonly owner?: string | undefined
  /** Whether its files are for the holders of keys alone. Default false. */
  readonly encrypted?: boolean | undefined
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
  /**
   * Public keys of age, as `age1…`: only who holds one of the private keys can read the files, and this store cannot load the
   * checkpoint any more.
   */
  readonly recipients?: ReadonlyArray<string> | undefined
}

/**
 * A checkpoint whose time is over is gone: reason `NotFound`. It is removed when the store is opened, when checkpoints are
 * listed or one is saved, or when it is asked for. What concerns one checkpoint is done one after another.
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
  /** Fails with reason `Encrypted` for one that was saved for the holders of keys. */
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
  /** The bytes from one on to the end. */
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
  Effect.suspend(() => make(memoryBackend(), []))
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
      const existing = yield* Effect.mapError(
        files.open,
        (error) => failureOf(error, `opening ${folder}: ${error.message}`)
      )
      const logged = (info: Pick<Info, "path">) => (error: FileError) =>
        error._tag === "ServerError"
          ? Effect.void
          : Effect.logError(`${TinkerPath.format(info.path)}: ${error.message}`)
      const withClientErrors = <A>(info: Pick<Info, "path">, effect: Effect.Effect<A, FileError>) =>
        Effect.mapError(Effect.tapError(effect, logged(info)), forClients(info))
      return yield* make({
        write: (info, snapshot, options) => withClientErrors(info, files.write(info, snapshot, options)),
        update: (info) => withClientErrors(info, files.update(info)),
        read: (info) => withClientErrors(info, files.read(info)),
        remove: (info) => withClientErrors(info, files.remove(info.path)),
        files: (info) =>
          Effect.map(withClientErrors(info, files.list(info)), (found) =>
            found.map(({ place, ...file }) => ({
              ...file,
              read: (offset) =>
                fs.stream(place, { offset, chunkSize: 256 * 1024 }).pipe(
                  Stream.tapError(logged(info)),
                  Stream.mapError(forClients(info))
                )
            })))
      }, existing)
    })
  )

/** Where the tensors go. Names are checked and existence is decided before; of one path it does one thing at a time. */
interface Backend {
  readonly write: (
    info: Omit<Info, "sizeBytes">,
    snapshot: Snapshot,
    options: CheckpointFiles.WriteOptions
  ) => Effect.Effect<void, ServerError>
  /** Keeps what is new in the info. */
  readonly update: (info: Info) => Effect.Effect<void, ServerError>
  readonly read: (info: Info) => Effect.Effect<Snapshot, ServerError>
  readonly remove: (info: Info) => Effect.Effect<void, ServerError>
  readonly files: (info: Info) => Effect.Effect<ReadonlyArray<StoredFile>, ServerError>
}

const memoryBackend = (): Backend => {
  const snapshots = new Map<string, Snapshot>()
  const encrypted = new Map<string, CheckpointContents.Files>()
  return {
    write: (info, snapshot, { onWritten, recipients }) => {
      const key = TinkerPath.format(info.path)
      const kept = info.path.checkpointType === "training" ? snapshot : withoutOptimizer(snapshot)
      if (recipients === undefined) {
        return Effect.sync(() => {
          snapshots.set(key, kept)
          encrypted.delete(key)
          onWritten(CheckpointContents.byteLength(kept))
        })
      }
      const files = CheckpointContents.encryptedTo(recipients, CheckpointContents.make(info, kept))
      return Effect.map(files, (files) => {
        snapshots.delete(key)
        encrypted.set(key, files)
        onWritten(files.reduce((size, [, bytes]) => size + bytes.length, 0))
      })
    },
    update: () => Effect.void,
    read: (info) => Effect.succeed(snapshots.get(TinkerPath.format(info.path))!),
    remove: (info) =>
      Effect.sync(() => {
        const key = TinkerPath.format(info.path)
        snapshots.delete(key)
        encrypted.delete(key)
      }),
    files: (info) =>
      Effect.sync(() => {
        const key = TinkerPath.format(info.path)
        const files = encrypted.get(key) ?? CheckpointContents.make(info, snapshots.get(key)!)
        return files.map(([name, bytes]) => ({ name, ...ofBytes(bytes) }))
      })
  }
}

/** The checkpoints that there are, and where their tensors go. */
interface Checkpoints {
  readonly backend: Backend
  /** The checkpoints by their paths. */
  readonly infos: Map<string, Info>
  /** Does what concerns one checkpoint one after another. */
  readonly inTurn: <A, E>(path: TinkerPath.TinkerPath, effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
}

const make = (backend: Backend, existing: ReadonlyArray<Info>): Effect.Effect<Service> => {
  const mutex = KeyedMutex.make()
  const checkpoints: Checkpoints = {
    backend,
    infos: new Map(existing.map((info) => [TinkerPath.format(info.path), info])),
    inTurn: (path, effect) => mutex(TinkerPath.format(path), effect)
  }
  return Effect.as(removeExpired(checkpoints), {
    save: (path, snapshot, options = {}) => save(checkpoints, path, snapshot, options),
    load: (path) => load(checkpoints, path),
    info: (path) => info(checkpoints, path),
    list: list(checkpoints),
    update: (path, changes) => update(checkpoints, path, changes),
    remove: (path) =>
      checkpoints.inTurn(path, Effect.flatMap(get(checkpoints, path), (info) => remove(checkpoints, info))),
    files: (path) => checkpoints.inTurn(path, Effect.flatMap(get(checkpoints, path), backend.files))
  })
}

const save = (checkpoints: Checkpoints, path: TinkerPath.TinkerPath, snapshot: Snapshot, options: SaveOptions) =>
  Effect.gen(function*() {
    if (!isName(path.name)) {
      return yield* new ServerError({
        reason: "InvalidName",
        description: `${JSON.stringify(path.name)} is no checkpoint name: 1 to 200 letters, digits, dots, dashes and `
          + "underscores, not beginning with a dot"
      })
    }
    // Else the disk of a server that nobody lists anything of would fill.
    yield* removeExpired(checkpoints)
    return yield* checkpoints.inTurn(path, write(checkpoints, path, snapshot, options))
  })

const write = (checkpoints: Checkpoints, path: TinkerPath.TinkerPath, snapshot: Snapshot, options: SaveOptions) =>
  Effect.gen(function*() {
    const overwrite = options.overwrite === true
    if (!overwrite && (yield* find(checkpoints, path)) !== undefined) {
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
      expiresAt: options.ttlSeconds === undefined ? undefined : expiryOf(createdAt, options.ttlSeconds),
      public: false,
      userMetadata: options.userMetadata ?? {},
      savedBy: options.savedBy,
      owner: options.owner,
      encrypted: options.recipients === undefined ? undefined : true
    }
    let info: Info = { ...written, sizeBytes: 0 }
    yield* checkpoints.backend.write(written, snapshot, {
      overwrite,
      recipients: options.recipients,
      onWritten: (sizeBytes) => {
        info = { ...written, sizeBytes }
        checkpoints.infos.set(TinkerPath.format(path), info)
      }
    })
    return info
  })

const load = (checkpoints: Checkpoints, path: TinkerPath.TinkerPath): Effect.Effect<Snapshot, ServerError> =>
  checkpoints.inTurn(
    path,
    Effect.flatMap(get(checkpoints, path), (info) =>
      info.encrypted === true
        ? new ServerError({
          reason: "Encrypted",
          description: `${TinkerPath.format(path)} is encrypted for others, and this server has no key to it; `
            + "take the checkpoint that it was made of"
        })
        : checkpoints.backend.read(info))
  )

/** What is there is told of at once, also while it is being replaced. */
const info = (checkpoints: Checkpoints, path: TinkerPath.TinkerPath): Effect.Effect<Info, ServerError> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const info = checkpoints.infos.get(TinkerPath.format(path))
    if (info === undefined) return notFound(path)
    return isExpired(info, now) ? checkpoints.inTurn(path, get(checkpoints, path)) : Effect.succeed(info)
  })

const list = (checkpoints: Checkpoints): Effect.Effect<ReadonlyArray<Info>> =>
  Effect.zipRight(
    removeExpired(checkpoints),
    Effect.map(Clock.currentTimeMillis, (now) =>
      Array.from(checkpoints.infos.values())
        .filter((info) => !isExpired(info, now))
        .sort((a, b) => a.createdAt - b.createdAt))
  )

const update = (checkpoints: Checkpoints, path: TinkerPath.TinkerPath, changes: Changes) =>
  checkpoints.inTurn(
    path,
    Effect.gen(function*() {
      const info = yield* get(checkpoints, path)
      const now = yield* Clock.currentTimeMillis
      const { ttlSeconds } = changes
      const changed: Info = {
        ...info,
        public: changes.public ?? info.public,
        expiresAt: ttlSeconds === undefined
          ? info.expiresAt
          : ttlSeconds === null
          ? undefined
          : expiryOf(now, ttlSeconds)
      }
      yield* Effect.uninterruptible(
        Effect.zipRight(
          checkpoints.backend.update(changed),
          Effect.sync(() => void checkpoints.infos.set(TinkerPath.format(path), changed))
        )
      )
      return changed
    })
  )

const get = (checkpoints: Checkpoints, path: TinkerPath.TinkerPath): Effect.Effect<Info, ServerError> =>
  Effect.flatMap(find(checkpoints, path), (info) => info === undefined ? notFound(path) : Effect.succeed(info))

/**
 * The checkpoint under a path, looked for in its turn. One whose time is over is removed on the way; where that fails, it is tried again
 * later.
 */
const find = (checkpoints: Checkpoints, path: TinkerPath.TinkerPath): Effect.Effect<Info | undefined> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const info = checkpoints.infos.get(TinkerPath.format(path))
    if (info === undefined || !isExpired(info, now)) return Effect.succeed(info)
    return Effect.as(Effect.ignore(remove(checkpoints, info)), undefined)
  })

/** Removes all whose time is over. */
const removeExpired = (checkpoints: Checkpoints): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Effect.forEach(
      Array.from(checkpoints.infos.values()).filter((info) => isExpired(info, now)),
      ({ path }) => checkpoints.inTurn(path, find(checkpoints, path)),
      { discard: true }
    ))

const remove = ({ backend, infos }: Checkpoints, info: Info): Effect.Effect<void, ServerError> =>
  Effect.uninterruptible(
    Effect.zipRight(backend.remove(info), Effect.sync(() => void infos.delete(TinkerPath.format(info.path))))
  )

const notFound = (path: TinkerPath.TinkerPath) =>
  new ServerError({ reason: "NotFound", description: `there is no checkpoint ${TinkerPath.format(path)}` })

const isExpired = ({ expiresAt }: Info, now: number): boolean => expiresAt !== undefined && now >= expiresAt

/** Never, when there is no such date. */
const expiryOf = (now: number, ttlSeconds: number): number | undefined => {
  const expiry = now + ttlSeconds * 1000
  return Number.isNaN(new Date(expiry).getTime()) ? undefined : expiry
}

const isName = (name: string): boolean => /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/.test(name)

const withoutOptimizer = (snapshot: Snapshot): Snapshot => ({ ...snapshot, expAvg: new Map(), expAvgSq: new Map() })

type FileError = PlatformError.PlatformError | ServerError

/** Says what the disk refused, and not where on this machine: that is for the log. */
const forClients = ({ path }: Pick<Info, "path">) => (error: FileError): ServerError =>
  error._tag === "ServerError" ? error : failureOf(error, `${TinkerPath.format(path)}: ${DiskTrouble.refused(error)}`)

const failureOf = (error: FileError, description: string): ServerError =>
  error._tag === "ServerError" ? error : new ServerError({ reason: "FileSystem", description, cause: error })
