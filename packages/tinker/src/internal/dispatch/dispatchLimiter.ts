/** How much is on its way to and from the server at once: back-pressure in requests and in bytes, first come, first served. */
import type { SamplingSessionId } from "@effect-tinker/protocol/Identifiers"
import { type TinkerError, withAttempts } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as ClientConfig from "../../ClientConfig.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import * as TinkerEvents from "../../TinkerEvents.js"
import * as TinkerMetrics from "../../TinkerMetrics.js"
import * as Monotonic from "../monotonic.js"
import * as PolicyRun from "../transport/policyRun.js"
import * as Budget from "./budget.js"

export class DispatchLimiter extends Context.Tag("effect-tinker/DispatchLimiter")<DispatchLimiter, Service>() {}

export interface Service {
  /** Bytes of training requests being submitted. */
  readonly training: Budget.Budget
  /** Bytes of large results being fetched. */
  readonly responses: Budget.Budget
  /** Samples of one sampling session from submission to result. */
  readonly samplesOf: (samplingSessionId: SamplingSessionId) => Budget.Budget

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

export const make: Effect.Effect<Service, never, ClientConfig.ClientConfig> = Effect.zipWith(
  ClientConfig.ClientConfig,
  TinkerMetrics.CurrentMetrics,
  (config, metrics) => {
    const limits = config.current
    const submissions = Budget.make(() => mostSubmissions)
    const submittedBytes = Budget.make(() => limits().sampleDispatchBytes)
    const samples = new Map<SamplingSessionId, Budget.Budget>()
    let pausedUntil = -Infinity

    const resumed = Monotonic.sleepUntil(() => pausedUntil)

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
                  Effect.zipRight(Monotonic.sleep(wait), again))
                : Effect.fail(error))
        ).pipe(
          submissions.withPermits(careful ? cautionRequests : 1),
          submittedBytes.withPermits(careful ? bytes * cautionBytes : bytes)
        )
      })
      const again: Effect.Effect<A, TinkerError> = Effect.zipRight(resumed, Effect.flatten(guarded))
      return again
    }

    return DispatchLimiter.of({
      training: Budget.make(() => limits().fwdbwdDispatchBytes),
      responses: Budget.make(() => limits().inflightResponseBytes),
      samplesOf: (id) => {
        const budget = samples.get(id) ?? Budget.make(() => limits().sampleMaxConcurrentRequests)
        samples.set(id, budget)
        return budget
      },
      submitSample
    })
  }
)

export const layer: Layer.Layer<DispatchLimiter, never, ClientConfig.ClientConfig> = Layer.effect(DispatchLimiter, make)
