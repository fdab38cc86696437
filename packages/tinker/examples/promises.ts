/** For callers who live in promises: one runtime holds the client and its session. Needs TINKER_API_KEY. */
import { TinkerNode } from "@effect-tinker/node"
import { Effect, Layer, ManagedRuntime } from "effect"
import { ModelInput, SamplingParams, ServiceClient, Tinker } from "effect-tinker"
import { isMain } from "./isMain.js"

export const program = async <E>(
  client: Layer.Layer<ServiceClient.ServiceClient, E>
): Promise<ReadonlyArray<number>> => {
  const runtime = ManagedRuntime.make(client)
  try {
    const sampling = await runtime.runPromise(
      Effect.flatMap(
        ServiceClient.ServiceClient,
        (service) => service.createSamplingClient({ baseModel: "Qwen/Qwen3-8B" })
      )
    )
    const { sequences } = await runtime.runPromise(
      sampling.sample({
        prompt: ModelInput.fromTokens([3, 1, 4]),
        samplingParams: SamplingParams.make({ maxTokens: 5 })
      }),
      { signal: AbortSignal.timeout(60_000) }
    )
    return Array.from(sequences[0]!.tokens)
  } finally {
    await runtime.dispose()
  }
}

if (isMain(import.meta.url)) {
  const client = Tinker.layerFromEnv.pipe(Layer.provide(TinkerNode.layer))
  void program(client).then((tokens) => console.log(tokens.join(" ")))
}
