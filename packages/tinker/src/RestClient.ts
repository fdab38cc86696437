/**
 * What exists on the server, whichever program made it: training runs, checkpoints, sessions, samplers. Needs no session.
 *
 * A listing comes as one page, and as a `Stream` of everything, whose pages are asked for as they are wanted. What is made
 * or deleted meanwhile may appear twice or not at all.
 */
import type { AccessScope } from "@effect-tinker/protocol/AccessScope"
import * as ApiKeyMessages from "@effect-tinker/protocol/ApiKeyMessages"
import { kindOf } from "@effect-tinker/protocol/CallOptions"
import type { Checkpoint } from "@effect-tinker/protocol/Checkpoint"
import * as CheckpointRef from "@effect-tinker/protocol/CheckpointRef"
import * as CheckpointsMessages from "@effect-tinker/protocol/CheckpointsMessages"
import {
  type Check,
  duration,
  id,
  none,
  oneOf,
  optional,
  optionsOf,
  orNull,
  secret,
  text,
  wholeFrom
} from "@effect-tinker/protocol/Checks"
import type { SamplingSessionId } from "@effect-tinker/protocol/Identifiers"
import * as ServiceMessages from "@effect-tinker/protocol/ServiceMessages"
import * as SessionsMessages from "@effect-tinker/protocol/SessionsMessages"
import type { SessionSummary } from "@effect-tinker/protocol/SessionSummary"
import {
  invalidInput,
  type InvalidInputError,
  isRetryable,
  type Issue,
  isUnanswered,
  type TinkerError
} from "@effect-tinker/protocol/TinkerError"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import type { TrainingRun } from "@effect-tinker/protocol/TrainingRun"
import * as TrainingRunsMessages from "@effect-tinker/protocol/TrainingRunsMessages"
import * as WeightsMessages from "@effect-tinker/protocol/WeightsMessages"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Stream from "effect/Stream"
import * as ApiKeyApi from "./ApiKeyApi.js"
import * as CheckpointsApi from "./CheckpointsApi.js"
import * as ClientConfig from "./ClientConfig.js"
import * as Credentials from "./Credentials.js"
import { operations } from "./internal/call/operation.js"
import * as Sessionless from "./internal/call/sessionless.js"
import { exportTrace } from "./internal/download/exportTrace.js"
import { identityOf } from "./internal/identityOf.js"
import { checkpoint, checkpointOf } from "./internal/pathChecks.js"
import { searchCursor, searchFields } from "./internal/searchFields.js"
import { ttl, ttlSeconds } from "./internal/training/saveOptions.js"
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

/** The size of the pages that streams ask for. The sizes of single pages are those of the Python SDK 0.38.0. */
const pageSize = 100

/**
 * Sends nothing until it is used.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, Requirements> = Effect.gen(function*() {
  const runs = yield* TrainingRunsApi.TrainingRunsApi
  const checkpoints = yield* CheckpointsApi.CheckpointsApi
  const sessions = yield* SessionsApi.SessionsApi
  const service = yield* ServiceApi.ServiceApi
  const weights = yield* WeightsApi.WeightsApi
  const apiKeys = yield* ApiKeyApi.ApiKeyApi
  const credentials = yield* Credentials.Credentials
  const clientConfig = yield* ClientConfig.ClientConfig
  const config = yield* TinkerConfig.TinkerConfig
  const { call, request } = yield* Sessionless.make
  const { checked, checkedStream, operation } = yield* operations

  const trainingRunsPage = (
    name: string,
    { accessScope = "owned", limit = 20, offset = 0, projectId }: TrainingRunsOptions & PageOptions
  ) => request({ name }, runs.listTrainingRuns({ limit, offset, accessScope, projectId }))

  const userCheckpointsPage = (name: string, { limit = 100, offset = 0 }: PageOptions) =>
    request({ name }, checkpoints.listUserCheckpoints({ limit, offset }))

  const sessionsPage = (
    name: string,
    { accessScope = "owned", limit = 20, offset = 0 }: ScopeOptions & PageOptions
  ) => request({ name }, sessions.listSessions({ limit, offset, accessScope }))

  const searchPage = (name: string, options: Partial<SessionsMessages.SessionSearchRequest>) =>
    request(
      { name },
      sessions.searchSessions({
        ...options,
        userMetadata: options.userMetadata ?? {},
        owner: options.owner ?? { type: "own" },
        limit: options.limit ?? 50
      })
    )

  /** A call about one checkpoint. */
  const onCheckpoint = <A>(
    name: string,
    ref: CheckpointRef.CheckpointRef,
    ask: (checkpoint: CheckpointRef.CheckpointIds) => Effect.Effect<A, TinkerError>,
    options?: RetryPolicy.RetryOptions
  ): Effect.Effect<A, TinkerError> =>
    Effect.flatMap(
      CheckpointRef.resolve(name, ref),
      (checkpoint) => request({ name, attributes: { ...checkpoint } }, ask(checkpoint), options)
    )

  /**
   * A change of one checkpoint. When the answer to an attempt was lost and the next one is told `status`, the lost one has
   * made the change.
   */
  const change = (
    method: string,
    ask: (checkpoint: CheckpointRef.CheckpointIds) => Effect.Effect<void, TinkerError>,
    status: number
  ) => {
    const name = `RestClient.${method}`
    return checked(name, { checkpoint: kindedCheckpoint }, (ref: CheckpointRef.CheckpointRef) => {
      let lost = false
      return onCheckpoint(name, ref, (checkpoint) =>
        ask(checkpoint).pipe(
          Effect.tapError((error) =>
            Effect.sync(() => {
              lost ||= isUnanswered(error)
            })
          ),
          Effect.catchIf(
            (error) => lost && error._tag === "ApiStatusError" && error.status === status,
            () => Effect.void
          )
        ))
    })
  }

  const copyWeights: Service["copyWeights"] = (path, { weightsAccessToken, ...options } = {}) => {
    const name = "RestClient.copyWeights"
    const destinationProjectId = options.destinationProjectId ?? Option.getOrUndefined(config.projectId)
    if (!destinationProjectId) {
      return operation(name)(invalidInput(name, [{
        field: "destinationProjectId",
        description: "is missing: say which project the copy is for, here or by TINKER_PROJECT_ID."
      }]))
    }
    return request(
      { name, attributes: { path } },
      Effect.map(
        checkpoints.copyWeights(
          { sourcePath: path, destinationProjectId, ttlSeconds: ttlSeconds(options) },
          weightsAccessToken
        ),
        ({ tinkerPath }) => tinkerPath
      )
    )
  }

  const ofSession = (method: string, sessionId: string) => ({ name: `RestClient.${method}`, attributes: { sessionId } })

  return RestClient.of({
    getServerCapabilities: request({ name: "RestClient.getServerCapabilities" }, service.getServerCapabilities, {
      policy: "firstContact"
    }),
    getTrainingRun: checked(
      "RestClient.getTrainingRun",
      { idOrPath: trainingRun, options: scopeOptions },
      (idOrPath, { accessScope = "owned" } = {}) =>
        Effect.flatMap(trainingRunIdOf(idOrPath), (trainingRunId) =>
          request(
            { name: "RestClient.getTrainingRun", attributes: { trainingRunId } },
            runs.getTrainingRun(trainingRunId, accessScope)
          ))
    ),
    listTrainingRuns: checked(
      "RestClient.listTrainingRuns",
      { options: optional(optionsOf({ ...pageFields, accessScope, projectId: optional(text) })) },
      (options = {}) => trainingRunsPage("RestClient.listTrainingRuns", options)
    ),
    trainingRuns: checkedStream(
      "RestClient.trainingRuns",
      { options: optional(optionsOf({ accessScope, projectId: optional(text) })) },
      (options = {}) =>
        Sessionless.pages(0, (offset) =>
          Effect.map(
            trainingRunsPage("RestClient.trainingRuns", { ...options, limit: pageSize, offset }),
            ({ cursor, trainingRuns }) => ({ entries: trainingRuns, next: nextOffset(offset, trainingRuns, cursor) })
          ))
    ),
    listCheckpoints: checked("RestClient.listCheckpoints", { trainingRunId: id }, (trainingRunId) =>
      request(
        { name: "RestClient.listCheckpoints", attributes: { trainingRunId } },
        checkpoints.listCheckpoints(trainingRunId)
      )),
    listUserCheckpoints: checked(
      "RestClient.listUserCheckpoints",
      { options: optional(optionsOf(pageFields)) },
      (options = {}) => userCheckpointsPage("RestClient.listUserCheckpoints", options)
    ),
    userCheckpoints: checkedStream(
      "RestClient.userCheckpoints",
      { options: noOptions },
      () =>
        Sessionless.pages(0, (offset) =>
          Effect.map(
            userCheckpointsPage("RestClient.userCheckpoints", { limit: pageSize, offset }),
            ({ checkpoints, cursor }) => ({ entries: checkpoints, next: nextOffset(offset, checkpoints, cursor) })
          ))
    ),
    getWeightsInfo: checked(
      "RestClient.getWeightsInfo",
      { path: anyPath, options: optional(optionsOf({ weightsAccessToken: optional(secret) })) },
      (path, options = {}) =>
        request(
          { name: "RestClient.getWeightsInfo", attributes: { path } },
          weights.weightsInfo(path, options.weightsAccessToken)
        )
    ),
    deleteCheckpoint: change("deleteCheckpoint", checkpoints.deleteCheckpoint, 404),
    publishCheckpoint: change("publishCheckpoint", checkpoints.publishCheckpoint, 409),
    unpublishCheckpoint: change("unpublishCheckpoint", checkpoints.unpublishCheckpoint, 409),
    setCheckpointTtl: checked(
      "RestClient.setCheckpointTtl",
      { checkpoint: kindedCheckpoint, ttl: ttlOrNull },
      (ref, ttl) =>
        onCheckpoint(
          "RestClient.setCheckpointTtl",
          ref,
          (checkpoint) => checkpoints.setCheckpointTtl(checkpoint, ttl === null ? null : ttlSeconds({ ttl }) ?? null)
        )
    ),
    copyWeights: checked("RestClient.copyWeights", {
      path: (value, field) => TinkerPath.issues(field, value as string),
      options: optional(optionsOf({
        destinationProjectId: optional(text),
        ttl: optional(ttl),
        weightsAccessToken: optional(secret)
      }))
    }, copyWeights),
    getExternalWeightsUrls: checked(
      "RestClient.getExternalWeightsUrls",
      { checkpoint: externalCheckpoint },
      (ref) => onCheckpoint("RestClient.getExternalWeightsUrls", ref, checkpoints.externalWeightsUrls)
    ),
    getCheckpointArchiveUrl: checked(
      "RestClient.getCheckpointArchiveUrl",
      { checkpoint },
      (ref) =>
        onCheckpoint("RestClient.getCheckpointArchiveUrl", ref, checkpoints.archiveUrl, {
          // Its own policy has waited for it long enough.
          when: (error) => isRetryable(error) && !CheckpointsApi.isBeingMade(error)
        })
    ),
    getSession: checked(
      "RestClient.getSession",
      { sessionId: id, options: scopeOptions },
      (sessionId, { accessScope = "owned" } = {}) =>
        request(ofSession("getSession", sessionId), sessions.getSession(sessionId, accessScope))
    ),
    listSessions: checked(
      "RestClient.listSessions",
      { options: optional(optionsOf({ ...pageFields, accessScope })) },
      (options = {}) => sessionsPage("RestClient.listSessions", options)
    ),
    sessions: checkedStream(
      "RestClient.sessions",
      { options: scopeOptions },
      (options = {}) =>
        Sessionless.pages(0, (offset) =>
          Effect.map(
            sessionsPage("RestClient.sessions", { ...options, limit: pageSize, offset }),
            ({ sessions }) => ({ entries: sessions, next: sessions.length < pageSize ? undefined : offset + pageSize })
          ))
    ),
    searchSessions: checked(
      "RestClient.searchSessions",
      { options: optional(optionsOf({ ...searchFields, cursor: optional(searchCursor) })) },
      (options = {}) => searchPage("RestClient.searchSessions", options)
    ),
    foundSessions: checkedStream(
      "RestClient.foundSessions",
      { options: optional(optionsOf(searchFields)) },
      (options = {}) =>
        Sessionless.pages<SessionSummary, SessionsMessages.SearchCursor | "begin">("begin", (cursor) =>
          Effect.map(
            searchPage("RestClient.foundSessions", cursor === "begin" ? options : { ...options, cursor }),
            ({ nextCursor, sessions }) => ({ entries: sessions, next: nextCursor })
          ))
    ),
    assignSessionProject: checked(
      "RestClient.assignSessionProject",
      { sessionId: id, projectId: text },
      (sessionId, projectId) =>
        request(ofSession("assignSessionProject", sessionId), sessions.assignSessionProject(sessionId, projectId))
    ),
    exportSessionTrace: checked(
      "RestClient.exportSessionTrace",
      { sessionId: id, options: optional(optionsOf({ deadline: optional(duration) })) },
      (sessionId, options = {}) =>
        call(
          ofSession("exportSessionTrace", sessionId),
          exportTrace(RetryPolicy.retry(sessions.traceExport(sessionId)), sessionId, options.deadline)
        )
    ),
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

/** The id of a training run, given by itself or by the path of one of its checkpoints. */
const trainingRunIdOf = (idOrPath: string): Either.Either<string, InvalidInputError> =>
  idOrPath.startsWith("tinker://")
    ? Either.map(CheckpointRef.resolve("RestClient.getTrainingRun", idOrPath), ({ trainingRunId }) => trainingRunId)
    : Either.right(idOrPath)

const trainingRun: Check = (value) =>
  typeof value === "string" && value.startsWith("tinker://") ? checkpoint(value, "path") : id(value, "trainingRunId")

/** Some servers list ids without a kind, by which they give archives; none changes anything by them. */
const kindedCheckpoint = checkpointOf((checkpointId) =>
  checkpointId.includes("/") ? none : [{
    field: "checkpointId",
    description:
      `${JSON.stringify(checkpointId)} has no kind before its name; pass e.g. weights/${checkpointId}, or the path, `
      + `as tinker://<training run>/weights/${checkpointId}.`
  }]
)

/** Servers write paths in many ways, but none as addresses of the web. */
const anyPath: Check = (value, field) =>
  typeof value === "string" && /^https?:/i.test(value) ? TinkerPath.issues(field, value) : text(value, field)

const externalCheckpoint = checkpointOf((checkpointId) =>
  checkpointId.startsWith("external_weights/") ? none : [notExternal(checkpointId)]
)

const accessScope = optional(oneOf("owned", "accessible"))

const scopeOptions = optional(optionsOf({ accessScope }))

const pageFields = { limit: optional(wholeFrom(1)), offset: optional(wholeFrom(0)) }

const noOptions: Check = (value) =>
  value === undefined
    ? none
    : [{
      field: "options",
      description: `are ${kindOf(value)}; this stream has none: it ends where its consumer stops.`
    }]

const ttlOrNull: Check = (value, field) =>
  value === undefined
    ? [{ field, description: "is undefined; pass a duration, or null to keep the checkpoint for ever." }]
    : orNull(ttl)(value, field)

/** The offset of the next page, if there is one: without a cursor everything is on the page. */
const nextOffset = (
  offset: number,
  entries: ReadonlyArray<unknown>,
  cursor: { readonly totalCount: number } | undefined
): number | undefined => {
  const next = offset + entries.length
  return cursor === undefined || entries.length === 0 || next >= cursor.totalCount ? undefined : next
}

const notExternal = (checkpointId: string): Issue => ({
  field: "checkpointId",
  description: `${checkpointId} was not saved for others to read: save it with saveWeightsExternal.`
})
