/** The folders that Open-RL saves models in, each a checkpoint of this server. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { uuid } from "../../resources/uuid.js"
import { type Endpoint, field, type Received, text } from "../foreignServer.js"
import * as Foreign from "../foreignServer.js"
import * as Models from "./models.js"
import * as State from "./state.js"
import * as Validation from "./validation.js"

export const createModelFromState = (state: State.State): Endpoint => (received) =>
  Effect.gen(function*() {
    const { json } = received.call
    const statePath = field(json, "state_path")
    if (!Validation.isString(statePath)) return Validation.refused("state_path is required")
    const path = pathOf(state, statePath)
    const id = yield* uuid
    const folder = yield* folderAt(state, received, path)
    if (folder === undefined) return yield* State.accepted(state, State.failed(noFolder(path)), id)
    return yield* Models.create(state, received, id, (sessionId, number) =>
      Foreign.post(received, "load_weights", {
        session_id: sessionId,
        model_seq_id: number,
        path: folder.path,
        optimizer: folder.hasOptimizer && field(json, "restore_optimizer") === true
      }), { model_id: id, is_lora: true, base_model: folder.baseModel, type: "create_model_from_state" })
  })

/** Loads weights at any time; what was accumulated in the model is gone with it. */
export const loadWeights = (state: State.State): Endpoint => (received) =>
  Effect.gen(function*() {
    const { json } = received.call
    const modelId = field(json, "model_id")
    const statePath = field(json, "path")
    if (!Validation.isString(modelId)) return Validation.refused("model_id is required")
    if (!Validation.isString(statePath)) return Validation.refused("path is required")
    const path = pathOf(state, statePath)
    const model = state.models.get(modelId)
    if (model === undefined) return yield* State.accepted(state, State.failed(State.noAdapter(modelId)))
    const folder = yield* folderAt(state, received, path)
    if (folder === undefined) return yield* State.accepted(state, State.failed(noFolder(path)))
    const number = state.lastNumber += 1
    const response = yield* Foreign.post(received, "load_weights", {
      session_id: model.sessionId,
      model_seq_id: number,
      path: folder.path,
      optimizer: folder.hasOptimizer && field(json, "optimizer") === true
    })
    if (Foreign.isGone(response)) {
      state.models.delete(model.id)
      return yield* State.accepted(state, State.failed(State.noAdapter(modelId)))
    }
    if (response.status !== 200) return yield* State.accepted(state, State.failed(Foreign.refusalOf(response)))
    model.localId = String(field(response.body, "model_id"))
    model.numbers = Foreign.sequenceNumbers()
    return yield* State.accepted(state, {
      result: { requestId: String(field(response.body, "request_id")) },
      toResult: () => ({ path, type: "load_weights" })
    })
  })

/** What was at the path before is gone. */
export const saveWeights = (state: State.State): Endpoint => (received) =>
  Effect.gen(function*() {
    const { json } = received.call
    const modelId = field(json, "model_id")
    if (!Validation.isString(modelId)) return Validation.refused("model_id is required")
    const now = yield* Clock.currentTimeMillis
    const alias = field(json, "path")
    const path = pathOf(state, Validation.isString(alias) ? alias : `${modelId}-samp-${field(json, "seq_id") || now}`)
    const name = `open-rl-${state.lastNumber += 1}`
    const model = state.models.get(modelId)
    const baseModel = yield* Models.defaultModel(received)
    const submitted = yield* Models.submit(
      state,
      received,
      "save_weights",
      { path: name },
      () => ({ path, type: "save_weights" })
    )
    if ("status" in submitted) return submitted
    if ("requestId" in submitted.result && model !== undefined) {
      state.saving.set(path, {
        requestId: submitted.result.requestId,
        folder: {
          path: `tinker://${model.localId}/weights/${name}`,
          baseModel,
          hasOptimizer: field(json, "include_optimizer") === true
        }
      })
    }
    return yield* State.accepted(state, submitted)
  })

/** What is in a folder, once a save that is under way has come to its end. */
const folderAt = (state: State.State, received: Received, path: string): Effect.Effect<State.Folder | undefined> => {
  const under = state.saving.get(path)
  if (under === undefined) return Effect.succeed(state.folders.get(path))
  return Effect.gen(function*() {
    const response = yield* Foreign.retrieve(received, under.requestId, Infinity)
    // Where the result is forgotten, what was saved may still be there.
    const info = Foreign.isGone(response)
      ? yield* Foreign.post(received, "weights_info", { tinker_path: under.folder.path })
      : response
    state.saving.delete(path)
    if (info.status === 200 && text(info.body, "error") === undefined) state.folders.set(path, under.folder)
    return state.folders.get(path)
  })
}

const pathOf = (state: State.State, path: string) => path.startsWith("/") ? path : `${state.root}/${path}`

const noFolder = (path: string) => `No metadata.json found at ${path}`
