import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** Source: the Python SDK 0.38.0. */
const interval = 60_000

/** Logs a warning, unless it logged one less than a minute ago. */
export const make = (): (message: string) => Effect.Effect<void> => {
  let last = -Infinity
  return (message) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      if (now - last < interval) return Effect.void
      last = now
      return Effect.logWarning(message)
    })
}
