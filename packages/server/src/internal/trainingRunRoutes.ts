/** Handlers of what is told about training runs: models, and those of earlier servers whose checkpoints are there. */
import * as TinkerPath from "effect-tinker/TinkerPath"
import * as Effect from "effect/Effect"
import type * as CheckpointStore from "../CheckpointStore.js"
import * as Http from "./http.js"
import type * as State from "./serverState.js"

export const make = (state: State.ServerState) => {
  /** A run that is known, with its checkpoints, the oldest first. */
  const runOf = (request: Http.Received) =>
    Effect.gen(function*() {
      const id = request.params.id ?? ""
      const model = state.models.get(id)
      const checkpoints = (yield* state.store.list).filter(({ path }) => path.trainingRunId === id)
      const newest = checkpoints.at(-1)
      if (model !== undefined) {
        const { baseModel, lastRequestAt, lora, userMetadata } = model
        return { id, checkpoints, baseModel: baseModel.name, lora, lastRequestAt, userMetadata }
      }
      if (newest === undefined) return yield* Http.refuse(404, `there is no training run ${id}`)
      const { baseModel, createdAt: lastRequestAt, lora } = newest
      return { id, checkpoints, baseModel, lora, lastRequestAt, userMetadata: undefined }
    })

  const getTrainingRun: Http.Handler = (request) =>
    Effect.map(runOf(request), ({ baseModel, checkpoints, id, lastRequestAt, lora, userMetadata }) => {
      const last = (type: TinkerPath.CheckpointType) => {
        const found = checkpoints.findLast(({ path }) => path.checkpointType === type)
        return found === undefined ? null : checkpointJson(found)
      }
      return Http.json({
        training_run_id: id,
        base_model: baseModel,
        model_owner: "local",
        is_lora: true,
        corrupted: false,
        lora_rank: lora.rank,
        last_request_time: timeOf(lastRequestAt),
        last_checkpoint: last("training"),
        last_sampler_checkpoint: last("sampler"),
        user_metadata: userMetadata === undefined ? null : textsOf(userMetadata)
      })
    })

  const listCheckpoints: Http.Handler = (request) =>
    Effect.map(
      runOf(request),
      ({ checkpoints }) => Http.json({ checkpoints: checkpoints.map(checkpointJson), cursor: null })
    )

  return { getTrainingRun, listCheckpoints }
}

const checkpointJson = (info: CheckpointStore.Info) => ({
  checkpoint_id: TinkerPath.checkpointId(info.path),
  checkpoint_type: info.path.checkpointType,
  time: timeOf(info.createdAt),
  tinker_path: TinkerPath.format(info.path),
  size_bytes: info.sizeBytes,
  public: false,
  user_metadata: info.userMetadata,
  expires_at: info.expiresAt === undefined ? null : timeOf(info.expiresAt)
})

const timeOf = (millis: number): string => new Date(millis).toISOString()

/** Models are made with any JSON, and told about in texts. */
const textsOf = (metadata: Readonly<Record<string, unknown>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(metadata).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)])
  )
