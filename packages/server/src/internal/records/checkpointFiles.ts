/** Checkpoints as directories: their files, and how they come to be there as a whole or not at all. */
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
import * as Schema from "effect/Schema"
import type { Info } from "../../CheckpointStore.js"
import { ServerError } from "../../ServerError.js"
import * as AgeFiles from "./ageFiles.js"
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
  ) => Effect.Effect<
    ReadonlyArray<{ readonly name: string; readonly sizeBytes: number; readonly place: string }>,
    FileError
  >
}

export interface WriteOptions {
  /** Whether what is in its place is replaced. Otherwise nothing that is there is, be it a checkpoint or not. */
  readonly overwrite: boolean
  /** The public keys of those for whom the files are encrypted; for nobody when absent. */
  readonly recipients: ReadonlyArray<string> | undefined
  /** Is told of the size in bytes as soon as the checkpoint is in its place, whatever comes then. */
  readonly onWritten: (sizeBytes: number) => void
}

const kinds: Record<TinkerPath.CheckpointType, string> = {
  training: "weights",
  sampler: "sampler_weights",
  external: "external_weights"
}

const Meta = Schema.parseJson(
  Schema.Struct({
    base_model: Schema.String,
    rank: Schema.Int,
    lora_alpha: Schema.Number,
    seed: Schema.Number,
    train_attn: Schema.Boolean,
    train_mlp: Schema.Boolean,
    train_unembed: Schema.Boolean,
    step: Schema.Int,
    created_at: Schema.Date,
    expires_at: Schema.NullOr(Schema.Date),
    public: Schema.optionalWith(Schema.Boolean, { default: () => false }),
    user_metadata: Schema.Record({ key: Schema.String, value: Schema.String }),
    saved_by: Schema.optional(Schema.String),
    owner: Schema.optional(Schema.String),
    encrypted: Schema.optional(Schema.Boolean),
    /** The SHA-256 sums of the files beside it, by their names. Checkpoints of earlier versions and of others have none. */
    sha256: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String }))
  }),
  { space: 2 }
)

/** Every rank has the same alpha. Source: "LoRA Without Regret", Thinking Machines 2025, and the hosted service. */
const loraAlpha = 32

const metaFile = "meta.json"
const stateFile = "state.safetensors"
const adapterFile = "adapter_model.safetensors"
const adapterConfigFile = "adapter_config.json"

/** Names of checkpoints do not begin with a dot, so these cannot be taken for one. */
const newPrefix = ".new-"
const oldPrefix = ".old-"

export const make = (fs: FileSystem.FileSystem, path: Path.Path, folder: string): CheckpointFiles => {
  const parentOf = (checkpoint: TinkerPath.TinkerPath) =>
    path.join(folder, encodeRun(checkpoint.trainingRunId), kinds[checkpoint.checkpointType])
  const directoryOf = (checkpoint: TinkerPath.TinkerPath) => path.join(parentOf(checkpoint), checkpoint.name)

  /** The bytes must be on the disk before the rename is, or a power cut could leave a checkpoint of empty files. */
  const writeFile = (file: string, bytes: Uint8Array) =>
    Effect.scoped(
      Effect.flatMap(fs.open(file, { flag: "w" }), (open) => Effect.zipRight(open.writeAll(bytes), open.sync))
    )

  /** What is no checkpoint any more. Where it cannot be removed, what was asked for is done all the same. */
  const clearAway = (directory: string) =>
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

  const entries = (directory: string, type: FileSystem.File.Type) =>
    Effect.flatMap(fs.readDirectory(directory), (names) =>
      Effect.filter(names, (name) => {
        const place = path.join(directory, name)
        return orSkip(place, Effect.map(fs.stat(place), (stat) => stat.type === type), false)
      }))

  const directories = (parent: string) => entries(parent, "Directory")

  const files = (directory: string) =>
    Effect.map(entries(directory, "File"), (names) => names.filter((name) => !name.startsWith(newPrefix)))

  /** The SHA-256 sums of files by their names, by directories. */
  const sums = new Map<string, Readonly<Record<string, string>>>()
  /** What was read last as it was saved: by its place, what tells a file that was changed since. */
  const verified = new Map<string, string>()

  const requireWhole = (checkpoint: TinkerPath.TinkerPath, name: string, bytes: Uint8Array) =>
    Effect.gen(function*() {
      const directory = directoryOf(checkpoint)
      const sum = sums.get(directory)?.[name]
      if (sum === undefined || sum === (yield* Sha256.of(bytes))) return
      yield* Effect.logError(`${path.join(directory, name)} is damaged: its SHA-256 is not ${sum}, as ${metaFile} says`)
      return yield* damaged(checkpoint, name, { message: "it is not as it was saved. Take another checkpoint" })
    })

  const requireAll = (checkpoint: TinkerPath.TinkerPath, names: ReadonlyArray<string>) =>
    Effect.suspend(() => {
      const missing = Object.keys(sums.get(directoryOf(checkpoint)) ?? {}).find((name) => !names.includes(name))
      return missing === undefined
        ? Effect.void
        : damaged(checkpoint, missing, { message: "it is not there any more. Take another checkpoint" })
    })

  /** Finishes or undoes what was going on in a directory of checkpoints. */
  const recover = (parent: string) =>
    Effect.gen(function*() {
      for (const name of yield* fs.readDirectory(parent)) {
        const leftover = path.join(parent, name)
        if (name.startsWith(oldPrefix)) {
          // Its replacement may not have come into its place any more.
          const place = path.join(parent, name.slice(oldPrefix.length))
          const undo = Effect.flatMap(fs.exists(place), (exists) =>
            exists ? fs.remove(leftover, { recursive: true }) : fs.rename(leftover, place))
          yield* orSkip(leftover, undo, undefined)
        } else if (name.startsWith(newPrefix)) {
          yield* orSkip(leftover, fs.remove(leftover, { recursive: true }), undefined)
        }
      }
    })

  const readInfo = (checkpoint: TinkerPath.TinkerPath) =>
    Effect.gen(function*() {
      const directory = directoryOf(checkpoint)
      const meta = yield* Effect.mapError(
        Effect.flatMap(fs.readFileString(path.join(directory, metaFile)), Schema.decode(Meta)),
        (error) => error._tag === "ParseError" ? damaged(checkpoint, metaFile, error) : error
      )
      let sizeBytes = 0
      for (const name of yield* files(directory)) {
        sizeBytes += Number((yield* fs.stat(path.join(directory, name))).size)
      }
      if (meta.sha256 !== undefined) sums.set(directory, meta.sha256)
      const info: Info = {
        path: checkpoint,
        baseModel: meta.base_model,
        lora: {
          rank: meta.rank,
          seed: meta.seed,
          trainAttn: meta.train_attn,
          trainMlp: meta.train_mlp,
          trainUnembed: meta.train_unembed
        },
        step: meta.step,
        createdAt: meta.created_at.getTime(),
        expiresAt: meta.expires_at?.getTime(),
        sizeBytes,
        public: meta.public,
        userMetadata: meta.user_metadata,
        savedBy: meta.saved_by,
        owner: meta.owner,
        encrypted: meta.encrypted
      }
      return info
    })

  return {
    open: Effect.gen(function*() {
      yield* fs.makeDirectory(folder, { recursive: true })
      const infos: Array<Info> = []
      for (const run of yield* directories(folder)) {
        const trainingRunId = decodeRun(run)
        if (trainingRunId === undefined) continue
        for (const [checkpointType, kind] of Object.entries(kinds)) {
          const parent = path.join(folder, run, kind)
          if (!(yield* orSkip(parent, fs.exists(parent), false))) continue
          yield* orSkip(parent, recover(parent), undefined)
          for (const name of yield* orSkip(parent, directories(parent), [])) {
            const checkpoint = { trainingRunId, checkpointType, name } as TinkerPath.TinkerPath
            yield* Effect.matchEffect(readInfo(checkpoint), {
              onSuccess: (info) => Effect.sync(() => infos.push(info)),
              onFailure: (error) =>
                Effect.logWarning(`${directoryOf(checkpoint)} is left as it is, and left out: ${error.message}`)
            })
          }
        }
      }
      return infos
    }),
    write: (info, snapshot, { onWritten, overwrite, recipients }) =>
      Effect.gen(function*() {
        const parent = parentOf(info.path)
        const place = directoryOf(info.path)
        const beside = path.join(parent, newPrefix + info.path.name)
        const replaced = path.join(parent, oldPrefix + info.path.name)
        if (!overwrite && (yield* fs.exists(place))) {
          return yield* new ServerError({
            reason: "Exists",
            description: `where ${TinkerPath.format(info.path)} would be there is something else, `
              + "which the log of the server's start tells of; take another name"
          })
        }
        yield* fs.remove(beside, { recursive: true, force: true })
        yield* fs.makeDirectory(beside, { recursive: true })
        const made = yield* encryptedTo(recipients, contents(info, snapshot))
        const sha256: Record<string, string> = {}
        for (const [name, bytes] of made) sha256[name] = yield* Sha256.of(bytes)
        const all = [...made, [metaFile, encodeMeta(info, sha256)] as const]
        for (const [name, bytes] of all) yield* writeFile(path.join(beside, name), bytes)
        yield* Effect.uninterruptible(Effect.gen(function*() {
          const exists = yield* fs.exists(place)
          if (exists) yield* fs.rename(place, replaced)
          yield* Effect.onError(
            fs.rename(beside, place),
            () => exists ? Effect.ignoreLogged(fs.rename(replaced, place)) : Effect.void
          )
          sums.set(place, sha256)
          onWritten(all.reduce((size, [, bytes]) => size + bytes.byteLength, 0))
          if (exists) yield* clearAway(replaced)
        }))
      }).pipe(
        // Without this, a save that is interrupted or fails would leave its beginning until the next start.
        Effect.onError(() =>
          Effect.ignore(
            fs.remove(path.join(parentOf(info.path), newPrefix + info.path.name), { recursive: true, force: true })
          )
        )
      ),
    update: (info) => {
      const directory = directoryOf(info.path)
      const beside = path.join(directory, newPrefix + metaFile)
      return Effect.onError(
        Effect.zipRight(
          writeFile(beside, encodeMeta(info, sums.get(directory))),
          fs.rename(beside, path.join(directory, metaFile))
        ),
        () => Effect.ignore(fs.remove(beside, { force: true }))
      )
    },
    read: (info) =>
      Effect.gen(function*() {
        const name = info.path.checkpointType === "training" ? stateFile : adapterFile
        const directory = directoryOf(info.path)
        yield* requireAll(info.path, yield* files(directory))
        const bytes = yield* fs.readFile(path.join(directory, name))
        yield* requireWhole(info.path, name, bytes)
        return ModelState.snapshotOf(
          info,
          yield* Either.mapLeft(Safetensors.decode(bytes), (error) => damaged(info.path, name, error))
        )
      }),
    remove: (checkpoint) =>
      Effect.gen(function*() {
        const place = directoryOf(checkpoint)
        if (!(yield* fs.exists(place))) return
        // Under this name it is no checkpoint any more, also when the process dies before all of it is gone.
        const beside = path.join(parentOf(checkpoint), newPrefix + checkpoint.name)
        yield* fs.remove(beside, { recursive: true, force: true })
        yield* fs.rename(place, beside)
        sums.delete(place)
        yield* clearAway(beside)
      }),
    list: (info) =>
      Effect.gen(function*() {
        const directory = directoryOf(info.path)
        const names = (yield* files(directory)).filter((name) => name !== metaFile).sort()
        yield* requireAll(info.path, names)
        return yield* Effect.forEach(names, (name) =>
          Effect.gen(function*() {
            const place = path.join(directory, name)
            const { mtime, size } = yield* fs.stat(place)
            const stamp = `${info.createdAt} ${size} ${Option.match(mtime, { onNone: () => "", onSome: Number })}`
            // A download asks for its files again and again, piece by piece.
            if (verified.get(place) !== stamp) yield* requireWhole(info.path, name, yield* fs.readFile(place))
            verified.set(place, stamp)
            return { name, sizeBytes: Number(size), place }
          }))
      })
  }
}

const damaged = (checkpoint: TinkerPath.TinkerPath, file: string, error: Pick<Error, "message">) =>
  new ServerError({
    reason: "DamagedFile",
    description: `${file} of ${TinkerPath.format(checkpoint)}: ${error.message}`,
    cause: error
  })

/** Bytes of a snapshot's numbers. */
export const byteLength = (snapshot: Snapshot): number => {
  let bytes = 0
  for (const tensors of [snapshot.weights, snapshot.expAvg, snapshot.expAvgSq]) {
    for (const { data } of tensors.values()) bytes += data.byteLength
  }
  return bytes
}

/** What others need of a checkpoint, as the folder has it. */
export const contents = (
  info: Pick<Info, "path">,
  snapshot: Snapshot
): ReadonlyArray<readonly [name: string, bytes: Uint8Array]> =>
  info.path.checkpointType === "training"
    ? [[stateFile, Safetensors.encode(ModelState.tensorsOf(snapshot))]]
    : [
      [adapterConfigFile, bytesOf(JSON.stringify(adapterConfig(snapshot), undefined, 2))],
      [adapterFile, Safetensors.encode(snapshot.weights, { format: "pt" })]
    ]

/** One after another, so that not all are there twice. */
export const encryptedTo = (recipients: ReadonlyArray<string> | undefined, files: ReturnType<typeof contents>) =>
  recipients === undefined
    ? Effect.succeed(files)
    : Effect.forEach(
      files,
      ([name, bytes]) =>
        Effect.map(AgeFiles.encrypt(bytes, recipients), (encrypted) => [name + AgeFiles.suffix, encrypted] as const)
    )

const encodeMeta = (
  info: Omit<Info, "sizeBytes">,
  sha256: Readonly<Record<string, string>> | undefined
): Uint8Array =>
  bytesOf(
    Schema.encodeSync(Meta)({
      base_model: info.baseModel,
      rank: info.lora.rank,
      lora_alpha: loraAlpha,
      seed: info.lora.seed,
      train_attn: info.lora.trainAttn,
      train_mlp: info.lora.trainMlp,
      train_unembed: info.lora.trainUnembed,
      step: info.step,
      created_at: new Date(info.createdAt),
      expires_at: info.expiresAt === undefined ? null : new Date(info.expiresAt),
      public: info.public,
      user_metadata: info.userMetadata,
      saved_by: info.savedBy,
      owner: info.owner,
      encrypted: info.encrypted,
      sha256
    })
  )

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

/** The settings by which PEFT puts the tensors into their places. */
const adapterConfig = (snapshot: Snapshot) => ({
  peft_type: "LORA",
  task_type: "CAUSAL_LM",
  base_model_name_or_path: snapshot.baseModel,
  r: snapshot.lora.rank,
  lora_alpha: loraAlpha,
  lora_dropout: 0,
  bias: "none",
  fan_in_fan_out: false,
  inference_mode: true,
  init_lora_weights: true,
  target_modules: targetModules(snapshot),
  modules_to_save: null,
  rank_pattern: {},
  alpha_pattern: {}
})

/** Names of the modules that have an adapter, e.g. `q_proj` of `….self_attn.q_proj.lora_A.weight`. */
const targetModules = (snapshot: Snapshot): ReadonlyArray<string> => {
  const modules = new Set<string>()
  for (const name of snapshot.weights.keys()) {
    const module = /([^.]+)\.lora_A\.weight$/.exec(name)?.[1]
    if (module !== undefined) modules.add(module)
  }
  return Array.from(modules).sort()
}

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
