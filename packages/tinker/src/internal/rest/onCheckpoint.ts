import * as CheckpointRef from "@effect-tinker/protocol/CheckpointRef"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import type * as RetryPolicy from "../../RetryPolicy.js"
import type * as Sessionless from "../call/sessionless.js"
import * as Eithers from "../effect/eithers.js"

/** A call about one checkpoint. */
export const onCheckpoint = <A>(
  request: Sessionless.Sessionless["request"],
  name: string,
  ref: CheckpointRef.CheckpointRef,
  ask: (checkpoint: CheckpointRef.CheckpointIds) => Effect.Effect<A, TinkerError>,
  options?: RetryPolicy.RetryOptions
): Effect.Effect<A, TinkerError> =>
  Effect.flatMap(
    Eithers.toEffect(CheckpointRef.resolve(name, ref)),
    (checkpoint) => request({ name, attributes: { ...checkpoint } }, ask(checkpoint), options)
  )
