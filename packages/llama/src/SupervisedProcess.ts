/**
 * A child process in whose place another is started when it ends, whatever for. What it had in memory is gone with it.
 */
import { EngineError } from "@effect-tinker/engine/Engine"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as PubSub from "effect/PubSub"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { EngineProcess } from "./EngineProcess.js"

/**
 * A process that is replaced when it ends.
 *
 * @since 0.1.0
 * @category models
 */
export interface SupervisedProcess {
  /** The process that runs. Where the last has ended, waits for the next; fails once no other is started. */
  readonly current: Effect.Effect<EngineProcess, EngineError>
  /** Why a process has ended, each time that one has. Fails once no other is started. */
  readonly ends: Stream.Stream<EngineError, EngineError>
}

/**
 * Processes that end, or cannot be started, are replaced so many times in {@link restartWindow}.
 *
 * @since 0.1.0
 * @category config
 */
export const maxRestarts = 5

/**
 * The time in which {@link maxRestarts} counts.
 *
 * @since 0.1.0
 * @category config
 */
export const restartWindow: Duration.Duration = Duration.minutes(5)

/**
 * Processes that are started by `start`, one after another. Fails when not even the first can be. `name` is what they
 * compute, for messages.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  name: string,
  start: Effect.Effect<EngineProcess, EngineError, Scope.Scope>
): Effect.Effect<SupervisedProcess, EngineError, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Scope.Scope
    const ends = yield* PubSub.unbounded<EngineError>()
    const over = yield* Deferred.make<never, EngineError>()
    let isOver = false

    const begin: Effect.Effect<Life, EngineError> = Effect.gen(function*() {
      const own = yield* Scope.fork(scope, ExecutionStrategy.sequential)
      const process = yield* Effect.onError(
        Scope.extend(start, own),
        (cause) => Scope.close(own, Exit.failCause(cause))
      )
      const call: EngineProcess["call"] = (method, ...args) =>
        Effect.mapError(process.call(method, ...args), (error) =>
          error.reason === "Unavailable" && process.hasEnded() && !isOver
            ? new EngineError({
              reason: "Unavailable",
              description: `${error.description}; it is started anew`,
              cause: error
            })
            : error)
      return {
        process: { ...process, call },
        close: Scope.close(own, Exit.void),
        next: yield* Deferred.make<Life, EngineError>()
      }
    })

    let recent: ReadonlyArray<number> = []

    const replace = (why: EngineError): Effect.Effect<Life, EngineError> =>
      Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        recent = [
          ...recent.filter((at) =>
            at > now - Duration.toMillis(restartWindow)
          ),
          now
        ]
        if (recent.length > maxRestarts) {
          return yield* new EngineError({
            reason: "Unavailable",
            description: `the engine of ${name} has ended ${recent.length} times within `
              + `${Duration.format(restartWindow)}, and is not started again: ${why.description}. `
              + "See what ends it, such as too little memory, and start this program anew.",
            cause: why
          })
        }
        yield* Effect.logWarning(`the engine of ${name} is started anew: ${why.description}`)
        return yield* Effect.catchAll(begin, replace)
      })

    let life = yield* begin

    const watch = Effect.gen(function*() {
      while (true) {
        const { close, next, process } = life
        const why = yield* process.ended
        yield* PubSub.publish(ends, why)
        // One that cannot be reached any more may still run.
        yield* close
        life = yield* Effect.tapError(replace(why), (error) => {
          isOver = true
          return Effect.zipRight(Deferred.fail(next, error), Deferred.fail(over, error))
        })
        yield* Deferred.succeed(next, life)
      }
    }).pipe(
      Effect.onInterrupt(() => {
        isOver = true
        return Deferred.fail(life.next, new EngineError({ reason: "Unavailable", description: closed(name) }))
      }),
      // Whoever asks for the process is told.
      Effect.ignore
    )
    yield* Effect.forkScoped(watch)

    const current: SupervisedProcess["current"] = Effect.suspend(() =>
      life.process.hasEnded()
        ? Effect.zipRight(Deferred.await(life.next), current)
        : Effect.succeed(life.process)
    )
    return { current, ends: Stream.interruptWhen(Stream.fromPubSub(ends), Deferred.await(over)) }
  })

interface Life {
  readonly process: EngineProcess
  readonly close: Effect.Effect<void>
  readonly next: Deferred.Deferred<Life, EngineError>
}

const closed = (name: string): string => `the engine of ${name} was closed`
