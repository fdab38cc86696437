import type { Checkpoint } from "@effect-tinker/protocol/Checkpoint"
import { isTinkerError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import type { WeightsInfoResponse } from "@effect-tinker/protocol/WeightsMessages"
import * as RestClient from "effect-tinker/RestClient"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as CheckpointPath from "../CheckpointPath.js"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Failure from "../Failure.js"
import * as Humanize from "../Humanize.js"
import * as Output from "../Output.js"
import * as Table from "../Table.js"
import * as Wire from "../Wire.js"

export const info: Handler<{ readonly path: string }> = ({ path }) =>
  Effect.gen(function*() {
    const parsed = yield* CheckpointPath.parse(path)
    const { checkpoint, weights } = yield* Effect.provide(ask(path, parsed.trainingRunId), Connection.layer)
    const now = yield* DateTime.now
    const output = yield* Output.Output
    yield* output.result({
      json: {
        ...(checkpoint === undefined ? { tinker_path: path } : Wire.checkpoint(checkpoint)),
        training_run_id: parsed.trainingRunId,
        ...(weights === undefined ? {} : Wire.weightsInfo(weights))
      },
      text: Table.facts(`Checkpoint: ${checkpoint?.checkpointId ?? path}`, [
        ...(checkpoint === undefined ? [] : [["Checkpoint ID", checkpoint.checkpointId] as const]),
        ["Type", checkpoint?.checkpointType ?? parsed.checkpointType],
        ["Tinker Path", path],
        ...ownFacts(checkpoint, now),
        ["Training Run ID", parsed.trainingRunId],
        ...modelFacts(weights)
      ])
    })
  })

/** Only the owner sees a checkpoint in a listing; what is needed to load it is told to all who may load it. */
const ask = (path: string, trainingRunId: string) =>
  Effect.gen(function*() {
    const rest = yield* RestClient.RestClient
    const [listed, weights] = yield* Effect.all([
      Effect.either(Connection.brief(rest.listCheckpoints(trainingRunId))),
      Effect.either(Connection.brief(rest.getWeightsInfo(path)))
    ], { concurrency: "unbounded" })
    if (Either.isLeft(listed) && !isHidden(listed.left)) return yield* Effect.fail(listed.left)
    const checkpoint = Either.isRight(listed)
      ? listed.right.checkpoints.find(({ tinkerPath }) => tinkerPath === path)
      : undefined
    if (checkpoint === undefined && Either.isLeft(weights)) {
      return yield* Effect.fail(
        isHidden(weights.left)
          ? Failure.notFound(
            `there is no checkpoint ${path}, or it is not yours to see. Those of its run are listed by: `
              + `tinker checkpoint list --run-id ${trainingRunId}`
          )
          : weights.left
      )
    }
    return { checkpoint, weights: Either.isRight(weights) ? weights.right : undefined }
  })

const isHidden = (error: TinkerError): boolean =>
  isTinkerError(error) && error._tag === "ApiStatusError"
  && (error.reason === "NotFound" || error.reason === "PermissionDenied")

type Fact = readonly [name: string, value: string]

const ownFacts = (checkpoint: Checkpoint | undefined, now: DateTime.Utc): ReadonlyArray<Fact> =>
  checkpoint === undefined ? [] : [
    ...(checkpoint.sizeBytes === undefined ? [] : [["Size", Humanize.size(checkpoint.sizeBytes)] as const]),
    ["Public", Humanize.yesNo(checkpoint.public)],
    ["Created", Humanize.fullTime(checkpoint.time, now)],
    ["Expires", checkpoint.expiresAt === undefined ? "Never" : Humanize.fullTime(checkpoint.expiresAt, now)],
    ...Object.entries(checkpoint.userMetadata ?? {}).map(([key, value]): Fact => [`  - ${key}`, value])
  ]

const modelFacts = (weights: WeightsInfoResponse | undefined): ReadonlyArray<Fact> =>
  weights === undefined ? [] : [["Base Model", weights.baseModel], ["LoRA", Humanize.lora(weights)]]
