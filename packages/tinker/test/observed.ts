import { BigramEngine, Engine } from "@effect-tinker/engine"
import { CheckpointStore, Faults, TinkerServer } from "@effect-tinker/server"
import type { TinkerProtocol } from "@effect-tinker/server"
import { HttpClient } from "@effect/platform"
import type { HttpClientRequest } from "@effect/platform"
import { Clock, Effect, Layer } from "effect"
import {
  ClientConfig,
  Credentials,
  FuturesApi,
  ModelsApi,
  SamplingApi,
  ServiceApi,
  ServiceClient,
  SessionManager,
  TelemetryApi,
  TelemetryReporter,
  TinkerConfig,
  TinkerHttpClient,
  TrainingApi,
  TrainingMessages,
  WeightsApi
} from "effect-tinker"
import * as DispatchLimiter from "../src/internal/dispatch/dispatchLimiter.js"

/** The numbers under which a model's requests arrived, with their paths, each once, in the order of arrival. */
export const numbered = (observed: Observed): ReadonlyArray<readonly [number, string]> => {
  const found = new Map<number, string>()
  for (const { body, path } of observed.requests) {
    const seqId = body.seq_id ?? body.seqId
    if (typeof seqId === "number" && path !== "asample" && !found.has(seqId)) found.set(seqId, path)
  }
  return Array.from(found)
}

/** What a server is asked, and what its engine does. */
export interface Observed {
  /** In the order in which they were sent. Heartbeats are left out. */
  readonly requests: Array<Seen>
  /** What the engine did with models, in order. */
  readonly executed: Array<Executed>
  /** Paths of the requests that have no answer yet, heartbeats too. */
  readonly open: Array<string>
  /** Of the client that was made last. */
  limiter: DispatchLimiter.Service | undefined
}

export interface Seen {
  /** After `/api/v1/`. */
  readonly path: string
  readonly headers: HttpClientRequest.HttpClientRequest["headers"]
  /** As JSON where it is JSON, decoded where it is a training request. */
  readonly body: Readonly<Record<string, unknown>>
  /** When it was sent, in milliseconds. */
  readonly at: number
  /** Requests to the same path that had no answer yet when this one was sent. */
  readonly beside: number
  /** 0 while there is no answer, and when none came. */
  status: number
}

export interface Executed {
  readonly modelId: string
  /** `pass` with its tokens, or `step` with its learning rate. */
  readonly name: string
  /** Does the same elsewhere. Gives the log-probabilities of a pass's first datum. */
  readonly again: (engine: Engine.Service) => Effect.Effect<Float32Array | undefined, Engine.EngineError>
}

export const make = (): Observed => ({ requests: [], executed: [], open: [], limiter: undefined })

/** The client of `fixture.ts` and its server, observed. */
export const client = (observed: Observed, options: {
  readonly engine?: BigramEngine.Options | undefined
  readonly server?: TinkerProtocol.Options | undefined
  readonly client?: TinkerConfig.Options | undefined
} = {}) =>
  ServiceClient.layer.pipe(
    Layer.provideMerge(
      Layer.effectDiscard(Effect.map(DispatchLimiter.DispatchLimiter, (limiter) => {
        observed.limiter = limiter
      }))
    ),
    Layer.provide(DispatchLimiter.layer),
    Layer.provide(SessionManager.layer),
    Layer.provide(TelemetryReporter.layer),
    Layer.provide(ClientConfig.layer),
    Layer.provide([
      TelemetryApi.layer,
      ServiceApi.layer,
      ModelsApi.layer,
      TrainingApi.layer,
      SamplingApi.layer,
      WeightsApi.layer,
      FuturesApi.layer
    ]),
    Layer.provide(TinkerHttpClient.layer),
    Layer.provide(Credentials.layer),
    Layer.provide(TinkerConfig.layer(options.client)),
    Layer.provide(watchedClient(observed)),
    Layer.provide(TinkerServer.layerClientWithStore(options.server)),
    Layer.provide(watchedEngine(observed, options.engine)),
    Layer.provideMerge(Layer.merge(Faults.layer, CheckpointStore.layerMemory))
  )

const watchedClient = ({ open, requests }: Observed) =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.map(HttpClient.HttpClient, (client) =>
      HttpClient.transform(client, (answer, request) =>
        Effect.flatMap(Clock.currentTimeMillis, (at) => {
          const path = new URL(request.url).pathname.replace("/api/v1/", "")
          const beside = open.filter((other) =>
            other === path
          ).length
          const seen: Seen = { path, headers: request.headers, body: bodyOf(request), at, beside, status: 0 }
          if (path !== "session_heartbeat") requests.push(seen)
          open.push(path)
          return answer.pipe(
            Effect.tap(({ status }) =>
              Effect.sync(() => {
                seen.status = status
              })
            ),
            Effect.ensuring(Effect.sync(() => {
              open.splice(open.indexOf(path), 1)
            }))
          )
        })))
  )

const watchedEngine = (observed: Observed, options: BigramEngine.Options | undefined) =>
  Layer.sync(Engine.Engine, (): Engine.Service => {
    const engine = BigramEngine.make(options)
    const note = (modelId: string, name: string, again: Executed["again"]) => {
      observed.executed.push({ modelId, name, again })
    }
    return {
      ...engine,
      forwardBackward: (modelId, call) => {
        const tokens = call.data.map((datum) => new TextDecoder().decode(Uint8Array.from(datum.tokens))).join(" ")
        return Effect.tap(
          engine.forwardBackward(modelId, call),
          () =>
            Effect.sync(() =>
              note(
                modelId,
                `${call.gradient ? "backward" : "forward"} ${tokens}`,
                (other) => Effect.map(other.forwardBackward(modelId, call), ({ outputs }) => outputs[0]?.logprobs)
              )
            )
        )
      },
      optimStep: (modelId, params) =>
        Effect.tap(
          engine.optimStep(modelId, params),
          () =>
            Effect.sync(() =>
              note(modelId, `step ${params.learningRate}`, (other) =>
                Effect.as(other.optimStep(modelId, params), undefined))
            )
        )
    }
  })

/** What a request says: its JSON, or the fields of a training request in protobuf. */
const bodyOf = ({ body, headers }: HttpClientRequest.HttpClientRequest): Readonly<Record<string, unknown>> => {
  if (body._tag !== "Uint8Array") return {}
  return headers["content-type"]?.includes("protobuf")
    ? { ...TrainingMessages.decodeForwardBackwardRequest(body.body) }
    : JSON.parse(new TextDecoder().decode(body.body))
}
