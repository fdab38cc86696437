/**
 * How much is on its way to and from the server at once: back-pressure in requests and in bytes, first come, first served.
 */
import type { SamplingSessionId } from "@effect-tinker/protocol/Identifiers"
import { type TinkerError, withAttempts } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as ClientConfig from "../../ClientConfig.js"
import * as Monotonic from "../monotonic.js"
import * as PolicyRun from "../transport/policyRun.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import * as TinkerEvents from "../../TinkerEvents.js"
import * as TinkerMetrics from "../../TinkerMetrics.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class DispatchLimiter extends Context.Tag("effect-tinker/DispatchLimiter")<DispatchLimiter, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Bytes of training requests being submitted. */
  readonly training: Budget
  /** Bytes of large results being fetched. */
  readonly responses: Budget
  /** Samples of one sampling session from submission to result. */
  readonly samplesOf: (samplingSessionId: SamplingSessionId) => Budget

  /**
   * Submits a sample of so many estimated bytes. 429 lets all samples of this client pause for a second, or for five
   * after a large one, or for as long as the server asks, and then submits the same again, by the policy `backpressure`; for ten
   * seconds after a pause little is submitted at once. `warn` is told what is refused, and for how long it has been.
   */
  readonly submitSample: <A>(
    bytes: number,
    attempt: Effect.Effect<A, TinkerError>,
    warn: (message: string) => Effect.Effect<void>
  ) => Effect.Effect<A, TinkerError>
}

/**
 * So much of something may be in use at once. Who asks for more than there is at all gets all of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Budget {
  /** Waits for its turn and its share, and gives the share back at the end, however that comes. */
  readonly withPermits: (cost: number) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** The part of the limit that is in use now. */
  readonly taken: () => number
  /** The number of calls that wait now. */
  readonly waiting: () => number
}

/**
 * A budget whose capacity may change while it is in use.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeBudget = (capacity: () => number): Budget => {
  // In order of arrival; leaving costs nothing, however long the queue is.
  const queue = new Set<Waiting>()
  let taken = 0

  const grant = (cost: number): number | undefined => {
    const limit = Math.max(1, capacity())
    const share = Math.min(cost, limit)
    if (taken + share > limit) return undefined
    taken += share
    return share
  }

  const serve = () => {
    for (const first of queue) {
      const granted = grant(first.cost)
      if (granted === undefined) return
      queue.delete(first)
      first.granted = granted
      Deferred.unsafeDone(first.turn, Effect.void)
    }
  }

  const release = (granted: number) => {
    taken -= granted
    serve()
  }

  const leave = (waiting: Waiting) => {
    if (waiting.granted !== undefined) return release(waiting.granted)
    queue.delete(waiting)
    serve()
  }

  // Many wait here at once, so there is little to hold for one that does.
  const withPermits = (cost: number) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.uninterruptibleMask((restore) => {
      const use = (granted: number) => Effect.onExit(restore(effect), () => Effect.sync(() => release(granted)))
      const granted = queue.size === 0 ? grant(cost) : undefined
      if (granted !== undefined) return use(granted)
      const waiting: Waiting = { cost, turn: Deferred.unsafeMake<void>(FiberId.none), granted: undefined }
      queue.add(waiting)
      return Effect.matchCauseEffect(restore(Deferred.await(waiting.turn)), {
        onFailure: (cause) => {
          leave(waiting)
          return Effect.failCause(cause)
        },
        onSuccess: () => use(waiting.granted!)
      })
    })

  return { withPermits, taken: () => taken, waiting: () => queue.size }
}

interface Waiting {
  readonly cost: number
  readonly turn: Deferred.Deferred<void>
  granted: number | undefined
}

/** Samples being submitted at once. Source of this and the following: the Python SDK 0.38.0. */
const mostSubmissions = 400

/** How much more a submission counts for a while after a pause, in requests and in bytes. */
const cautionRequests = mostSubmissions / 10
const cautionBytes = 20
const caution = Duration.toMillis("10 seconds")

/** How often one sample was refused for now. */
interface Refusals {
  readonly run: PolicyRun.PolicyRun
  readonly since: number
  count: number
}

/** A refused sample larger than this pauses the others longer. */
const large = 131_072
const pauseAfter = (bytes: number): number => Duration.toMillis(bytes > large ? "5 seconds" : "1 second")

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, ClientConfig.ClientConfig> = Effect.zipWith(
  ClientConfig.ClientConfig,
  TinkerMetrics.CurrentMetrics,
  (config, metrics) => {
    const limits = config.current
    const submissions = makeBudget(() => mostSubmissions)
    const submittedBytes = makeBudget(() => limits().sampleDispatchBytes)
    const samples = new Map<SamplingSessionId, Budget>()
    let pausedUntil = -Infinity

    const resumed = (): Effect.Effect<void> =>
      Effect.flatMap(
        Monotonic.now,
        (now) =>
          now < pausedUntil
            ? Effect.zipRight(Effect.sleep(Math.ceil(pausedUntil - now)), Effect.suspend(resumed))
            : Effect.void
      )

    const pause = (bytes: number, askedToWait: Duration.Duration | undefined) =>
      Effect.gen(function*() {
        // Other clients were told to pause at the same moment.
        const stretch = yield* Random.nextRange(1, 1.2)
        const wait = Math.max(pauseAfter(bytes), askedToWait === undefined ? 0 : Duration.toMillis(askedToWait))
        metrics?.queuePaused("backpressure")
        pausedUntil = Math.max(pausedUntil, (yield* Monotonic.now) + Math.ceil(wait * stretch))
      })

    const submitSample: Service["submitSample"] = <A>(
      bytes: number,
      attempt: Effect.Effect<A, TinkerError>,
      warn: (message: string) => Effect.Effect<void>
    ) => {
      let refusals: Refusals | undefined

      /** How long this sample has to wait, beside the pause of all. */
      const refused = (error: TinkerError, askedToWait: Duration.Duration | undefined) =>
        Effect.gen(function*() {
          const now = yield* Monotonic.now
          if (refusals === undefined) {
            const { backpressure } = yield* RetryPolicy.CurrentPolicies
            refusals = { run: PolicyRun.begin(backpressure), since: now, count: 0 }
          }
          refusals.count += 1
          const wait = yield* refusals.run.next(error)
          const elapsed = Math.round(now - refusals.since)
          if (wait === undefined) {
            return yield* Effect.fail(refusals.count === 1 ? error : withAttempts(error, refusals.count, elapsed))
          }
          yield* pause(bytes, askedToWait)
          const { operation } = error
          const hub = yield* TinkerEvents.CurrentHub
          if (hub.isHeard()) {
            const attempt = refusals.count + 1
            hub.publish({ _tag: "RetryScheduled", operation, policy: "backpressure", attempt, wait, error })
          }
          const left = Math.max(wait, pausedUntil - now)
          if (elapsed + left >= RetryPolicy.worthAWarning) yield* warn(RetryPolicy.stillFailing(error, elapsed, left))
          return wait
        })

      const guarded: Effect.Effect<Effect.Effect<A, TinkerError>, TinkerError> = Effect.clockWith((clock) => {
        const careful = Monotonic.unsafeNow(clock) - pausedUntil < caution
        return Effect.suspend((): Effect.Effect<Effect.Effect<A, TinkerError>, TinkerError> =>
          // A pause that began while this one waited for its share holds for it too.
          Monotonic.unsafeNow(clock) < pausedUntil
            ? Effect.succeed(again)
            : Effect.catchAll(Effect.map(attempt, Effect.succeed), (error) =>
              error._tag === "ApiStatusError" && error.reason === "RateLimit"
                ? Effect.map(refused(error, error.retryAfter), (wait) =>
                  Effect.zipRight(PolicyRun.sleep(wait), again))
                : Effect.fail(error))
        ).pipe(
          submissions.withPermits(careful ? cautionRequests : 1),
          submittedBytes.withPermits(careful ? bytes * cautionBytes : bytes)
        )
      })
      const again: Effect.Effect<A, TinkerError> = Effect.zipRight(resumed(), Effect.flatten(guarded))
      return again
    }

    return DispatchLimiter.of({
      training: makeBudget(() => limits().fwdbwdDispatchBytes),
      responses: makeBudget(() => limits().inflightResponseBytes),
      samplesOf: (id) => {
        const budget = samples.get(id) ?? makeBudget(() => limits().sampleMaxConcurrentRequests)
        samples.set(id, budget)
        return budget
      },
      submitSample
    })
  }
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<DispatchLimiter, never, ClientConfig.ClientConfig> = Layer.effect(DispatchLimiter, make)
