/** Checkpoints, of all training runs: what there is, and changes of it. */
import * as CheckpointRef from "@effect-tinker/protocol/CheckpointRef"
import { type Check, id, none, optional, optionsOf, orNull, secret, text } from "@effect-tinker/protocol/Checks"
import {
  invalidInput,
  isRetryable,
  type Issue,
  isUnanswered,
  type TinkerError
} from "@effect-tinker/protocol/TinkerError"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as CheckpointsApi from "../../CheckpointsApi.js"
import type * as ClientConfig from "../../ClientConfig.js"
import type { PageOptions, Service } from "../../RestClient.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import * as TinkerConfig from "../../TinkerConfig.js"
import * as WeightsApi from "../../WeightsApi.js"
import { operations } from "../call/operation.js"
import * as Sessionless from "../call/sessionless.js"
import { checkpoint, checkpointOf } from "../pathChecks.js"
import { ttl, ttlSeconds } from "../training/saveOptions.js"
import { nextOffset, noOptions, pageFields, pageSize } from "./listing.js"

type Methods = Pick<
  Service,
  | "listCheckpoints"
  | "listUserCheckpoints"
  | "userCheckpoints"
  | "getWeightsInfo"
  | "deleteCheckpoint"
  | "publishCheckpoint"
  | "unpublishCheckpoint"
  | "setCheckpointTtl"
  | "copyWeights"
  | "getExternalWeightsUrls"
  | "getCheckpointArchiveUrl"
>

export const make: Effect.Effect<
  Methods,
  never,
  CheckpointsApi.CheckpointsApi | WeightsApi.WeightsApi | ClientConfig.ClientConfig | TinkerConfig.TinkerConfig
> = Effect.gen(function*() {
  const checkpoints = yield* CheckpointsApi.CheckpointsApi
  const weights = yield* WeightsApi.WeightsApi
  const config = yield* TinkerConfig.TinkerConfig
  const { request } = yield* Sessionless.make
  const { checked, checkedStream, operation } = yield* operations

  const userCheckpointsPage = (name: string, { limit = 100, offset = 0 }: PageOptions) =>
    request({ name }, checkpoints.listUserCheckpoints({ limit, offset }))

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

  return {
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
    )
  }
})

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

const ttlOrNull: Check = (value, field) =>
  value === undefined
    ? [{ field, description: "is undefined; pass a duration, or null to keep the checkpoint for ever." }]
    : orNull(ttl)(value, field)

const notExternal = (checkpointId: string): Issue => ({
  field: "checkpointId",
  description: `${checkpointId} was not saved for others to read: save it with saveWeightsExternal.`
})
