/**
 * How long a call may take, from its beginning to its result. By default for ever, with a state `stuck` and a warning after ten
 * minutes in which the server reported no progress.
 */
import { optionIssues } from "@effect-tinker/protocol/CallOptions"
import { type Check, duration, flag, must, object } from "@effect-tinker/protocol/Checks"
import { ApiTimeoutError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Given from "./internal/given.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface WaitingPolicy {
  /**
   * A request is stuck when for this long the server says nothing new of it and no other result of the same client arrives.
   * Infinity: none ever is.
   */
  readonly stuckAfter: Duration.Duration
  /** The same for a request of which the server says all the time that it is active: computing takes long. */
  readonly activeFor: Duration.Duration
  /** Whether a stuck request fails, with an `ApiTimeoutError` of reason `stuck`. Otherwise it is waited for. */
  readonly failsWhenStuck: boolean
  /**
   * The most time from the call to its result, its submission included; then an `ApiTimeoutError` of reason `waiting`. Infinity: no limit.
   */
  readonly deadline: Duration.Duration
}

/** The hosted service has pauses of minutes; ten without progress are no longer usual. */
const patience = Duration.minutes(10)

/** A server that never knew a request, as after a restart, may call it active for ever; a save of a large model takes minutes. */
const patienceWhenActive = 6

/**
 * The default.
 *
 * @since 0.1.0
 * @category constructors
 */
export const forever: WaitingPolicy = {
  stuckAfter: patience,
  activeFor: Duration.times(patience, patienceWhenActive),
  failsWhenStuck: false,
  deadline: Duration.infinity
}

/**
 * Fails when a call has no result after this time, whether it waits for its turn, is being sent or sent again, or has been accepted.
 * Servers hear of samples alone, if they want to: what a training call asked for may still happen.
 *
 * @since 0.1.0
 * @category constructors
 */
export const failAfter = (deadline: Duration.DurationInput): WaitingPolicy => ({
  ...forever,
  deadline: decoded(deadline)
})

/** What is none is left as it is: constructors throw nothing, and {@link withWaitingPolicy} refuses it. */
const decoded = (given: Duration.DurationInput): Duration.Duration =>
  duration(given, "").length === 0 ? Duration.decode(given) : given as Duration.Duration

/**
 * Fails when the server reports no progress for this time, ten minutes unless given; when it says all the time that the request is
 * active, after `activeFor`, six times as long unless given.
 *
 * @since 0.1.0
 * @category constructors
 */
export const failWhenStuck = (
  stuckAfter: Duration.DurationInput = patience,
  options?: { readonly activeFor?: Duration.DurationInput | undefined }
): WaitingPolicy => {
  const after = decoded(stuckAfter)
  return {
    ...forever,
    stuckAfter: after,
    activeFor: options?.activeFor !== undefined
      ? decoded(options.activeFor)
      : Duration.isDuration(after)
      ? Duration.times(after, patienceWhenActive)
      : after,
    failsWhenStuck: true,
    ...unfit(options)
  }
}

/** Options that are none, as a setting that there is not. */
const unfit = (options: unknown) => optionIssues(options, ["activeFor"]).length === 0 ? {} : { options }

/**
 * The policy in force where a request is made.
 *
 * @internal
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
 * import { BigramEngine } from "@effect-tinker/engine"
import { TinkerServer } from "@effect-tinker/server"
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
    Given.around(
      "WaitingPolicy.withWaitingPolicy",
      [effect, policy],
      { effect: Given.effect, policy: policyCheck },
      () => Effect.provideService(effect, CurrentWaitingPolicy, policy)
    )
)

const time = must(
  (value) => Duration.isDuration(value) && duration(value, "").length === 0,
  "a duration, as \"5 minutes\", none less than zero"
)

const policyCheck = object(
  { stuckAfter: time, activeFor: time, failsWhenStuck: flag, deadline: time } satisfies Record<
    keyof WaitingPolicy,
    Check
  >
)

/**
 * Holds a whole call to the deadline in force. It is interrupted then, and its error tells `state`.
 *
 * @internal
 */
export const bounded = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  told: () => { readonly operation: string; readonly requestId?: string | undefined; readonly state: string }
): Effect.Effect<A, E | TinkerError, R> =>
  Effect.flatMap(CurrentWaitingPolicy, ({ deadline }) =>
    Duration.isFinite(deadline)
      ? Effect.timeoutFail(effect, {
        duration: deadline,
        onTimeout: () => new ApiTimeoutError({ reason: "waiting", deadline, ...told() })
      })
      : effect)
