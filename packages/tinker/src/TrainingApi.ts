/**
 * Endpoints of training: passes over data, and optimizer steps.
 */
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import { type UntypedFuture } from "@effect-tinker/protocol/ModelsMessages"
import { InvalidInputError, isDefinitelyRefused, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import type { OptimStepRequest } from "@effect-tinker/protocol/TrainingMessages"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { requestOf, requests } from "./internal/transport/endpoint.js"
import { readSubmitted } from "./internal/transport/readSubmitted.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class TrainingApi extends Context.Tag("effect-tinker/TrainingApi")<TrainingApi, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * Sends a pass as protobuf, or as JSON to a server that has refused protobuf: with 400, 415, 422 or 500, before it ever
   * took any.
   */
  readonly forwardBackward: (
    pass: EncodedPass,
    options?: TinkerHttpClient.CallOptions
  ) => Effect.Effect<UntypedFuture, TinkerError>
  readonly optimStep: (
    request: OptimStepRequest,
    options?: TinkerHttpClient.CallOptions
  ) => Effect.Effect<UntypedFuture, TinkerError>
}

/**
 * One training request, encoded, so that attempts at it share one encoding.
 *
 * @since 0.1.0
 * @category models
 */
export interface EncodedPass {
  readonly forwardOnly: boolean
  readonly protobuf: TinkerHttpClient.Body
  /** Made when it is needed. Throws an `Error` that names what JSON cannot carry. */
  readonly json: () => unknown
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, TinkerHttpClient.TinkerHttpClient> = Effect.map(
  TinkerHttpClient.TinkerHttpClient,
  (http) => {
    // What the server is known to take.
    let form: "protobuf" | "json" | undefined

    const forwardBackward = requestOf(Endpoints.forwardBackward)
    const forward = requestOf(Endpoints.forward)
    const optimStep = requests(Endpoints.optimStep)

    const submit = (
      request: TinkerHttpClient.Request,
      options?: TinkerHttpClient.CallOptions
    ): Effect.Effect<UntypedFuture, TinkerError> =>
      Effect.flatMap(http.request({ ...request, ...options }), readSubmitted)

    const sendJson = (
      pass: EncodedPass,
      options: TinkerHttpClient.CallOptions | undefined
    ): Effect.Effect<UntypedFuture, TinkerError> =>
      Effect.try({
        try: () => TinkerHttpClient.jsonBody(pass.json()),
        catch: (error) =>
          new InvalidInputError({
            operation: Endpoints.forwardBackward.operation,
            field: "data",
            description: `${error instanceof Error ? error.message : String(error)}; this server takes only JSON.`
          })
      }).pipe(Effect.flatMap((body) => submit({ ...(pass.forwardOnly ? forward : forwardBackward), body }, options)))

    const sendJsonFromNowOn = (pass: EncodedPass, options: TinkerHttpClient.CallOptions | undefined) => {
      form = "json"
      return sendJson(pass, options)
    }

    const tryJson = (pass: EncodedPass, options: TinkerHttpClient.CallOptions | undefined, refusal: TinkerError) =>
      sendJson(pass, options).pipe(
        Effect.map((submitted) => {
          form = "json"
          return submitted
        }),
        // Refused too, it was not for the form. Otherwise the server may have taken it.
        Effect.mapError((error) => isDefinitelyRefused(error) ? refusal : error)
      )

    return TrainingApi.of({
      forwardBackward: (pass, options) => {
        if (form === "json") return sendJson(pass, options)
        const sent = submit({ ...forwardBackward, body: pass.protobuf }, options)
        return form === "protobuf"
          ? sent
          : sent.pipe(
            Effect.map((submitted) => {
              form = "protobuf"
              return submitted
            }),
            Effect.catchIf(
              (error) => form !== "protobuf" && mayMeanNoProtobuf(error),
              (refusal) => isOfForm(refusal) ? sendJsonFromNowOn(pass, options) : tryJson(pass, options, refusal)
            )
          )
      },
      optimStep: (request, options) => Effect.suspend(() => submit(optimStep({ body: request }), options))
    })
  }
)

const isOfForm = (error: TinkerError): boolean => error._tag === "ApiStatusError" && error.status === 415

const mayMeanNoProtobuf = (error: TinkerError): boolean =>
  error._tag === "ApiStatusError" && [400, 415, 422, 500].includes(error.status)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<TrainingApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(
  TrainingApi,
  make
)
