import { BigramEngine } from "@effect-tinker/engine"
import { Effect, Fiber, TestClock } from "effect"
import * as Wire from "./wire.js"

/** Numbers from 0 to 1, the same for the same seed. */
export const random = (seed: number): () => number => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const deep = (depth: number) => "[".repeat(depth) + "]".repeat(depth)

/** Pieces of JSON, as text: some say what no number can. */
const nasty: ReadonlyArray<string> = [
  "null",
  "true",
  "0",
  "-1",
  "1.5",
  "1e300",
  "-1e300",
  "1e999",
  "9223372036854775807",
  "9223372036854775808",
  "18446744073709551616",
  "4294967296",
  "2147483648",
  "NaN",
  "Infinity",
  "-0",
  "\"\"",
  "\"NaN\"",
  "\"..\"",
  "\"../../etc/passwd\"",
  "\"tinker://a/weights/../..\"",
  "\"tinker://a/weights/x\"",
  "\"\\u0000\"",
  "\"\\ud800\"",
  "\"%\"",
  "[]",
  "{}",
  "[null]",
  "[[[]]]",
  "{\"__proto__\":{\"a\":1}}",
  "{\"constructor\":1}",
  "[0,1e300]",
  "[-1]",
  "[99999999999]",
  "[1.5]",
  "[256]",
  deep(20_000),
  `"${"x".repeat(100_000)}"`
]

/** Bodies that are fine but for what {@link mutate} does to them. */
export const bodies = (sessionId: string, modelId: string, samplerId: string, seqId: number) => {
  const of = { model_id: modelId, seq_id: seqId }
  const datum = {
    model_input: { chunks: [{ type: "encoded_text", tokens: [104, 101] }] },
    loss_fn_inputs: {
      target_tokens: { data: [101, 108], dtype: "int64", shape: [2] },
      weights: { data: [1, 1], dtype: "float32", shape: [2] }
    }
  }
  const input = { data: [datum], loss_fn: "cross_entropy", loss_fn_config: {} }
  const path = `tinker://${modelId}/weights/none`
  return [
    ["client/config", { sdk_version: "0.38.0" }],
    ["create_session", {
      tags: ["a"],
      user_metadata: { a: 1 },
      sdk_version: "0.38.0",
      project_id: "p",
      display_name: "d"
    }],
    ["session_heartbeat", { session_id: sessionId }],
    ["sessions/none/finish", { reason: { type: "success" }, detail: null }],
    ["telemetry", { events: [], platform: "Linux", sdk_version: "0.38.0", session_id: "s", process_uuid: "p" }],
    ["create_model", {
      session_id: sessionId,
      model_seq_id: seqId,
      base_model: BigramEngine.defaultBaseModel,
      lora_config: { rank: 2, seed: 1, train_mlp: true },
      optimizer_config: { type: "adamw" },
      user_metadata: { a: "b" }
    }],
    ["get_info", { model_id: modelId }],
    ["unload_model", { model_id: "none" }],
    ["forward_backward", { ...of, forward_backward_input: input }],
    ["forward", { ...of, forward_input: { ...input, loss_fn: "ppo", loss_fn_config: { clip_low_threshold: 0.8 } } }],
    ["optim_step", { ...of, adam_params: { learning_rate: 0.1, beta1: 0.9, eps: 1e-8, grad_clip_norm: 1 } }],
    ["save_weights", { ...of, path: `n${seqId}`, ttl_seconds: 3600, overwrite: true, user_metadata: { a: "b" } }],
    ["save_weights_for_sampler", { ...of, path: `n${seqId}`, kind: "snapshot" }],
    ["save_weights_for_sampler", { ...of, sampling_session_seq_id: seqId, kind: "inflight" }],
    ["save_weights_external", { ...of, path: `n${seqId}`, age_encryption_recipients: [] }],
    ["load_weights", { ...of, path, optimizer: true }],
    ["load_weights", { session_id: sessionId, model_seq_id: seqId, path, optimizer: true, base_model: "b" }],
    ["weights_info", { tinker_path: path }],
    ["copy_weights", { source_path: path, destination_project_id: "p", ttl_seconds: 3600 }],
    ["sessions/search", {
      user_metadata: {},
      limit: 5,
      cursor: { last_created_at: "1970-01-01T00:00:00Z", last_session_id: "" }
    }],
    ["create_sampling_session", { session_id: sessionId, sampling_session_seq_id: seqId, base_model: "bigram" }],
    ["join_sampling_session", { sampling_session_id: samplerId }],
    ["asample", {
      sampling_session_id: samplerId,
      seq_id: seqId,
      num_samples: 2,
      prompt: { chunks: [{ type: "encoded_text", tokens: [104, 101] }] },
      sampling_params: { max_tokens: 3, seed: 1, temperature: 1, top_p: 0.9, top_k: 5, stop: ["a"] },
      prompt_logprobs: true,
      topk_prompt_logprobs: 2,
      topk_sample_logprobs: 2,
      prompt_alt_tokens_k: 1,
      prompt_logprobs_last_n: 1,
      target_prompt_logprobs: { data: [101], dtype: "int64", shape: [1, 1] }
    }],
    ["retrieve_future", { request_id: `${modelId}:0`, allow_metadata_only: false }],
    ["retrieve_futures", {
      target: { type: "sampling_session", sampling_session_id: samplerId, cloned_sampler_id: 0 },
      prev_cursor: 0,
      timeout: 0,
      retrieved_request_ids: []
    }],
    ["cancel_future", { request_id: "none" }]
  ] as const
}

/** The body as text, with one of its parts made nasty. */
export const mutate = (body: unknown, next: () => number): string => {
  const places: Array<ReadonlyArray<string>> = []
  const walk = (value: unknown, path: ReadonlyArray<string>): void => {
    places.push(path)
    if (typeof value !== "object" || value === null) return
    for (const [key, inner] of Object.entries(value)) walk(inner, [...path, key])
  }
  walk(body, [])
  const place = places[Math.floor(next() * places.length)]!
  const piece = nasty[Math.floor(next() * nasty.length)]!
  const render = (value: unknown, path: ReadonlyArray<string>): string => {
    if (path.length === place.length && path.every((key, i) => key === place[i])) return piece
    if (Array.isArray(value)) return `[${value.map((inner, i) => render(inner, [...path, String(i)])).join(",")}]`
    if (typeof value !== "object" || value === null) return JSON.stringify(value)
    return `{${
      Object.entries(value).map(([key, inner]) => `${JSON.stringify(key)}:${render(inner, [...path, key])}`).join(",")
    }}`
  }
  return render(body, [])
}

/** Bytes of any kind, or those given with some of them changed. */
export const noise = (next: () => number, bytes?: Uint8Array): Uint8Array => {
  const made = bytes === undefined
    ? Uint8Array.from({ length: Math.floor(next() * 200) }, () => next() * 256)
    : bytes.slice(0, next() < 0.3 ? Math.floor(next() * bytes.length) : bytes.length)
  for (let i = 0; bytes !== undefined && i < 3 && made.length > 0; i++) {
    made[Math.floor(next() * made.length)] = next() * 256
  }
  return made
}

/** What is wrong with an answer to input that may be bad; nothing if it is as it should be. */
export const complaint = (reply: Wire.Reply): string | undefined => {
  if (reply.status >= 500) return `status ${reply.status}`
  if (reply.status < 400) return undefined
  if (reply.body.detail === undefined) return `status ${reply.status} without a detail`
  if (reply.bytes.length > 20_000) return `an error of ${reply.bytes.length} bytes`
  return undefined
}

/** The answer to a question that may be held for a while. */
export const held = <A, E, R>(question: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const asked = yield* Effect.fork(question)
    yield* TestClock.adjust("40 seconds")
    return yield* Fiber.join(asked)
  })

/** The end of a request that was accepted: done, or failed by the user's fault. */
export const settled = (reply: Wire.Reply) =>
  Effect.gen(function*() {
    if (reply.status !== 200 || typeof reply.body.request_id !== "string") return undefined
    const { body, status } = yield* held(Wire.result(reply))
    if (status >= 400) return `the result has status ${status}`
    return body.category === "server" ? `failed by the server's fault: ${String(body.error)}` : undefined
  })
