/**
 * Answers to so many prompts, so many at once, and what one costs this process.
 * Arguments: address, `forEach`, `mapEffect`, `stream` or `unordered`, in flight, samples of the warm-up, samples measured.
 */
import { TinkerNode } from "@effect-tinker/node"
import { Effect, Layer, Stream } from "effect"
import { ModelInput, SamplingParams, ServiceClient, Tinker } from "effect-tinker"
import { meter } from "./meter.js"

const [baseUrl = "", way = "stream", inFlight = "64", warmUp = "2000", samples = "10000"] = process.argv.slice(2)
const concurrency = Number(inFlight)

const prompt = ModelInput.fromTokens(Int32Array.from({ length: 512 }, (_, i) => (i * 7919) % 32_000))
const question = { prompt, samplingParams: SamplingParams.make({ maxTokens: 64 }) }

const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const sampling = yield* service.createSamplingClient({ baseModel: "bench/model" })
  const run = (total: number) => {
    let answers = 0
    const count = () => {
      answers += 1
    }
    const options = { concurrency, unordered: way === "unordered" }
    const questions = Stream.map(Stream.range(1, total), () => question)
    const all = way === "forEach"
      ? Effect.forEach(
        Array.from({ length: total }, () => question),
        (question) => Effect.map(sampling.sample(question), count),
        { concurrency, discard: true }
      )
      : way === "mapEffect"
      ? Stream.runForEach(Stream.mapEffect(questions, sampling.sample, options), () => Effect.sync(count))
      : Stream.runForEachChunk(sampling.sampleStream(questions, options), (chunk) =>
        Effect.sync(() => {
          for (const { result } of chunk) if (result._tag === "Right") count()
        }))
    return Effect.map(all, () => {
      if (answers !== total) throw new Error(`${answers} answers`)
    })
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
