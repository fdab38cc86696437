import { BigramEngine } from "@effect-tinker/engine"
import type { HttpClientError } from "@effect/platform"
import { HttpClient, HttpClientRequest, type HttpClientResponse } from "@effect/platform"
import { Effect, Layer } from "effect"
import { Datum, type TensorData, TrainingMessages } from "effect-tinker"
import { CheckpointStore, Faults, type TinkerProtocol, TinkerServer } from "../src/index.js"

/** A server in process, a small engine, faults to plan, and the store for a look at it. */
export const server = (options?: {
  readonly protocol?: TinkerProtocol.Options
  readonly engine?: BigramEngine.Options
}) =>
  TinkerServer.layerClientWithStore(options?.protocol).pipe(
    Layer.provideMerge(CheckpointStore.layerMemory),
    Layer.provideMerge(Faults.layer),
    Layer.provide(BigramEngine.layer(options?.engine))
  )

export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  /** JSON, or an empty record when it is not. */
  readonly body: Record<string, unknown>
  readonly bytes: Uint8Array
}

type Call = Effect.Effect<Reply, HttpClientError.HttpClientError, HttpClient.HttpClient>

const read = (response: HttpClientResponse.HttpClientResponse) =>
  Effect.map(response.arrayBuffer, (buffer): Reply => {
    const bytes = new Uint8Array(buffer)
    return {
      status: response.status,
      headers: response.headers,
      body: response.headers["content-type"]?.includes("json") === true ? parse(bytes) : {},
      bytes
    }
  })

const parse = (bytes: Uint8Array): Record<string, unknown> => {
  try {
    return JSON.parse(textOf(bytes)) as Record<string, unknown>
  } catch {
    return {}
  }
}

export const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

const url = (path: string) => `http://tinker/api/v1/${path}`

export const get = (path: string, headers: Record<string, string> = {}): Call =>
  Effect.flatMap(HttpClient.get(url(path), { headers }), read)

export const remove = (path: string, headers: Record<string, string> = {}): Call =>
  Effect.flatMap(HttpClient.del(url(path), { headers }), read)

/** Posts JSON, or text that may not be JSON. */
export const post = (path: string, body: unknown, headers: Record<string, string> = {}): Call =>
  HttpClientRequest.post(url(path)).pipe(
    HttpClientRequest.bodyText(typeof body === "string" ? body : JSON.stringify(body), "application/json"),
    HttpClientRequest.setHeaders(headers),
    HttpClient.execute,
    Effect.flatMap(read)
  )

export const postBytes = (
  path: string,
  bytes: Uint8Array,
  contentType = "application/x-protobuf",
  headers: Record<string, string> = {}
): Call =>
  HttpClientRequest.post(url(path)).pipe(
    HttpClientRequest.bodyUint8Array(bytes, contentType),
    HttpClientRequest.setHeaders(headers),
    HttpClient.execute,
    Effect.flatMap(read)
  )

export const createSession: Effect.Effect<string, HttpClientError.HttpClientError, HttpClient.HttpClient> = Effect.map(
  post("create_session", { tags: [], sdk_version: "0.38.0" }),
  ({ body }) => String(body.session_id)
)

/** The result of the request that `submitted` is the answer to. */
export const result = (submitted: Reply, options: { readonly protobuf?: boolean } = {}): Call =>
  post(
    "retrieve_future",
    { request_id: submitted.body.request_id, allow_metadata_only: false },
    options.protobuf === true ? { accept: "application/x-protobuf" } : {}
  )

export const createModel = (sessionId: string, options: Record<string, unknown> = {}): Call =>
  post("create_model", {
    session_id: sessionId,
    model_seq_id: 0,
    base_model: BigramEngine.defaultBaseModel,
    lora_config: { rank: 8, seed: 1 },
    ...options
  })

/** A session with one model. */
export const readyModel = Effect.gen(function*() {
  const sessionId = yield* createSession
  const modelId = String((yield* createModel(sessionId)).body.model_id)
  return { sessionId, modelId }
})

export const bytesOf = (text: string) => Int32Array.from(new TextEncoder().encode(text))

export const datum = (text: string, inputs: Record<string, TensorData.TensorData> = {}): Datum.Datum => {
  const tokens = bytesOf(text)
  const { lossFnInputs, modelInput } = Datum.fromTokens(tokens, new Float32Array(tokens.length).fill(1))
  return { modelInput, lossFnInputs: { ...lossFnInputs, ...inputs } }
}

export const passBytes = (
  modelId: string,
  seqId: number,
  options: Partial<TrainingMessages.ForwardBackwardRequest> = {}
): Uint8Array =>
  TrainingMessages.encodeForwardBackwardRequest({
    modelId,
    seqId,
    data: [datum("hello")],
    lossFn: "cross_entropy",
    lossFnConfig: {},
    forwardOnly: false,
    ...options
  })

export const forwardBackward = (
  modelId: string,
  seqId: number,
  options?: Partial<TrainingMessages.ForwardBackwardRequest>
): Call => postBytes("forward_backward", passBytes(modelId, seqId, options))

export const optimStep = (modelId: string, seqId: number, adamParams: Record<string, number> = {}): Call =>
  post("optim_step", { model_id: modelId, seq_id: seqId, adam_params: { learning_rate: 0.1, ...adamParams } })

export const createSampler = (sessionId: string, options: Record<string, unknown> = {}): Call =>
  post("create_sampling_session", {
    session_id: sessionId,
    sampling_session_seq_id: 0,
    base_model: BigramEngine.defaultBaseModel,
    ...options
  })

export const sample = (samplerId: unknown, options: Record<string, unknown> = {}): Call =>
  post("asample", {
    sampling_session_id: samplerId,
    seq_id: 0,
    prompt: { chunks: [{ type: "encoded_text", tokens: [104, 101] }] },
    sampling_params: { max_tokens: 4, seed: 1 },
    ...options
  })
