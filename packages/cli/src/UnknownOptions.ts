/**
 * Options that do not exist, and which of those that do may have been meant.
 */
import { nearest } from "@effect-tinker/protocol/CallOptions"
import * as Effect from "effect/Effect"
import { UsageError } from "./UsageError.js"

/** What every command line of `@effect/cli` knows. */
const builtIn = ["help", "version", "wizard", "completions", "log-level"]

/**
 * Fails with the first word of `args` that looks like an option and is none of `names`, and with the option that is most like it.
 *
 * @since 0.1.0
 * @category guards
 */
export const check = (args: ReadonlyArray<string>, names: ReadonlyArray<string>): Effect.Effect<void, UsageError> => {
  const known = [...names, ...builtIn]
  for (const word of args) {
    if (word === "--") return Effect.void
    const name = /^--([^=]+)/.exec(word)?.[1]
    if (name === undefined || known.includes(name)) continue
    const meant = nearest(name, known)
    return new UsageError({
      description: `there is no option --${name}. ${
        meant === undefined ? "--help lists those there are." : `Was --${meant} meant?`
      }`
    })
  }
  return Effect.void
}
