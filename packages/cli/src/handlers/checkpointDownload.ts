import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as Path from "@effect/platform/Path"
import * as CheckpointDownload from "effect-tinker/CheckpointDownload"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as CheckpointPath from "../CheckpointPath.js"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Humanize from "../Humanize.js"
import * as NewFile from "../NewFile.js"
import * as Output from "../Output.js"
import * as Table from "../Table.js"
import { UsageError } from "../UsageError.js"

export const download: Handler<{
  readonly path: string
  readonly output: string
  readonly force: boolean
  readonly resume: boolean
}> = ({ force, output: folder, path, resume }) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const parsed = yield* CheckpointPath.parse(path)
    if (parsed.checkpointType === "sampler") {
      return yield* new UsageError({
        description: `${path} was saved for sampling, and its files cannot be had. Those of weights (saveState) and of `
          + "external_weights (saveWeightsExternal) can."
      })
    }
    const paths = yield* Path.Path
    const directory = paths.join(folder, folderName(parsed))
    yield* NewFile.check(directory, { isReplaced: force })
    if (parsed.checkpointType === "training") {
      yield* output.notice(
        "The service loads this checkpoint into a new model to save its files, which may take a while."
      )
    }
    const done = yield* watched(
      Effect.map(CheckpointDownload.CheckpointDownload, (downloads) => {
        const options = { directory, overwrite: force, keepParts: resume }
        return parsed.checkpointType === "training"
          ? downloads.exportTrainingCheckpoint(path, options)
          : downloads.externalWeights(path, options)
      })
    )
    const missing = ["adapter_config.json", "adapter_model.safetensors"].filter((name) => !done.files.includes(name))
    if (missing.length > 0) yield* output.warning(`${missing.join(" and ")} is not among the files.`)
    yield* output.result({
      json: { checkpoint_path: path, destination: directory, file_size_bytes: done.bytes, files: done.files },
      text: (layout) =>
        // Where a program reads it, the folder alone is what it goes on with.
        layout.width === undefined ? `${directory}\n` : Table.facts(`Checkpoint Download: ${path}`, [
          ["Checkpoint Path", path],
          ["Total Size", Humanize.size(done.bytes)],
          ["Downloaded to", directory]
        ])(layout)
    })
  }).pipe(Effect.provide(Connection.layer))

/** The name that Python's command gives it; colons are not for names on Windows. */
const folderName = (path: TinkerPath.TinkerPath): string => {
  const name = TinkerPath.format(path).slice("tinker://".length).replaceAll("/", "_")
  return process.platform === "win32" ? name.replaceAll(":", "-") : name
}

/** Downloads to the end, and says how far it is. */
const watched = <R>(
  states: Effect.Effect<
    Stream.Stream<CheckpointDownload.State, TinkerError | CheckpointDownload.DownloadError>,
    never,
    R
  >
) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const done = yield* CheckpointDownload.result(
      Stream.tap(yield* states, (state) => output.progress(wording(state)))
    ).pipe(Connection.impatient)
    yield* output.progress("")
    return done
  })

const wording = (state: CheckpointDownload.State): string => {
  switch (state._tag) {
    case "Exporting":
      return state.step === "loading" ? "The service is loading the checkpoint …" : "The service is saving its files …"
    case "Progress": {
      const { bytes, file, files, totalBytes, totalFiles } = state
      const of = totalBytes === undefined
        ? ""
        : ` of ${Humanize.size(totalBytes)}, ${Math.floor(100 * bytes / totalBytes)} %`
      return `Downloading ${file} (${files}/${totalFiles} files): ${Humanize.size(bytes)}${of}`
    }
    case "Unpacking":
      return "Unpacking …"
    case "Done":
      return ""
  }
}
