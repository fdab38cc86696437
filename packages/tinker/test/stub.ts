import { HttpClient, HttpClientError, HttpClientResponse } from "@effect/platform"
import type { HttpClientRequest } from "@effect/platform"
import { Effect, Layer, Stream } from "effect"
import { SamplingMessages, Tinker } from "effect-tinker"
import type { SampleResponse, TinkerConfig } from "effect-tinker"

/** A request as a stub sees it. */
export interface Seen {
  readonly method: string
  /** Without its query. */
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly headers: Readonly<Record<string, string>>
  /** Of JSON bodies. */
  readonly body: Readonly<Record<string, unknown>>
  readonly text: string
  readonly bytes: Uint8Array
}

/** Bytes rather than a web response, whose body is a promise: virtual time does not wait for promises. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

type Handler = (request: Seen) => Effect.Effect<Answer> | Answer

/** A server that answers what a test says, by paths behind `/api/v1/`, and beside that enough for a sampling client. */
export const stub = (
  handlers: Readonly<Record<string, Handler>>,
  options: TinkerConfig.Options = {}
) => {
  const seen: Array<Seen> = []
  let samples = 0
  const defaults: Readonly<Record<string, Handler>> = {
    "client/config": () => json({}),
    "client/dynamic_config": () => json({}),
    create_session: () => json({ session_id: "S" }),
    session_heartbeat: () => json({}),
    "sessions/S/finish": () => json({}),
    create_sampling_session: () => json({ sampling_session_id: "S:sample:0" }),
    asample: ({ body }) => {
      const id = `sample-${samples++}`
      const count = Number(body.num_samples)
      return json({ request_id: id, sample_sequence_ids: Array.from({ length: count }, (_, i) => `${id}:${i}`) })
    },
    retrieve_future: () => protobuf(answer()),
    cancel_future: () => json({})
  }
  const client = HttpClient.make((request) =>
    Effect.suspend(() => {
      const one = read(request)
      seen.push(one)
      const handler = handlers[one.path] ?? defaults[one.path]
      const response = handler === undefined ? json({ detail: "no such path" }, 404) : handler(one)
      return Effect.map(
        Effect.isEffect(response) ? response : Effect.succeed(response),
        ({ body, headers, status }) =>
          Object.defineProperties(
            HttpClientResponse.fromWeb(request, new Response(null, { status, headers })),
            {
              arrayBuffer: { value: Effect.succeed(body.slice().buffer) },
              stream: { value: Stream.succeed(body) }
            }
          )
      )
    }).pipe(
      Effect.catchAllDefect((cause) => new HttpClientError.RequestError({ request, reason: "Transport", cause }))
    )
  )
  const layer = Tinker.layer({ baseUrl: "http://localhost", ...options }).pipe(
    Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
  )
  return { layer, seen, to: (path: string) => seen.filter((one) => one.path === path) }
}

const read = (request: HttpClientRequest.HttpClientRequest): Seen => {
  const bytes = request.body._tag === "Uint8Array" ? request.body.body : new Uint8Array()
  const text = new TextDecoder().decode(bytes)
  const [path = "", query] = request.url.slice(request.url.indexOf("/api/v1/") + 8).split("?")
  return {
    method: request.method,
    path,
    query: Object.fromEntries(new URLSearchParams(query)),
    headers: request.headers,
    text,
    bytes,
    body: text.startsWith("{") ? JSON.parse(text) : {}
  }
}

/** Breaks the connection. */
export const drop = Effect.die(new Error("the connection broke"))

export const json = (value: unknown, status = 200, headers: Record<string, string> = {}): Answer => ({
  status,
  headers: { "content-type": "application/json", ...headers },
  body: new TextEncoder().encode(JSON.stringify(value))
})

export const protobuf = (response: SampleResponse.SampleResponse): Answer => ({
  status: 200,
  headers: { "content-type": "application/x-protobuf" },
  body: SamplingMessages.encodeSampleResponse(response)
})

export const answer = (
  options: Partial<SampleResponse.SampleResponse> = {},
  count = 1
): SampleResponse.SampleResponse => ({
  sequences: Array.from({ length: count }, () => ({
    sequenceId: "",
    tokens: Int32Array.of(5, 6),
    logprobs: Float32Array.of(-0.5, -0.25),
    topkLogprobs: undefined,
    stopReason: "stop" as const
  })),
  promptLogprobs: undefined,
  topkPromptLogprobs: undefined,
  promptCacheHitTokens: 0,
  ...options
})
