/**
 * Endpoints of checkpoints that exist: listing them, changing what holds for them, and where their files are.
 */
import type { CheckpointIds } from "@effect-tinker/protocol/CheckpointRef"
import {
  ArchiveAnswer,
  ArchiveUrl,
  CheckpointsListResponse,
  CopyWeightsRequest,
  CopyWeightsResponse,
  ExternalWeightsUrls
} from "@effect-tinker/protocol/CheckpointsMessages"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { decodeJson, malformed } from "./internal/transport/decodeJson.js"
import { call, ofCollection, post, requests, send, unsupported } from "./internal/transport/endpoint.js"
import { statusError } from "./internal/transport/statusError.js"
import * as RetryPolicy from "./RetryPolicy.js"
import * as TinkerConfig from "./TinkerConfig.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class CheckpointsApi extends Context.Tag("effect-tinker/CheckpointsApi")<CheckpointsApi, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** All checkpoints of a training run, on one page. */
  readonly listCheckpoints: (trainingRunId: string) => Effect.Effect<CheckpointsListResponse, TinkerError>
  /** The checkpoints of all the user's training runs, the newest first. */
  readonly listUserCheckpoints: (page: {
    readonly limit: number
    readonly offset: number
  }) => Effect.Effect<CheckpointsListResponse, TinkerError>
  readonly deleteCheckpoint: (checkpoint: CheckpointIds) => Effect.Effect<void, TinkerError>
  /** Lets everybody use it. `ApiStatusError` of reason `Conflict` when everybody may already. */
  readonly publishCheckpoint: (checkpoint: CheckpointIds) => Effect.Effect<void, TinkerError>
  /** `ApiStatusError` of reason `Conflict` when it is not public. */
  readonly unpublishCheckpoint: (checkpoint: CheckpointIds) => Effect.Effect<void, TinkerError>
  /** Seconds from now on; null: for ever. */
  readonly setCheckpointTtl: (checkpoint: CheckpointIds, ttlSeconds: number | null) => Effect.Effect<void, TinkerError>
  /** `accessToken`: a credential of the account that owns the checkpoint. */
  readonly copyWeights: (
    request: CopyWeightsRequest,
    accessToken?: Redacted.Redacted | undefined
  ) => Effect.Effect<CopyWeightsResponse, TinkerError>
  /** Where the files of a checkpoint of the kind `external_weights` are, each under an address that is valid for a while. */
  readonly externalWeightsUrls: (checkpoint: CheckpointIds) => Effect.Effect<ExternalWeightsUrls, TinkerError>
  /**
   * Where a checkpoint is as one tar file, which may be compressed. Older servers have these, and may have to make it
   * first: then they are asked again, by the policy `archive`.
   */
  readonly archiveUrl: (checkpoint: CheckpointIds) => Effect.Effect<ArchiveUrl, TinkerError>
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<
  Service,
  never,
  TinkerHttpClient.TinkerHttpClient | TinkerConfig.TinkerConfig
> = Effect.gen(function*() {
  const http = yield* TinkerHttpClient.TinkerHttpClient
  const { baseUrl } = yield* TinkerConfig.TinkerConfig
  const list = call(http, Endpoints.listCheckpoints)
  const listOfUser = call(http, Endpoints.listUserCheckpoints)
  const deleteOne = send(http, Endpoints.deleteCheckpoint)
  const publish = send(http, Endpoints.publishCheckpoint)
  const unpublish = send(http, Endpoints.unpublishCheckpoint)
  const setTtl = send(http, Endpoints.setCheckpointTtl)
  const copyWeights = post(http, Endpoints.copyWeights)
  const getExternalWeightsUrls = call(http, Endpoints.getExternalWeightsUrls)
  const archiveRequest = requests(Endpoints.getCheckpointArchiveUrl)

  const askForArchive = (checkpoint: CheckpointIds): Effect.Effect<ArchiveUrl, TinkerError> =>
    Effect.gen(function*() {
      const response = yield* http.execute({
        ...archiveRequest({ parameters: parametersOf(checkpoint) }),
        ...subjectOf(checkpoint),
        followsRedirects: false
      })
      if (response.status === 302) return yield* readRedirect(response, baseUrl)
      if (response.status < 200 || response.status >= 300) {
        const error = yield* statusError(response)
        return yield* lacksArchives.has(response.status) ? unsupported(error) : error
      }
      const { expires, url } = yield* decodeJson(response, ArchiveAnswer)
      return { url, expires: expires ?? (yield* soon) }
    })

  return CheckpointsApi.of({
    listCheckpoints: (id) => list({ parameters: { id } }, { subject: `training run ${id}` }),
    listUserCheckpoints: (query) => ofCollection(listOfUser({ query })),
    deleteCheckpoint: (checkpoint) => deleteOne({ parameters: parametersOf(checkpoint) }, subjectOf(checkpoint)),
    publishCheckpoint: (checkpoint) => publish({ parameters: parametersOf(checkpoint) }, subjectOf(checkpoint)),
    unpublishCheckpoint: (checkpoint) => unpublish({ parameters: parametersOf(checkpoint) }, subjectOf(checkpoint)),
    setCheckpointTtl: (checkpoint, ttlSeconds) =>
      setTtl({ parameters: parametersOf(checkpoint), body: { ttlSeconds } }, subjectOf(checkpoint)),
    copyWeights: (wanted, accessToken) =>
      copyWeights(wanted, {
        subject: `checkpoint ${wanted.sourcePath}`,
        ...(accessToken === undefined
          ? {}
          : { headers: { "x-tinker-weights-access-token": Redacted.value(accessToken) } })
      }),
    externalWeightsUrls: (checkpoint) =>
      getExternalWeightsUrls({ parameters: parametersOf(checkpoint) }, subjectOf(checkpoint)),
    archiveUrl: (checkpoint) => RetryPolicy.retry(askForArchive(checkpoint), { policy: "archive", when: isBeingMade })
  })
})

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  CheckpointsApi,
  never,
  TinkerHttpClient.TinkerHttpClient | TinkerConfig.TinkerConfig
> = Layer.effect(CheckpointsApi, make)

/**
 * Whether the server is still making the archive that it was asked for.
 *
 * @internal
 */
export const isBeingMade = (error: TinkerError): boolean => error._tag === "ApiStatusError" && error.status === 503

/** Some servers have checkpoints without a kind, and so an id of one part. */
const parametersOf = ({ checkpointId, trainingRunId }: CheckpointIds) => {
  const [kind = "", ...name] = checkpointId.split("/")
  return { id: trainingRunId, kind, name: name.join("/") }
}

const subjectOf = ({ checkpointId, trainingRunId }: CheckpointIds) => ({
  subject: `checkpoint tinker://${trainingRunId}/${checkpointId}`
})

/** Servers of today answer so, whatever the checkpoint. */
const lacksArchives: ReadonlySet<number> = new Set([404, 405, 410])

/** The address is in the header, and until when it is valid, if that is told. */
const readRedirect = (response: TinkerHttpClient.Response, baseUrl: string): Effect.Effect<ArchiveUrl, TinkerError> => {
  const { expires, location } = response.headers
  if (location === undefined || !URL.canParse(location, baseUrl)) {
    return malformed({ operation: response.request.operation, response }, "it points nowhere: there is no location")
  }
  const url = Redacted.make(new URL(location, baseUrl).href)
  const until = Date.parse(expires ?? "")
  return Effect.map(soon, (soon) => ({ url, expires: Number.isNaN(until) ? soon : DateTime.unsafeMake(until) }))
}

/** How long an address is taken to be valid whose end is not told. Source: the Python SDK 0.35.0. */
const untold = Duration.minutes(15)

const soon = Effect.map(Clock.currentTimeMillis, (now) => DateTime.unsafeMake(now + Duration.toMillis(untold)))
