import { isTinkerError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"

/** How the samples of one client get on, told at debug level while there are some. */
export interface SampleProgress {
  /** Around a sample and its wait for a turn. */
  readonly whole: <A>(sample: Effect.Effect<A, TinkerError>) => Effect.Effect<A, TinkerError>
  /** Around what it does when it has its turn. */
  readonly underWay: <A>(sample: Effect.Effect<A, TinkerError>) => Effect.Effect<A, TinkerError>
  readonly retried: Effect.Effect<void>
}

/** The shortest time between two reports, in milliseconds. Source: the Python SDK 0.38.0. */
const interval = 2000

export const make = (label: string): SampleProgress => {
  const failed = new Map<string, number>()
  let started = 0
  let open = 0
  let running = 0
  let done = 0
  let retries = 0
  let told = -Infinity

  const tell = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    if (now - told < interval) return Effect.void
    told = now
    const failures = Array.from(failed, ([tag, count]) => `${count} ${tag}`).join(", ")
    return Effect.logDebug(
      `${label}: of ${started} samples ${open - running} wait, ${running} are under way, ${done} are done; `
        + `${retries} retries, failures: ${failures === "" ? "none" : failures}`
    )
  })

  const end = (exit: Exit.Exit<unknown, TinkerError>) => {
    open -= 1
    if (Exit.isSuccess(exit)) done += 1
    else {
      const error = Option.getOrUndefined(Cause.failureOption(exit.cause))
      if (isTinkerError(error)) failed.set(error._tag, (failed.get(error._tag) ?? 0) + 1)
    }
  }

  return {
    whole: (sample) =>
      Effect.suspend(() => {
        started += 1
        open += 1
        return Effect.onExit(Effect.zipRight(tell, sample), (exit) =>
          Effect.suspend(() => {
            end(exit)
            return tell
          }))
      }),
    underWay: (sample) =>
      Effect.suspend(() => {
        running += 1
        return Effect.ensuring(
          sample,
          Effect.sync(() => {
            running -= 1
          })
        )
      }),
    retried: Effect.sync(() => {
      retries += 1
    })
  }
}
