/**
 * Endpoints of the service itself: its settings and capabilities, sessions, sampling sessions.
 */
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import { SamplingSessionId, SessionId } from "@effect-tinker/protocol/Identifiers"
import {
  ClientConfigRequest,
  ClientConfigResponse,
  CreateSamplingSessionRequest,
  CreateSamplingSessionResponse,
  CreateSessionRequest,
  CreateSessionResponse,
  FinishReason,
  GetSamplerResponse,
  GetServerCapabilitiesResponse,
  Settings
} from "@effect-tinker/protocol/ServiceMessages"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { makeAttempts } from "./internal/transport/attempts.js"
import { call, ofCollection, post, send } from "./internal/transport/endpoint.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class ServiceApi extends Context.Tag("effect-tinker/ServiceApi")<ServiceApi, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The settings as they were sent; {@link ClientConfigResponse} reads them. */
  readonly clientConfig: (
    request: ClientConfigRequest,
    credential: Option.Option<Redacted.Redacted>
  ) => Effect.Effect<Settings, TinkerError>
  /** Settings that may have changed since. */
  readonly dynamicConfig: (
    request: ClientConfigRequest,
    options?: {
      /** Whether they are asked for beside the user's calls, and so need not be had. Default false. */
      readonly inBackground?: boolean | undefined
    }
  ) => Effect.Effect<Settings, TinkerError>
  /** Exchanges the user's credential for a token. */
  readonly authToken: (credential: Option.Option<Redacted.Redacted>) => Effect.Effect<Redacted.Redacted, TinkerError>
  readonly healthz: Effect.Effect<void, TinkerError>
  /** Asks as {@link Service.getServerCapabilities} does, for the answer's status alone; want of credit is told at once. */
  readonly checkAccess: Effect.Effect<void, TinkerError>
  readonly getServerCapabilities: Effect.Effect<GetServerCapabilitiesResponse, TinkerError>
  readonly createSession: (
    request: CreateSessionRequest,
    options?: TinkerHttpClient.CallOptions
  ) => Effect.Effect<CreateSessionResponse, TinkerError>
  readonly sessionHeartbeat: (sessionId: SessionId) => Effect.Effect<void, TinkerError>
  readonly finishSession: (
    sessionId: SessionId,
    reason: FinishReason,
    detail?: string | undefined
  ) => Effect.Effect<void, TinkerError>
  readonly createSamplingSession: (
    request: CreateSamplingSessionRequest,
    options?: TinkerHttpClient.CallOptions
  ) => Effect.Effect<CreateSamplingSessionResponse, TinkerError>
  /** A number for a copy of a sampling client, by which its requests differ from those of the others. */
  readonly joinSamplingSession: (samplingSessionId: SamplingSessionId) => Effect.Effect<number, TinkerError>
  /** What a sampling session samples from. */
  readonly getSampler: (samplerId: SamplingSessionId) => Effect.Effect<GetSamplerResponse, TinkerError>
}

/**
 * Names of the models, in the server's order.
 *
 * @since 0.1.0
 * @category utils
 */
export const modelNames = (capabilities: GetServerCapabilitiesResponse): ReadonlyArray<string> =>
  capabilities.supportedModels.flatMap(({ modelName }) => modelName === undefined ? [] : [modelName])

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, TinkerHttpClient.TinkerHttpClient> = Effect.map(
  TinkerHttpClient.TinkerHttpClient,
  (http) => {
    const healthz = call(http, { ...Endpoints.healthz, answer: Schema.Struct({ status: Schema.Literal("ok") }) })
    const clientConfig = post(http, Endpoints.clientConfig)
    const dynamicConfig = post(http, Endpoints.dynamicConfig)
    const authToken = post(http, Endpoints.authToken)
    const capabilities = call(http, Endpoints.getServerCapabilities)
    const access = send(http, Endpoints.getServerCapabilities)
    const createSession = post(http, Endpoints.createSession)
    // Whatever it says in JSON will do.
    const heartbeat = post(http, { ...Endpoints.sessionHeartbeat, answer: Schema.Unknown })
    const finish = call(http, Endpoints.finishSession)
    const join = post(http, Endpoints.joinSamplingSession)
    const getSampler = call(http, Endpoints.getSampler)
    return ServiceApi.of({
      clientConfig: (request, credential) => asOwnRequest(clientConfig(request, { credential })),
      dynamicConfig: (request, { inBackground = false } = {}) =>
        asOwnRequest(dynamicConfig(request, inBackground ? background : {})),
      authToken: (credential) =>
        asOwnRequest(Effect.suspend(() =>
          // It may come between the attempts at another request, and must not pass for one of them.
          Effect.map(authToken({}, { credential, attempts: makeAttempts() }), ({ jwt }) => jwt)
        )),
      healthz: Effect.asVoid(healthz({})),
      checkAccess: access({}, { pausesForBilling: false }),
      getServerCapabilities: ofCollection(capabilities({})),
      createSession: (request, options) => asOwnRequest(createSession(request, options)),
      sessionHeartbeat: (sessionId) =>
        asOwnRequest(Effect.asVoid(heartbeat({ sessionId, type: "session_heartbeat" }, background))),
      finishSession: (sessionId, type, detail) =>
        Effect.asVoid(
          finish({ parameters: { id: sessionId }, body: { reason: { type }, detail } })
        ),
      createSamplingSession: post(http, Endpoints.createSamplingSession),
      joinSamplingSession: (samplingSessionId) =>
        Effect.map(join({ samplingSessionId, type: "join_sampling_session" }), ({ clientCounter }) => clientCounter),
      getSampler: (samplerId) => getSampler({ parameters: { id: samplerId } }, { subject: `sampler ${samplerId}` })
    })
  }
)

/** What goes on beside the user's calls comes again soon, so it does not wait for long. */
const background = { timeout: Duration.seconds(10), pausesForBilling: false }

const { asOwnRequest } = TinkerHttpClient

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<ServiceApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(ServiceApi, make)
