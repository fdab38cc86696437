/**
 * Interrupts all samples in flight, and prints how long the server still had open requests, in milliseconds.
 * Arguments: address of a server that holds its answers, in flight, how often.
 */
import { TinkerNode } from "@effect-tinker/node"
import { Effect, Fiber, Layer } from "effect"
import { ModelInput, SamplingParams, ServiceClient, Tinker } from "effect-tinker"
import { fetchStats } from "./rounds.js"

const [baseUrl = "", inFlight = "500", times = "5"] = process.argv.slice(2)
const prompt = ModelInput.fromTokens(Int32Array.from({ length: 512 }, (_, i) => (i * 7919) % 32_000))
const samplingParams = SamplingParams.make({ maxTokens: 64 })

const openRequests = (wanted: number) =>
  Effect.promise(() => fetchStats(baseUrl)).pipe(
    Effect.delay("20 millis"),
    Effect.repeat({ until: ({ open }) => open === wanted })
  )

const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const sampling = yield* service.createSamplingClient({ baseModel: "bench/model" })
  const milliseconds: Array<number> = []
  for (let time = 0; time < Number(times); time++) {
    const samples = yield* Effect.forkScoped(
      Effect.replicateEffect(sampling.sample({ prompt, samplingParams }), Number(inFlight), {
        concurrency: "unbounded",
        discard: true
      })
    )
    yield* openRequests(Number(inFlight))
    const start = Date.now()
    yield* Fiber.interrupt(samples)
    const { idleSince } = yield* openRequests(0)
    milliseconds.push(idleSince! - start)
  }
  console.log(JSON.stringify(milliseconds))
})

await program.pipe(
  Effect.scoped,
  Effect.provide(Tinker.layer({ baseUrl }).pipe(Layer.provide(TinkerNode.layer))),
  Effect.runPromise
)
