import type { Checkpoint } from "@effect-tinker/protocol/Checkpoint"
import * as RestClient from "effect-tinker/RestClient"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Change from "../Change.js"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Output from "../Output.js"
import type { Chosen } from "../Selection.js"
import { UsageError } from "../UsageError.js"
import { deleteAll } from "./checkpointDelete.js"

interface Input {
  readonly runId: string
  readonly best: number
  readonly metric: string
  readonly highest: boolean
  readonly type: Option.Option<string>
  readonly dryRun: boolean
  readonly yes: boolean
}

export const keep: Handler<Input> = (input) =>
  Effect.gen(function*() {
    const checkpoints = yield* Effect.provide(listed(input), Connection.layer)
    const measured = checkpoints.flatMap((checkpoint) => {
      const value = metricOf(checkpoint, input.metric)
      return value === undefined ? [] : [{ checkpoint, value }]
    })
    if (checkpoints.length > 0 && measured.length === 0) return yield* withoutMetric(input, checkpoints)
    const ordered = measured.toSorted((a, b) => input.highest ? b.value - a.value : a.value - b.value)
    const others = ordered.slice(input.best).map(({ checkpoint }): Chosen => ({
      path: checkpoint.tinkerPath,
      checkpoint
    }))
    const output = yield* Output.Output
    const unmeasured = checkpoints.length - measured.length
    if (unmeasured > 0) {
      yield* output.notice(`${unmeasured} of the run's checkpoints have no ${input.metric}, and are left alone.`)
    }
    for (const { checkpoint, value } of ordered.slice(0, input.best)) {
      yield* output.notice(`Kept: ${checkpoint.tinkerPath} (${input.metric} ${value})`)
    }
    if (yield* Change.isWanted(others, { what: "Delete", ...input })) yield* deleteAll(others)
  })

const listed = ({ runId, type }: Input) =>
  Effect.gen(function*() {
    const rest = yield* RestClient.RestClient
    const { checkpoints } = yield* Connection.brief(rest.listCheckpoints(runId))
    return checkpoints.filter(({ checkpointType }) => Option.isNone(type) || checkpointType === type.value)
  })

/** The metadata of checkpoints are texts. */
const metricOf = ({ userMetadata = {} }: Checkpoint, metric: string): number | undefined => {
  const text = Object.hasOwn(userMetadata, metric) ? userMetadata[metric]!.trim() : ""
  return /^-?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?$/i.test(text) && Number.isFinite(Number(text))
    ? Number(text)
    : undefined
}

const withoutMetric = ({ metric, runId }: Input, checkpoints: ReadonlyArray<Checkpoint>) => {
  const names = Array.from(
    new Set(checkpoints.flatMap(({ userMetadata = {} }) => Object.keys(userMetadata)))
  ).filter((name) => checkpoints.some((checkpoint) => metricOf(checkpoint, name) !== undefined))
  return new UsageError({
    description: `none of the checkpoints of ${runId} has a number ${
      JSON.stringify(metric)
    } in its metadata, and nothing was deleted. ${
      names.length === 0
        ? "Give a save its figures: userMetadata: { loss: \"0.42\" }."
        : `There are: ${names.join(", ")}.`
    }`
  })
}
