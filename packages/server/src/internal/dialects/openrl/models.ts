/** The models of Open-RL, each with one of this server behind it, and the requests of theirs. */
import * as Effect from "effect/Effect"
import type { Answer } from "../../../Dialect.js"
import { uuid } from "../../resources/uuid.js"
import { answer, type Endpoint, field, type Received, text } from "../foreignServer.js"
import * as Foreign from "../foreignServer.js"
import * as State from "./state.js"
import * as Validation from "./validation.js"

export const createModel = (state: State.State): Endpoint => (received) =>
  Effect.gen(function*() {
    const { json } = received.call
    const baseModel = field(json, "base_model")
    if (!Validation.isString(baseModel)) return Validation.refused("base_model is required")
    const config = field(json, "lora_config")
    const rank = Number(field(config, "rank") ?? 16)
    const id = yield* uuid
    return yield* create(state, received, id, (sessionId, number) =>
      Foreign.post(received, "create_model", {
        session_id: sessionId,
        model_seq_id: number,
        base_model: baseModel,
        lora_config: { ...(config as object | undefined), rank }
      }), { model_id: id, is_lora: true, lora_rank: rank, type: "create_model" })
  })

/** Makes a model; whatever is against it, the request is accepted and fails. */
export const create = (
  state: State.State,
  received: Received,
  id: string,
  ask: (sessionId: string, number: number) => Effect.Effect<Answer>,
  result: Readonly<Record<string, unknown>>
): Effect.Effect<Answer> => {
  const number = state.lastNumber += 1
  return Effect.flatMap(inSession(state, received, (sessionId) => ask(sessionId, number)), (response) => {
    if (Foreign.isRetryable(response)) return Effect.succeed(response)
    if (response.status !== 200) return State.accepted(state, State.failed(Foreign.refusalOf(response)), id)
    const localId = String(field(response.body, "model_id"))
    state.models.set(id, { id, sessionId: state.sessionId!, localId, numbers: Foreign.sequenceNumbers() })
    return State.accepted(
      state,
      { result: { requestId: String(field(response.body, "request_id")) }, toResult: () => result },
      id
    )
  })
}

export const getInfo = (state: State.State): Endpoint => (received) =>
  Effect.map(defaultModel(received), (name) =>
    answer({
      model_data: { arch: "unknown", model_name: name, tokenizer_id: name },
      model_id: field(received.call.json, "model_id") ?? "model-live-123",
      is_lora: true,
      lora_rank: 16,
      model_name: name,
      type: "get_info"
    }))

/** Hands a request of a model to this server, under a number of its own, so that none is one that it knows already. */
export const submit = (
  state: State.State,
  received: Received,
  path: string,
  json: Readonly<Record<string, unknown>>,
  toResult: State.Future["toResult"]
): Effect.Effect<State.Future | Answer> => {
  const modelId = field(received.call.json, "model_id")
  const model = state.models.get(String(modelId))
  if (model === undefined) return Effect.succeed(State.failed(State.noAdapter(modelId)))
  const number = model.numbers.take()
  const numbered = { ...json, model_id: model.localId, seq_id: number }
  return Effect.map(Foreign.post(received, path, numbered), (response): State.Future | Answer => {
    if (response.status === 200) return { result: { requestId: String(field(response.body, "request_id")) }, toResult }
    if (Foreign.isGone(response)) {
      // The adapter went with the process.
      state.models.delete(model.id)
      return State.failed(State.noAdapter(model.id))
    }
    if (!Foreign.isRetryable(response)) return State.failed(Foreign.refusalOf(response))
    model.numbers.release(number)
    return response
  })
}

export const submitAndAnswer = (
  state: State.State,
  received: Received,
  path: string,
  json: Readonly<Record<string, unknown>>,
  toResult: State.Future["toResult"]
): Effect.Effect<Answer> =>
  Effect.flatMap(
    submit(state, received, path, json, toResult),
    (submitted) => "status" in submitted ? Effect.succeed(submitted) : State.accepted(state, submitted)
  )

/** Asks for something in the one session that this server has for all, which may have been started anew. */
const inSession = (
  state: State.State,
  received: Received,
  ask: (sessionId: string) => Effect.Effect<Answer>
): Effect.Effect<Answer> => {
  const inNewSession = Effect.flatMap(
    Foreign.post(received, "create_session", { tags: [], sdk_version: "0.24.1" }),
    (created) => {
      state.sessionId = text(created.body, "session_id")
      return state.sessionId === undefined ? Effect.succeed(created) : ask(state.sessionId)
    }
  )
  if (state.sessionId === undefined) return inNewSession
  return Effect.flatMap(
    ask(state.sessionId),
    (response) => Foreign.isGone(response) ? inNewSession : Effect.succeed(response)
  )
}

/** It has one base model. */
export const defaultModel = (received: Received): Effect.Effect<string> =>
  Effect.map(Foreign.get(received, "get_server_capabilities"), ({ body }) => {
    const models = field(body, "supported_models")
    return Array.isArray(models) ? String(field(models[0], "model_name")) : ""
  })
