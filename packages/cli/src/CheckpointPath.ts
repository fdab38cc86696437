/**
 * Paths of checkpoints as they are written on a command line.
 */
import type { TinkerPath } from "@effect-tinker/protocol/TinkerPath"
import * as Paths from "@effect-tinker/protocol/TinkerPath"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { UsageError } from "./UsageError.js"

/**
 * Reads a path. `UsageError`, which says how paths are written and what may have been meant, for what is none.
 *
 * @since 0.1.0
 * @category parsing
 */
export const parse = (text: string): Effect.Effect<TinkerPath, UsageError> =>
  Either.match(Paths.parse(text), {
    onRight: Effect.succeed,
    onLeft: (cause) =>
      new UsageError({ description: `${JSON.stringify(text)} is no path of a checkpoint. ${advice(text)}`, cause })
  })

const advice = (text: string): string => {
  const withScheme = Either.isRight(Paths.parse(`tinker://${text}`))
  if (withScheme) return `Was tinker://${text} meant?`
  if (Either.isRight(Paths.parse(text.replace(/\/+$/, "")))) return "Leave off the slash at its end."
  return /^(tinker:\/\/)?[^/]+$/.test(text)
    ? `It is tinker://<run id>/<weights, sampler_weights or external_weights>/<name>. The checkpoints of a run are listed by: tinker checkpoint list --run-id ${
      text.replace(/^tinker:\/\//, "")
    }`
    : "It is tinker://<run id>/<weights, sampler_weights or external_weights>/<name>."
}
