/**
 * Endpoints of the service itself: its settings and capabilities, sessions, sampling sessions.
 */
import { SamplingSessionId, SessionId } from "@effect-tinker/protocol/Identifiers"
import {
  AuthTokenResponse,
  ClientConfigRequest,
  ClientConfigResponse,
  CreateSamplingSessionRequest,
  CreateSamplingSessionResponse,
  CreateSessionRequest,
  CreateSessionResponse,
  FinishReason,
  FinishSessionRequest,
  GetSamplerResponse,
  GetServerCapabilitiesResponse,
  JoinSamplingSessionRequest,
  JoinSamplingSessionResponse,
  SessionHeartbeatRequest,
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
import { ofCollection, post } from "./internal/endpoint.js"
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
  /** As {@link Service.getServerCapabilities}, for the answer's status alone; want of credit is told at once. */
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
    const createSession = post(http, "create_session", CreateSessionRequest, CreateSessionResponse)
    const heartbeat = post(http, "session_heartbeat", SessionHeartbeatRequest, Schema.Unknown)
    const finish = post(http, "finish_session", FinishSessionRequest, Schema.Unknown)
    const clientConfig = post(http, "client/config", ClientConfigRequest, Settings)
    const dynamicConfig = post(http, "client/dynamic_config", ClientConfigRequest, Settings)
    const authToken = post(http, "auth/token", Schema.Struct({}), AuthTokenResponse)
    const join = post(http, "join_sampling_session", JoinSamplingSessionRequest, JoinSamplingSessionResponse)
    const get = <A, I>(
      operation: string,
      schema: Schema.Schema<A, I>,
      options?: { readonly path: string; readonly subject: string }
    ) => http.json({ operation, method: "GET", path: `/api/v1/${operation}`, ...options }, schema)
    return ServiceApi.of({
      clientConfig: (request, credential) => ofNobody(clientConfig(request, { credential })),
      dynamicConfig: (request, { inBackground = false } = {}) =>
        ofNobody(dynamicConfig(request, inBackground ? background : {})),
      authToken: (credential) =>
        ofNobody(Effect.suspend(() =>
          // It may come between the attempts at another request, and must not pass for one of them.
          Effect.map(authToken({}, { credential, attempts: TinkerHttpClient.makeAttempts() }), ({ jwt }) => jwt)
        )),
      healthz: Effect.asVoid(get("healthz", Schema.Struct({ status: Schema.Literal("ok") }))),
      checkAccess: Effect.asVoid(http.request({ ...capabilities, pausesForBilling: false })),
      getServerCapabilities: ofCollection(http.json(capabilities, GetServerCapabilitiesResponse)),
      createSession: (request, options) => ofNobody(createSession(request, options)),
      sessionHeartbeat: (sessionId) =>
        ofNobody(Effect.asVoid(heartbeat({ sessionId, type: "session_heartbeat" }, background))),
      finishSession: (sessionId, type, detail) =>
        Effect.asVoid(
          finish({ reason: { type }, detail: detail ?? null }, { path: `/api/v1/sessions/${sessionId}/finish` })
        ),
      createSamplingSession: post(
        http,
        "create_sampling_session",
        CreateSamplingSessionRequest,
        CreateSamplingSessionResponse
      ),
      joinSamplingSession: (samplingSessionId) =>
        Effect.map(join({ samplingSessionId, type: "join_sampling_session" }), ({ clientCounter }) => clientCounter),
      getSampler: (samplerId) =>
        get("get_sampler", GetSamplerResponse, {
          path: `/api/v1/samplers/${samplerId}`,
          subject: `sampler ${samplerId}`
        })
    })
  }
)

const capabilities = {
  operation: "get_server_capabilities",
  method: "GET",
  path: "/api/v1/get_server_capabilities"
} as const

/** What goes on beside the user's calls comes again soon, so it does not wait for long. */
const background = { timeout: Duration.seconds(10), pausesForBilling: false }

const { ofNobody } = TinkerHttpClient

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<ServiceApi, never, TinkerHttpClient.TinkerHttpClient> = Layer.effect(ServiceApi, make)
