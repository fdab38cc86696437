/**
 * Two ways to name a checkpoint: by its path, or by the ids of which the path is made.
 */
import * as Either from "effect/Either"
import { isObject, kindOf, lostFields, notOne } from "./CallOptions.js"
import { quoted } from "./Prose.js"
import { InvalidInputError } from "./TinkerError.js"
import * as TinkerPath from "./TinkerPath.js"

/**
 * `tinker://<training run>/<kind>/<name>`, or the two ids. A path without a kind, as some
 * servers write it, is of weights for sampling.
 *
 * @since 0.1.0
 * @category models
 */
export type CheckpointRef = string | CheckpointIds

/**
 * @since 0.1.0
 * @category models
 */
export interface CheckpointIds {
  readonly trainingRunId: string
  /** Kind and name, e.g. `weights/0001`, as listings give it. */
  readonly checkpointId: string
}

/**
 * The ids of a checkpoint. Left: `InvalidInputError` for what can be neither a path nor ids.
 *
 * @since 0.1.0
 * @category constructors
 */
export const resolve = (operation: string, ref: CheckpointRef): Either.Either<CheckpointIds, InvalidInputError> => {
  const invalid = (field: string, description: string) =>
    Either.left(new InvalidInputError({ operation, field, description }))
  const given: unknown = ref
  if (typeof given !== "string") {
    if (!isObject(given)) {
      return invalid("checkpoint", `is ${kindOf(given)}; pass the path of a checkpoint, or ${bothIds}.`)
    }
    const misnamed = Object.keys(given).find((name) => !names.includes(name))
    if (misnamed !== undefined) return invalid(misnamed, notOne("part of a checkpoint's ids", misnamed, names))
    const [lost] = lostFields(given)
    if (lost !== undefined) return invalid(lost.field, lost.description)
    for (const name of names) {
      if (typeof given[name] !== "string") return invalid(name, `is ${kindOf(given[name])}; pass ${bothIds}.`)
    }
  }
  const ids = typeof ref === "string"
    ? Either.mapLeft(idsOf(ref), ({ description, field }) => new InvalidInputError({ operation, field, description }))
    : Either.right(ref)
  return Either.flatMap(ids, ({ checkpointId, trainingRunId }) => {
    const field = (name: string) => typeof ref === "string" ? "path" : name
    if (!isId(trainingRunId)) {
      return invalid(field("trainingRunId"), `${quoted(trainingRunId)} is no id of a training run.`)
    }
    return checkpointId.split("/").every(isId)
      ? Either.right({ trainingRunId, checkpointId })
      : invalid(
        field("checkpointId"),
        `${quoted(checkpointId)} is no id of a checkpoint; it is made of kind and name, e.g. weights/0001.`
      )
  })
}

const names = ["trainingRunId", "checkpointId"]

const bothIds = "its two ids, { trainingRunId, checkpointId }"

/** Some servers write no kind into paths of weights for sampling. */
const withoutKind = /^tinker:\/\/([^/]+)\/([^/]+)$/

const idsOf = (path: string): Either.Either<CheckpointIds, InvalidInputError> => {
  const [, trainingRunId, name] = withoutKind.exec(path) ?? []
  return trainingRunId !== undefined && name !== undefined
    ? Either.right({ trainingRunId, checkpointId: `sampler_weights/${name}` })
    : Either.map(TinkerPath.parse(path), (parsed) => ({
      trainingRunId: parsed.trainingRunId,
      checkpointId: TinkerPath.checkpointId(parsed)
    }))
}

/**
 * Whether a text can stand in an address as it is, naming one thing and no other: ids are not escaped there.
 *
 * @since 0.1.0
 * @category guards
 */
export const isId = (text: string): boolean => /^[^\s/\\?#%]+$/.test(text) && text !== "." && text !== ".."
