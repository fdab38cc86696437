/** Samplers and samples as Open-RL has them. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { answer, type Endpoint, field, internalServerError, text } from "../foreignServer.js"
import * as Foreign from "../foreignServer.js"
import * as Models from "./models.js"
import * as State from "./state.js"
import * as Validation from "./validation.js"

export const createSamplingSession: Endpoint = (received) => {
  const modelPath = text(received.call.json, "model_path")
  const id = modelPath?.startsWith("tinker://") === true
    ? modelPath.slice("tinker://".length)
    : field(received.call.json, "model_id") ?? "samp-session-live-123"
  return Effect.succeed(answer({ sampling_session_id: id, type: "create_sampling_session" }))
}

/** Samplers are made by their names alone, and sample from the model itself. */
export const saveWeightsForSampler = (state: State.State): Endpoint => (received) =>
  Effect.gen(function*() {
    const { json } = received.call
    const modelId = field(json, "model_id")
    if (!Validation.isString(modelId)) return Validation.refused("model_id is required")
    const now = yield* Clock.currentTimeMillis
    const samplerId = `${modelId}-samp-${field(json, "sampling_session_seq_id") || now}`
    const alias = field(json, "name") ?? field(json, "alias") ?? field(json, "path")
    const path = Validation.isString(alias) ? `tinker://${samplerId}` : null
    const number = state.lastNumber += 1
    return yield* Models.submitAndAnswer(
      state,
      received,
      "save_weights_for_sampler",
      { path: `open-rl-${number}` },
      () => ({ path, sampling_session_id: samplerId, type: "save_weights_for_sampler" })
    )
  })

export const asample = (state: State.State): Endpoint => (received) =>
  Effect.gen(function*() {
    const { json } = received.call
    const chunks = field(field(json, "prompt"), "chunks")
    if (!Array.isArray(chunks) || chunks.length === 0) return internalServerError
    const named = String(field(json, "model_id") ?? field(json, "sampling_session_id"))
    const modelId = named.replace(/^tinker:\/\//, "").split("-samp-")[0]!
    const params = field(json, "sampling_params")
    const numSamples = Number(field(json, "num_samples") ?? 1)
    // Weights as they are when its turn comes, which a sampler made for it alone has.
    const number = state.lastNumber += 1
    const model = state.models.get(modelId)
    const submitted = yield* Models.submit(
      state,
      { ...received, call: { ...received.call, json: { model_id: modelId } } },
      "save_weights_for_sampler",
      { sampling_session_seq_id: number },
      (body) => body
    )
    if ("status" in submitted) return submitted
    if ("failure" in submitted.result || model === undefined) return yield* State.accepted(state, submitted)
    const created = yield* Foreign.retrieve(received, submitted.result.requestId, Infinity)
    const samplerId = text(created.body, "sampling_session_id")
    if (samplerId === undefined) return yield* State.accepted(state, State.failed(Foreign.refusalOf(created)))
    const response = yield* Foreign.post(received, "asample", {
      sampling_session_id: samplerId,
      seq_id: 1,
      num_samples: numSamples,
      prompt: { chunks: [{ type: "encoded_text", tokens: field(chunks[0], "tokens") ?? [] }] },
      sampling_params: {
        max_tokens: field(params, "max_tokens") ?? 20,
        temperature: field(params, "temperature") ?? 1
      }
    })
    if (response.status !== 200) {
      return yield* Foreign.isRetryable(response)
        ? Effect.succeed(response)
        : State.accepted(state, State.failed(Foreign.refusalOf(response)))
    }
    return yield* State.accepted(state, {
      result: { requestId: String(field(response.body, "request_id")) },
      toResult: sampleOf
    })
  })

/** Whatever has stopped a sample. */
const sampleOf = (body: unknown): unknown => {
  const sequences = field(body, "sequences")
  return {
    sequences: Array.isArray(sequences)
      ? sequences.map((sequence) => ({
        tokens: field(sequence, "tokens"),
        logprobs: field(sequence, "logprobs"),
        stop_reason: "stop"
      }))
      : [],
    type: "sample"
  }
}
