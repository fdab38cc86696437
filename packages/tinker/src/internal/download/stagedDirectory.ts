/**
 * A directory that is made beside its place and takes it when it is whole. What was there before stays until then, and
 * comes back when the last step fails.
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { DownloadError, type DownloadReason } from "./downloadError.js"

export interface StagedDirectory {
  /** Where the target will be. */
  readonly target: string
  /** What becomes the target. */
  readonly files: string
  /** The place for what does not become the target. */
  readonly folder: string
  /** Puts the files into their place. */
  readonly commit: Effect.Effect<void, DownloadError>
}

export interface Options {
  readonly subject: string
  readonly directory: string
  readonly overwrite: boolean
  /** Whether what is there already is gone on from, and what is there at a failure stays. */
  readonly keepParts: boolean
}

/** Closing the scope takes away what did not come into its place, unless parts are kept. */
export const make = (
  options: Options
): Effect.Effect<StagedDirectory, DownloadError, FileSystem.FileSystem | Path.Path | Scope.Scope> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const { keepParts, overwrite, subject } = options
    const target = path.resolve(options.directory)
    const parent = path.dirname(target)
    const hidden = `.${path.basename(target)}`
    const replaced = path.join(parent, `${hidden}.replaced`)
    const attempt = <A>(effect: Effect.Effect<A, PlatformError>) => Effect.mapError(effect, failure(subject))

    const refuseIfThere = Effect.flatMap(attempt(fs.exists(target)), (exists) =>
      exists && !overwrite
        ? new DownloadError({ reason: "TargetExists", subject, description: `${target} exists already` })
        : Effect.succeed(exists))

    /** A process that was killed in the last step has left the old target beside its place. */
    const recover = Effect.gen(function*() {
      if (!(yield* fs.exists(replaced))) return
      yield* (yield* fs.exists(target)) ? fs.remove(replaced, { recursive: true }) : fs.rename(replaced, target)
    })

    yield* attempt(fs.makeDirectory(parent, { recursive: true }))
    yield* attempt(recover)
    yield* refuseIfThere
    const folder = yield* Effect.acquireRelease(
      attempt(
        keepParts
          ? Effect.as(
            fs.makeDirectory(path.join(parent, `${hidden}.partial`), { recursive: true }),
            path.join(parent, `${hidden}.partial`)
          )
          : fs.makeTempDirectory({ directory: parent, prefix: `${hidden}.partial-` })
      ),
      (folder, exit) =>
        keepParts && Exit.isFailure(exit) && !isHopeless(exit.cause)
          ? Effect.void
          : Effect.ignore(fs.remove(folder, { recursive: true, force: true }))
    )
    const files = path.join(folder, "files")
    yield* attempt(fs.makeDirectory(files, { recursive: true }))

    const commit = Effect.uninterruptible(Effect.gen(function*() {
      const exists = yield* refuseIfThere
      if (!exists) return yield* attempt(fs.rename(files, target))
      yield* attempt(fs.rename(target, replaced))
      yield* attempt(fs.rename(files, target)).pipe(
        Effect.tapError(() => Effect.ignore(fs.rename(replaced, target)))
      )
      yield* attempt(fs.remove(replaced, { recursive: true }))
    }))

    return { target, files, folder, commit }
  })

/** Trying again would come to the same. */
const isHopeless = (cause: Cause.Cause<unknown>): boolean =>
  Option.exists(Cause.failureOption(cause), (error) => error instanceof DownloadError && hopeless.has(error.reason))

const hopeless: ReadonlySet<DownloadReason> = new Set([
  "TargetExists",
  "NotDownloadable",
  "UnsafeName",
  "UnsafeArchive",
  "TooLarge"
])

/** The platform tells the path and what the system said. */
export const failure = (subject: string, file?: string) => (error: PlatformError): DownloadError =>
  new DownloadError({
    reason: "FileSystem",
    subject,
    file,
    description: error.message,
    cause: error
  })
