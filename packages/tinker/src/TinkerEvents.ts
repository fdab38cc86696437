/**
 * What a client does, as it does it, for whoever listens: its requests, and what becomes of results that it waits for. Nothing
 * in an event is secret, and none has a prompt or an answer. Without a listener no event is made.
 */
import type { StatusReason, TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { Traffic } from "./HttpRuntime.js"

/**
 * @since 0.1.0
 * @category models
 */
export type TinkerEvent =
  | RequestStarted
  | RequestStopped
  | RetryScheduled
  | QueueStateChanged
  | FutureFailed
  | FutureStuck
  | DeprecationNoted

/**
 * A request is sent for the first time. All its attempts are one request.
 *
 * @since 0.1.0
 * @category models
 */
export interface RequestStarted {
  readonly _tag: "RequestStarted"
  /** The name of the operation in errors, e.g. `optim_step`. */
  readonly operation: string
  readonly method: string
  readonly path: string
  readonly traffic: Traffic
  /** When it began, in milliseconds of the clock. */
  readonly at: number
}

/**
 * Its last attempt has ended.
 *
 * @since 0.1.0
 * @category models
 */
export interface RequestStopped extends Omit<RequestStarted, "_tag"> {
  readonly _tag: "RequestStopped"
  readonly result: Result
  /** The status of the last answer, if one came. */
  readonly status: number | undefined
  /** Attempts after the first. */
  readonly retries: number
  /** The time from the first attempt's beginning to the last one's end, in milliseconds. */
  readonly duration: number
  /** The bytes of bodies that were sent, in all attempts. */
  readonly bytesSent: number
  readonly bytesReceived: number
}

/**
 * An attempt has failed, and another follows.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryScheduled {
  readonly _tag: "RetryScheduled"
  /** The name of the operation in errors, e.g. `optim_step`. */
  readonly operation: string
  /** The one of `RetryPolicy.Policies` that decided it. */
  readonly policy: string
  /** The number of the attempt that follows, 2 being the second. */
  readonly attempt: number
  /** The wait before that attempt, in milliseconds. */
  readonly wait: number
  readonly error: TinkerError
}

/**
 * How a request ended: with an answer 2xx, with the answer to a long poll that there is no result yet, by an interruption,
 * with another answer, or with an error.
 *
 * @since 0.1.0
 * @category models
 */
export type Result = "ok" | "pending" | "interrupted" | StatusReason | TinkerError["_tag"]

/**
 * What the server says of the queue in which a request waits is not what it said before.
 *
 * @since 0.1.0
 * @category models
 */
export interface QueueStateChanged {
  readonly _tag: "QueueStateChanged"
  readonly operation: string
  readonly requestId: string
  readonly queueState: string
  readonly reason: string | undefined
}

/**
 * Asking for a result failed, or the result is a failure.
 *
 * @since 0.1.0
 * @category models
 */
export interface FutureFailed {
  readonly _tag: "FutureFailed"
  readonly kind: FutureFailureKind
  readonly operation: string
  readonly requestId: string
  readonly requestType: string
  /** How often the result had been asked for before. */
  readonly iteration: number
  readonly error: TinkerError
  /** Whether it is asked for again. */
  readonly isRetried: boolean
}

/**
 * @since 0.1.0
 * @category models
 */
export type FutureFailureKind =
  | "api_status_error"
  | "connection_error"
  | "timeout"
  | "application_error"
  | "validation_error"
  | "proto_deserialization_error"

/**
 * No progress was reported for as long as `WaitingPolicy` says.
 *
 * @since 0.1.0
 * @category models
 */
export interface FutureStuck {
  readonly _tag: "FutureStuck"
  readonly operation: string
  readonly requestId: string
}

/**
 * The server says that something which the program uses will end. Told once for each text and call.
 *
 * @since 0.1.0
 * @category models
 */
export interface DeprecationNoted {
  readonly _tag: "DeprecationNoted"
  readonly operation: string
  /** The public call behind the request, if it is one of such, e.g. `TrainingClient.optimStep`. */
  readonly call: string | undefined
  readonly note: string
  readonly level: "warning" | "error"
}

/**
 * Where events go.
 *
 * @since 0.1.0
 * @category models
 */
export interface Hub {
  readonly publish: (event: TinkerEvent) => void
  /** The listener is called at once, where the event happens, and must not throw. The result ends that. */
  readonly listen: (listener: (event: TinkerEvent) => void) => () => void
  readonly isHeard: () => boolean
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const makeHub = (): Hub => {
  const listeners = new Set<(event: TinkerEvent) => void>()
  return {
    publish: (event) => {
      for (const listener of listeners) listener(event)
    },
    listen: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    isHeard: () => listeners.size > 0
  }
}

/**
 * The hub of the clients that are made in a region of code. By default one for the whole program.
 *
 * @since 0.1.0
 * @category config
 */
export class CurrentHub extends Context.Reference<CurrentHub>()("effect-tinker/TinkerEvents/CurrentHub", {
  defaultValue: makeHub
}) {}

/**
 * The events from now on.
 *
 * @since 0.1.0
 * @category constructors
 */
export const stream: Stream.Stream<TinkerEvent> = Stream.unwrap(
  Effect.map(CurrentHub, (hub) =>
    Stream.asyncPush<TinkerEvent>((emit) =>
      Effect.acquireRelease(
        Effect.sync(() => hub.listen((event) => void emit.single(event))),
        (stop) => Effect.sync(stop)
      ), { bufferSize: "unbounded" }))
)

/**
 * A hub of its own for the clients that are made with it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerHub: Layer.Layer<CurrentHub> = Layer.sync(CurrentHub, makeHub)

/**
 * Logs one line a request, at the level info, until its scope is closed.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerLogger: Layer.Layer<never> = Layer.scopedDiscard(
  Effect.gen(function*() {
    const hub = yield* CurrentHub
    const stopped = yield* Queue.unbounded<RequestStopped>()
    const logged = Effect.flatMap(Queue.take(stopped), (event) => Effect.logInfo(line(event)))
    const fiber = yield* Effect.forkDaemon(Effect.forever(logged))
    const stop = hub.listen((event) => {
      if (event._tag === "RequestStopped") Queue.unsafeOffer(stopped, event)
    })
    yield* Effect.addFinalizer(() =>
      Effect.gen(function*() {
        stop()
        yield* Fiber.interrupt(fiber)
        for (let next = yield* Queue.poll(stopped); Option.isSome(next); next = yield* Queue.poll(stopped)) {
          yield* Effect.logInfo(line(next.value))
        }
      })
    )
  })
)

const line = (event: RequestStopped): string =>
  `${event.method} ${event.path}: ${event.result}${
    event.status === undefined ? "" : ` (${event.status})`
  } after ${event.duration} ms`
  + (event.retries === 0 ? "" : `, ${event.retries} retries`)
