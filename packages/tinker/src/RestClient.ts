/**
 * What exists on the server, whichever program made it: training runs, checkpoints, sessions, samplers. Needs no session.
 *
 * A listing comes as one page, and as a `Stream` of everything, whose pages are asked for as they are wanted. What is made
 * or deleted meanwhile may appear twice or not at all.
 */
import type { AccessScope } from "@effect-tinker/protocol/AccessScope"
import * as ApiKeyMessages from "@effect-tinker/protocol/ApiKeyMessages"
import type { Checkpoint } from "@effect-tinker/protocol/Checkpoint"
import * as CheckpointRef from "@effect-tinker/protocol/CheckpointRef"
import * as CheckpointsMessages from "@effect-tinker/protocol/CheckpointsMessages"
import { id, secret } from "@effect-tinker/protocol/Checks"
import type { SamplingSessionId } from "@effect-tinker/protocol/Identifiers"
import * as ServiceMessages from "@effect-tinker/protocol/ServiceMessages"
import * as SessionsMessages from "@effect-tinker/protocol/SessionsMessages"
import type { SessionSummary } from "@effect-tinker/protocol/SessionSummary"
import { type TinkerError } from "@effect-tinker/protocol/TinkerError"
import type { TrainingRun } from "@effect-tinker/protocol/TrainingRun"
import * as TrainingRunsMessages from "@effect-tinker/protocol/TrainingRunsMessages"
import * as WeightsMessages from "@effect-tinker/protocol/WeightsMessages"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Stream from "effect/Stream"
import * as ApiKeyApi from "./ApiKeyApi.js"
import * as CheckpointsApi from "./CheckpointsApi.js"
import * as ClientConfig from "./ClientConfig.js"
import * as Credentials from "./Credentials.js"
import { operations } from "./internal/call/operation.js"
import * as Sessionless from "./internal/call/sessionless.js"
import { identityOf } from "./internal/identityOf.js"
import * as CheckpointChanges from "./internal/rest/checkpointChanges.js"
import * as Checkpoints from "./internal/rest/checkpoints.js"
import * as Sessions from "./internal/rest/sessions.js"
import * as TrainingRuns from "./internal/rest/trainingRuns.js"
import * as RetryPolicy from "./RetryPolicy.js"
import * as ServiceApi from "./ServiceApi.js"
import * as SessionsApi from "./SessionsApi.js"
import * as TinkerConfig from "./TinkerConfig.js"
import * as TrainingRunsApi from "./TrainingRunsApi.js"
import * as WeightsApi from "./WeightsApi.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class RestClient extends Context.Tag("effect-tinker/RestClient")<RestClient, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The models that the server has. */
  readonly getServerCapabilities: Effect.Effect<ServiceMessages.GetServerCapabilitiesResponse, TinkerError>

  /** A training run by its id, or by the path of one of its checkpoints. */
  readonly getTrainingRun: (idOrPath: string, options?: ScopeOptions) => Effect.Effect<TrainingRun, TinkerError>

  /** One page, the newest first. Default: the first 20. */
  readonly listTrainingRuns: (
    options?: TrainingRunsOptions & PageOptions
  ) => Effect.Effect<TrainingRunsMessages.TrainingRunsResponse, TinkerError>

  /** All of them, the newest first. */
  readonly trainingRuns: (options?: TrainingRunsOptions) => Stream.Stream<TrainingRun, TinkerError>

  /** All checkpoints of a training run. */
  readonly listCheckpoints: (
    trainingRunId: string
  ) => Effect.Effect<CheckpointsMessages.CheckpointsListResponse, TinkerError>

  /** One page of the checkpoints of all the user's training runs, the newest first. Default: the first 100. */
  readonly listUserCheckpoints: (
    options?: PageOptions
  ) => Effect.Effect<CheckpointsMessages.CheckpointsListResponse, TinkerError>

  /** The checkpoints of all the user's training runs, the newest first. */
  readonly userCheckpoints: () => Stream.Stream<Checkpoint, TinkerError>

  /** What a checkpoint was made of. Works for whatever path the server knows. */
  readonly getWeightsInfo: (
    path: string,
    options?: AccessOptions
  ) => Effect.Effect<WeightsMessages.WeightsInfoResponse, TinkerError>

  readonly deleteCheckpoint: (checkpoint: CheckpointRef.CheckpointRef) => Effect.Effect<void, TinkerError>

  /** Lets everybody use it. One that is public already is an `ApiStatusError` of reason `Conflict`. */
  readonly publishCheckpoint: (checkpoint: CheckpointRef.CheckpointRef) => Effect.Effect<void, TinkerError>

  /** Keeps it to its owner again. One that is not public is an `ApiStatusError` of reason `Conflict`. */
  readonly unpublishCheckpoint: (checkpoint: CheckpointRef.CheckpointRef) => Effect.Effect<void, TinkerError>

  /** How long it is kept from now on, from an hour to ten years; null: for ever. */
  readonly setCheckpointTtl: (
    checkpoint: CheckpointRef.CheckpointRef,
    ttl: Duration.DurationInput | null
  ) => Effect.Effect<void, TinkerError>

  /** Copies a checkpoint into a project; gives the path of the copy, whose training run cannot be trained. */
  readonly copyWeights: (path: string, options?: CopyOptions) => Effect.Effect<string, TinkerError>

  /** Where the files of a checkpoint saved by `saveWeightsExternal` are, for a while. */
  readonly getExternalWeightsUrls: (
    checkpoint: CheckpointRef.CheckpointRef
  ) => Effect.Effect<CheckpointsMessages.ExternalWeightsUrls, TinkerError>

  /**
   * Where a checkpoint is as one file, for a while: older servers have these. Others fail with an `ApiStatusError` of
   * reason `Unsupported`.
   */
  readonly getCheckpointArchiveUrl: (
    checkpoint: CheckpointRef.CheckpointRef
  ) => Effect.Effect<CheckpointsMessages.ArchiveUrl, TinkerError>

  readonly getSession: (
    sessionId: string,
    options?: ScopeOptions
  ) => Effect.Effect<SessionsMessages.GetSessionResponse, TinkerError>

  /** Ids of sessions, one page. Default: the first 20. */
  readonly listSessions: (
    options?: ScopeOptions & PageOptions
  ) => Effect.Effect<SessionsMessages.ListSessionsResponse, TinkerError>

  /** Ids of all sessions. */
  readonly sessions: (options?: ScopeOptions) => Stream.Stream<string, TinkerError>

  /** One page of the sessions that fit, the newest first. Default: 50 of the user's own. Experimental on the server. */
  readonly searchSessions: (
    options?: SearchOptions & { readonly cursor?: SessionsMessages.SearchCursor | undefined }
  ) => Effect.Effect<SessionsMessages.SessionSearchResponse, TinkerError>

  /** All sessions that fit, the newest first. `limit`: how many are asked for at once. */
  readonly foundSessions: (options?: SearchOptions) => Stream.Stream<SessionSummary, TinkerError>

  /** Puts a session into a project, which it cannot leave again. */
  readonly assignSessionProject: (sessionId: string, projectId: string) => Effect.Effect<void, TinkerError>

  /**
   * Has the server write down what happened in a session, in the format of Perfetto; gives the address of the file, valid
   * for about an hour. Asks every five seconds; the option `deadline` goes before that of `WaitingPolicy`.
   */
  readonly exportSessionTrace: (
    sessionId: string,
    options?: { readonly deadline?: Duration.DurationInput | undefined }
  ) => Effect.Effect<Redacted.Redacted, TinkerError>

  /** What a sampling session samples from. */
  readonly getSampler: (samplerId: string) => Effect.Effect<ServiceMessages.GetSamplerResponse, TinkerError>

  /**
   * Who the credential belongs to, as its token says; no request asks for that. `InvalidInputError` for a key for which the
   * server gives no token.
   */
  readonly whoami: Effect.Effect<Identity, TinkerError>

  /** What the server knows of a key, which need not be the one of this client. */
  readonly getApiKey: (key: Redacted.Redacted) => Effect.Effect<ApiKeyMessages.ApiKey, TinkerError>

  /** Makes a key invalid for good, which need not be the one of this client. */
  readonly deleteApiKey: (key: Redacted.Redacted) => Effect.Effect<void, TinkerError>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ScopeOptions {
  /** Default `owned`. */
  readonly accessScope?: AccessScope | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface PageOptions {
  /** Most entries. */
  readonly limit?: number | undefined
  /** How many entries to leave out before. Default 0. */
  readonly offset?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface TrainingRunsOptions extends ScopeOptions {
  /** The project whose training runs are listed. */
  readonly projectId?: string | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export type SearchOptions = Partial<Omit<SessionsMessages.SessionSearchRequest, "cursor">>

/**
 * @since 0.1.0
 * @category models
 */
export interface AccessOptions {
  /** A credential of the account that owns the checkpoint. */
  readonly weightsAccessToken?: Redacted.Redacted | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface CopyOptions extends AccessOptions {
  /** Default: the client's project, option `projectId` or `TINKER_PROJECT_ID`. */
  readonly destinationProjectId?: string | undefined
  /** How long the copy is kept, from an hour to ten years. Default: for ever. */
  readonly ttl?: Duration.DurationInput | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Identity {
  readonly userUrn: string
  readonly orgUrn: string
  readonly email: string | undefined
}

type Requirements =
  | ApiKeyApi.ApiKeyApi
  | CheckpointsApi.CheckpointsApi
  | ClientConfig.ClientConfig
  | Credentials.Credentials
  | ServiceApi.ServiceApi
  | SessionsApi.SessionsApi
  | TinkerConfig.TinkerConfig
  | TrainingRunsApi.TrainingRunsApi
  | WeightsApi.WeightsApi

/**
 * Sends nothing until it is used.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, Requirements> = Effect.gen(function*() {
  const service = yield* ServiceApi.ServiceApi
  const apiKeys = yield* ApiKeyApi.ApiKeyApi
  const credentials = yield* Credentials.Credentials
  const clientConfig = yield* ClientConfig.ClientConfig
  const { request } = yield* Sessionless.make
  const { checked, operation } = yield* operations
  return RestClient.of({
    ...yield* TrainingRuns.make,
    ...yield* Checkpoints.make,
    ...yield* CheckpointChanges.make,
    ...yield* Sessions.make,
    getServerCapabilities: request({ name: "RestClient.getServerCapabilities" }, service.getServerCapabilities, {
      policy: "firstContact"
    }),
    getSampler: checked("RestClient.getSampler", { samplerId: id }, (samplerId) =>
      request(
        { name: "RestClient.getSampler", attributes: { samplerId } },
        service.getSampler(samplerId as SamplingSessionId)
      )),
    whoami: identityOf(credentials, clientConfig).pipe(operation("RestClient.whoami")),
    getApiKey: checked(
      "RestClient.getApiKey",
      { key: secret },
      (key) => RetryPolicy.retry(apiKeys.getApiKey(key)).pipe(operation("RestClient.getApiKey"))
    ),
    deleteApiKey: checked(
      "RestClient.deleteApiKey",
      { key: secret },
      (key) => RetryPolicy.retry(apiKeys.deleteApiKey(key)).pipe(operation("RestClient.deleteApiKey"))
    )
  })
})

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<RestClient, never, Requirements> = Layer.effect(RestClient, make)
