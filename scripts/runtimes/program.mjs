// What interop-runtimes.mjs runs on each runtime, as it is: it samples, takes a step, saves, and samples from what was saved.
import * as AdamParams from "effect-tinker/AdamParams"
import * as ApiFuture from "effect-tinker/ApiFuture"
import * as Datum from "effect-tinker/Datum"
import * as ModelInput from "effect-tinker/ModelInput"
import * as SamplingParams from "effect-tinker/SamplingParams"
import * as ServiceClient from "effect-tinker/ServiceClient"
import * as Tinker from "effect-tinker/Tinker"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const ask = (sampling) =>
    Effect.map(
      sampling.sample({
        prompt: ModelInput.fromTokens([3, 1, 4]),
        samplingParams: SamplingParams.make({ maxTokens: 4, temperature: 0 })
      }),
      ({ sequences }) => sequences[0].tokens.length
    )
  const sampled = yield* ask(yield* service.createSamplingClient({ baseModel: "bigram" }))

  const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 8, seed: 1 })
  const data = [Datum.fromTokens(Int32Array.of(3, 1, 4, 1, 5), Float32Array.of(0, 1, 1, 1, 1))]
  const losses = []
  for (let step = 0; step < 2; step++) {
    const gradients = yield* training.forwardBackward({ data, lossFn: "cross_entropy" })
    const update = yield* training.optimStep(AdamParams.make({ learningRate: 0.5 }))
    losses.push((yield* gradients.await).metrics["loss:sum"])
    yield* update.await
  }
  const { path } = yield* ApiFuture.flatten(training.saveWeightsForSampler({ name: "kept" }))
  const again = yield* ask(yield* service.createSamplingClient({ modelPath: path }))
  yield* service.close("success")
  return { sampled, losses, path, again }
})

/** Over an `HttpClient`, against a server. */
export const run = (http, baseUrl) =>
  Effect.runPromise(Effect.provide(program, Layer.provide(Tinker.layer({ baseUrl }), http)))
