/**
 * Brings the files of checkpoints to this machine, whole or not at all.
 *
 * Everything is fetched into a directory beside the target, checked, and put into its place in one step. Until then a
 * target that is there already stays as it is, and a failure or an interruption leaves nothing behind, unless `keepParts`
 * asks for it. Directories above the target are made, and stay.
 *
 * | what broke | what follows |
 * | --- | --- |
 * | a connection | goes on where it broke, by the policy `request`, which starts afresh whenever something has come |
 * | the address has expired, or will within five minutes | it is signed again |
 * | the file is another one now, by its `ETag` or `Last-Modified` | it begins anew |
 * | its length or an offered hash is wrong | `DownloadError` |
 */
import * as CheckpointRef from "@effect-tinker/protocol/CheckpointRef"
import { bound, type Check, fitting, flag, isText, optional, optionsOf } from "@effect-tinker/protocol/Checks"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ApiFuture from "./ApiFuture.js"
import * as CheckpointsApi from "./CheckpointsApi.js"
import * as ClientConfig from "./ClientConfig.js"
import { operations } from "./internal/call/operation.js"
import * as Digests from "./internal/download/digests.js"
import { DownloadError } from "./internal/download/downloadError.js"
import { downloadFile } from "./internal/download/downloadFile.js"
import * as DownloadParts from "./internal/download/downloadParts.js"
import * as DownloadTotals from "./internal/download/downloadTotals.js"
import { makeChecker } from "./internal/download/fileNames.js"
import * as SignedUrls from "./internal/download/signedUrls.js"
import * as StagedDirectory from "./internal/download/stagedDirectory.js"
import { failure } from "./internal/download/stagedDirectory.js"
import { unpack } from "./internal/download/unpack.js"
import * as Given from "./internal/given.js"
import { checkpoint, checkpointPath } from "./internal/pathChecks.js"
import * as RetryPolicy from "./RetryPolicy.js"
import type * as ServiceClient from "./ServiceClient.js"
import * as TinkerConfig from "./TinkerConfig.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class CheckpointDownload
  extends Context.Tag("effect-tinker/CheckpointDownload")<CheckpointDownload, Service>()
{}

/**
 * A download runs while its states are read, and stops when nobody reads them any more. The last state is `Done`; see
 * {@link result}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The files of a checkpoint of the kind `external_weights`, four at a time. */
  readonly externalWeights: (
    checkpoint: CheckpointRef.CheckpointRef,
    options: Options
  ) => Stream.Stream<State, TinkerError | DownloadError>

  /** A checkpoint of an older server, which packs it into a tar file, compressed by gzip or not. */
  readonly archive: (
    checkpoint: CheckpointRef.CheckpointRef,
    options: Options
  ) => Stream.Stream<State, TinkerError | DownloadError>

  /**
   * The weights of a training checkpoint, in the form of external weights. The server makes them for this: a session of its
   * own loads the checkpoint into a new model and saves it. Whatever happens, what was saved is deleted, and the session
   * finished; should even that fail, the server deletes it after an hour.
   *
   * Checkpoints saved for sampling cannot be exported; they are refused here.
   */
  readonly exportTrainingCheckpoint: (
    path: string,
    options: Options
  ) => Stream.Stream<State, TinkerError | DownloadError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The target. Its name is the last one of the path; what is above it is made. */
  readonly directory: string
  /** Replaces a target that is there, when the new one is whole. Default false: it is a `DownloadError`. */
  readonly overwrite?: boolean | undefined
  /**
   * Keeps what has come when the download fails or is interrupted, in `.<name>.partial` beside the target, and goes on from
   * what is there. One download at a time may use it. Default false.
   */
  readonly keepParts?: boolean | undefined
  /** Most bytes of all files together. Default 1 TiB. */
  readonly maxBytes?: number | undefined
  /** Default 10 000. */
  readonly maxFiles?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export type State =
  /** The server is making the files of a training checkpoint. */
  | { readonly _tag: "Exporting"; readonly step: "loading" | "saving" }
  | Progress
  /** The archive is here, and its files are taken out of it. */
  | { readonly _tag: "Unpacking" }
  | Done

/**
 * Told after about every MiB; a slow reader gets the latest ones alone. A file that begins anew takes its bytes back.
 *
 * @since 0.1.0
 * @category models
 */
export interface Progress {
  readonly _tag: "Progress"
  /** The bytes of all files so far. */
  readonly bytes: number
  /** Absent until every file has begun and told its length. */
  readonly totalBytes: number | undefined
  /** Files that are whole. */
  readonly files: number
  readonly totalFiles: number
  /** The file of which the last bytes are. */
  readonly file: string
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Done {
  readonly _tag: "Done"
  readonly directory: string
  /** The names of the files, in their order. */
  readonly files: ReadonlyArray<string>
  /** The bytes of all files. */
  readonly bytes: number
}

export {
  /**
   * What can go wrong with a download beside the requests themselves, which fail with a `TinkerError`.
   *
   * @since 0.1.0
   * @category errors
   */
  DownloadError,
  /**
   * Why a download failed.
   *
   * @since 0.1.0
   * @category errors
   */
  DownloadReason
} from "./internal/download/downloadError.js"

/**
 * Makes clients that each have a session of their own, for what should not end the session of anybody else. `Tinker`
 * provides it.
 *
 * @since 0.1.0
 * @category tags
 */
export class OwnSession extends Context.Tag("effect-tinker/CheckpointDownload/OwnSession")<OwnSession, {
  readonly client: Effect.Effect<ServiceClient.Service, TinkerError, Scope.Scope>
}>() {}

/**
 * Hashes that a runtime computes faster than this package. `@effect-tinker/node` supplies it for Node.
 *
 * @since 0.1.0
 * @category tags
 */
export class Hashing extends Context.Tag("effect-tinker/CheckpointDownload/Hashing")<Hashing, {
  /** Absent for an algorithm that it does not have. */
  readonly makeHasher: (algorithm: "sha-256" | "md5" | "crc32c") => Hasher | undefined
}>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Hasher {
  readonly update: (bytes: Uint8Array) => void
  /** Ends it. */
  readonly digest: () => Uint8Array
}

/**
 * Downloads to the end.
 *
 * @since 0.1.0
 * @category combinators
 */
export const result = <E, R>(states: Stream.Stream<State, E, R>): Effect.Effect<Done, E, R> =>
  Given.around("CheckpointDownload.result", [states], { states: Given.stream }, () =>
    Effect.flatMap(
      Stream.runLast(Stream.filter(states, (state) => state._tag === "Done")),
      Option.match({
        onNone: () => Effect.dieMessage("a download ended without its last state"),
        onSome: Effect.succeed
      })
    ))

type Requirements =
  | CheckpointsApi.CheckpointsApi
  | ClientConfig.ClientConfig
  | TinkerConfig.TinkerConfig
  | HttpClient.HttpClient
  | FileSystem.FileSystem
  | Path.Path
  | OwnSession

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, Requirements> = Effect.gen(function*() {
  const api = yield* CheckpointsApi.CheckpointsApi
  const clientConfig = yield* ClientConfig.ClientConfig
  const { requestTimeout } = yield* TinkerConfig.TinkerConfig
  const client = yield* HttpClient.HttpClient
  const ownSession = yield* OwnSession
  const { checkedStream, operation } = yield* operations
  const path = yield* Path.Path
  const fs = yield* FileSystem.FileSystem
  const files = Context.make(Path.Path, path).pipe(Context.add(FileSystem.FileSystem, fs))
  const hashing = Option.getOrUndefined(yield* Effect.serviceOption(Hashing))
  const makeHasher = (algorithm: Digests.Algorithm) => hashing?.makeHasher(algorithm) ?? Digests.makeHasher(algorithm)

  /** The states of work that is done while they are read. */
  const states = (
    name: string,
    work: (report: Report) => Effect.Effect<Done, TinkerError | DownloadError>
  ): Stream.Stream<State, TinkerError | DownloadError> =>
    Stream.unwrapScoped(Effect.gen(function*() {
      const reported = yield* Queue.sliding<State>(mostUnread)
      const working = yield* work((state) => void Queue.unsafeOffer(reported, state)).pipe(
        operation(name),
        Effect.onExit(() => Queue.shutdown(reported)),
        Effect.forkScoped
      )
      return Stream.concat(Stream.fromQueue(reported), Stream.fromEffect(Fiber.join(working)))
    }))

  const ask = <A>(request: Effect.Effect<A, TinkerError>) =>
    Effect.zipRight(clientConfig.get, RetryPolicy.retry(request))

  /** Fetches signed files into a staged directory, and tells how many bytes they are. */
  const fetchAll = (options: {
    readonly subject: string
    readonly into: StagedDirectory.StagedDirectory
    readonly sign: Effect.Effect<SignedUrls.Signed, TinkerError>
    readonly first: SignedUrls.Signed
    readonly limits: Options
    readonly report: Report
  }) =>
    Effect.gen(function*() {
      const { first, into, limits, report, sign, subject } = options
      const names = Object.keys(first.urls).sort()
      let whole = 0
      const totals = DownloadTotals.make({
        subject,
        files: names,
        maxBytes: limits.maxBytes ?? defaultMaxBytes,
        report: (file) => tell(file)
      })
      const tell = (file: string) =>
        report({
          _tag: "Progress",
          bytes: totals.bytes(),
          totalBytes: totals.totalBytes(),
          files: whole,
          totalFiles: names.length,
          file
        })
      const parts = yield* DownloadParts.make({
        subject,
        folder: into.folder,
        files: into.files,
        keepParts: limits.keepParts ?? false
      })
      const urls = SignedUrls.make(subject, sign, first)
      const flushing = yield* Effect.makeSemaphore(1)
      yield* Effect.forEach(names, (name) =>
        Effect.gen(function*() {
          const place = path.join(into.files, name)
          yield* Effect.mapError(fs.makeDirectory(path.dirname(place), { recursive: true }), failure(subject, name))
          yield* downloadFile({
            client,
            subject,
            name,
            place,
            urls,
            parts,
            totals,
            timeout: requestTimeout,
            makeHasher,
            flushing
          })
          whole += 1
          tell(name)
        }), { concurrency: filesAtOnce, discard: true })
      return { names, bytes: totals.bytes() }
    }).pipe(Effect.provide(files))

  const checkNames = (subject: string, names: ReadonlyArray<string>, maxFiles = defaultMaxFiles) =>
    Effect.suspend(() => {
      if (names.length === 0) {
        return new DownloadError({ reason: "NotDownloadable", subject, description: "the checkpoint has no files" })
      }
      if (names.length > maxFiles) {
        return new DownloadError({ reason: "TooLarge", subject, description: `it has more than ${maxFiles} files` })
      }
      const check = makeChecker()
      for (const file of names) {
        const wrong = check(file)
        if (wrong !== undefined) {
          return new DownloadError({ reason: "UnsafeName", subject, file, description: wrong })
        }
      }
      return Effect.void
    })

  const stage = (subject: string, options: Options) =>
    StagedDirectory.make({
      subject,
      directory: options.directory,
      overwrite: options.overwrite ?? false,
      keepParts: options.keepParts ?? false
    }).pipe(Effect.provide(files))

  const fetchExternal = (
    ids: CheckpointRef.CheckpointIds,
    sign: Effect.Effect<SignedUrls.Signed, TinkerError>,
    options: Options,
    report: Report
  ): Effect.Effect<Done, TinkerError | DownloadError> =>
    Effect.scoped(Effect.gen(function*() {
      const subject = subjectOf(ids)
      const into = yield* stage(subject, options)
      const first = yield* sign
      yield* checkNames(subject, Object.keys(first.urls), options.maxFiles)
      const { bytes, names } = yield* fetchAll({ subject, into, sign, first, limits: options, report })
      yield* into.commit
      return { _tag: "Done", directory: into.target, files: names, bytes }
    }))

  const externalWeights: Service["externalWeights"] = (ref, options) =>
    states(externalCall, (report) =>
      Effect.gen(function*() {
        const ids = yield* CheckpointRef.resolve(externalCall, ref)
        if (!ids.checkpointId.startsWith("external_weights/")) {
          return yield* notDownloadable(ids)
        }
        return yield* fetchExternal(ids, ask(api.externalWeightsUrls(ids)), options, report)
      }))

  const archive: Service["archive"] = (ref, options) =>
    states(archiveCall, (report) =>
      Effect.scoped(Effect.gen(function*() {
        const ids = yield* CheckpointRef.resolve(archiveCall, ref)
        const subject = subjectOf(ids)
        const sign = Effect.map(
          ask(api.archiveUrl(ids)),
          ({ expires, url }): SignedUrls.Signed => ({ urls: { [archiveName]: url }, expires })
        )
        const into = yield* stage(subject, options)
        const first = yield* sign
        yield* fetchAll({ subject, into, sign, first, limits: options, report })
        report({ _tag: "Unpacking" })
        const packed = path.join(into.files, archiveName)
        const unpacked = path.join(into.folder, "unpacked")
        const attempt = Effect.mapError(failure(subject))
        yield* attempt(fs.remove(unpacked, { recursive: true, force: true }))
        yield* attempt(fs.makeDirectory(unpacked))
        const { bytes, files: names } = yield* unpack({
          subject,
          archive: packed,
          directory: unpacked,
          maxBytes: options.maxBytes ?? defaultMaxBytes,
          maxFiles: options.maxFiles ?? defaultMaxFiles
        }).pipe(Effect.provide(files))
        yield* attempt(fs.remove(into.files, { recursive: true }))
        yield* attempt(fs.rename(unpacked, into.files))
        yield* into.commit
        return { _tag: "Done" as const, directory: into.target, files: Array.from(names).sort(), bytes }
      })))

  /** Whoever waits for this has interrupted it, or has what they wanted. */
  const remove = (ids: CheckpointRef.CheckpointIds) =>
    ask(api.deleteCheckpoint(ids)).pipe(
      RetryPolicy.withPolicies({ request: Schedule.upTo(RetryPolicy.transient, "30 seconds") }),
      Effect.catchAll((error) =>
        error._tag === "ApiStatusError" && error.reason === "NotFound"
          ? Effect.void
          : Effect.logWarning(`${subjectOf(ids)} could not be deleted; the server will within an hour`, error.message)
      )
    )

  const exportTrainingCheckpoint: Service["exportTrainingCheckpoint"] = (checkpoint, options) =>
    states(exportCall, (report) =>
      Effect.gen(function*() {
        const parsed = yield* TinkerPath.parse(checkpoint)
        if (parsed.checkpointType !== "training") {
          return yield* notDownloadable({
            trainingRunId: parsed.trainingRunId,
            checkpointId: TinkerPath.checkpointId(parsed)
          })
        }
        // A target that is there would be found after the costs.
        yield* Effect.scoped(stage(
          subjectOf({
            trainingRunId: parsed.trainingRunId,
            checkpointId: TinkerPath.checkpointId(parsed)
          }),
          { ...options, keepParts: false }
        ))
        const ids = (modelId: string) => ({ trainingRunId: modelId, checkpointId: `external_weights/${exportName}` })
        let unseen: string | undefined
        // The session learns from the end of its scope how it ended.
        return yield* Effect.scoped(Effect.gen(function*() {
          // After the session, with which a save ends that was still under way when the export was first deleted.
          yield* Effect.addFinalizer(() => unseen === undefined ? Effect.void : remove(ids(unseen)))
          report({ _tag: "Exporting", step: "loading" })
          const service = yield* ownSession.client
          const { modelId, saveWeightsExternal } = yield* service.createTrainingClientFromState(checkpoint)
          report({ _tag: "Exporting", step: "saving" })
          yield* Effect.addFinalizer(() => remove(ids(modelId)))
          unseen = modelId
          yield* ApiFuture.flatten(saveWeightsExternal({ name: exportName, ttl: exportTtl }))
          unseen = undefined
          const renew = ask(api.setCheckpointTtl(ids(modelId), exportTtlSeconds))
          let isFirst = true
          const sign = Effect.suspend(() => {
            const before = isFirst ? Effect.void : renew
            isFirst = false
            return Effect.zipRight(before, ask(api.externalWeightsUrls(ids(modelId))))
          })
          return yield* fetchExternal(ids(modelId), sign, options, report)
        }))
      }))

  return CheckpointDownload.of({
    externalWeights: checkedStream(externalCall, { checkpoint, options: optionsOf(fields) }, externalWeights),
    archive: checkedStream(archiveCall, { checkpoint, options: optionsOf(fields) }, archive),
    exportTrainingCheckpoint: checkedStream(
      exportCall,
      { path: checkpointPath, options: optionsOf(fields) },
      exportTrainingCheckpoint
    )
  })
})

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<CheckpointDownload, never, Requirements> = Layer.effect(CheckpointDownload, make)

type Report = (state: State) => void

const defaultMaxBytes = 2 ** 40
const defaultMaxFiles = 10_000
const filesAtOnce = 4

/** States that a slow reader still gets. */
const mostUnread = 16

/** The name of the archive among the files, until it is unpacked. */
const archiveName = "archive"

const exportName = "download"

/** Source: the Python SDK 0.38.0. */
const exportTtlSeconds = 3600
const exportTtl = "1 hour"

const subjectOf = ({ checkpointId, trainingRunId }: CheckpointRef.CheckpointIds): string =>
  `tinker://${trainingRunId}/${checkpointId}`

const externalCall = "CheckpointDownload.externalWeights"
const archiveCall = "CheckpointDownload.archive"
const exportCall = "CheckpointDownload.exportTrainingCheckpoint"

const fields: Readonly<Record<keyof Options, Check>> = {
  directory: fitting(isText, "pass the path of the directory to make"),
  overwrite: optional(flag),
  keepParts: optional(flag),
  maxBytes: optional(bound),
  maxFiles: optional(bound)
}

const notDownloadable = (ids: CheckpointRef.CheckpointIds) =>
  new DownloadError({
    reason: "NotDownloadable",
    subject: subjectOf(ids),
    description: ids.checkpointId.startsWith("sampler_weights/")
      ? "a checkpoint saved for sampling cannot be exported"
      : "it is of another kind than this download takes"
  })
