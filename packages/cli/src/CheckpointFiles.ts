/**
 * The files of a checkpoint, brought to this machine.
 */
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as CheckpointDownload from "effect-tinker/CheckpointDownload"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as CheckpointPath from "./CheckpointPath.js"
import * as Connection from "./Connection.js"
import * as Humanize from "./Humanize.js"
import * as Output from "./Output.js"
import { UsageError } from "./UsageError.js"

/**
 * Reads the path of a checkpoint whose files can be had. `UsageError` for what is no path, and for one that was saved for sampling.
 *
 * @since 0.1.0
 * @category parsing
 */
export const parse = (text: string): Effect.Effect<TinkerPath.TinkerPath, UsageError> =>
  Effect.filterOrFail(
    CheckpointPath.parse(text),
    ({ checkpointType }) => checkpointType !== "sampler",
    () =>
      new UsageError({
        description: `${text} was saved for sampling, and its files cannot be had. Those of weights (saveState) and of `
          + "external_weights (saveWeightsExternal) can."
      })
  )

/**
 * Downloads a checkpoint as a PEFT folder, and says how far it is; one of training is first made into such files by the service.
 *
 * @since 0.1.0
 * @category utils
 */
export const fetch = (checkpoint: TinkerPath.TinkerPath, options: CheckpointDownload.Options) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const path = TinkerPath.format(checkpoint)
    if (checkpoint.checkpointType === "training") {
      yield* output.notice(
        "The service loads this checkpoint into a new model to save its files, which may take a while."
      )
    }
    return yield* watched(
      Effect.map(CheckpointDownload.CheckpointDownload, (downloads) =>
        checkpoint.checkpointType === "training"
          ? downloads.exportTrainingCheckpoint(path, options)
          : downloads.externalWeights(path, options))
    )
  })

/**
 * Warns where a file is missing without which the folder is no adapter of PEFT.
 *
 * @since 0.1.0
 * @category guards
 */
export const check = (files: ReadonlyArray<string>): Effect.Effect<void, never, Output.Output> =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const missing = ["adapter_config.json", "adapter_model.safetensors"].filter((name) => !files.includes(name))
    if (missing.length > 0) yield* output.warning(`${missing.join(" and ")} is not among the files.`)
  })

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
