/**
 * Samples without pause, so many in flight at once, and prints what they cost this process.
 * Arguments: address, in flight, samples of the warm-up, samples measured.
 */
import { TinkerNode } from "@effect-tinker/node"
import { Effect, Layer } from "effect"
import { ModelInput, SamplingParams, ServiceClient, Tinker } from "effect-tinker"
import { meter } from "./meter.js"

const [baseUrl = "", inFlight = "64", warmUp = "2000", samples = "4000"] = process.argv.slice(2)

const prompt = ModelInput.fromTokens(Int32Array.from({ length: 512 }, (_, i) => (i * 7919) % 32_000))
const samplingParams = SamplingParams.make({ maxTokens: 64 })

const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const sampling = yield* service.createSamplingClient({ baseModel: "bench/model" })
  /** As many fibers as are to be in flight, each with its next sample as soon as its last is there. */
  const run = (total: number) => {
    let left = total
    const ask = Effect.whileLoop({
      while: () => left-- > 0,
      body: () => sampling.sample({ prompt, samplingParams }),
      step: ({ sequences }) => {
        if (sequences[0]?.tokens.length !== 64) throw new Error("an answer of another length")
      }
    })
    return Effect.all(Array.from({ length: Number(inFlight) }, () => ask), { concurrency: "unbounded", discard: true })
  }
  yield* run(Number(warmUp))
  const stop = meter()
  yield* run(Number(samples))
  console.log(JSON.stringify(stop(Number(samples))))
})

await program.pipe(
  Effect.scoped,
  Effect.provide(Tinker.layer({ baseUrl }).pipe(Layer.provide(TinkerNode.layer))),
  Effect.runPromise
)
