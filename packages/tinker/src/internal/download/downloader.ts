/** What the kinds of downloads share: asking the service, a directory beside the target, and signed files that come into it. */
import type * as CheckpointRef from "@effect-tinker/protocol/CheckpointRef"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Hashing, Options, State } from "../../CheckpointDownload.js"
import * as CheckpointsApi from "../../CheckpointsApi.js"
import * as ClientConfig from "../../ClientConfig.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import * as TinkerConfig from "../../TinkerConfig.js"
import * as Digests from "./digests.js"
import { DownloadError } from "./downloadError.js"
import { downloadFile } from "./downloadFile.js"
import * as DownloadParts from "./downloadParts.js"
import * as DownloadTotals from "./downloadTotals.js"
import * as SignedUrls from "./signedUrls.js"
import * as StagedDirectory from "./stagedDirectory.js"
import { failure } from "./stagedDirectory.js"

export interface Downloader {
  readonly api: CheckpointsApi.Service
  readonly path: Path.Path
  readonly fs: FileSystem.FileSystem
  /** The two of them. */
  readonly files: Context.Context<Path.Path | FileSystem.FileSystem>
  /** Sends a request as often as the policy `request` wants. */
  readonly ask: <A>(request: Effect.Effect<A, TinkerError>) => Effect.Effect<A, TinkerError>
  /** A directory beside the target, which takes its place at the end. */
  readonly stage: (
    subject: string,
    options: Options
  ) => Effect.Effect<StagedDirectory.StagedDirectory, DownloadError, Scope.Scope>
  /** Fetches signed files into a staged directory, and tells how many bytes they are. */
  readonly fetchAll: (options: {
    readonly subject: string
    readonly into: StagedDirectory.StagedDirectory
    readonly sign: Effect.Effect<SignedUrls.Signed, TinkerError>
    readonly first: SignedUrls.Signed
    readonly limits: Options
    readonly report: Report
  }) => Effect.Effect<Fetched, TinkerError | DownloadError>
}

export interface Fetched {
  readonly names: ReadonlyArray<string>
  readonly bytes: number
}

/** Tells where a download is. */
export type Report = (state: State) => void

export type Requirements =
  | CheckpointsApi.CheckpointsApi
  | ClientConfig.ClientConfig
  | TinkerConfig.TinkerConfig
  | HttpClient.HttpClient
  | FileSystem.FileSystem
  | Path.Path

export const make = (hashing: Hashing["Type"] | undefined): Effect.Effect<Downloader, never, Requirements> =>
  Effect.gen(function*() {
    const api = yield* CheckpointsApi.CheckpointsApi
    const clientConfig = yield* ClientConfig.ClientConfig
    const { requestTimeout } = yield* TinkerConfig.TinkerConfig
    const client = yield* HttpClient.HttpClient
    const path = yield* Path.Path
    const fs = yield* FileSystem.FileSystem
    const files = Context.make(Path.Path, path).pipe(Context.add(FileSystem.FileSystem, fs))
    const makeHasher = (algorithm: Digests.Algorithm) => hashing?.makeHasher(algorithm) ?? Digests.makeHasher(algorithm)

    const ask = <A>(request: Effect.Effect<A, TinkerError>) =>
      Effect.zipRight(clientConfig.get, RetryPolicy.retry(request))

    const stage: Downloader["stage"] = (subject, options) =>
      StagedDirectory.make({
        subject,
        directory: options.directory,
        overwrite: options.overwrite ?? false,
        keepParts: options.keepParts ?? false
      }).pipe(Effect.provide(files))

    const fetchAll: Downloader["fetchAll"] = (options) =>
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

    return { api, path, fs, files, ask, stage, fetchAll }
  })

/** The most of one download, unless its options say otherwise. */
export const defaultMaxBytes = 2 ** 40
export const defaultMaxFiles = 10_000

const filesAtOnce = 4

/** What errors say was downloaded. */
export const subjectOf = ({ checkpointId, trainingRunId }: CheckpointRef.CheckpointIds): string =>
  `tinker://${trainingRunId}/${checkpointId}`

export const notDownloadable = (ids: CheckpointRef.CheckpointIds) =>
  new DownloadError({
    reason: "NotDownloadable",
    subject: subjectOf(ids),
    description: ids.checkpointId.startsWith("sampler_weights/")
      ? "a checkpoint saved for sampling cannot be exported"
      : "it is of another kind than this download takes"
  })
