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
 * What happens to a request. Does nothing of what was asked:
 *
 * - `Answer`: the server answers this
 * - `Drop`: the connection breaks before the server has seen the request
 * - `FailFuture`: the server accepts the request, and reports later that it failed
 *
 * Does what was asked:
 *
 * - `Delay`: only after this time
 * - `DelayAnswer`: at once, and answers after this time
 * - `LoseAnswer`: the connection breaks without an answer
 * - `ReplaceAnswer`: something before the server answers this instead
 * - `Truncate`: the answer's body ends early and looks complete; `bytes` of it are kept, or half
 * - `BreakBody`: headers and half of the body arrive, then the connection breaks
 * - `Duplicate`: twice, one after the other; the second answer is the one that arrives
 *
 * @since 0.1.0
 * @category models
 */
export type Fault =
  | PlannedAnswer
  | { readonly _tag: "Drop" }
  | { readonly _tag: "LoseAnswer" }
  | { readonly _tag: "ReplaceAnswer"; readonly by: PlannedAnswer }
  | { readonly _tag: "Truncate"; readonly bytes: number | undefined }
  | { readonly _tag: "BreakBody" }
  | { readonly _tag: "Duplicate" }
  | { readonly _tag: "FailFuture"; readonly outcome: Failed }
  | { readonly _tag: "Delay"; readonly duration: Duration.DurationInput }
  | { readonly _tag: "DelayAnswer"; readonly duration: Duration.DurationInput }

/**
 * @since 0.1.0
 * @category models
 */
export interface PlannedAnswer {
  readonly _tag: "Answer"
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** A text is sent as it is, anything else as JSON. */
  readonly body: unknown
  /** The content type of a body that is a text. */
  readonly contentType: string
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Plan {
  /**
   * What follows `/api/v1/`, e.g. `optim_step` or `sessions/:id/finish`; or {@link anyPath}, which is any request but
   * `session_heartbeat`, and counts them all.
   */
  readonly path: string
  readonly fault: Fault
  /** The number of the request to the path, counted from now on: 1 is the next, the default. */
  readonly nth?: number | undefined
  /** How many requests in a row. Default 1. */
  readonly times?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Makes a request fail. When several plans fit one request, the oldest counts. */
  readonly plan: (plan: Plan) => Effect.Effect<void>

  /** Plans that no request has met so far: a test that expects its faults to happen expects this to be empty. */
  readonly unused: Effect.Effect<ReadonlyArray<Plan>>

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

  /** Takes back every token that the server has issued: none is valid any more from now on. */
  readonly revokeTokens: Effect.Effect<void>

  /** Settings, under their names on the wire, over those that the server would answer `client/dynamic_config` with. */
  readonly setDynamicConfig: (settings: Readonly<Record<string, unknown>>) => Effect.Effect<void>

  /** The fault that the plan has for this request, which thereby is counted. For the server. */
  readonly next: (path: string) => Effect.Effect<Fault | undefined>

  /** What holds the queue of a model. For the server. */
  readonly gate: (modelId: string) => Gate

  /** How often tokens were revoked. For the server. */
  readonly revocations: Effect.Effect<number>

  /** What {@link Service.setDynamicConfig} was given last. For the server. */
  readonly dynamicConfig: Effect.Effect<Readonly<Record<string, unknown>>>
}

/**
 * Stands for every path in a plan.
 *
 * @since 0.1.0
 * @category config
 */
export const anyPath = "*"

/**
 * An answer as a server or something before it may give. A body that is a text goes out as it is, with the content type
 * `text/plain` unless told otherwise; an empty one has length 0. Any other body is sent as JSON.
 *
 * @since 0.1.0
 * @category constructors
 */
export const answer = (
  status: number,
  options?: {
    readonly headers?: Readonly<Record<string, string>> | undefined
    readonly body?: unknown
    readonly contentType?: string | undefined
  }
): PlannedAnswer => ({
  _tag: "Answer",
  status,
  headers: options?.headers ?? {},
  body: options?.body ?? { detail: `a planned answer ${status}` },
  contentType: options?.contentType ?? "text/plain"
})

/**
 * @since 0.1.0
 * @category constructors
 */
export const drop: Fault = { _tag: "Drop" }

/**
 * @example
 * ```ts
 * import { BigramEngine } from "@effect-tinker/engine"
import { Faults, TinkerServer } from "@effect-tinker/server"
 * import { Effect, Layer } from "effect"
 * import { AdamParams, ApiFuture, ServiceClient, Tinker } from "effect-tinker"
 *
 * // The first optimizer step is done, but its answer is lost: it is sent again, and not done again.
 * const program = Effect.gen(function*() {
 *   const faults = yield* Faults.Faults
 *   yield* faults.plan({ path: "optim_step", fault: Faults.loseAnswer })
 *   const service = yield* ServiceClient.ServiceClient
 *   const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
 *   yield* ApiFuture.flatten(training.optimStep(AdamParams.make({ learningRate: 1e-3 })))
 *   return yield* faults.unused
 * })
 *
 * const Local = Tinker.layer().pipe(
 *   Layer.provide(TinkerServer.layerClient),
 *   Layer.provide(BigramEngine.layer()),
 *   Layer.provideMerge(Faults.layer)
 * )
 *
 * await Effect.runPromise(Effect.provide(program, Local))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const loseAnswer: Fault = { _tag: "LoseAnswer" }

/**
 * Another answer in place of the server's, as by a proxy that gives up on a server which has taken the request all the same.
 *
 * @since 0.1.0
 * @category constructors
 */
export const replaceAnswer = (by: PlannedAnswer): Fault => ({ _tag: "ReplaceAnswer", by })

/**
 * Keeps so many bytes of the answer's body; half of them unless told otherwise.
 *
 * @since 0.1.0
 * @category constructors
 */
export const truncate = (bytes?: number): Fault => ({ _tag: "Truncate", bytes })

/**
 * @since 0.1.0
 * @category constructors
 */
export const breakBody: Fault = { _tag: "BreakBody" }

/**
 * A request that comes twice, as by a proxy that repeats what it has sent already. It counts as one request.
 *
 * @since 0.1.0
 * @category constructors
 */
export const duplicate: Fault = { _tag: "Duplicate" }

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

/**
 * @since 0.1.0
 * @category constructors
 */
export const delayAnswer = (duration: Duration.DurationInput): Fault => ({ _tag: "DelayAnswer", duration })

interface Planned {
  readonly plan: Plan
  /** Numbers of the requests to the path, counted from the first ever. */
  readonly from: number
  readonly until: number
  used: boolean
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
  let countOfAny = 0
  let revocations = 0
  let dynamicConfig: Readonly<Record<string, unknown>> = {}
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
    plan: (plan) =>
      Effect.sync(() => {
        const { nth = 1, path, times = 1 } = plan
        const from = (path === anyPath ? countOfAny : counts.get(path) ?? 0) + nth
        planned.push({ plan, from, until: from + times, used: false })
      }),
    unused: Effect.sync(() => planned.filter(({ used }) => !used).map(({ plan }) => plan)),
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
        // Heartbeats come whenever time passes, and would make the numbers of other requests hard to foresee.
        const isCounted = path !== "session_heartbeat"
        if (isCounted) countOfAny += 1
        const met = planned.find(({ from, plan, until }) => {
          if (plan.path === path) return from <= count && count < until
          return isCounted && plan.path === anyPath && from <= countOfAny && countOfAny < until
        })
        if (met === undefined) return undefined
        met.used = true
        return met.plan.fault
      }),
    revokeTokens: Effect.sync(() => {
      revocations += 1
    }),
    revocations: Effect.sync(() => revocations),
    setDynamicConfig: (settings) =>
      Effect.sync(() => {
        dynamicConfig = settings
      }),
    dynamicConfig: Effect.sync(() => dynamicConfig),
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
