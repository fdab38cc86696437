/** Samples until two cents are spent, and tells for what. Needs TINKER_API_KEY; the prices are made up. */
import { TinkerNode } from "@effect-tinker/node"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { ModelInput, SamplingParams, ServiceClient, Tinker, UsageMeter } from "effect-tinker"
import { isMain } from "./isMain.js"

export const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const sampling = yield* service.createSamplingClient({ baseModel: "Qwen/Qwen3-8B" })
  const sample = sampling.sample({
    prompt: ModelInput.fromTokens([3, 1, 4, 1, 5]),
    samplingParams: SamplingParams.make({ maxTokens: 16 })
  })

  const prices = { training: 40, prefill: 15, sampled: 40 }
  const meter = yield* UsageMeter.make({ prices, budget: { usd: 0.02 } })
  yield* Stream.repeatEffect(sample).pipe(
    Stream.runDrain,
    Effect.catchTag("BudgetExceededError", (error) => Console.log(error.message)),
    UsageMeter.withMeter(meter)
  )
  const { cost, used } = yield* meter.snapshot
  yield* Console.log(`${used.prefill} tokens read, ${used.sampled} written: $${cost?.toFixed(4)}`)
})

if (isMain(import.meta.url)) {
  const Client = Tinker.layerFromEnv.pipe(Layer.provide(TinkerNode.layer))
  NodeRuntime.runMain(Effect.provide(program, Client))
}
