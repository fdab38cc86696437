/**
 * How long results are waited for. By default for ever, with a state `stuck` and a warning after ten minutes in which the
 * server reported no progress.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"

/**
 * @since 0.1.0
 * @category models
 */
export interface WaitingPolicy {
  /** A request that the server does not report to be active for this long is stuck. Infinity: none ever is. */
  readonly stuckAfter: Duration.Duration
  /** Whether a stuck request fails, with an `ApiTimeoutError` of reason `stuck`. Otherwise it is waited for. */
  readonly failsWhenStuck: boolean
  /** From submission to result; then an `ApiTimeoutError` of reason `waiting`. Infinity: no limit. */
  readonly deadline: Duration.Duration
}

/** The hosted service has pauses of minutes; ten without progress are no longer usual. */
const patience = Duration.minutes(10)

/**
 * The default.
 *
 * @since 0.1.0
 * @category constructors
 */
export const forever: WaitingPolicy = { stuckAfter: patience, failsWhenStuck: false, deadline: Duration.infinity }

/**
 * Fails when a result is not there after this time. Servers hear of samples alone, if they want to: what a training call
 * asked for may still happen.
 *
 * @since 0.1.0
 * @category constructors
 */
export const failAfter = (deadline: Duration.DurationInput): WaitingPolicy => ({
  ...forever,
  deadline: Duration.decode(deadline)
})

/**
 * Fails when the server reports no progress for this time, ten minutes unless given.
 *
 * @since 0.1.0
 * @category constructors
 */
export const failWhenStuck = (stuckAfter: Duration.DurationInput = patience): WaitingPolicy => ({
  ...forever,
  stuckAfter: Duration.decode(stuckAfter),
  failsWhenStuck: true
})

/**
 * The policy in force where a request is made.
 *
 * @since 0.1.0
 * @category config
 */
export class CurrentWaitingPolicy extends Context.Reference<CurrentWaitingPolicy>()(
  "effect-tinker/WaitingPolicy/CurrentWaitingPolicy",
  { defaultValue: () => forever }
) {}

/**
 * Sets the policy of the requests that a region of code makes.
 *
 * @example
 * ```ts
 * import { BigramEngine, TinkerServer } from "@effect-tinker/server"
 * import { Effect, Layer } from "effect"
 * import { ModelInput, SamplingParams, ServiceClient, Tinker, WaitingPolicy } from "effect-tinker"
 *
 * const program = Effect.gen(function*() {
 *   const service = yield* ServiceClient.ServiceClient
 *   const sampling = yield* service.createSamplingClient({ baseModel: "bigram" })
 *   return yield* sampling.sample({
 *     prompt: ModelInput.fromTokens([1, 2, 3]),
 *     samplingParams: SamplingParams.make({ maxTokens: 8 })
 *   })
 * }).pipe(WaitingPolicy.withWaitingPolicy(WaitingPolicy.failAfter("30 seconds")))
 *
 * const Local = Tinker.layer().pipe(Layer.provide(TinkerServer.layerClient), Layer.provide(BigramEngine.layer()))
 *
 * await Effect.runPromise(Effect.provide(program, Local))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const withWaitingPolicy: {
  (policy: WaitingPolicy): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(effect: Effect.Effect<A, E, R>, policy: WaitingPolicy): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(effect: Effect.Effect<A, E, R>, policy: WaitingPolicy): Effect.Effect<A, E, R> =>
    Effect.provideService(effect, CurrentWaitingPolicy, policy)
)
