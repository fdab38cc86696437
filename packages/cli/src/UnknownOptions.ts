/**
 * Options that do not exist, and which of those that do may have been meant.
 */
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
    const nearest = known.map((known) => ({ known, distance: distance(name, known) }))
      .reduce((a, b) => b.distance < a.distance ? b : a)
    const isLike = nearest.distance <= Math.max(1, Math.floor(name.length / 3)) || nearest.known.startsWith(name)
    return new UsageError({
      description: `there is no option --${name}. ${
        isLike ? `Was --${nearest.known} meant?` : "--help lists those there are."
      }`
    })
  }
  return Effect.void
}

/** How many letters must be put in, left out, changed, or swapped with the next (optimal string alignment). */
const distance = (a: string, b: string): number => {
  let before: ReadonlyArray<number> = []
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? before[j - 2]! + 1 : Infinity
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1), swapped))
    }
    before = row
    row = next
  }
  return row[b.length]!
}
