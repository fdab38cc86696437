/** Tells the server of samples that nobody wants any more, if it asks for that. */
import type { RequestId } from "@effect-tinker/protocol/Identifiers"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as ClientConfig from "../../ClientConfig.js"
import * as FuturesApi from "../../FuturesApi.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import * as Budget from "../dispatch/budget.js"

export class SampleCancellation
  extends Context.Tag("effect-tinker/SampleCancellation")<SampleCancellation, Service>()
{}

export interface Service {
  /** Returns at once; a server that cannot be told is only logged. */
  readonly cancel: (requestId: RequestId) => Effect.Effect<void>
}

/** The end of a program does not wait longer than this for servers to hear of its samples. */
const flushDeadline = Duration.seconds(2)

export const make: Effect.Effect<
  Service,
  never,
  FuturesApi.FuturesApi | ClientConfig.ClientConfig | Scope.Scope
> = Effect.gen(function*() {
  const futures = yield* FuturesApi.FuturesApi
  const config = yield* ClientConfig.ClientConfig
  const telling = yield* FiberSet.make<void>()
  yield* Effect.addFinalizer(() =>
    Effect.ignore(Effect.timeout(Effect.interruptible(FiberSet.awaitEmpty(telling)), flushDeadline))
  )
  const batch = Budget.make(() => config.current().sampleCancelMaxBatchSize)

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

export const layer: Layer.Layer<SampleCancellation, never, FuturesApi.FuturesApi | ClientConfig.ClientConfig> = Layer
  .scoped(SampleCancellation, make)
