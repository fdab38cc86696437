/** Decides for one region how often requests are sent again, and how long results are waited for. */
import { TinkerNode } from "@effect-tinker/node"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Schedule, Stream } from "effect"
import { AdamParams, type ApiFuture, Datum, RetryPolicy, ServiceClient, Tinker, WaitingPolicy } from "effect-tinker"
import { isMain } from "./isMain.js"

const explain = (state: ApiFuture.State): string => {
  switch (state._tag) {
    case "queued":
      return `queued: ${state.reason ?? state.queueState}`
    case "retrying":
      return `asking again: ${state.error._tag}`
    default:
      return state._tag
  }
}

/** A request that the server reports no progress of for five minutes fails, and none is sent more than four times. */
const impatient = <A, E, R>(region: Effect.Effect<A, E, R>) =>
  region.pipe(
    WaitingPolicy.withWaitingPolicy(WaitingPolicy.failWhenStuck("5 minutes")),
    RetryPolicy.withPolicies({ request: Schedule.intersect(Schedule.exponential("1 second"), Schedule.recurs(3)) })
  )

export const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const training = yield* service.createLoraTrainingClient({ baseModel: "Qwen/Qwen3-8B", rank: 32 })
  const data = [Datum.fromTokens(Int32Array.of(3, 1, 4, 1, 5), Float32Array.of(1, 1, 1, 1, 1))]

  const gradients = yield* impatient(training.forwardBackward({ data, lossFn: "cross_entropy" }))
  yield* Effect.forkScoped(Stream.runForEach(gradients.states, (state) => Console.log(explain(state))))
  yield* gradients.await.pipe(
    Effect.catchTag("ApiTimeoutError", (error) => Effect.zipRight(Console.log(error.message), Effect.fail(error)))
  )
  // Outside the region the default holds: results are waited for until they are there.
  const update = yield* training.optimStep(AdamParams.make({ learningRate: 1e-4 }))
  yield* update.await
  yield* Console.log("updated")
}).pipe(Effect.scoped)

if (isMain(import.meta.url)) {
  const Client = Tinker.layerFromEnv.pipe(Layer.provide(TinkerNode.layer))
  NodeRuntime.runMain(Effect.provide(program, Client))
}
