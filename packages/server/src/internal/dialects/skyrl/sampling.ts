/** Sampling sessions and samples as SkyRL has them. */
import * as SamplingMessages from "@effect-tinker/protocol/SamplingMessages"
import * as Effect from "effect/Effect"
import type { Answer } from "../../../Dialect.js"
import { answer, detail, type Endpoint, field, type Received, text } from "../foreignServer.js"
import * as Foreign from "../foreignServer.js"
import * as Checkpoints from "./checkpoints.js"
import * as Futures from "./futures.js"
import * as Models from "./models.js"
import * as Sessions from "./sessions.js"
import * as State from "./state.js"
import * as Validation from "./validation.js"

export const createSamplingSession = (state: State.State): Endpoint => (received) => {
  const { json } = received.call
  const session = state.sessions.get(text(json, "session_id") ?? "")
  if (session === undefined) return Effect.succeed(detail(404, "Session not found"))
  const baseModel = text(json, "base_model")
  const modelPath = text(json, "model_path")
  if ((baseModel === undefined) === (modelPath === undefined)) {
    return Effect.succeed(detail(400, "Exactly one of base_model or model_path must be provided"))
  }
  const id = State.newId(state, "sampling")
  state.samplers.set(id, { session, baseModel, modelPath, localId: undefined })
  return Effect.succeed(answer({ type: "create_sampling_session", sampling_session_id: id }))
}

export const getSampler = (state: State.State): Endpoint => ({ params }) => {
  const sampler = state.samplers.get(params.id!)
  if (sampler === undefined) return Effect.succeed(detail(404, "Sampler not found"))
  const baseModel = sampler.baseModel ??
    state.models.get(Checkpoints.pathOf(sampler.modelPath ?? "")?.modelId ?? "")?.baseModel
  return Effect.succeed(
    baseModel === undefined
      ? State.noModel
      : answer({ sampler_id: params.id, base_model: baseModel, model_path: sampler.modelPath ?? null })
  )
}

export const asample = (state: State.State): Endpoint => (received) =>
  Effect.gen(function*() {
    const { json } = received.call
    const samplerId = text(json, "sampling_session_id")
    if (samplerId?.includes(":") === true) {
      return detail(400, "sampling_session_id must not contain ':' (the routing-key delimiter)")
    }
    const sampler = state.samplers.get(samplerId ?? "")
    if (sampler === undefined) return detail(404, "Sampling session not found")
    const wrong = Validation.badSamplingParams(field(json, "sampling_params"))
    if (wrong !== undefined) return detail(400, wrong)
    const { baseModel } = sampler
    let from: Readonly<Record<string, unknown>> = { base_model: baseModel }
    if (baseModel === undefined) {
      const path = Checkpoints.pathOf(sampler.modelPath ?? "")
      if (path === undefined || path.kind === "weights" || path.name === "") {
        return detail(
          400,
          "model_path must be tinker://model_id/checkpoint_id or tinker://model_id/sampler_weights/checkpoint_id"
        )
      }
      const model = state.models.get(path.modelId)
      if (model === undefined) return State.noModel
      const trouble = yield* Checkpoints.unusable(received, model, "sampler_weights", path.name)
      if (trouble !== undefined) return trouble
      if (!(yield* Models.isLoaded(received, model))) {
        return State.accepted(State.addFuture(state, State.failed(Models.notLoaded(model))))
      }
      from = { model_path: Checkpoints.localPath(model, "sampler_weights", path.name) }
    } else {
      const known = yield* Models.baseModels(received)
      if (!known.includes(baseModel)) {
        const failure = `Engine is configured for '${known[0]}' but request specified '${baseModel}'`
        return State.accepted(State.addFuture(state, State.failed(failure)))
      }
    }
    if (Number(field(json, "topk_prompt_logprobs") ?? 0) > 0) {
      return State.accepted(
        State.addFuture(state, State.failed("topk_prompt_logprobs is not supported by the JAX backend"))
      )
    }
    const sampling = sampleOn(state, received, sampler, from)
    const response = yield* sampling
    if (response.status !== 200) return response
    const onLost = (received: Received): Effect.Effect<Answer> =>
      Effect.flatMap(sampling, (response) =>
        response.status === 200
          ? Futures.retrieve(received, { ...future, result: { requestId: String(field(response.body, "request_id")) } })
          : Effect.succeed(detail(400, Foreign.refusalOf(response))))
    const future: State.Future = {
      result: { requestId: String(field(response.body, "request_id")) },
      toResult: sampleOf,
      onLost
    }
    return State.accepted(State.addFuture(state, future))
  })

/** Every sample is one of its own, also the same request again. */
const sampleOn = (
  state: State.State,
  received: Received,
  sampler: State.Sampler,
  from: Readonly<Record<string, unknown>>
) => {
  const { json } = received.call
  const sampled = (localId: string) =>
    Foreign.post(received, "asample", {
      num_samples: field(json, "num_samples"),
      prompt: field(json, "prompt"),
      sampling_params: field(json, "sampling_params"),
      prompt_logprobs: field(json, "prompt_logprobs"),
      sampling_session_id: localId,
      seq_id: (state.lastNumber += 1)
    })
  const inNewSession = Effect.suspend(() => {
    const number = state.lastNumber += 1
    return Effect.flatMap(
      Sessions.inSession(received, sampler.session, (sessionId) =>
        Foreign.post(received, "create_sampling_session", {
          session_id: sessionId,
          sampling_session_seq_id: number,
          ...from
        })),
      (created) => {
        sampler.localId = text(created.body, "sampling_session_id")
        return sampler.localId === undefined ? Effect.succeed(created) : sampled(sampler.localId)
      }
    )
  })
  return Effect.suspend(() =>
    sampler.localId === undefined
      ? inNewSession
      : Effect.flatMap(sampled(sampler.localId), (response) =>
        Foreign.isGone(response) ? inNewSession : Effect.succeed(response))
  )
}

/** Log-probabilities of a prompt begin with its second token. */
const sampleOf = (body: unknown): unknown => {
  if (body instanceof Uint8Array) {
    const { promptLogprobs, sequences } = SamplingMessages.decodeSampleResponse(body, [])
    return SamplingMessages.encodeSampleResponse({
      sequences: sequences.map(({ logprobs, sequenceId, stopReason, tokens }) => ({
        sequenceId,
        stopReason,
        tokens,
        logprobs,
        topkLogprobs: undefined
      })),
      promptLogprobs: promptLogprobs?.subarray(1),
      topkPromptLogprobs: undefined,
      targetPromptLogprobs: undefined,
      promptAltTokens: undefined,
      promptCacheHitTokens: 0
    })
  }
  const sequences = field(body, "sequences")
  const logprobs = field(body, "prompt_logprobs")
  return {
    sequences: Array.isArray(sequences)
      ? sequences.map((sequence) => ({
        stop_reason: field(sequence, "stop_reason"),
        tokens: field(sequence, "tokens"),
        logprobs: field(sequence, "logprobs")
      }))
      : [],
    prompt_logprobs: Array.isArray(logprobs) ? logprobs.slice(1) : null,
    topk_prompt_logprobs: null
  }
}
