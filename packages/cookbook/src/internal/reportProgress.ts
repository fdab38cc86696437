import { failOnIssues, type InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as Given from "./given.js"

/** Tells a function that was passed in how far something is. */
export const reportProgress = <P>(
  operation: string,
  onProgress: ((progress: P) => Effect.Effect<void>) | undefined,
  progress: P
): Effect.Effect<void, InvalidInputError> =>
  Effect.suspend(() => {
    if (onProgress === undefined) return Effect.void
    const telling = onProgress(progress)
    const issues = Given.resultCheck(Effect.isEffect, "an Effect")(telling, "onProgress")
    return issues.length === 0 ? telling : failOnIssues(operation, issues)
  })
