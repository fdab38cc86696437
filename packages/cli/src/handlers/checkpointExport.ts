import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as CheckpointFiles from "../CheckpointFiles.js"
import * as CheckpointPath from "../CheckpointPath.js"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Humanize from "../Humanize.js"
import * as MergedModel from "../MergedModel.js"
import * as NewFile from "../NewFile.js"
import * as NewFolder from "../NewFolder.js"
import * as Output from "../Output.js"
import * as Table from "../Table.js"
import { UsageError } from "../UsageError.js"

interface Input {
  readonly source: string
  readonly output: string
  readonly merged: boolean
  readonly base: Option.Option<string>
  readonly force: boolean
}

export const exportModel: Handler<Input> = ({ base, force, merged, output, source }) =>
  Effect.gen(function*() {
    const isCheckpoint = source.startsWith("tinker://")
    if (!isCheckpoint && !(yield* isFolder(source))) {
      // What is neither is more likely a path that is written wrong.
      yield* CheckpointPath.parse(source)
    }
    if (merged !== Option.isSome(base)) {
      return yield* new UsageError({
        description: merged
          ? "--merged needs the weights of the base model. Say in which folder they are, with --base."
          : "--base names the model that the adapter is merged into, and --merged is not given. Give both or neither."
      })
    }
    const path = yield* Path.Path
    const target = path.resolve(output)
    yield* NewFile.check(target, { isReplaced: force })
    if (Option.isSome(base)) {
      yield* exportMerged({ source, base: base.value, target, force, isCheckpoint })
    } else if (isCheckpoint) {
      yield* exportAdapter(source, target, force)
    } else {
      return yield* new UsageError({
        description:
          `${source} is a folder of this machine, and an adapter is exported as it is. Give --merged and --base to merge it.`
      })
    }
  })

const exportAdapter = (source: string, target: string, force: boolean) =>
  Effect.gen(function*() {
    const checkpoint = yield* CheckpointFiles.parse(source)
    const done = yield* Effect.provide(
      CheckpointFiles.fetch(checkpoint, { directory: target, overwrite: force }),
      Connection.layer
    )
    yield* CheckpointFiles.check(done.files)
    yield* report(source, target, { ...done, merged: false })
  })

const exportMerged = ({ base, force, isCheckpoint, source, target }: {
  readonly source: string
  readonly base: string
  readonly target: string
  readonly force: boolean
  readonly isCheckpoint: boolean
}) =>
  Effect.scoped(Effect.gen(function*() {
    const path = yield* Path.Path
    const out = yield* Output.Output
    const checkpoint = isCheckpoint ? yield* CheckpointFiles.parse(source) : undefined
    if (!(yield* isFolder(base))) {
      return yield* new UsageError({
        description:
          `--base is ${base}, which is no folder. It is where the base model's files are, as they come from the Hugging Face hub.`
      })
    }
    for (const [what, folder] of [["base model's", base], ...(isCheckpoint ? [] : [["adapter's", source]])] as const) {
      if (yield* areWithin(folder!, target)) {
        return yield* new UsageError({
          description: `${target} and the ${what} folder ${folder} lie in each other. Write to a folder beside it.`
        })
      }
    }
    // Before anything is loaded: the service may take long to make an adapter's files.
    const opened = yield* MergedModel.openBase(path.resolve(base))
    const written = yield* NewFolder.write(target, { isReplaced: force }, (beside) =>
      Effect.gen(function*() {
        const adapter = checkpoint === undefined ? path.resolve(source) : path.join(path.dirname(beside), "adapter")
        if (checkpoint !== undefined) {
          yield* Effect.provide(CheckpointFiles.fetch(checkpoint, { directory: adapter }), Connection.layer)
        }
        return yield* MergedModel.write(
          opened,
          adapter,
          beside,
          (tensor, done, total) => out.progress(`Merging ${tensor} (${done + 1}/${total}) …`)
        )
      }))
    yield* out.progress("")
    if (written.isUntied) {
      yield* out.notice(
        "The adapter changes the last layer, which was one with the embedding: they are two tensors now, and config.json says so."
      )
    }
    yield* report(source, target, { ...written, merged: true })
  }))

const report = (
  source: string,
  target: string,
  done: Partial<MergedModel.Written> & {
    readonly files: ReadonlyArray<string>
    readonly bytes: number
    readonly merged: boolean
  }
) =>
  Effect.flatMap(Output.Output, (output) =>
    output.result({
      json: {
        source,
        destination: target,
        merged: done.merged,
        merged_tensors: done.mergedTensors,
        untied_embeddings: done.isUntied,
        file_size_bytes: done.bytes,
        files: done.files
      },
      text: (layout) =>
        // Where a program reads it, the folder alone is what it goes on with.
        layout.width === undefined ? `${target}\n` : Table.facts(`Checkpoint Export: ${source}`, [
          ["Source", source],
          ["Merged", Humanize.yesNo(done.merged)],
          ["Total Size", Humanize.size(done.bytes)],
          ["Exported to", target]
        ])(layout)
    }))

const isFolder = (place: string): Effect.Effect<boolean, never, FileSystem.FileSystem> =>
  Effect.flatMap(FileSystem.FileSystem, (files) =>
    files.stat(place).pipe(
      Effect.map(({ type }) => type === "Directory"),
      Effect.orElseSucceed(() => false)
    ))

/** Whether a folder is in the other, or the same, wherever links lead. */
const areWithin = (
  folder: string,
  target: string
): Effect.Effect<boolean, PlatformError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const real = (place: string): Effect.Effect<string, PlatformError> =>
      Effect.catchAll(files.realPath(place), (error) =>
        path.dirname(place) === place
          ? Effect.fail(error)
          : Effect.map(Effect.suspend(() => real(path.dirname(place))), (above) =>
            path.join(above, path.basename(place))))
    const [a, b] = [yield* real(path.resolve(folder)), yield* real(target)]
    const isIn = (inner: string, outer: string) =>
      inner === outer || inner.startsWith(outer.endsWith(path.sep) ? outer : outer + path.sep)
    return isIn(a, b) || isIn(b, a)
  })
