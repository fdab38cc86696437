/** Trains with a loss of one's own: tokens that the model knows already count less. Needs TINKER_API_KEY. */
import { TinkerNode } from "@effect-tinker/node"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { AdamParams, type CustomLoss, Datum, ServiceClient, Tinker } from "effect-tinker"
import { isMain } from "./isMain.js"

/**
 * The focal loss `-Σ (1 - p)² log p` over the tokens that count, and its gradient by `log p`.
 *
 * `p`: probability of one token, `logprobs` `[tokens] float32` its logarithm.
 */
const focal = (logprobs: Float32Array, counts: (position: number) => boolean) => {
  const gradient = new Float32Array(logprobs.length)
  let loss = 0
  for (let t = 0; t < logprobs.length; t++) {
    if (!counts(t)) continue
    const logprob = logprobs[t]!
    const p = Math.exp(logprob)
    loss -= (1 - p) ** 2 * logprob
    gradient[t] = 2 * (1 - p) * p * logprob - (1 - p) ** 2
  }
  return { loss, gradient }
}

const lossFn: CustomLoss.CustomLoss = (logprobs, data) => {
  const parts = data.map(({ lossFnInputs: { weights } }, i) => focal(logprobs[i]!, (t) => weights!.data[t] !== 0))
  return {
    loss: parts.reduce((sum, { loss }) => sum + loss, 0),
    gradients: parts.map(({ gradient }) => gradient),
    metrics: { "sequences:sum": data.length }
  }
}

export const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const training = yield* service.createLoraTrainingClient({ baseModel: "Qwen/Qwen3-8B", rank: 32 })
  const data = [Int32Array.of(3, 1, 4, 1, 5), Int32Array.of(2, 7, 1, 8)].map((tokens) =>
    Datum.fromTokens(tokens, new Float32Array(tokens.length).fill(1))
  )
  for (let step = 0; step < 5; step++) {
    // The update is submitted at once: it runs when the loss has been computed here and its gradient has arrived there.
    const gradients = yield* training.forwardBackwardCustom({ data, lossFn })
    const update = yield* training.optimStep(AdamParams.make({ learningRate: 1e-2 }))
    const { metrics } = yield* gradients.await
    yield* update.await
    yield* Console.log(`step ${step}: loss ${metrics["loss:sum"]!.toFixed(4)}`)
  }
})

if (isMain(import.meta.url)) {
  const Client = Tinker.layerFromEnv.pipe(Layer.provide(TinkerNode.layer))
  NodeRuntime.runMain(Effect.provide(program, Client))
}
