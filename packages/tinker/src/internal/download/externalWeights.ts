/** Downloads of external weights, whose files are signed one by one. */
import * as CheckpointRef from "@effect-tinker/protocol/CheckpointRef"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import type { Done, Options } from "../../CheckpointDownload.js"
import * as Eithers from "../effect/eithers.js"
import { defaultMaxFiles, type Downloader, notDownloadable, type Report, subjectOf } from "./downloader.js"
import { DownloadError } from "./downloadError.js"
import { makeChecker } from "./fileNames.js"
import type * as SignedUrls from "./signedUrls.js"

export const externalWeights = (
  downloader: Downloader,
  operation: string,
  ref: CheckpointRef.CheckpointRef,
  options: Options,
  report: Report
): Effect.Effect<Done, TinkerError | DownloadError> =>
  Effect.gen(function*() {
    const { api, ask } = downloader
    const ids = yield* Eithers.toEffect(CheckpointRef.resolve(operation, ref))
    if (!ids.checkpointId.startsWith("external_weights/")) {
      return yield* notDownloadable(ids)
    }
    return yield* fetchExternal(downloader, ids, ask(api.externalWeightsUrls(ids)), options, report)
  })

/** Fetches files that are signed, each by its name. */
export const fetchExternal = (
  { fetchAll, stage }: Downloader,
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
