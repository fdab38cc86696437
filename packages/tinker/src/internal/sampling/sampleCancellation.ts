/**
 * Tells the server of samples that nobody wants any more, if it asks for that.
 */
import type { RequestId } from "@effect-tinker/protocol/Identifiers"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as ClientConfig from "../../ClientConfig.js"
import { makeBudget } from "../dispatch/dispatchLimiter.js"
import * as FuturesApi from "../../FuturesApi.js"
import * as RetryPolicy from "../../RetryPolicy.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class SampleCancellation
  extends Context.Tag("effect-tinker/SampleCancellation")<SampleCancellation, Service>()
{}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Returns at once; a server that cannot be told is only logged. */
  readonly cancel: (requestId: RequestId) => Effect.Effect<void>
}

/** The end of a program does not wait longer than this for servers to hear of its samples. */
const goodbye = Duration.seconds(2)

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<
  Service,
  never,
  FuturesApi.FuturesApi | ClientConfig.ClientConfig | Scope.Scope
> = Effect.gen(function*() {
  const futures = yield* FuturesApi.FuturesApi
  const config = yield* ClientConfig.ClientConfig
  const telling = yield* FiberSet.make<void>()
  yield* Effect.addFinalizer(() =>
    Effect.ignore(Effect.timeout(Effect.interruptible(FiberSet.awaitEmpty(telling)), goodbye))
  )
  const batch = makeBudget(() => config.current().sampleCancelMaxBatchSize)

  return SampleCancellation.of({
    cancel: (requestId) =>
      Effect.suspend(() =>
        config.current().sampleCancelEnabled
          ? RetryPolicy.retry(futures.cancel(requestId)).pipe(
            Effect.catchAll((error) => Effect.logDebug("a sample could not be cancelled", error.message)),
            batch.withPermits(1),
            Effect.interruptible,
            FiberSet.run(telling),
            Effect.asVoid
          )
          : Effect.void
      )
  })
})

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<SampleCancellation, never, FuturesApi.FuturesApi | ClientConfig.ClientConfig> = Layer
  .scoped(SampleCancellation, make)
