/**
 * A plan of what goes wrong, for tests of programs that talk to a server: give `Faults.layer` to the server and to the
 * test, and the test decides which request fails and how.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Failed, QueueState } from "./Futures.js"
import type { Gate } from "./RequestQueue.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class Faults extends Context.Tag("@effect-tinker/server/Faults")<Faults, Service>() {}

/**
 * What happens to a request:
 *
 * - `Answer`: the server answers this, and does nothing
 * - `Drop`: the connection breaks before the server has seen the request
 * - `LoseAnswer`: the server does what it was asked, and then the connection breaks
 * - `FailFuture`: the server accepts the request, does nothing, and reports later that it failed
 * - `Delay`: the server begins only after this time
 *
 * @since 0.1.0
 * @category models
 */
export type Fault =
  | {
    readonly _tag: "Answer"
    readonly status: number
    readonly headers: Readonly<Record<string, string>>
    readonly body: unknown
  }
  | { readonly _tag: "Drop" }
  | { readonly _tag: "LoseAnswer" }
  | { readonly _tag: "FailFuture"; readonly outcome: Failed }
  | { readonly _tag: "Delay"; readonly duration: Duration.DurationInput }

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * Makes the `nth` request from now on to `path` fail, 1 being the next (the default), and the following ones too when
   * `times` is more than 1. `path` is what follows `/api/v1/`, e.g. `optim_step`.
   */
  readonly plan: (options: {
    readonly path: string
    readonly fault: Fault
    readonly nth?: number | undefined
    readonly times?: number | undefined
  }) => Effect.Effect<void>

  /**
   * Holds the queue of a model, or all queues when none is named, until {@link Service.resumeQueue}. A request that runs
   * already goes on.
   */
  readonly pauseQueue: (
    options: QueueState & { readonly modelId?: string | undefined }
  ) => Effect.Effect<void>

  readonly resumeQueue: (options?: { readonly modelId?: string | undefined }) => Effect.Effect<void>

  /** How often each path was requested so far. */
  readonly requestCounts: Effect.Effect<ReadonlyMap<string, number>>

  /** The fault that the plan has for this request, which thereby is counted. For the server. */
  readonly next: (path: string) => Effect.Effect<Fault | undefined>

  /** What holds the queue of a model. For the server. */
  readonly gate: (modelId: string) => Gate
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const answer = (
  status: number,
  options?: { readonly headers?: Readonly<Record<string, string>> | undefined; readonly body?: unknown }
): Fault => ({
  _tag: "Answer",
  status,
  headers: options?.headers ?? {},
  body: options?.body ?? { detail: `a planned answer ${status}` }
})

/**
 * @since 0.1.0
 * @category constructors
 */
export const drop: Fault = { _tag: "Drop" }

/**
 * @since 0.1.0
 * @category constructors
 */
export const loseAnswer: Fault = { _tag: "LoseAnswer" }

/**
 * Category `server` unless told otherwise.
 *
 * @since 0.1.0
 * @category constructors
 */
export const failFuture = (error: string, category: Failed["category"] = "server"): Fault => ({
  _tag: "FailFuture",
  outcome: { _tag: "Failed", error, category }
})

/**
 * @since 0.1.0
 * @category constructors
 */
export const delay = (duration: Duration.DurationInput): Fault => ({ _tag: "Delay", duration })

interface Planned {
  readonly path: string
  readonly fault: Fault
  /** Numbers of the requests to the path, counted from the first ever. */
  readonly from: number
  readonly until: number
}

interface Pause {
  readonly state: QueueState
  readonly over: Deferred.Deferred<void>
}

/** All queues. */
const everyQueue = "*"

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service> = Effect.sync(() => {
  const counts = new Map<string, number>()
  const planned: Array<Planned> = []
  const pauses = new Map<string, Pause>()
  const pauseOf = (modelId: string) => pauses.get(modelId) ?? pauses.get(everyQueue)

  const resumeQueue: Service["resumeQueue"] = (options) =>
    Effect.suspend(() => {
      const key = options?.modelId ?? everyQueue
      const pause = pauses.get(key)
      pauses.delete(key)
      return pause === undefined ? Effect.void : Effect.asVoid(Deferred.succeed(pause.over, undefined))
    })

  return {
    plan: ({ fault, nth = 1, path, times = 1 }) =>
      Effect.sync(() => {
        const from = (counts.get(path) ?? 0) + nth
        planned.push({ path, fault, from, until: from + times })
      }),
    pauseQueue: ({ modelId, reason, state }) =>
      Effect.gen(function*() {
        yield* resumeQueue({ modelId })
        pauses.set(modelId ?? everyQueue, { state: { state, reason }, over: yield* Deferred.make<void>() })
      }),
    resumeQueue,
    requestCounts: Effect.sync(() => new Map(counts)),
    next: (path) =>
      Effect.sync(() => {
        const count = (counts.get(path) ?? 0) + 1
        counts.set(path, count)
        return planned.find((plan) => plan.path === path && plan.from <= count && count < plan.until)?.fault
      }),
    gate: (modelId) => {
      const open: Effect.Effect<void> = Effect.suspend(() => {
        const pause = pauseOf(modelId)
        return pause === undefined ? Effect.void : Effect.zipRight(Deferred.await(pause.over), open)
      })
      return { open, state: Effect.sync(() => pauseOf(modelId)?.state) }
    }
  }
})

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Faults> = Layer.effect(Faults, make)
