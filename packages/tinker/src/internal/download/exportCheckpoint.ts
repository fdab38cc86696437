/** Downloads of training checkpoints, which a session of its own saves as external weights. */
import * as CheckpointRef from "@effect-tinker/protocol/CheckpointRef"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as Effect from "effect/Effect"
import * as ApiFuture from "../../ApiFuture.js"
import type { Done, Options, OwnSession } from "../../CheckpointDownload.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import * as Eithers from "../effect/eithers.js"
import * as Schedules from "../effect/schedules.js"
import { type Downloader, notDownloadable, type Report, subjectOf } from "./downloader.js"
import { DownloadError } from "./downloadError.js"
import { fetchExternal } from "./externalWeights.js"

export const exportCheckpoint = (
  downloader: Downloader,
  ownSession: OwnSession["Type"],
  checkpoint: string,
  options: Options,
  report: Report
): Effect.Effect<Done, TinkerError | DownloadError> =>
  Effect.gen(function*() {
    const { api, ask, stage } = downloader
    const parsed = yield* Eithers.toEffect(TinkerPath.parse(checkpoint))
    if (parsed.checkpointType !== "training") {
      return yield* notDownloadable({
        trainingRunId: parsed.trainingRunId,
        checkpointId: TinkerPath.checkpointId(parsed)
      })
    }
    // A target that is there would be found after the costs.
    yield* Effect.scoped(stage(
      subjectOf({
        trainingRunId: parsed.trainingRunId,
        checkpointId: TinkerPath.checkpointId(parsed)
      }),
      { ...options, keepParts: false }
    ))
    const ids = (modelId: string) => ({ trainingRunId: modelId, checkpointId: `external_weights/${exportName}` })
    let unseen: string | undefined
    // The session learns from the end of its scope how it ended.
    return yield* Effect.scoped(Effect.gen(function*() {
      // After the session, with which a save ends that was still under way when the export was first deleted.
      yield* Effect.addFinalizer(() => unseen === undefined ? Effect.void : remove(downloader, ids(unseen)))
      report({ _tag: "Exporting", step: "loading" })
      const service = yield* ownSession.client
      const { modelId, saveWeightsExternal } = yield* service.createTrainingClientFromState(checkpoint)
      report({ _tag: "Exporting", step: "saving" })
      yield* Effect.addFinalizer(() => remove(downloader, ids(modelId)))
      unseen = modelId
      yield* ApiFuture.flatten(saveWeightsExternal({ name: exportName, ttl: exportTtl }))
      unseen = undefined
      const renew = ask(api.setCheckpointTtl(ids(modelId), exportTtlSeconds))
      let isFirst = true
      const sign = Effect.suspend(() => {
        const before = isFirst ? Effect.void : renew
        isFirst = false
        return Effect.zipRight(before, ask(api.externalWeightsUrls(ids(modelId))))
      })
      return yield* fetchExternal(downloader, ids(modelId), sign, options, report)
    }))
  })

/** Whoever waits for this has interrupted it, or has what they wanted. */
const remove = ({ api, ask }: Downloader, ids: CheckpointRef.CheckpointIds) =>
  ask(api.deleteCheckpoint(ids)).pipe(
    RetryPolicy.withPolicies({ request: Schedules.within(RetryPolicy.transient, "30 seconds") }),
    Effect.catchAll((error) =>
      error._tag === "ApiStatusError" && error.reason === "NotFound"
        ? Effect.void
        : Effect.logWarning(`${subjectOf(ids)} could not be deleted; the server will within an hour`, error.message)
    )
  )

const exportName = "download"

/** Source: the Python SDK 0.38.0. */
const exportTtlSeconds = 3600
const exportTtl = "1 hour"
