/**
 * What exists on the server, whichever program made it: training runs, checkpoints, sessions, samplers. Needs no session.
 *
 * A listing comes as one page, and as a `Stream` of everything, whose pages are asked for as they are wanted. What is made
 * or deleted meanwhile may appear twice or not at all.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Stream from "effect/Stream"
import type { AccessScope } from "./AccessScope.js"
import * as ApiKeyApi from "./ApiKeyApi.js"
import type { Checkpoint } from "./Checkpoint.js"
import * as CheckpointRef from "./CheckpointRef.js"
import * as CheckpointsApi from "./CheckpointsApi.js"
import * as ClientConfig from "./ClientConfig.js"
import * as Credentials from "./Credentials.js"
import type { SamplingSessionId } from "./Identifiers.js"
import { optionIssues } from "./internal/callOptions.js"
import { checkFields, id, oneOf, optional, text, wholeFrom } from "./internal/checkFields.js"
import { exportTrace } from "./internal/exportTrace.js"
import { identityOf } from "./internal/identityOf.js"
import { operations } from "./internal/operation.js"
import { ttlIssues, ttlSeconds } from "./internal/saveOptions.js"
import { searchIssues } from "./internal/searchIssues.js"
import * as Sessionless from "./internal/sessionless.js"
import * as RetryPolicy from "./RetryPolicy.js"
import * as ServiceApi from "./ServiceApi.js"
import * as SessionsApi from "./SessionsApi.js"
import type { SessionSummary } from "./SessionSummary.js"
import * as TinkerConfig from "./TinkerConfig.js"
import { isRetryable, type Issue, isUnanswered, type TinkerError } from "./TinkerError.js"
import * as TinkerPath from "./TinkerPath.js"
import type { TrainingRun } from "./TrainingRun.js"
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
  readonly getServerCapabilities: Effect.Effect<ServiceApi.GetServerCapabilitiesResponse, TinkerError>

  /** By its id, or by the path of one of its checkpoints. */
  readonly getTrainingRun: (idOrPath: string, options?: ScopeOptions) => Effect.Effect<TrainingRun, TinkerError>

  /** One page, the newest first. Default: the first 20. */
  readonly listTrainingRuns: (
    options?: TrainingRunsOptions & PageOptions
  ) => Effect.Effect<TrainingRunsApi.TrainingRunsResponse, TinkerError>

  /** All of them, the newest first. */
  readonly trainingRuns: (options?: TrainingRunsOptions) => Stream.Stream<TrainingRun, TinkerError>

  /** All checkpoints of a training run. */
  readonly listCheckpoints: (
    trainingRunId: string
  ) => Effect.Effect<CheckpointsApi.CheckpointsListResponse, TinkerError>

  /** One page of the checkpoints of all the user's training runs, the newest first. Default: the first 100. */
  readonly listUserCheckpoints: (
    options?: PageOptions
  ) => Effect.Effect<CheckpointsApi.CheckpointsListResponse, TinkerError>

  /** The checkpoints of all the user's training runs, the newest first. */
  readonly userCheckpoints: () => Stream.Stream<Checkpoint, TinkerError>

  /** What a checkpoint was made of. Works for whatever path the server knows. */
  readonly getWeightsInfo: (
    path: string,
    options?: AccessOptions
  ) => Effect.Effect<WeightsApi.WeightsInfoResponse, TinkerError>

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
  ) => Effect.Effect<CheckpointsApi.ExternalWeightsUrls, TinkerError>

  /**
   * Where a checkpoint is as one file, for a while: older servers have these. Others fail with an `ApiStatusError` of
   * reason `Unsupported`.
   */
  readonly getCheckpointArchiveUrl: (
    checkpoint: CheckpointRef.CheckpointRef
  ) => Effect.Effect<CheckpointsApi.ArchiveUrl, TinkerError>

  readonly getSession: (
    sessionId: string,
    options?: ScopeOptions
  ) => Effect.Effect<SessionsApi.GetSessionResponse, TinkerError>

  /** Ids of sessions, one page. Default: the first 20. */
  readonly listSessions: (
    options?: ScopeOptions & PageOptions
  ) => Effect.Effect<SessionsApi.ListSessionsResponse, TinkerError>

  /** Ids of all sessions. */
  readonly sessions: (options?: ScopeOptions) => Stream.Stream<string, TinkerError>

  /** One page of the sessions that fit, the newest first. Default: 50 of the user's own. Experimental on the server. */
  readonly searchSessions: (
    options?: SearchOptions & { readonly cursor?: SessionsApi.SearchCursor | undefined }
  ) => Effect.Effect<SessionsApi.SessionSearchResponse, TinkerError>

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
  readonly getSampler: (samplerId: string) => Effect.Effect<ServiceApi.GetSamplerResponse, TinkerError>

  /**
   * Who the credential belongs to, as its token says; no request asks for that. `InvalidInputError` for a key for which the
   * server gives no token.
   */
  readonly whoami: Effect.Effect<Identity, TinkerError>

  /** What the server knows of a key, which need not be the one of this client. */
  readonly getApiKey: (key: Redacted.Redacted) => Effect.Effect<ApiKeyApi.ApiKey, TinkerError>

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
  /** Those of one project. */
  readonly projectId?: string | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export type SearchOptions = Partial<Omit<SessionsApi.SessionSearchRequest, "cursor">>

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

/**
 * @since 0.1.0
 * @category models
 */
export type Requirements =
  | ApiKeyApi.ApiKeyApi
  | CheckpointsApi.CheckpointsApi
  | ClientConfig.ClientConfig
  | Credentials.Credentials
  | ServiceApi.ServiceApi
  | SessionsApi.SessionsApi
  | TinkerConfig.TinkerConfig
  | TrainingRunsApi.TrainingRunsApi
  | WeightsApi.WeightsApi

/** Of the streams. The sizes of single pages are those of the Python SDK 0.38.0. */
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
  const { operation } = yield* operations

  const getTrainingRun: Service["getTrainingRun"] = (idOrPath, { accessScope = "owned" } = {}) => {
    const name = "RestClient.getTrainingRun"
    const path = idOrPath.startsWith("tinker://") ? CheckpointRef.resolve(name, idOrPath) : undefined
    const trainingRunId = path === undefined
      ? idOrPath
      : Either.match(path, { onLeft: () => "", onRight: (ids) => ids.trainingRunId })
    const issues = path !== undefined && Either.isLeft(path)
      ? [issueOf(path.left)]
      : checkFields({ trainingRunId, accessScope }, { trainingRunId: id, accessScope: scope })
    return request({ name, issues, attributes: { trainingRunId } }, runs.getTrainingRun(trainingRunId, accessScope))
  }

  const trainingRunsPage = (
    name: string,
    { accessScope = "owned", limit = 20, offset = 0, projectId }: TrainingRunsOptions & PageOptions
  ) => {
    const page = { limit, offset, accessScope, projectId }
    return request(
      { name, issues: checkFields(page, { ...pageRules, accessScope: scope, projectId: optional(text) }) },
      runs.listTrainingRuns(page)
    )
  }

  const userCheckpointsPage = (name: string, { limit = 100, offset = 0 }: PageOptions) => {
    const page = { limit, offset }
    return request({ name, issues: checkFields(page, pageRules) }, checkpoints.listUserCheckpoints(page))
  }

  const sessionsPage = (
    name: string,
    { accessScope = "owned", limit = 20, offset = 0 }: ScopeOptions & PageOptions
  ) => {
    const page = { limit, offset, accessScope }
    return request(
      { name, issues: checkFields(page, { ...pageRules, accessScope: scope }) },
      sessions.listSessions(page)
    )
  }

  const searchPage = (name: string, options: Partial<SessionsApi.SessionSearchRequest>) => {
    const search: SessionsApi.SessionSearchRequest = {
      ...options,
      userMetadata: options.userMetadata ?? {},
      owner: options.owner ?? { type: "own" },
      limit: options.limit ?? 50
    }
    return request({ name, issues: searchIssues(search) }, sessions.searchSessions(search))
  }

  /** A call about one checkpoint. */
  const onCheckpoint = <A>(
    method: string,
    ref: CheckpointRef.CheckpointRef,
    ask: (checkpoint: CheckpointRef.CheckpointIds) => Effect.Effect<A, TinkerError>,
    options: {
      readonly issues?: (checkpoint: CheckpointRef.CheckpointIds) => ReadonlyArray<Issue>
      readonly when?: (error: TinkerError) => boolean
    } = {}
  ): Effect.Effect<A, TinkerError> => {
    const name = `RestClient.${method}`
    return Either.match(CheckpointRef.resolve(name, ref), {
      onLeft: (issue) => request({ name, issues: [issueOf(issue)] }, Effect.fail(issue)),
      onRight: (checkpoint) =>
        request(
          { name, issues: options.issues?.(checkpoint) ?? [], attributes: { ...checkpoint } },
          ask(checkpoint),
          { when: options.when }
        )
    })
  }

  /**
   * A change of one checkpoint. When the answer to an attempt was lost and the next one is told `status`, the lost one has
   * made the change.
   */
  const change = (
    method: string,
    ref: CheckpointRef.CheckpointRef,
    ask: (checkpoint: CheckpointRef.CheckpointIds) => Effect.Effect<void, TinkerError>,
    status: number
  ) =>
    Effect.suspend(() => {
      let lost = false
      return onCheckpoint(method, ref, (checkpoint) =>
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

  const copyWeights: Service["copyWeights"] = (path, call = {}) => {
    const name = "RestClient.copyWeights"
    const { weightsAccessToken, ...options } = call
    const destinationProjectId = options.destinationProjectId ?? Option.getOrUndefined(config.projectId)
    const issues: Array<Issue> = [
      ...optionIssues(call, ["destinationProjectId", "ttl", "weightsAccessToken"]),
      ...TinkerPath.issues("path", path),
      ...ttlIssues(options)
    ]
    if (!destinationProjectId) {
      issues.push({
        field: "destinationProjectId",
        description: "is missing: say which project the copy is for, here or by TINKER_PROJECT_ID."
      })
    }
    return request(
      { name, issues, attributes: { path } },
      Effect.map(
        checkpoints.copyWeights(
          { sourcePath: path, destinationProjectId, ttlSeconds: ttlSeconds(options) },
          weightsAccessToken
        ),
        ({ tinkerPath }) => tinkerPath
      )
    )
  }

  const ofSession = (method: string, sessionId: string, others: ReadonlyArray<Issue> = []) => ({
    name: `RestClient.${method}`,
    issues: [...checkFields({ sessionId }, { sessionId: id }), ...others],
    attributes: { sessionId }
  })

  return RestClient.of({
    getServerCapabilities: request({ name: "RestClient.getServerCapabilities" }, service.getServerCapabilities, {
      policy: "firstContact"
    }),
    getTrainingRun,
    listTrainingRuns: (options = {}) => trainingRunsPage("RestClient.listTrainingRuns", options),
    trainingRuns: (options = {}) =>
      Sessionless.pages(0, (offset) =>
        Effect.map(
          trainingRunsPage("RestClient.trainingRuns", { ...options, limit: pageSize, offset }),
          ({ cursor, trainingRuns }) => ({ entries: trainingRuns, next: nextOffset(offset, trainingRuns, cursor) })
        )),
    listCheckpoints: (trainingRunId) =>
      request({
        name: "RestClient.listCheckpoints",
        issues: checkFields({ trainingRunId }, { trainingRunId: id }),
        attributes: { trainingRunId }
      }, checkpoints.listCheckpoints(trainingRunId)),
    listUserCheckpoints: (options = {}) => userCheckpointsPage("RestClient.listUserCheckpoints", options),
    userCheckpoints: () =>
      Sessionless.pages(0, (offset) =>
        Effect.map(
          userCheckpointsPage("RestClient.userCheckpoints", { limit: pageSize, offset }),
          ({ checkpoints, cursor }) => ({ entries: checkpoints, next: nextOffset(offset, checkpoints, cursor) })
        )),
    getWeightsInfo: (path, options = {}) =>
      request(
        { name: "RestClient.getWeightsInfo", issues: checkFields({ path }, { path: text }), attributes: { path } },
        weights.weightsInfo(path, options.weightsAccessToken)
      ),
    deleteCheckpoint: (ref) => change("deleteCheckpoint", ref, checkpoints.deleteCheckpoint, 404),
    publishCheckpoint: (ref) => change("publishCheckpoint", ref, checkpoints.publishCheckpoint, 409),
    unpublishCheckpoint: (ref) => change("unpublishCheckpoint", ref, checkpoints.unpublishCheckpoint, 409),
    setCheckpointTtl: (ref, ttl) =>
      onCheckpoint(
        "setCheckpointTtl",
        ref,
        (checkpoint) => checkpoints.setCheckpointTtl(checkpoint, ttl === null ? null : ttlSeconds({ ttl }) ?? null),
        {
          issues: () =>
            ttl === undefined
              ? [{
                field: "ttl",
                description: "is undefined; pass a duration, or null to keep the checkpoint for ever."
              }]
              : ttl === null
              ? []
              : ttlIssues({ ttl })
        }
      ),
    copyWeights,
    getExternalWeightsUrls: (ref) =>
      onCheckpoint("getExternalWeightsUrls", ref, checkpoints.externalWeightsUrls, {
        issues: ({ checkpointId }) => checkpointId.startsWith("external_weights/") ? [] : [notExternal(checkpointId)]
      }),
    getCheckpointArchiveUrl: (ref) =>
      onCheckpoint("getCheckpointArchiveUrl", ref, checkpoints.archiveUrl, {
        // Its own policy has waited for it long enough.
        when: (error) => isRetryable(error) && !CheckpointsApi.isBeingMade(error)
      }),
    getSession: (sessionId, { accessScope = "owned" } = {}) =>
      request(
        ofSession("getSession", sessionId, checkFields({ accessScope }, { accessScope: scope })),
        sessions.getSession(sessionId, accessScope)
      ),
    listSessions: (options = {}) => sessionsPage("RestClient.listSessions", options),
    sessions: (options = {}) =>
      Sessionless.pages(0, (offset) =>
        Effect.map(
          sessionsPage("RestClient.sessions", { ...options, limit: pageSize, offset }),
          ({ sessions }) => ({ entries: sessions, next: sessions.length < pageSize ? undefined : offset + pageSize })
        )),
    searchSessions: (options = {}) => searchPage("RestClient.searchSessions", options),
    foundSessions: (options = {}) =>
      Sessionless.pages<SessionSummary, SessionsApi.SearchCursor | "begin">("begin", (cursor) =>
        Effect.map(
          searchPage("RestClient.foundSessions", cursor === "begin" ? options : { ...options, cursor }),
          ({ nextCursor, sessions }) => ({ entries: sessions, next: nextCursor })
        )),
    assignSessionProject: (sessionId, projectId) =>
      request(
        ofSession("assignSessionProject", sessionId, checkFields({ projectId }, { projectId: text })),
        sessions.assignSessionProject(sessionId, projectId)
      ),
    exportSessionTrace: (sessionId, options = {}) =>
      call(
        ofSession("exportSessionTrace", sessionId),
        exportTrace(RetryPolicy.retry(sessions.traceExport(sessionId)), sessionId, options.deadline)
      ),
    getSampler: (samplerId) =>
      request({
        name: "RestClient.getSampler",
        issues: checkFields({ samplerId }, { samplerId: id }),
        attributes: { samplerId }
      }, service.getSampler(samplerId as SamplingSessionId)),
    whoami: identityOf(credentials, clientConfig).pipe(operation("RestClient.whoami")),
    getApiKey: (key) => RetryPolicy.retry(apiKeys.getApiKey(key)).pipe(operation("RestClient.getApiKey")),
    deleteApiKey: (key) => RetryPolicy.retry(apiKeys.deleteApiKey(key)).pipe(operation("RestClient.deleteApiKey"))
  })
})

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<RestClient, never, Requirements> = Layer.effect(RestClient, make)

const issueOf = ({ description, field }: Issue): Issue => ({ field, description })

const scope = oneOf("owned", "accessible")

const pageRules = { limit: wholeFrom(1), offset: wholeFrom(0) }

/** Without a cursor everything is on the page. */
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
