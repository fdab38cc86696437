/**
 * Many prompts at once, and what memory they take. Run with `--expose-gc`.
 * Arguments: address, `stream` or `eager`, number of prompts, concurrency of the stream.
 *
 * `stream`: prompts are made as they are asked for, and all are answered. `eager`: all prompts are there, with a fiber each,
 * and the server answers none, so that all of them wait.
 */
import { TinkerNode } from "@effect-tinker/node"
import { Effect, Layer, Stream } from "effect"
import { ModelInput, SamplingParams, ServiceClient, Tinker } from "effect-tinker"

const [baseUrl = "", form = "stream", count = "131072", concurrency = "64"] = process.argv.slice(2)
const total = Number(count)
const samplingParams = SamplingParams.make({ maxTokens: 64 })
const MiB = 2 ** 20

export interface Memory {
  /** Of the heap and of array buffers, after a collection, beyond what was there before: in MiB. */
  readonly live: number
  /** The same as it was found between collections. */
  readonly raw: number
  /** Resident memory beyond what was there before, in MiB. */
  readonly rss: number
  /** Prompts answered or waiting. */
  readonly prompts: number
  readonly seconds: number
}

const promptOf = (seed: number) =>
  ModelInput.fromTokens(Int32Array.from({ length: 512 }, (_, i) => (seed + i * 7919) % 32_000))

const used = () => {
  const { arrayBuffers, heapUsed, rss } = process.memoryUsage()
  return { data: (heapUsed + arrayBuffers) / MiB, rss: rss / MiB }
}
const afterCollection = () => {
  globalThis.gc!()
  return used()
}

const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const sampling = yield* service.createSamplingClient({ baseModel: "bench/model" })
  const prompts = form === "eager" ? Array.from({ length: total }, (_, i) => promptOf(i)) : []
  const before = afterCollection()
  const start = performance.now()
  const report = (live: number, raw: number, rss: number) => {
    const memory: Memory = {
      live: live - before.data,
      raw: raw - before.data,
      rss: rss - before.rss,
      prompts: total,
      seconds: (performance.now() - start) / 1000
    }
    console.log(JSON.stringify(memory))
  }

  if (form === "eager") {
    // Effect.forEach without a bound would do the same, and hold 3.5 KiB more for each.
    const scope = yield* Effect.scope
    yield* Effect.forEach(prompts, (prompt) => Effect.forkIn(sampling.sample({ prompt, samplingParams }), scope), {
      discard: true
    })
    // Until the client has sent what it is going to send and does nothing any more.
    let cpu = process.cpuUsage()
    yield* Effect.sync(() => {
      const { system, user } = process.cpuUsage(cpu)
      cpu = process.cpuUsage()
      return user + system
    }).pipe(Effect.delay("2 seconds"), Effect.repeat({ until: (microseconds) => microseconds < 200_000 }))
    const raw = used()
    report(afterCollection().data, raw.data, raw.rss)
    process.exit()
  }

  let answered = 0
  let live = 0
  let raw = 0
  let rss = 0
  yield* Stream.range(1, total).pipe(
    Stream.map((seed) => ({ prompt: promptOf(seed), samplingParams })),
    (requests) => sampling.sampleStream(requests, { concurrency: Number(concurrency), unordered: true }),
    Stream.runForEach(() =>
      Effect.sync(() => {
        answered++
        if (answered % 256 !== 0) return
        const found = used()
        raw = Math.max(raw, found.data)
        rss = Math.max(rss, found.rss)
        if (answered % 8192 === 0) live = Math.max(live, afterCollection().data)
      })
    )
  )
  if (answered !== total) throw new Error(`${answered} answers`)
  report(live, raw, rss)
})

await program.pipe(
  Effect.scoped,
  Effect.provide(Tinker.layer({ baseUrl }).pipe(Layer.provide(TinkerNode.layer))),
  Effect.runPromise
)
