/** Answers to many prompts with little memory: no more are drawn than are being answered. Needs TINKER_API_KEY. */
import { TinkerNode } from "@effect-tinker/node"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { ModelInput, SamplingParams, ServiceClient, Tinker } from "effect-tinker"
import { isMain } from "./isMain.js"

const samplingParams = SamplingParams.make({ maxTokens: 8, temperature: 0.7 })

/** Prompts may come from a file or a queue, and be more than fit into memory. */
const prompts = Stream.range(1, 200).pipe(
  Stream.map((n) => ({ prompt: ModelInput.fromTokens([n, n + 1, n + 2]), numSamples: 4, samplingParams }))
)

export const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const sampling = yield* service.createSamplingClient({ baseModel: "Qwen/Qwen3-8B" })
  const { answers, tokens } = yield* sampling.sampleStream(prompts, { concurrency: 32, unordered: true }).pipe(
    Stream.mapEffect(({ result }) => result),
    Stream.mapConcat(({ sequences }) => sequences),
    Stream.runFold({ answers: 0, tokens: 0 }, (sum, sequence) => ({
      answers: sum.answers + 1,
      tokens: sum.tokens + sequence.tokens.length
    }))
  )
  yield* Console.log(`${answers} answers of ${(tokens / answers).toFixed(1)} tokens`)

  // Another process can sample from the same by a text that holds no key.
  const copy = yield* service.createSamplingClientFromHandle(yield* sampling.handle)
  const logprobs = yield* copy.computeLogprobs(ModelInput.fromTokens([1, 2, 3]))
  yield* Console.log(`${logprobs.length} scores, the first one ${logprobs[0]}`)
})

if (isMain(import.meta.url)) {
  const Client = Tinker.layerFromEnv.pipe(Layer.provide(TinkerNode.layer))
  NodeRuntime.runMain(Effect.provide(program, Client))
}
