import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as CheckpointFiles from "../CheckpointFiles.js"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Humanize from "../Humanize.js"
import * as NewFile from "../NewFile.js"
import * as Output from "../Output.js"
import * as Table from "../Table.js"

export const download: Handler<{
  readonly path: string
  readonly output: string
  readonly force: boolean
  readonly resume: boolean
}> = ({ force, output: folder, path, resume }) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const parsed = yield* CheckpointFiles.parse(path)
    const paths = yield* Path.Path
    const directory = paths.join(folder, folderName(parsed))
    yield* NewFile.check(directory, { isReplaced: force })
    const done = yield* CheckpointFiles.fetch(parsed, { directory, overwrite: force, keepParts: resume })
    yield* CheckpointFiles.check(done.files)
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
