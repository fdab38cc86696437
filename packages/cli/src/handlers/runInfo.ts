import type { Checkpoint } from "@effect-tinker/protocol/Checkpoint"
import * as RestClient from "effect-tinker/RestClient"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Humanize from "../Humanize.js"
import * as Output from "../Output.js"
import * as Table from "../Table.js"
import * as Wire from "../Wire.js"

export const info: Handler<{ readonly id: string; readonly accessScope: "owned" | "accessible" }> = (
  { accessScope, id }
) =>
  Effect.gen(function*() {
    const rest = yield* RestClient.RestClient
    const run = yield* Connection.brief(rest.getTrainingRun(id, { accessScope }))
    const now = yield* DateTime.now
    const output = yield* Output.Output
    const metadata = Object.entries(run.userMetadata ?? {})
    yield* output.result({
      json: Wire.trainingRun(run),
      text: Table.facts(`Training Run: ${run.trainingRunId}`, [
        ["Run ID", run.trainingRunId],
        ["Base Model", run.baseModel],
        ["Owner", run.modelOwner],
        ["LoRA", Humanize.lora(run)],
        ["Last Update", Humanize.fullTime(run.lastRequestTime, now)],
        ["Status", run.corrupted ? "Failed" : "OK"],
        ...checkpointFacts("Last Training Checkpoint", run.lastCheckpoint, now),
        ...checkpointFacts("Last Sampler Checkpoint", run.lastSamplerCheckpoint, now),
        ...(metadata.length === 0 ? [] : [["Metadata", ""] as const]),
        ...metadata.map(([key, value]) => [`  - ${key}`, value] as const)
      ])
    })
  }).pipe(Effect.provide(Connection.layer))

const checkpointFacts = (
  name: string,
  checkpoint: Checkpoint | undefined,
  now: DateTime.Utc
): ReadonlyArray<readonly [string, string]> =>
  checkpoint === undefined ? [] : [
    [name, checkpoint.checkpointId],
    ["  - Time", Humanize.fullTime(checkpoint.time, now)],
    ["  - Path", checkpoint.tinkerPath],
    ["  - Expires", Humanize.expiry(checkpoint.expiresAt, now)]
  ]
