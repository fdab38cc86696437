/** The models of SkyRL, each with one of this server behind it, and the requests of theirs. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Answer } from "../../../Dialect.js"
import { answer, detail, type Endpoint, field, type Received, text } from "../foreignServer.js"
import * as Foreign from "../foreignServer.js"
import * as Sessions from "./sessions.js"
import * as State from "./state.js"
import * as Validation from "./validation.js"

export const createModel = (state: State.State): Endpoint => (received) =>
  Effect.gen(function*() {
    const { json } = received.call
    for (const name of ["session_id", "base_model", "lora_config"]) {
      const refused = Validation.required(received, name)
      if (refused !== undefined) return refused
    }
    const session = state.sessions.get(text(json, "session_id") ?? "")
    if (session === undefined) return detail(404, "Session not found")
    const config = field(json, "lora_config")
    const rank = Number(field(config, "rank"))
    const seed = field(config, "seed") ?? null
    const baseModel = text(json, "base_model") ?? ""
    const known = yield* baseModels(received)
    const model: State.Model = {
      id: State.newId(state, "model"),
      session,
      baseModel,
      rank,
      createdAt: yield* Clock.currentTimeMillis,
      localId: undefined,
      requests: 0,
      numbers: Foreign.sequenceNumbers(),
      numbered: new Map(),
      checkpoints: new Map()
    }
    // The base model is the server's own, whatever is asked for; it does not know parts that are not to be trained.
    const own = known.includes(baseModel) ? baseModel : known[0]
    const number = state.lastNumber
    const response = yield* Sessions.inSession(received, session, (sessionId) =>
      Foreign.post(received, "create_model", {
        session_id: sessionId,
        model_seq_id: number,
        base_model: own,
        lora_config: { rank, seed }
      }))
    if (Foreign.isRetryable(response)) return response
    state.models.set(model.id, model)
    const result = {
      model_id: model.id,
      base_model: own,
      lora_config: { rank, alpha: 32, seed: seed ?? 0, train_attn: true, train_mlp: true, train_unembed: false }
    }
    if (response.status === 200) model.localId = text(response.body, "model_id")
    const mostOf = /from 1 to (\d+)/.exec(Foreign.refusalOf(response))?.[1]
    const requestId = State.addFuture(
      state,
      response.status === 200
        ? {
          result: { requestId: String(field(response.body, "request_id")) },
          toResult: () => result,
          onLost: () => Effect.succeed(answer(result))
        }
        : State.failed(
          mostOf === undefined ? Foreign.refusalOf(response) : `LoRA rank ${rank} must be between 1 and ${mostOf}`
        )
    )
    return answer({
      model_id: model.id,
      base_model: baseModel,
      lora_config: { rank, seed },
      status: "created",
      request_id: requestId
    })
  })

export const unloadModel = (state: State.State): Endpoint => (received) =>
  Effect.gen(function*() {
    const model = State.modelOf(state, received)
    if (model === undefined) return State.noModel
    const { localId } = model
    if (localId !== undefined) yield* Foreign.post(received, "unload_model", { model_id: localId })
    const result = { model_id: model.id, status: "unloaded", type: "unload_model" }
    model.requests += 1
    const requestId = State.addFuture(state, {
      result: { requestId: `${localId}:unload` },
      toResult: () => result,
      onLost: () => Effect.succeed(answer(result))
    })
    return answer({ request_id: requestId, model_id: model.id })
  })

export const getInfo = (state: State.State): Endpoint => (received) => {
  const model = State.modelOf(state, received)
  return Effect.succeed(
    model === undefined ? State.noModel : answer({
      model_id: model.id,
      status: "created",
      model_data: {
        base_model: model.baseModel,
        lora_config: { rank: model.rank, seed: null },
        model_name: model.baseModel
      }
    })
  )
}

/** Hands a request of a model to this server, under a number of its own. */
export const submit = (
  state: State.State,
  model: State.Model,
  unloaded: string,
  ask: (ids: { readonly model_id: string; readonly seq_id: number }) => Effect.Effect<Answer>,
  future: Omit<State.Future, "result">
): Effect.Effect<string | Answer> => {
  const { localId } = model
  model.requests += 1
  if (localId === undefined) return Effect.succeed(State.addFuture(state, State.failed(unloaded)))
  const number = model.numbers.take()
  return Effect.map(ask({ model_id: localId, seq_id: number }), (response) => {
    if (response.status === 200) {
      return State.addFuture(state, { ...future, result: { requestId: String(field(response.body, "request_id")) } })
    }
    if (Foreign.isGone(response)) return State.addFuture(state, State.failed(unloaded))
    model.requests -= 1
    if (Foreign.isRetryable(response)) model.numbers.release(number)
    return response
  })
}

export const isLoaded = (received: Received, model: State.Model): Effect.Effect<boolean> =>
  model.localId === undefined
    ? Effect.succeed(false)
    : Effect.map(
      Foreign.post(received, "get_info", { model_id: model.localId }),
      (response) => !Foreign.isGone(response)
    )

export const notLoaded = ({ id }: State.Model) => `Model ${id} not loaded`

export const staleRequest = (model: State.Model) => `${notLoaded(model)} (likely stale request from previous server)`

export const baseModels = (received: Received): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(Foreign.get(received, "get_server_capabilities"), ({ body }) => {
    const models = field(body, "supported_models")
    return Array.isArray(models) ? models.map((model) => String(field(model, "model_name"))) : []
  })
