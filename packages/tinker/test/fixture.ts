import { BigramEngine } from "@effect-tinker/engine"
import { CheckpointStore, Faults, TinkerServer } from "@effect-tinker/server"
import type { TinkerProtocol } from "@effect-tinker/server"
import { HttpClient, HttpClientResponse } from "@effect/platform"
import type { HttpClientError, HttpClientRequest } from "@effect/platform"
import { Effect, Layer } from "effect"
import {
  AdamParams,
  Credentials,
  Datum,
  ModelInput,
  TensorData,
  Tinker,
  TinkerConfig,
  TinkerHttpClient
} from "effect-tinker"

/** The client against a server in this process, whose faults a test plans. */
export const client = (options: {
  readonly engine?: BigramEngine.Options
  readonly server?: TinkerProtocol.Options
  readonly client?: TinkerConfig.Options
  /** Sees every request before the server does. */
  readonly onRequest?: (request: HttpClientRequest.HttpClientRequest) => void
} = {}) =>
  Tinker.layer(options.client).pipe(
    Layer.provide(watched(options.onRequest ?? (() => {}))),
    Layer.provide(TinkerServer.layerClientWithStore(options.server)),
    Layer.provide([BigramEngine.layer(options.engine), CheckpointStore.layerMemory]),
    Layer.provideMerge(Faults.layer)
  )

const watched = (onRequest: (request: HttpClientRequest.HttpClientRequest) => void) =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.map(HttpClient.HttpClient, HttpClient.tapRequest((request) => Effect.sync(() => onRequest(request))))
  )

type Answer = (
  request: HttpClientRequest.HttpClientRequest
) => Effect.Effect<Response, HttpClientError.RequestError>

/** The transport over answers made by a function. */
export const transport = (answer: Answer, options: TinkerConfig.Options = { baseUrl: "http://localhost" }) =>
  TinkerHttpClient.layer.pipe(
    Layer.provide(Credentials.layer),
    Layer.provide(TinkerConfig.layer(options)),
    Layer.provide(Layer.succeed(
      HttpClient.HttpClient,
      HttpClient.make((request) =>
        Effect.map(answer(request), (response) => HttpClientResponse.fromWeb(request, response))
      )
    ))
  )

/** A sequence of byte tokens, all of whose targets count. */
export const datum = (text: string): Datum.Datum => {
  const tokens = Int32Array.from(new TextEncoder().encode(text))
  return Datum.fromTokens(tokens, new Float32Array(tokens.length).fill(1))
}

export const reinforcement = (logprobs: Float32Array): Datum.Datum =>
  Datum.make({
    modelInput: ModelInput.fromTokens([1, 2, 3]),
    lossFnInputs: {
      targetTokens: TensorData.int64([2, 3, 4]),
      logprobs: TensorData.float32(logprobs),
      advantages: TensorData.float32([1, -1, 0.5])
    }
  })

export const adam = AdamParams.make({ learningRate: 0.1, eps: 1e-8 })
