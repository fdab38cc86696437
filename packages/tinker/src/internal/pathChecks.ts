import * as CheckpointRef from "@effect-tinker/protocol/CheckpointRef"
import { type Check, none } from "@effect-tinker/protocol/Checks"
import type { InvalidInputError, Issue } from "@effect-tinker/protocol/TinkerError"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as Either from "effect/Either"

const issuesOf = <A>(
  read: Either.Either<A, InvalidInputError>,
  more: (found: A) => ReadonlyArray<Issue> = () => none
): ReadonlyArray<Issue> =>
  Either.match(read, { onLeft: ({ description, field }) => [{ field, description }], onRight: more })

/** The check of a checkpoint that can be named, and of what kind it must be, if only some will do. */
export const checkpointOf = (kindIssues: (checkpointId: string) => ReadonlyArray<Issue>): Check => (value) =>
  issuesOf(
    CheckpointRef.resolve("", value as CheckpointRef.CheckpointRef),
    ({ checkpointId }) => kindIssues(checkpointId)
  )

export const checkpoint = checkpointOf(() => none)

/** The check of a path whose parts are wanted. */
export const checkpointPath: Check = (value) => issuesOf(TinkerPath.parse(value as string))

/** The checks of paths of checkpoints, where those that the server itself has given pass as they are. */
export interface PathChecks {
  /** The check of whatever can be sampled from. */
  readonly sampler: Check
  /** The check of what training can go on from: weights of samplers and exports have no optimizer, and some of them no adapter. */
  readonly state: Check
}

export const make = (given: ReadonlySet<string>): PathChecks => {
  const check = (wanted: TinkerPath.CheckpointType): Check => (value, field) =>
    given.has(value as string) ? none : TinkerPath.issues(field, value as string, wanted)
  const anyState = check("training")
  return {
    sampler: check("sampler"),
    state: (value, field) => {
      const issues = anyState(value, field)
      const parsed = TinkerPath.parse(value as string)
      if (issues.length > 0 || Either.isLeft(parsed) || parsed.right.checkpointType === "training") return issues
      const kind = parsed.right.checkpointType === "sampler" ? "weights for sampling" : "exported weights"
      return [{
        field,
        description: `${String(value)} is of ${kind}, and training goes on from a state alone: `
          + "pass the path that saveState returned."
      }]
    }
  }
}
