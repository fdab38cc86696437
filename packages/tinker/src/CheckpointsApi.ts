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
  ExternalWeightsUrls,
  SetTtlRequest
} from "@effect-tinker/protocol/CheckpointsMessages"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { decodeJson, malformed } from "./internal/decodeJson.js"
import { ofCollection, post, unsupported } from "./internal/endpoint.js"
import { withQuery } from "./internal/query.js"
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
  const copyWeights = post(http, "copy_weights", CopyWeightsRequest, CopyWeightsResponse)
  const encodeTtl = Schema.encodeSync(SetTtlRequest)

  const request = (
    operation: string,
    method: TinkerHttpClient.Request["method"],
    { checkpointId, trainingRunId }: CheckpointIds,
    rest = ""
  ): TinkerHttpClient.Request => ({
    operation,
    method,
    path: `/api/v1/training_runs/${trainingRunId}/checkpoints/${checkpointId}${rest}`,
    subject: `checkpoint tinker://${trainingRunId}/${checkpointId}`
  })
  const send = (request: TinkerHttpClient.Request) => Effect.asVoid(http.request(request))

  const askForArchive = (checkpoint: CheckpointIds): Effect.Effect<ArchiveUrl, TinkerError> =>
    Effect.gen(function*() {
      const response = yield* http.execute({
        ...request("get_checkpoint_archive_url", "GET", checkpoint, "/archive"),
        followsRedirects: false
      })
      if (response.status === 302) return yield* readRedirect(response, baseUrl)
      if (response.status < 200 || response.status >= 300) {
        const error = yield* TinkerHttpClient.statusError(response)
        return yield* lacksArchives.has(response.status) ? unsupported(error) : error
      }
      const { expires, url } = yield* decodeJson(response, ArchiveAnswer)
      return { url, expires: expires ?? (yield* soon) }
    })

  return CheckpointsApi.of({
    listCheckpoints: (trainingRunId) =>
      http.json({
        operation: "list_checkpoints",
        method: "GET",
        path: `/api/v1/training_runs/${trainingRunId}/checkpoints`,
        subject: `training run ${trainingRunId}`
      }, CheckpointsListResponse),
    listUserCheckpoints: ({ limit, offset }) =>
      ofCollection(http.json({
        operation: "list_user_checkpoints",
        method: "GET",
        path: withQuery("/api/v1/checkpoints", { limit, offset })
      }, CheckpointsListResponse)),
    deleteCheckpoint: (checkpoint) => send(request("delete_checkpoint", "DELETE", checkpoint)),
    publishCheckpoint: (checkpoint) => send(request("publish_checkpoint", "POST", checkpoint, "/publish")),
    unpublishCheckpoint: (checkpoint) => send(request("unpublish_checkpoint", "DELETE", checkpoint, "/publish")),
    setCheckpointTtl: (checkpoint, ttlSeconds) =>
      Effect.suspend(() =>
        send({
          ...request("set_checkpoint_ttl", "PUT", checkpoint, "/ttl"),
          body: TinkerHttpClient.jsonBody(encodeTtl({ ttlSeconds }))
        })
      ),
    copyWeights: (wanted, accessToken) =>
      copyWeights(wanted, {
        subject: `checkpoint ${wanted.sourcePath}`,
        ...(accessToken === undefined
          ? {}
          : { headers: { "x-tinker-weights-access-token": Redacted.value(accessToken) } })
      }),
    externalWeightsUrls: (checkpoint) =>
      http.json(
        request("get_external_weights_urls", "GET", checkpoint, "/external_weights_urls"),
        ExternalWeightsUrls
      ),
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
 * @since 0.1.0
 * @category guards
 */
export const isBeingMade = (error: TinkerError): boolean => error._tag === "ApiStatusError" && error.status === 503

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

/** For addresses whose end is not told. Source: the Python SDK 0.35.0. */
const untold = Duration.minutes(15)

const soon = Effect.map(Clock.currentTimeMillis, (now) => DateTime.unsafeMake(now + Duration.toMillis(untold)))
