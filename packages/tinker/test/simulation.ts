import { Clock, Duration, Effect, Fiber, FiberRef, Random } from "effect"
import type { Exit, Scheduler } from "effect"

/**
 * A program and its server on a clock of their own, which moves when nothing else can happen. It counts what a program
 * could leave behind: fibers, timers, requests on their way, shares of budgets.
 */
export interface Simulation {
  /** Runs a program to its end. Dies when it has none within the time, which is two hours of the simulated clock. */
  readonly run: <A, E>(program: Effect.Effect<A, E>) => Effect.Effect<Exit.Exit<A, E>>
  /** The same for what other programs of the simulation go on beside. */
  readonly fork: <A, E>(program: Effect.Effect<A, E>) => Effect.Effect<Fiber.RuntimeFiber<A, E>>
  readonly join: <A, E>(fiber: Fiber.RuntimeFiber<A, E>) => Effect.Effect<Exit.Exit<A, E>>
  /** Lets everything happen that can happen without time. */
  readonly settle: Effect.Effect<void>
  readonly now: () => number
  /** Sleeping now. */
  readonly timers: () => number
  /** Running or suspended, below those that {@link Simulation.fork} made. */
  readonly fibers: () => number
  /** Called before each slice of work of any fiber. */
  onTask: (() => void) | undefined
  /** Called before each operation of any fiber; true lets others go first. */
  onOperation: ((fiber: Running) => boolean | void) | undefined
}

type Running = Fiber.RuntimeFiber<unknown, unknown>

const patience = Duration.toMillis("2 hours")

/** Without time. */
const mostTurns = 10_000

export const make = (seed = 0): Effect.Effect<Simulation> =>
  Effect.gen(function*() {
    const fibers = new Set<Running>()
    /** Those whose programs are no part of the simulation: they fork it. */
    const outside = new WeakSet<Running>()
    const timers = new Set<{ readonly at: number; readonly wake: () => void }>()
    let now = 0
    let tasks = 0

    const clock: Clock.Clock = {
      ...Clock.make(),
      unsafeCurrentTimeMillis: () => now,
      unsafeCurrentTimeNanos: () => BigInt(Math.round(now * 1e6)),
      currentTimeMillis: Effect.sync(() => now),
      currentTimeNanos: Effect.sync(() => BigInt(Math.round(now * 1e6))),
      sleep: (duration) =>
        Effect.async<void>((resume) => {
          const timer = { at: now + Duration.toMillis(duration), wake: () => resume(Effect.void) }
          timers.add(timer)
          return Effect.sync(() => timers.delete(timer))
        })
    }

    /** Every fiber comes by here before it does anything. */
    const note = (fiber: Running) => {
      if (fibers.has(fiber) || outside.has(fiber)) return
      fibers.add(fiber)
      fiber.addObserver(() => fibers.delete(fiber))
    }

    const scheduler: Scheduler.Scheduler = {
      shouldYield: (fiber) => {
        note(fiber)
        return simulation.onOperation?.(fiber) === true || fiber.currentOpCount > 2048
          ? fiber.getFiberRef(FiberRef.currentSchedulingPriority)
          : false
      },
      scheduleTask: (task) => {
        tasks += 1
        queueMicrotask(() => {
          tasks -= 1
          simulation.onTask?.()
          task()
        })
      }
    }

    const settle: Effect.Effect<void> = Effect.promise(async () => {
      // Bodies that arrive in pieces come by way of streams of the platform, which take several turns.
      let turns = 0
      for (let quiet = 0; quiet < 3; quiet++) {
        await new Promise((resolve) => setImmediate(resolve))
        if (tasks > 0) quiet = 0
        if (turns++ > mostTurns) {
          throw new Error(`it goes round in circles, ${Math.round(now / 1000)} s after the start`)
        }
      }
    })

    const advance = () => {
      let next = Infinity
      for (const { at } of timers) next = Math.min(next, at)
      if (next === Infinity) return false
      now = Math.max(now, next)
      for (const timer of timers) {
        if (timer.at <= now) {
          timers.delete(timer)
          timer.wake()
        }
      }
      return true
    }

    const fork = <A, E>(program: Effect.Effect<A, E>): Effect.Effect<Fiber.RuntimeFiber<A, E>> =>
      Effect.withFiberRuntime((parent) => {
        outside.add(parent)
        return program.pipe(
          Effect.interruptible,
          Effect.forkDaemon,
          Effect.withRandom(Random.make(seed)),
          Effect.withScheduler(scheduler),
          Effect.withClock(clock)
        )
      })

    const join = <A, E>(fiber: Fiber.RuntimeFiber<A, E>): Effect.Effect<Exit.Exit<A, E>> =>
      Effect.gen(function*() {
        const limit = now + patience
        while (true) {
          yield* settle
          const exit = yield* Fiber.poll(fiber)
          if (exit._tag === "Some") return exit.value
          if (now > limit || !advance()) {
            return yield* Effect.dieMessage(
              `nothing brings the program to its end, ${Math.round(now / 1000)} seconds after the start`
            )
          }
        }
      })

    const simulation: Simulation = {
      run: (program) => Effect.flatMap(fork(program), join),
      fork,
      join,
      settle,
      now: () => now,
      timers: () => timers.size,
      fibers: () => fibers.size,
      onTask: undefined,
      onOperation: undefined
    }
    return simulation
  })

/** Lets any fiber overtake any other at random, once it has made the operations in which a call takes its place. */
export const overtakings = (seed: number): NonNullable<Simulation["onOperation"]> => {
  const made = new WeakMap<object, number>()
  let state = seed
  return (fiber) => {
    const operations = (made.get(fiber) ?? 0) + 1
    made.set(fiber, operations)
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return operations > 60 && state >>> 28 === 0
  }
}
