/** Changes of checkpoints, of all training runs. */
import * as CheckpointRef from "@effect-tinker/protocol/CheckpointRef"
import { type Check, none, optional, optionsOf, orNull, secret, text } from "@effect-tinker/protocol/Checks"
import { invalidInput, isUnanswered, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as CheckpointsApi from "../../CheckpointsApi.js"
import type * as ClientConfig from "../../ClientConfig.js"
import type { Service } from "../../RestClient.js"
import * as TinkerConfig from "../../TinkerConfig.js"
import { operations } from "../call/operation.js"
import * as Sessionless from "../call/sessionless.js"
import { checkpointOf } from "../pathChecks.js"
import { ttl, ttlSeconds } from "../training/saveOptions.js"
import { onCheckpoint } from "./onCheckpoint.js"

type Methods = Pick<
  Service,
  | "deleteCheckpoint"
  | "publishCheckpoint"
  | "unpublishCheckpoint"
  | "setCheckpointTtl"
  | "copyWeights"
>

export const make: Effect.Effect<
  Methods,
  never,
  CheckpointsApi.CheckpointsApi | ClientConfig.ClientConfig | TinkerConfig.TinkerConfig
> = Effect.gen(function*() {
  const checkpoints = yield* CheckpointsApi.CheckpointsApi
  const config = yield* TinkerConfig.TinkerConfig
  const { request } = yield* Sessionless.make
  const { checked, operation } = yield* operations

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
      return onCheckpoint(request, name, ref, (checkpoint) =>
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
    deleteCheckpoint: change("deleteCheckpoint", checkpoints.deleteCheckpoint, 404),
    publishCheckpoint: change("publishCheckpoint", checkpoints.publishCheckpoint, 409),
    unpublishCheckpoint: change("unpublishCheckpoint", checkpoints.unpublishCheckpoint, 409),
    setCheckpointTtl: checked(
      "RestClient.setCheckpointTtl",
      { checkpoint: kindedCheckpoint, ttl: ttlOrNull },
      (ref, ttl) =>
        onCheckpoint(
          request,
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
    }, copyWeights)
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

const ttlOrNull: Check = (value, field) =>
  value === undefined
    ? [{ field, description: "is undefined; pass a duration, or null to keep the checkpoint for ever." }]
    : orNull(ttl)(value, field)
