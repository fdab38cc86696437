/**
 * Where a checkpoint is: `tinker://<training run>/<kind>/<name>`.
 */
import * as Either from "effect/Either"
import { kindOf } from "./CallOptions.js"
import type { ModelId } from "./Identifiers.js"
import { quoted } from "./Prose.js"
import { InvalidInputError, type Issue } from "./TinkerError.js"

/**
 * @since 0.1.0
 * @category models
 */
export type CheckpointType = "training" | "sampler" | "external"

/**
 * @since 0.1.0
 * @category models
 */
export interface TinkerPath {
  readonly trainingRunId: ModelId
  readonly checkpointType: CheckpointType
  readonly name: string
}

const kinds: Record<CheckpointType, string> = {
  training: "weights",
  sampler: "sampler_weights",
  external: "external_weights"
}

const types = new Map(Object.entries(kinds).map(([type, kind]) => [kind, type as CheckpointType]))

const scheme = "tinker://"

/**
 * Reads a path. Run ids contain colons, so this is no URL. Left: `InvalidInputError`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (path: string): Either.Either<TinkerPath, InvalidInputError> => {
  const parts = typeof path === "string" && path.startsWith(scheme) ? path.slice(scheme.length).split("/") : []
  const checkpointType = types.get(parts[1] ?? "")
  if (parts.length !== 3 || checkpointType === undefined || parts[0] === "" || parts[2] === "") {
    return Either.left(
      new InvalidInputError({
        operation: "TinkerPath.parse",
        field: "path",
        description: `${shown(path)} no checkpoint path. `
          + "Expected tinker://<training run>/<weights, sampler_weights or external_weights>/<name>."
      })
    )
  }
  return Either.right({ trainingRunId: parts[0] as ModelId, checkpointType, name: parts[2]! })
}

/**
 * Writes a path. The parts are not looked at: of what is none, as an empty name, it makes a text that {@link parse} refuses, and so does
 * every call that takes a path.
 *
 * @since 0.1.0
 * @category utils
 */
export const format = (path: TinkerPath): string =>
  `${scheme}${path.trainingRunId}/${kinds[path.checkpointType]}/${path.name}`

/**
 * The id by which REST calls name the checkpoint: its kind and name. The parts are not looked at; the calls refuse what is no id.
 *
 * @since 0.1.0
 * @category utils
 */
export const checkpointId = (path: TinkerPath): string => `${kinds[path.checkpointType]}/${path.name}`

/**
 * What is wrong with a text that can be no path of a checkpoint; `wanted` is what it should be of. Servers other than the hosted one
 * write paths in other ways, so those with a scheme pass, whatever follows, and those of a folder; not addresses of the web, as nothing
 * is loaded from there.
 *
 * @since 0.1.0
 * @category utils
 */
export const issues = (
  field: string,
  path: string,
  wanted: CheckpointType = "training"
): ReadonlyArray<Issue> =>
  typeof path === "string" && /^([a-z][a-z0-9+.-]*:\/\/|\/)./i.test(path) && !isOfWeb.test(path)
    ? []
    : [{
      field,
      description: `${shown(path)} no checkpoint path. Pass what a save returned, such as `
        + `tinker://<training run>/${kinds[wanted]}/<name>.`
    }]

const isOfWeb = /^https?:/i

/** An address of the web may hold a secret. */
const shown = (path: unknown): string =>
  typeof path === "string" && isOfWeb.test(path)
    ? "is an address of the web, and"
    : typeof path === "string"
    ? `${quoted(path)} is` :
    `is ${kindOf(path)}, which is`
