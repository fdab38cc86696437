/** Checkpoints, of all training runs: what there is, and where its files are. */
import { type Check, id, none, optional, optionsOf, secret, text } from "@effect-tinker/protocol/Checks"
import { isRetryable, type Issue } from "@effect-tinker/protocol/TinkerError"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as Effect from "effect/Effect"
import * as CheckpointsApi from "../../CheckpointsApi.js"
import type * as ClientConfig from "../../ClientConfig.js"
import type { PageOptions, Service } from "../../RestClient.js"
import * as WeightsApi from "../../WeightsApi.js"
import { operations } from "../call/operation.js"
import * as Sessionless from "../call/sessionless.js"
import { checkpoint, checkpointOf } from "../pathChecks.js"
import { nextOffset, noOptions, pageFields, pageSize } from "./listing.js"
import { onCheckpoint } from "./onCheckpoint.js"

type Methods = Pick<
  Service,
  | "listCheckpoints"
  | "listUserCheckpoints"
  | "userCheckpoints"
  | "getWeightsInfo"
  | "getExternalWeightsUrls"
  | "getCheckpointArchiveUrl"
>

export const make: Effect.Effect<
  Methods,
  never,
  CheckpointsApi.CheckpointsApi | WeightsApi.WeightsApi | ClientConfig.ClientConfig
> = Effect.gen(function*() {
  const checkpoints = yield* CheckpointsApi.CheckpointsApi
  const weights = yield* WeightsApi.WeightsApi
  const { request } = yield* Sessionless.make
  const { checked, checkedStream } = yield* operations

  const userCheckpointsPage = (name: string, { limit = 100, offset = 0 }: PageOptions) =>
    request({ name }, checkpoints.listUserCheckpoints({ limit, offset }))

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
    getExternalWeightsUrls: checked(
      "RestClient.getExternalWeightsUrls",
      { checkpoint: externalCheckpoint },
      (ref) => onCheckpoint(request, "RestClient.getExternalWeightsUrls", ref, checkpoints.externalWeightsUrls)
    ),
    getCheckpointArchiveUrl: checked(
      "RestClient.getCheckpointArchiveUrl",
      { checkpoint },
      (ref) =>
        onCheckpoint(request, "RestClient.getCheckpointArchiveUrl", ref, checkpoints.archiveUrl, {
          // Its own policy has waited for it long enough.
          when: (error) => isRetryable(error) && !CheckpointsApi.isBeingMade(error)
        })
    )
  }
})

/** Servers write paths in many ways, but none as addresses of the web. */
const anyPath: Check = (value, field) =>
  typeof value === "string" && /^https?:/i.test(value) ? TinkerPath.issues(field, value) : text(value, field)

const externalCheckpoint = checkpointOf((checkpointId) =>
  checkpointId.startsWith("external_weights/") ? none : [notExternal(checkpointId)]
)

const notExternal = (checkpointId: string): Issue => ({
  field: "checkpointId",
  description: `${checkpointId} was not saved for others to read: save it with saveWeightsExternal.`
})
