/** Events on their way to the service: sent in batches of one session each, in the order in which they came, by a fiber of their own. */
import * as TelemetryMessages from "@effect-tinker/protocol/TelemetryMessages"
import { isRetryable } from "@effect-tinker/protocol/TinkerError"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as RetryPolicy from "../../RetryPolicy.js"
import * as TelemetryApi from "../../TelemetryApi.js"
import * as TinkerConfig from "../../TinkerConfig.js"
import { runtimePlatform } from "../transport/runtimeHeaders.js"
import { processUuid, uuid } from "../uuid.js"

export interface EventQueue {
  /** Sends an event of a session with one of the next batches. */
  readonly add: (origin: Origin, content: EventContent) => Effect.Effect<void>
  /** Sends what waits without waiting for more, and succeeds when all of it has been sent or given up. */
  readonly flush: Effect.Effect<void>
  /** Sends what waits, for a moment. Nothing may be added from then on. */
  readonly close: Effect.Effect<void>
}

/** What an event says, beside when and as which of its session. */
export type EventContent = Unplaced<TelemetryMessages.TelemetryEvent>

type Unplaced<Event> = Event extends unknown ? Omit<Event, "eventId" | "eventSessionIndex" | "timestamp"> : never

/** The session of events, or none. */
export interface Origin {
  readonly sessionId: string
  readonly startedAt: number | undefined
  /** The index of its next event. */
  next: number
}

/** Neither the end of a program nor a fatal error waits longer than this for what is to be reported. */
export const flushDeadline = Duration.seconds(2)

/** Source of these: the Python SDK 0.38.0. */
const batchSize = 100
const flushInterval = Duration.seconds(10)
const mostWaiting = 10_000

interface Entry {
  /** The place among all that there ever were. */
  readonly number: number
  readonly origin: Origin
  readonly index: number
  readonly at: number
  readonly content: EventContent
}

/** Who waits for all events before one of this number. */
interface Flush {
  readonly upTo: number
  readonly resume: (effect: Effect.Effect<void>) => void
}

interface Queue {
  readonly waiting: Array<Entry>
  /** The batch under way. */
  sending: ReadonlyArray<Entry>
  readonly flushing: Set<Flush>
  /** Something waits. */
  readonly arrived: Effect.Latch
  /** What waits is to be sent now. */
  readonly due: Effect.Latch
  /** The last batch is given up. */
  readonly cut: Deferred.Deferred<void>
  count: number
  hasDropped: boolean
  /** A batch waits to be sent again. */
  isPausing: boolean
  isClosing: boolean
}

export const make: Effect.Effect<EventQueue, never, TelemetryApi.TelemetryApi> = Effect.gen(function*() {
  const queue: Queue = {
    waiting: [],
    sending: [],
    flushing: new Set(),
    arrived: Effect.unsafeMakeLatch(false),
    due: Effect.unsafeMakeLatch(false),
    cut: yield* Deferred.make<void>(),
    count: 0,
    hasDropped: false,
    isPausing: false,
    isClosing: false
  }
  const { due, flushing } = queue
  const deliver = yield* delivery(queue)
  // It outlives the fibers of the scope, whose end it still has to report.
  const fiber = yield* Effect.forkDaemon(Effect.interruptible(run(queue, deliver)))
  return {
    add: (origin, content) => add(queue, origin, content),
    flush: Effect.async<void>((resume) => {
      const waited = { upTo: queue.count, resume }
      flushing.add(waited)
      due.unsafeOpen()
      settle(queue)
      return Effect.sync(() => flushing.delete(waited))
    }),
    close: close(queue, fiber)
  }
})

const add = (queue: Queue, origin: Origin, content: EventContent): Effect.Effect<void> =>
  Effect.clockWith((clock) => {
    const { arrived, due, waiting } = queue
    waiting.push({ number: queue.count++, origin, index: origin.next++, at: clock.unsafeCurrentTimeMillis(), content })
    arrived.unsafeOpen()
    if (waiting.length >= batchSize) due.unsafeOpen()
    if (waiting.length <= mostWaiting) return Effect.void
    waiting.shift()
    settle(queue)
    if (queue.hasDropped) return Effect.void
    queue.hasDropped = true
    return Effect.logWarning(
      `more than ${mostWaiting.toLocaleString("en")} events wait to be reported; the oldest are dropped`
    )
  })

/** Whoever waits for what is gone by now goes on. */
const settle = ({ flushing, sending, waiting }: Queue): void => {
  const oldest = (sending[0] ?? waiting[0])?.number ?? Infinity
  for (const flush of flushing) {
    if (flush.upTo > oldest) continue
    flushing.delete(flush)
    flush.resume(Effect.void)
  }
}

const run = (queue: Queue, deliver: (batch: ReadonlyArray<Entry>) => Effect.Effect<void>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { arrived, due, waiting } = queue
    while (true) {
      if (waiting.length === 0) {
        if (queue.isClosing) return
        arrived.unsafeClose()
        yield* arrived.await
      }
      if (!queue.isClosing && waiting.length < batchSize) yield* Effect.timeoutOption(due.await, flushInterval)
      due.unsafeClose()
      let left = queue.isClosing ? Infinity : waiting.length
      while (left > 0 && waiting.length > 0) {
        queue.sending = takeBatch(waiting, left)
        left -= queue.sending.length
        yield* deliver(queue.sending)
        queue.sending = []
        settle(queue)
      }
    }
  })

/** The oldest events, all of one session. */
const takeBatch = (waiting: Array<Entry>, most: number): ReadonlyArray<Entry> => {
  const first = waiting[0]
  let count = 0
  while (count < Math.min(most, batchSize) && waiting[count]?.origin === first?.origin) count++
  return waiting.splice(0, count)
}

/** A batch that is refused, or too often not accepted, is dropped; the next one may fare better. */
const delivery = (queue: Queue) =>
  Effect.gen(function*() {
    const api = yield* TelemetryApi.TelemetryApi
    const process = yield* processUuid
    const platform = runtimePlatform()

    const requestOf = (batch: ReadonlyArray<Entry>) =>
      Effect.map(
        Effect.forEach(batch, ({ at, content, index }) =>
          Effect.map(uuid, (eventId): TelemetryMessages.TelemetryEvent => ({
            ...content,
            eventId,
            eventSessionIndex: index,
            timestamp: new Date(at).toISOString()
          }))),
        (events): TelemetryMessages.TelemetrySendRequest => ({
          events,
          platform,
          sdkVersion: TinkerConfig.protocolVersion,
          sessionId: batch[0]!.origin.sessionId,
          processUuid: process
        })
      )

    return (batch: ReadonlyArray<Entry>): Effect.Effect<void> =>
      Effect.flatMap(requestOf(batch), (request) =>
        RetryPolicy.resend(
          (attempts) =>
            Effect.suspend(() => {
              queue.isPausing = false
              return Effect.tapError(api.send(request, { attempts }), () =>
                Effect.sync(() => {
                  queue.isPausing = true
                }))
            }),
          { policy: "telemetry", when: (error) => !queue.isClosing && isRetryable(error) }
        )).pipe(
          Effect.raceFirst(Deferred.await(queue.cut)),
          Effect.catchAllCause((cause) => Effect.logDebug(`${batch.length} events could not be reported`, cause))
        )
  })

const close = (queue: Queue, fiber: Fiber.RuntimeFiber<void>): Effect.Effect<void> =>
  Effect.gen(function*() {
    queue.isClosing = true
    if (queue.isPausing) yield* Deferred.succeed(queue.cut, undefined)
    queue.arrived.unsafeOpen()
    queue.due.unsafeOpen()
    yield* Effect.ignore(Effect.timeout(Effect.interruptible(Fiber.join(fiber)), flushDeadline))
    yield* Fiber.interrupt(fiber)
    queue.sending = []
    queue.waiting.length = 0
    settle(queue)
  })
