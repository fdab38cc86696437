import * as AdminClient from "effect-tinker/AdminClient"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as NewFile from "../NewFile.js"
import * as Output from "../Output.js"
import * as Rows from "../Rows.js"
import * as Wire from "../Wire.js"

export const storage: Handler<{
  readonly projectId: Option.Option<string>
  readonly csv: Option.Option<string>
  readonly force: boolean
}> = ({ csv, force, projectId }) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    if (Option.isSome(csv) && csv.value !== "-") yield* NewFile.check(csv.value, { isReplaced: force })
    const admin = yield* AdminClient.AdminClient
    const { data, effectiveRateUsdPerGigabyteMonth: rate = null } = yield* Connection.brief(
      admin.getCurrentCheckpointStorageUsage({ projectId: Option.getOrUndefined(projectId) })
    )
    const rows = data.map((usage) => Wire.storageUsage(usage))
    const flat = rows.map((row): Rows.Row => ({
      effective_rate_usd_per_gigabyte_month: rate,
      ...row,
      estimated_monthly_cost_usd: row.estimated_monthly_cost_usd ?? null
    }))
    if (Option.isSome(csv)) return yield* Rows.writeCsv(csv.value, Rows.csv(flat), rows.length)
    yield* output.result({
      json: { effective_rate_usd_per_gigabyte_month: rate, data: rows },
      text: Rows.table("Current checkpoint storage", flat)
    })
  }).pipe(Effect.provide(Connection.layer))
