/** Finds a checkpoint whose save was done although its answer was lost. */
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import type { CheckpointEntry } from "@effect-tinker/protocol/WeightsMessages"
import * as Effect from "effect/Effect"
import * as RetryPolicy from "../../RetryPolicy.js"
import * as PolicyRun from "../transport/policyRun.js"

/**
 * Looks for the checkpoint among those of its model, by the policy `request`, as some servers list it only when it is finished.
 * Fails with the conflict when it is not there: then another has the name.
 */
export const find = (
  list: Effect.Effect<ReadonlyArray<CheckpointEntry>, TinkerError>,
  wanted: TinkerPath.TinkerPath,
  conflict: TinkerError
): Effect.Effect<{ readonly path: string }, TinkerError> =>
  Effect.gen(function*() {
    const { request } = yield* RetryPolicy.CurrentPolicies
    const run = PolicyRun.begin(request)
    while (true) {
      const entries = yield* RetryPolicy.retry(list)
      const found = entries.find((entry) => isSame(entry, wanted))
      if (found !== undefined) return { path: found.tinkerPath ?? TinkerPath.format(wanted) }
      if (!(yield* run.pause(conflict))) return yield* Effect.fail(conflict)
    }
  })

/** Some servers leave the kind out of ids, and write paths in their own way. */
const isSame = (
  { checkpointId, checkpointType, tinkerPath }: CheckpointEntry,
  wanted: TinkerPath.TinkerPath
): boolean =>
  tinkerPath === TinkerPath.format(wanted)
  || checkpointId === TinkerPath.checkpointId(wanted)
  || (checkpointId === wanted.name && (checkpointType === undefined || checkpointType === wanted.checkpointType))
