import * as Effect from "effect/Effect"
import * as Monotonic from "../monotonic.js"

/** Source: the Python SDK 0.38.0. */
const interval = 60_000

/** Logs a warning, unless it logged one less than a minute ago. */
export const make = (): (message: string) => Effect.Effect<void> => {
  let last = -Infinity
  return (message) =>
    Effect.flatMap(Monotonic.now, (now) => {
      if (now - last < interval) return Effect.void
      last = now
      return Effect.logWarning(message)
    })
}

/** The same for each of several things that are warned of. */
export const makeKeyed = (): (key: string, message: string) => Effect.Effect<void> => {
  const warnings = new Map<string, (message: string) => Effect.Effect<void>>()
  return (key, message) => {
    let warn = warnings.get(key)
    if (warn === undefined) warnings.set(key, warn = make())
    return warn(message)
  }
}
