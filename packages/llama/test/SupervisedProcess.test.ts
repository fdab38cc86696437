import { Engine } from "@effect-tinker/engine"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Logger, LogLevel, Option, Scope, Stream, TestClock } from "effect"
import type { EngineProcess } from "../src/EngineProcess.js"
import * as SupervisedProcess from "../src/SupervisedProcess.js"

interface Fake extends EngineProcess {
  readonly end: Effect.Effect<void>
  isClosed: boolean
}

const because = (description: string) => new Engine.EngineError({ reason: "Unavailable", description })

/** Processes that answer nothing, and end when they are told to. `fails` says which of them cannot be started. */
const fakes = (fails: (number: number) => boolean = () => false) => {
  const started: Array<Fake> = []
  let attempts = 0
  const start = Effect.gen(function*() {
    attempts += 1
    if (fails(attempts)) return yield* because(`start ${attempts} failed`)
    const death = yield* Deferred.make<Engine.EngineError>()
    let hasEnded = false
    const fake: Fake = {
      pid: started.length,
      call: () => Effect.flatMap(Deferred.await(death), Effect.fail),
      hasEnded: () => hasEnded,
      ended: Deferred.await(death),
      end: Effect.suspend(() => {
        hasEnded = true
        return Deferred.succeed(death, because(`process ${fake.pid} was ended`))
      }),
      isClosed: false
    }
    yield* Effect.addFinalizer(() =>
      Effect.zipRight(
        fake.end,
        Effect.sync(() => {
          fake.isClosed = true
        })
      )
    )
    started.push(fake)
    return fake
  })
  return { started, start, attempts: () => attempts }
}

const quietly = Logger.withMinimumLogLevel(LogLevel.None)

/** Ends the process that runs, and waits for the next. */
const endCurrent = (supervised: SupervisedProcess.SupervisedProcess, started: ReadonlyArray<Fake>) =>
  Effect.gen(function*() {
    const { pid } = yield* supervised.current
    yield* started[pid!]!.end
    return yield* supervised.current
  })

describe("a supervised process", () => {
  it.scoped("that ends is replaced: what it computed fails and says so, and what comes next waits for the other", () =>
    Effect.gen(function*() {
      const { start, started } = fakes()
      const supervised = yield* SupervisedProcess.make("tiny", start)
      const ends = yield* Effect.fork(Stream.runHead(supervised.ends))
      yield* Effect.yieldNow()
      const first = yield* supervised.current
      const running = yield* Effect.fork(Effect.flip(first.call("snapshot", "model")))
      yield* Effect.yieldNow()
      yield* started[0]!.end
      // Asked at the same moment, before anything else could happen.
      const second = yield* supervised.current
      assert.strictEqual(second.pid, 1)
      assert.isTrue(started[0]!.isClosed)
      const error = yield* Fiber.join(running)
      assert.strictEqual(error.reason, "Unavailable")
      assert.strictEqual(error.message, "process 0 was ended; it is started anew")
      assert.strictEqual(Option.getOrThrow(yield* Fiber.join(ends)).message, "process 0 was ended")
    }).pipe(quietly))

  it.scoped("is given up when it ends again and again, with how often and why, and what to do", () =>
    Effect.gen(function*() {
      const { start, started } = fakes()
      const supervised = yield* SupervisedProcess.make("tiny", start)
      const ends = yield* Effect.fork(Effect.flip(Stream.runDrain(supervised.ends)))
      yield* Effect.yieldNow()
      for (let i = 0; i < SupervisedProcess.maxRestarts; i++) yield* endCurrent(supervised, started)
      const error = yield* Effect.flip(endCurrent(supervised, started))
      assert.strictEqual(error.reason, "Unavailable")
      assert.match(
        error.message,
        /^the engine of tiny has ended 6 times within 5m, and is not started again: process 5 was ended\. /
      )
      assert.strictEqual(yield* Effect.flip(supervised.current), error)
      assert.strictEqual(yield* Fiber.join(ends), error)
    }).pipe(quietly))

  it.scoped("is not given up when it ends now and then", () =>
    Effect.gen(function*() {
      const { start, started } = fakes()
      const supervised = yield* SupervisedProcess.make("tiny", start)
      for (let i = 0; i < 3 * SupervisedProcess.maxRestarts; i++) {
        yield* endCurrent(supervised, started)
        yield* TestClock.adjust("1 minutes")
      }
      assert.strictEqual((yield* supervised.current).pid, 3 * SupervisedProcess.maxRestarts)
    }).pipe(quietly))

  it.scoped("is started again when it cannot be, so many times", () =>
    Effect.gen(function*() {
      const some = fakes((number) => number === 2 || number === 3)
      const supervised = yield* SupervisedProcess.make("tiny", some.start)
      yield* endCurrent(supervised, some.started)
      assert.strictEqual(some.attempts(), 4)

      const all = fakes((number) => number > 1)
      const error = yield* Effect.flip(
        Effect.flatMap(SupervisedProcess.make("tiny", all.start), (supervised) => endCurrent(supervised, all.started))
      )
      assert.include(error.message, `start ${all.attempts()} failed`)
    }).pipe(quietly))

  it.scoped("that cannot be started for the first time fails at once", () =>
    Effect.gen(function*() {
      const { attempts, start } = fakes(() => true)
      const error = yield* Effect.flip(SupervisedProcess.make("tiny", start))
      assert.strictEqual(error.message, "start 1 failed")
      assert.strictEqual(attempts(), 1)
    }))

  it.effect("is not started again when the scope closes, and whoever waits for it is told", () =>
    Effect.gen(function*() {
      const { attempts, start, started } = fakes()
      const scope = yield* Scope.make()
      const supervised = yield* Scope.extend(SupervisedProcess.make("tiny", start), scope)
      const running = yield* Effect.fork(
        Effect.flip(Effect.flatMap(supervised.current, (process) => process.call("snapshot", "model")))
      )
      yield* Effect.yieldNow()
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(started[0]!.isClosed)
      assert.strictEqual((yield* Fiber.join(running)).message, "process 0 was ended")
      assert.strictEqual((yield* Effect.flip(supervised.current)).message, "the engine of tiny was closed")
      assert.strictEqual(attempts(), 1)
    }))
})
