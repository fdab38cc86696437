import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Monotonic from "../monotonic.js"

/** Timeouts of many effects by one sleeping fiber a duration. A fiber and a timer an effect would cost more than a request. */
export interface Deadlines {
  /** Interrupts the effect when the time is over, and then fails. One of a `life` ends with {@link Deadlines.end}. */
  readonly within: <A, E, E2>(
    effect: Effect.Effect<A, E>,
    duration: Duration.Duration,
    onTimeout: () => E2,
    life: object | undefined
  ) => Effect.Effect<A, E | E2>
  /** The same for what calls back: `start` begins it and gives the means to stop it. */
  readonly async: <A, E, E2>(
    start: (done: (outcome: Effect.Effect<A, E>) => void) => () => void,
    duration: Duration.Duration,
    onTimeout: () => E2,
    life: object | undefined
  ) => Effect.Effect<A, E | E2>
  /** Interrupts every effect of the life; each then fails with this error. */
  readonly end: <E2>(life: object, error: E2) => void
}

/** Entries are in order of their time, as all of a queue wait equally long. */
interface Waiting {
  entries: Array<Entry>
  open: number
  watched: boolean
}

interface Entry {
  readonly at: number
  readonly life: object | undefined
  readonly onTimeout: () => unknown
  interrupt: (() => void) | undefined
  failure: { readonly error: unknown } | undefined
}

export const make: Effect.Effect<Deadlines, never, Scope.Scope> = Effect.gen(function*() {
  const scope = yield* Effect.scope
  const queues = new Map<number, Waiting>()

  const watch = (queue: Waiting): Effect.Effect<void> =>
    Effect.gen(function*() {
      while (true) {
        prune(queue)
        const first = queue.entries[0]
        if (first === undefined) break
        const now = yield* Monotonic.now
        if (first.at <= now) end(queue, first, first.onTimeout())
        else yield* Monotonic.sleep(first.at - now)
      }
      queue.watched = false
    })

  const start = (queue: Waiting) =>
    Effect.suspend(() => {
      queue.watched = true
      return Effect.forkIn(Effect.interruptible(watch(queue)), scope)
    })

  const queueOf = (millis: number): Waiting => {
    let queue = queues.get(millis)
    if (queue === undefined) queues.set(millis, queue = { entries: [], open: 0, watched: false })
    return queue
  }

  const enter = (queue: Waiting, entry: Entry): void => {
    queue.entries.push(entry)
    queue.open += 1
    if (queue.entries.length > 2 * queue.open + 64) queue.entries = queue.entries.filter(isOpen)
  }

  return {
    within: <A, E, E2>(
      effect: Effect.Effect<A, E>,
      duration: Duration.Duration,
      onTimeout: () => E2,
      life: object | undefined
    ) =>
      Effect.uninterruptibleMask((restore) =>
        // A fiber that fails is logged with its failure, which holds the request and what is secret in its body.
        Effect.flatMap(Effect.forkDaemon(Effect.exit(restore(effect))), (child) =>
          Effect.clockWith((clock) => {
            const millis = Duration.toMillis(duration)
            const entry: Entry = {
              at: Monotonic.unsafeNow(clock) + millis,
              life,
              onTimeout,
              interrupt: () => child.unsafeInterruptAsFork(child.id()),
              failure: undefined
            }
            const queue = queueOf(millis)
            enter(queue, entry)
            const outcome = Effect.matchCauseEffect(restore(Effect.flatten(Fiber.join(child))), {
              onSuccess: (value) => {
                close(queue, entry)
                return Effect.succeed(value)
              },
              onFailure: (cause): Effect.Effect<A, E | E2> => {
                close(queue, entry)
                return entry.failure === undefined
                  ? Effect.zipRight(Fiber.interrupt(child), Effect.failCause(cause))
                  : Effect.fail(entry.failure.error as E2)
              }
            })
            return queue.watched ? outcome : Effect.zipRight(start(queue), outcome)
          }))
      ),
    async: <A, E, E2>(
      begin: (done: (outcome: Effect.Effect<A, E>) => void) => () => void,
      duration: Duration.Duration,
      onTimeout: () => E2,
      life: object | undefined
    ) =>
      Effect.clockWith((clock) => {
        const millis = Duration.toMillis(duration)
        const queue = queueOf(millis)
        const waiting = Effect.async<A, E | E2>((resume) => {
          let stop = (): void => {}
          const entry: Entry = {
            at: Monotonic.unsafeNow(clock) + millis,
            life,
            onTimeout,
            interrupt: () => {
              stop()
              resume(Effect.fail(entry.failure!.error as E2))
            },
            failure: undefined
          }
          enter(queue, entry)
          // It may be done before it has begun, as when a runtime refuses a request at once.
          stop = begin((outcome) => {
            close(queue, entry)
            resume(outcome)
          })
          // Of many that are interrupted together, all stop before any goes on with what remains to be done after it.
          return Effect.zipRight(
            Effect.sync(() => {
              close(queue, entry)
              stop()
            }),
            Effect.yieldNow()
          )
        })
        return queue.watched ? waiting : Effect.zipRight(start(queue), waiting)
      }),
    end: (life, error) => {
      for (const queue of queues.values()) {
        for (const entry of queue.entries) if (entry.life === life) end(queue, entry, error)
      }
    }
  }
})

const isOpen = (entry: Entry): boolean => entry.interrupt !== undefined

const end = (queue: Waiting, entry: Entry, error: unknown): void => {
  const { interrupt } = entry
  if (interrupt === undefined) return
  entry.failure = { error }
  close(queue, entry)
  interrupt()
}

const close = (queue: Waiting, entry: Entry): void => {
  if (!isOpen(entry)) return
  entry.interrupt = undefined
  queue.open -= 1
}

const prune = (queue: Waiting): void => {
  const first = queue.entries.findIndex(isOpen)
  queue.entries.splice(0, first < 0 ? queue.entries.length : first)
}
