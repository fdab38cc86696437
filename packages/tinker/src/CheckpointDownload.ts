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
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { operations } from "./internal/call/operation.js"
import { archive } from "./internal/download/archive.js"
import * as Downloader from "./internal/download/downloader.js"
import { DownloadError } from "./internal/download/downloadError.js"
import { exportCheckpoint } from "./internal/download/exportCheckpoint.js"
import { externalWeights } from "./internal/download/externalWeights.js"
import * as Given from "./internal/given.js"
import { checkpoint, checkpointPath } from "./internal/pathChecks.js"
import type * as ServiceClient from "./ServiceClient.js"

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

type Requirements = Downloader.Requirements | OwnSession

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, Requirements> = Effect.gen(function*() {
  const ownSession = yield* OwnSession
  const downloader = yield* Downloader.make(Option.getOrUndefined(yield* Effect.serviceOption(Hashing)))
  const { checkedStream, operation } = yield* operations

  /** The states of work that is done while they are read. */
  const states = (
    name: string,
    work: (report: Downloader.Report) => Effect.Effect<Done, TinkerError | DownloadError>
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

  return CheckpointDownload.of({
    externalWeights: checkedStream(
      externalCall,
      { checkpoint, options: optionsOf(fields) },
      (ref, options) =>
        states(externalCall, (report) => externalWeights(downloader, externalCall, ref, options, report))
    ),
    archive: checkedStream(
      archiveCall,
      { checkpoint, options: optionsOf(fields) },
      (ref, options) => states(archiveCall, (report) => archive(downloader, archiveCall, ref, options, report))
    ),
    exportTrainingCheckpoint: checkedStream(
      exportCall,
      { path: checkpointPath, options: optionsOf(fields) },
      (path, options) => states(exportCall, (report) => exportCheckpoint(downloader, ownSession, path, options, report))
    )
  })
})

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<CheckpointDownload, never, Requirements> = Layer.effect(CheckpointDownload, make)

/** States that a slow reader still gets. */
const mostUnread = 16

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
