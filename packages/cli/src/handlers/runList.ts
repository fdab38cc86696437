import { nearest } from "@effect-tinker/protocol/CallOptions"
import type { TrainingRun } from "@effect-tinker/protocol/TrainingRun"
import * as RestClient from "effect-tinker/RestClient"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Humanize from "../Humanize.js"
import * as Output from "../Output.js"
import * as Paging from "../Paging.js"
import * as Table from "../Table.js"
import { UsageError } from "../UsageError.js"
import * as Wire from "../Wire.js"

/** Source of the size of a page: the Python SDK's command line 0.38.0. */
const pageSize = 100

export const list: Handler<{
  readonly limit: number
  readonly offset: number
  readonly accessScope: "owned" | "accessible"
  readonly columns: Option.Option<string>
}> = ({ accessScope, columns, limit, offset }) =>
  Effect.gen(function*() {
    const shown = yield* readColumns(Option.getOrElse(columns, () => "id,model,lora,updated,status"))
    const rest = yield* RestClient.RestClient
    const { entries, total } = yield* Paging.collect({
      limit,
      offset,
      pageSize,
      nouns: "training runs",
      idOf: (run: TrainingRun) => run.trainingRunId,
      page: (place) =>
        Effect.map(
          Connection.brief(rest.listTrainingRuns({ ...place, accessScope })),
          ({ cursor, trainingRuns }) => ({ entries: trainingRuns, total: cursor.totalCount })
        )
    })
    const now = yield* DateTime.now
    const output = yield* Output.Output
    yield* output.result({
      json: { runs: entries.map((run) => Wire.trainingRun(run)), total, shown: entries.length },
      text: Table.table(
        Humanize.listed(entries.length, total - offset, "training run"),
        shown.map((key) => columnsByKey(now)[key]),
        entries
      )
    })
  }).pipe(Effect.provide(Connection.layer))

const keys = ["id", "model", "owner", "lora", "updated", "status", "checkpoint", "checkpoint_time"] as const

type Key = typeof keys[number]

const isKey = (text: string): text is Key => keys.some((key) => key === text)

const readColumns = (list: string): Effect.Effect<ReadonlyArray<Key>, UsageError> => {
  const given = list.split(",").map((key) => key.trim())
  const unknown = given.filter((key) => !isKey(key))
  const meant = unknown.length === 1 ? nearest(unknown[0]!, keys) : undefined
  return unknown.length === 0
    ? Effect.succeed(given.filter(isKey))
    : new UsageError({
      description: `--columns: there is no column ${unknown.map((key) => JSON.stringify(key)).join(", ")}. ${
        meant === undefined ? `There are: ${keys.join(", ")}.` : `Was ${meant} meant?`
      }`
    })
}

const columnsByKey = (now: DateTime.Utc): Readonly<Record<Key, Table.Column<TrainingRun>>> => ({
  id: { title: "Run ID", text: (run) => run.trainingRunId },
  model: { title: "Base Model", text: (run) => run.baseModel, rank: 1 },
  owner: { title: "Owner", text: (run) => run.modelOwner, rank: 5 },
  lora: { title: "LoRA", text: lora, rank: 4 },
  updated: { title: "Last Update", text: (run) => Humanize.relativeTime(run.lastRequestTime, now), rank: 3 },
  status: { title: "Status", text: (run) => run.corrupted ? "Failed" : "OK", rank: 2 },
  checkpoint: { title: "Last Checkpoint", text: (run) => run.lastCheckpoint?.checkpointId ?? "None" },
  checkpoint_time: {
    title: "Checkpoint Time",
    text: (run) => Humanize.relativeTime(run.lastCheckpoint?.time, now),
    rank: 6
  }
})

const lora = ({ isLora, loraRank }: TrainingRun): string =>
  !isLora ? "No" : loraRank === undefined ? "Yes" : `Rank ${loraRank}`
