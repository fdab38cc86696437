/** Lists of what was trained as SkyRL has them. */
import * as Effect from "effect/Effect"
import { answer, type Endpoint, text } from "../foreignServer.js"
import * as Checkpoints from "./checkpoints.js"
import * as State from "./state.js"

export const listTrainingRuns = (state: State.State): Endpoint => ({ call }) => {
  const query = new URLSearchParams(call.query)
  const offset = Number(query.get("offset") ?? 0)
  const limit = Number(query.get("limit") ?? 20)
  const page = Array.from(state.models.values()).slice(offset, offset + limit)
  return Effect.succeed(answer({
    training_runs: page.map(runOf),
    cursor: { offset, limit, total_count: page.length === 0 ? 0 : state.models.size }
  }))
}

export const getTrainingRun = (state: State.State): Endpoint => ({ params }) => {
  const model = state.models.get(params.id!)
  return Effect.succeed(model === undefined ? State.noModel : answer(runOf(model)))
}

export const listCheckpoints = (state: State.State): Endpoint => (received) => {
  const model = state.models.get(received.params.id!)
  if (model === undefined) return Effect.succeed(answer({ checkpoints: [] }))
  return Effect.map(Checkpoints.listFinished(received, model), (listed) =>
    answer({
      checkpoints: listed.map((item) => {
        const key = text(item, "checkpoint_id")!
        return {
          checkpoint_id: key.slice(key.indexOf("/") + 1),
          checkpoint_type: text(item, "checkpoint_type"),
          time: withoutZone(text(item, "time")!),
          tinker_path: `tinker://${model.id}/${key}`
        }
      })
    }))
}

const runOf = (model: State.Model) => ({
  training_run_id: model.id,
  base_model: model.baseModel,
  model_owner: "default",
  is_lora: true,
  corrupted: false,
  lora_rank: model.rank,
  last_request_time: withoutZone(new Date(model.createdAt).toISOString()),
  last_checkpoint: null,
  last_sampler_checkpoint: null,
  user_metadata: null
})

const withoutZone = (time: string): string => time.replace(/Z$/, "")
