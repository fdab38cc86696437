/**
 * How late a timer of 10 ms is while samples are in flight. Arguments: address, in flight, seconds.
 */
import { TinkerNode } from "@effect-tinker/node"
import { Effect, Layer } from "effect"
import { ModelInput, SamplingParams, ServiceClient, Tinker } from "effect-tinker"

const [baseUrl = "", inFlight = "2000", seconds = "15"] = process.argv.slice(2)
const prompt = ModelInput.fromTokens(Int32Array.from({ length: 512 }, (_, i) => (i * 7919) % 32_000))
const samplingParams = SamplingParams.make({ maxTokens: 64 })
const interval = 10
/** Of each run the first third is the warm-up. */
const warmUp = Number(seconds) / 3

export interface Lag {
  readonly p99: number
  readonly worst: number
  readonly rate: number
}

const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const sampling = yield* service.createSamplingClient({ baseModel: "bench/model" })
  let samples = 0
  yield* sampling.sample({ prompt, samplingParams }).pipe(
    Effect.tap(() => Effect.sync(() => samples++)),
    Effect.forever,
    Effect.replicateEffect(Number(inFlight), { concurrency: "unbounded", discard: true }),
    Effect.forkScoped
  )
  yield* Effect.sleep(`${warmUp} seconds`)

  samples = 0
  const start = performance.now()
  const late: Array<number> = []
  const tick = (due: number) => {
    const now = performance.now()
    late.push(now - due)
    timer = setTimeout(tick, interval, now + interval)
  }
  let timer = setTimeout(tick, interval, start + interval)
  yield* Effect.sleep(`${Number(seconds) - warmUp} seconds`)
  clearTimeout(timer)
  const rate = (1000 * samples) / (performance.now() - start)
  late.sort((a, b) => a - b)
  const lag: Lag = { p99: late[Math.floor(0.99 * late.length)]!, worst: late.at(-1)!, rate }
  console.log(JSON.stringify(lag))
})

await program.pipe(
  Effect.scoped,
  Effect.provide(Tinker.layer({ baseUrl }).pipe(Layer.provide(TinkerNode.layer))),
  Effect.runPromise
)
