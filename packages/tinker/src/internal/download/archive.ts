/** Downloads of checkpoints that older servers pack into a tar file. */
import * as CheckpointRef from "@effect-tinker/protocol/CheckpointRef"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import type { Done, Options } from "../../CheckpointDownload.js"
import * as Eithers from "../effect/eithers.js"
import { defaultMaxBytes, defaultMaxFiles, type Downloader, type Report, subjectOf } from "./downloader.js"
import { DownloadError } from "./downloadError.js"
import type * as SignedUrls from "./signedUrls.js"
import { failure } from "./stagedDirectory.js"
import { unpack } from "./unpack.js"

export const archive = (
  { api, ask, fetchAll, files, fs, path, stage }: Downloader,
  operation: string,
  ref: CheckpointRef.CheckpointRef,
  options: Options,
  report: Report
): Effect.Effect<Done, TinkerError | DownloadError> =>
  Effect.scoped(Effect.gen(function*() {
    const ids = yield* Eithers.toEffect(CheckpointRef.resolve(operation, ref))
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
  }))

/** The name of the archive among the files, until it is unpacked. */
const archiveName = "archive"
