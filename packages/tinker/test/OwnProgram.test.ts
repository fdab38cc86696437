import { BigramEngine } from "@effect-tinker/engine"
import { Faults, TinkerServer } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer, TestClock } from "effect"
import { AdamParams, ApiFuture, Datum, ServiceClient, Tinker } from "effect-tinker"

const trainOnce = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 8 })
  const data = [Datum.fromTokens(Int32Array.of(3, 1, 4), Float32Array.of(1, 1, 1))]
  yield* training.forwardBackward({ data, lossFn: "cross_entropy" })
  return yield* ApiFuture.flatten(training.optimStep(AdamParams.make()))
})

const Local = Tinker.layer().pipe(
  Layer.provide(TinkerServer.layerClient),
  Layer.provideMerge(Faults.layer),
  Layer.provide(BigramEngine.layer({ stepDuration: "3 seconds" }))
)

it.effect("trains although an answer is lost", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    yield* faults.plan({ path: "optim_step", fault: Faults.loseAnswer })
    const training = yield* Effect.fork(trainOnce)
    yield* TestClock.adjust("1 minute")
    yield* Fiber.join(training)
    assert.lengthOf(yield* faults.unused, 0)
  }).pipe(Effect.provide(Local)))
