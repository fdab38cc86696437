import type { Checkpoint } from "@effect-tinker/protocol/Checkpoint"
import * as RestClient from "effect-tinker/RestClient"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Humanize from "../Humanize.js"
import * as Output from "../Output.js"
import * as Table from "../Table.js"
import * as UserCheckpoints from "../UserCheckpoints.js"
import * as Wire from "../Wire.js"

export const list: Handler<{
  readonly limit: number
  readonly offset: number
  readonly runId: Option.Option<string>
}> = ({ limit, offset, runId }) =>
  Effect.gen(function*() {
    const { entries, total } = yield* Option.match(runId, {
      onSome: ofRun,
      onNone: () => UserCheckpoints.list({ limit, offset })
    })
    const now = yield* DateTime.now
    const output = yield* Output.Output
    const ofWhich = Option.match(runId, { onNone: () => "", onSome: (id) => ` for run ${id}` })
    yield* output.result({
      json: {
        ...Option.match(runId, { onNone: () => ({}), onSome: (run_id) => ({ run_id }) }),
        checkpoints: entries.map((checkpoint) => Wire.checkpoint(checkpoint)),
        total,
        shown: entries.length
      },
      text: Table.table(
        Humanize.listed(entries.length, total - (Option.isSome(runId) ? 0 : offset), "checkpoint", ofWhich),
        columns(now),
        entries
      )
    })
  }).pipe(Effect.provide(Connection.layer))

const ofRun = (runId: string) =>
  Effect.gen(function*() {
    const rest = yield* RestClient.RestClient
    const { checkpoints } = yield* Connection.brief(rest.listCheckpoints(runId))
    return { entries: checkpoints, total: checkpoints.length }
  })

const columns = (now: DateTime.Utc): ReadonlyArray<Table.Column<Checkpoint>> => [
  { title: "Checkpoint ID", text: (checkpoint) => checkpoint.checkpointId, rank: 6 },
  { title: "Type", text: (checkpoint) => checkpoint.checkpointType, rank: 2 },
  { title: "Size", text: (checkpoint) => Humanize.size(checkpoint.sizeBytes), rank: 1, isNumeric: true },
  { title: "Public", text: (checkpoint) => Humanize.yesNo(checkpoint.public), rank: 5 },
  { title: "Created", text: (checkpoint) => Humanize.relativeTime(checkpoint.time, now), rank: 3 },
  { title: "Expires", text: (checkpoint) => Humanize.expiry(checkpoint.expiresAt, now), rank: 4 },
  { title: "Path", text: (checkpoint) => checkpoint.tinkerPath }
]
