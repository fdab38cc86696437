/** Checkpoints as directories, and how they come to be there as a whole or not at all. */
import type { Snapshot } from "@effect-tinker/engine/Engine"
import * as ModelState from "@effect-tinker/engine/ModelState"
import * as Safetensors from "@effect-tinker/engine/Safetensors"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import type * as PlatformError from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { Info } from "../../CheckpointStore.js"
import { ServerError } from "../../ServerError.js"
import * as Eithers from "../effect/eithers.js"
import * as CheckpointContents from "./checkpointContents.js"
import * as CheckpointMeta from "./checkpointMeta.js"
import * as Sha256 from "./sha256.js"

type FileError = PlatformError.PlatformError | ServerError

export interface CheckpointFiles {
  /** Makes the folder, clears away what a killed process left, and says what is there. */
  readonly open: Effect.Effect<ReadonlyArray<Info>, FileError>
  readonly write: (
    info: Omit<Info, "sizeBytes">,
    snapshot: Snapshot,
    options: WriteOptions
  ) => Effect.Effect<void, FileError>
  /** Writes down what is new in the info. One after another for a checkpoint, and not while it is written or removed. */
  readonly update: (info: Info) => Effect.Effect<void, FileError>
  readonly read: (info: Info) => Effect.Effect<Snapshot, FileError>
  readonly remove: (path: TinkerPath.TinkerPath) => Effect.Effect<void, FileError>
  /** What others need of a checkpoint, and where it is. */
  readonly list: (
    info: Info
  ) => Effect.Effect<ReadonlyArray<ListedFile>, FileError>
}

export interface ListedFile {
  readonly name: string
  readonly sizeBytes: number
  readonly place: string
}

export interface WriteOptions {
  /** Whether what is in its place is replaced. Otherwise nothing that is there is, be it a checkpoint or not. */
  readonly overwrite: boolean
  /** The public keys of those for whom the files are encrypted; for nobody when absent. */
  readonly recipients: ReadonlyArray<string> | undefined
  /** Is told of the size in bytes as soon as the checkpoint is in its place, whatever comes then. */
  readonly onWritten: (sizeBytes: number) => void
}

export const make = (fs: FileSystem.FileSystem, path: Path.Path, root: string): CheckpointFiles => {
  const folder: Folder = { fs, path, root, sums: new Map(), verified: new Map() }
  return {
    open: open(folder),
    write: (info, snapshot, options) => write(folder, info, snapshot, options),
    update: (info) => update(folder, info),
    read: (info) => read(folder, info),
    remove: (checkpoint) => remove(folder, checkpoint),
    list: (info) => list(folder, info)
  }
}

/** The folder that checkpoints are in. */
interface Folder {
  readonly fs: FileSystem.FileSystem
  readonly path: Path.Path
  /** Where it is. */
  readonly root: string
  /** The SHA-256 sums of files by their names, by directories. */
  readonly sums: Map<string, CheckpointMeta.Sums>
  /** What was read last as it was saved: by its place, what tells a file that was changed since. */
  readonly verified: Map<string, string>
}

const kinds: Record<TinkerPath.CheckpointType, string> = {
  training: "weights",
  sampler: "sampler_weights",
  external: "external_weights"
}

const metaFile = "meta.json"

/** Names of checkpoints do not begin with a dot, so these cannot be taken for one. */
const newPrefix = ".new-"
const oldPrefix = ".old-"

const parentOf = ({ path, root }: Folder, checkpoint: TinkerPath.TinkerPath): string =>
  path.join(root, encodeRun(checkpoint.trainingRunId), kinds[checkpoint.checkpointType])

const directoryOf = (folder: Folder, checkpoint: TinkerPath.TinkerPath): string =>
  folder.path.join(parentOf(folder, checkpoint), checkpoint.name)

const open = (folder: Folder): Effect.Effect<ReadonlyArray<Info>, FileError> =>
  Effect.gen(function*() {
    const { fs, path, root } = folder
    yield* fs.makeDirectory(root, { recursive: true })
    const infos: Array<Info> = []
    for (const run of yield* directories(folder, root)) {
      const trainingRunId = decodeRun(run)
      if (trainingRunId === undefined) continue
      for (const [checkpointType, kind] of Object.entries(kinds)) {
        const parent = path.join(root, run, kind)
        if (!(yield* orSkip(parent, fs.exists(parent), false))) continue
        yield* orSkip(parent, recover(folder, parent), undefined)
        for (const name of yield* orSkip(parent, directories(folder, parent), [])) {
          const checkpoint = { trainingRunId, checkpointType, name } as TinkerPath.TinkerPath
          yield* Effect.matchEffect(readInfo(folder, checkpoint), {
            onSuccess: (info) => Effect.sync(() => infos.push(info)),
            onFailure: (error) =>
              Effect.logWarning(`${directoryOf(folder, checkpoint)} is left as it is, and left out: ${error.message}`)
          })
        }
      }
    }
    return infos
  })

/** Finishes or undoes what was going on in a directory of checkpoints. */
const recover = ({ fs, path }: Folder, parent: string): Effect.Effect<void, PlatformError.PlatformError> =>
  Effect.gen(function*() {
    for (const name of yield* fs.readDirectory(parent)) {
      const leftover = path.join(parent, name)
      if (name.startsWith(oldPrefix)) {
        // Its replacement may not have come into its place any more.
        const place = path.join(parent, name.slice(oldPrefix.length))
        const undo = Effect.flatMap(
          fs.exists(place),
          (exists) => exists ? fs.remove(leftover, { recursive: true }) : fs.rename(leftover, place)
        )
        yield* orSkip(leftover, undo, undefined)
      } else if (name.startsWith(newPrefix)) {
        yield* orSkip(leftover, fs.remove(leftover, { recursive: true }), undefined)
      }
    }
  })

const readInfo = (folder: Folder, checkpoint: TinkerPath.TinkerPath): Effect.Effect<Info, FileError> =>
  Effect.gen(function*() {
    const { fs, path, sums } = folder
    const directory = directoryOf(folder, checkpoint)
    const { info, sha256 } = yield* Effect.mapError(
      Effect.flatMap(
        fs.readFileString(path.join(directory, metaFile)),
        (text) => CheckpointMeta.decode(checkpoint, text)
      ),
      (error) => error._tag === "ParseError" ? damaged(checkpoint, metaFile, error) : error
    )
    let sizeBytes = 0
    for (const name of yield* files(folder, directory)) {
      sizeBytes += Number((yield* fs.stat(path.join(directory, name))).size)
    }
    if (sha256 !== undefined) sums.set(directory, sha256)
    return { ...info, sizeBytes }
  })

const write = (
  folder: Folder,
  info: Omit<Info, "sizeBytes">,
  snapshot: Snapshot,
  { onWritten, overwrite, recipients }: WriteOptions
): Effect.Effect<void, FileError> => {
  const { fs, path, sums } = folder
  const parent = parentOf(folder, info.path)
  const place = directoryOf(folder, info.path)
  const beside = path.join(parent, newPrefix + info.path.name)
  const replaced = path.join(parent, oldPrefix + info.path.name)
  return Effect.gen(function*() {
    if (!overwrite && (yield* fs.exists(place))) {
      return yield* new ServerError({
        reason: "Exists",
        description: `where ${TinkerPath.format(info.path)} would be there is something else, `
          + "which the log of the server's start tells of; take another name"
      })
    }
    yield* fs.remove(beside, { recursive: true, force: true })
    yield* fs.makeDirectory(beside, { recursive: true })
    const made = yield* CheckpointContents.encryptedTo(recipients, CheckpointContents.make(info, snapshot))
    const sha256: Record<string, string> = {}
    for (const [name, bytes] of made) sha256[name] = yield* Sha256.of(bytes)
    const all = [...made, [metaFile, CheckpointMeta.encode(info, sha256)] as const]
    for (const [name, bytes] of all) yield* writeFile(folder, path.join(beside, name), bytes)
    yield* Effect.uninterruptible(Effect.gen(function*() {
      const exists = yield* fs.exists(place)
      if (exists) yield* fs.rename(place, replaced)
      yield* Effect.onError(
        fs.rename(beside, place),
        () => exists ? Effect.ignoreLogged(fs.rename(replaced, place)) : Effect.void
      )
      sums.set(place, sha256)
      onWritten(all.reduce((size, [, bytes]) => size + bytes.byteLength, 0))
      if (exists) yield* clearAway(folder, replaced)
    }))
  }).pipe(
    // Without this, a save that is interrupted or fails would leave its beginning until the next start.
    Effect.onError(() => Effect.ignore(fs.remove(beside, { recursive: true, force: true })))
  )
}

const update = (folder: Folder, info: Info): Effect.Effect<void, FileError> => {
  const { fs, path, sums } = folder
  const directory = directoryOf(folder, info.path)
  const beside = path.join(directory, newPrefix + metaFile)
  return Effect.onError(
    Effect.zipRight(
      writeFile(folder, beside, CheckpointMeta.encode(info, sums.get(directory))),
      fs.rename(beside, path.join(directory, metaFile))
    ),
    () => Effect.ignore(fs.remove(beside, { force: true }))
  )
}

const read = (folder: Folder, info: Info): Effect.Effect<Snapshot, FileError> =>
  Effect.gen(function*() {
    const { fs, path } = folder
    const name = info.path.checkpointType === "training" ? CheckpointContents.stateFile : CheckpointContents.adapterFile
    const directory = directoryOf(folder, info.path)
    yield* requireAll(folder, info.path, yield* files(folder, directory))
    const bytes = yield* fs.readFile(path.join(directory, name))
    yield* requireWhole(folder, info.path, name, bytes)
    const tensors = Either.mapLeft(Safetensors.decode(bytes), (error) => damaged(info.path, name, error))
    return ModelState.snapshotOf(info, yield* Eithers.toEffect(tensors))
  })

const remove = (folder: Folder, checkpoint: TinkerPath.TinkerPath): Effect.Effect<void, FileError> =>
  Effect.gen(function*() {
    const { fs, path, sums } = folder
    const place = directoryOf(folder, checkpoint)
    if (!(yield* fs.exists(place))) return
    // Under this name it is no checkpoint any more, also when the process dies before all of it is gone.
    const beside = path.join(parentOf(folder, checkpoint), newPrefix + checkpoint.name)
    yield* fs.remove(beside, { recursive: true, force: true })
    yield* fs.rename(place, beside)
    sums.delete(place)
    yield* clearAway(folder, beside)
  })

const list = (folder: Folder, info: Info): Effect.Effect<ReadonlyArray<ListedFile>, FileError> =>
  Effect.gen(function*() {
    const { fs, path, verified } = folder
    const directory = directoryOf(folder, info.path)
    const names = (yield* files(folder, directory)).filter((name) => name !== metaFile).sort()
    yield* requireAll(folder, info.path, names)
    return yield* Effect.forEach(names, (name) =>
      Effect.gen(function*() {
        const place = path.join(directory, name)
        const { mtime, size } = yield* fs.stat(place)
        const stamp = `${info.createdAt} ${size} ${Option.match(mtime, { onNone: () => "", onSome: Number })}`
        // A download asks for its files again and again, piece by piece.
        if (verified.get(place) !== stamp) yield* requireWhole(folder, info.path, name, yield* fs.readFile(place))
        verified.set(place, stamp)
        return { name, sizeBytes: Number(size), place }
      }))
  })

/** Fails unless a file is as it was saved, as far as that is known. */
const requireWhole = (folder: Folder, checkpoint: TinkerPath.TinkerPath, name: string, bytes: Uint8Array) =>
  Effect.gen(function*() {
    const directory = directoryOf(folder, checkpoint)
    const sum = folder.sums.get(directory)?.[name]
    if (sum === undefined || sum === (yield* Sha256.of(bytes))) return
    yield* Effect.logError(
      `${folder.path.join(directory, name)} is damaged: its SHA-256 is not ${sum}, as ${metaFile} says`
    )
    return yield* damaged(checkpoint, name, { message: "it is not as it was saved. Take another checkpoint" })
  })

/** Fails unless every file that was saved is among these. */
const requireAll = (folder: Folder, checkpoint: TinkerPath.TinkerPath, names: ReadonlyArray<string>) =>
  Effect.suspend(() => {
    const sums = folder.sums.get(directoryOf(folder, checkpoint))
    const missing = Object.keys(sums ?? {}).find((name) => !names.includes(name))
    return missing === undefined
      ? Effect.void
      : damaged(checkpoint, missing, { message: "it is not there any more. Take another checkpoint" })
  })

/** The bytes must be on the disk before the rename is, or a power cut could leave a checkpoint of empty files. */
const writeFile = ({ fs }: Folder, file: string, bytes: Uint8Array) =>
  Effect.scoped(
    Effect.flatMap(fs.open(file, { flag: "w" }), (open) => Effect.zipRight(open.writeAll(bytes), open.sync))
  )

/** What is no checkpoint any more. Where it cannot be removed, what was asked for is done all the same. */
const clearAway = ({ fs }: Folder, directory: string): Effect.Effect<void> =>
  Effect.catchAll(
    fs.remove(directory, { recursive: true }),
    (error) => Effect.logWarning(`${directory} is removed at the next start: ${error.message}`)
  )

/** Goes on without what cannot be looked at, be it a link to nowhere or a folder that may not be read. */
const orSkip = <A>(place: string, effect: Effect.Effect<A, PlatformError.PlatformError>, otherwise: A) =>
  Effect.catchAll(
    effect,
    (error) => Effect.as(Effect.logWarning(`${place} is left as it is, and left out: ${error.message}`), otherwise)
  )

const entries = ({ fs, path }: Folder, directory: string, type: FileSystem.File.Type) =>
  Effect.flatMap(fs.readDirectory(directory), (names) =>
    Effect.filter(names, (name) => {
      const place = path.join(directory, name)
      return orSkip(place, Effect.map(fs.stat(place), (stat) => stat.type === type), false)
    }))

const directories = (folder: Folder, parent: string) => entries(folder, parent, "Directory")

const files = (folder: Folder, directory: string) =>
  Effect.map(entries(folder, directory, "File"), (names) => names.filter((name) => !name.startsWith(newPrefix)))

const damaged = (checkpoint: TinkerPath.TinkerPath, file: string, error: Pick<Error, "message">) =>
  new ServerError({
    reason: "DamagedFile",
    description: `${file} of ${TinkerPath.format(checkpoint)}: ${error.message}`,
    cause: error
  })

/** Run ids contain colons, which not every file system takes. */
const encodeRun = (runId: string): string =>
  runId.replace(
    /[^A-Za-z0-9_-]/g,
    (character) =>
      Array.from(new TextEncoder().encode(character), (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("")
  )

/** None when the directory is not one of ours. */
const decodeRun = (name: string): string | undefined => {
  try {
    const runId = decodeURIComponent(name)
    return encodeRun(runId) === name ? runId : undefined
  } catch {
    return undefined
  }
}
