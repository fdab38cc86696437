/** Training runs. */
import * as CheckpointRef from "@effect-tinker/protocol/CheckpointRef"
import { type Check, id, optional, optionsOf, text } from "@effect-tinker/protocol/Checks"
import { type InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as ClientConfig from "../../ClientConfig.js"
import type { PageOptions, Service, TrainingRunsOptions } from "../../RestClient.js"
import * as TrainingRunsApi from "../../TrainingRunsApi.js"
import { operations } from "../call/operation.js"
import * as Sessionless from "../call/sessionless.js"
import * as Eithers from "../effect/eithers.js"
import { checkpoint } from "../pathChecks.js"
import { accessScope, nextOffset, pageFields, pageSize, scopeOptions } from "./listing.js"

type Methods = Pick<
  Service,
  | "getTrainingRun"
  | "listTrainingRuns"
  | "trainingRuns"
>

export const make: Effect.Effect<Methods, never, TrainingRunsApi.TrainingRunsApi | ClientConfig.ClientConfig> = Effect
  .gen(function*() {
    const runs = yield* TrainingRunsApi.TrainingRunsApi
    const { request } = yield* Sessionless.make
    const { checked, checkedStream } = yield* operations

    const trainingRunsPage = (
      name: string,
      { accessScope = "owned", limit = 20, offset = 0, projectId }: TrainingRunsOptions & PageOptions
    ) => request({ name }, runs.listTrainingRuns({ limit, offset, accessScope, projectId }))

    return {
      getTrainingRun: checked(
        "RestClient.getTrainingRun",
        { idOrPath: trainingRun, options: scopeOptions },
        (idOrPath, { accessScope = "owned" } = {}) =>
          Effect.flatMap(Eithers.toEffect(trainingRunIdOf(idOrPath)), (trainingRunId) =>
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
      )
    }
  })

/** The id of a training run, given by itself or by the path of one of its checkpoints. */
const trainingRunIdOf = (idOrPath: string): Either.Either<string, InvalidInputError> =>
  idOrPath.startsWith("tinker://")
    ? Either.map(CheckpointRef.resolve("RestClient.getTrainingRun", idOrPath), ({ trainingRunId }) => trainingRunId)
    : Either.right(idOrPath)

const trainingRun: Check = (value) =>
  typeof value === "string" && value.startsWith("tinker://") ? checkpoint(value, "path") : id(value, "trainingRunId")
