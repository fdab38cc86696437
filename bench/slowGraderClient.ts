/**
 * Grades every answer by 20 ms of work that holds its thread: in this thread, or in workers, with the samples in flight asked
 * for again and again. Arguments: address, `here` or `workers`, in flight, seconds.
 */
import { TinkerNode } from "@effect-tinker/node"
import { Worker } from "@effect/platform"
import { NodeWorker } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { ModelInput, SamplingParams, ServiceClient, Tinker } from "effect-tinker"
import * as WorkerThreads from "node:worker_threads"
import { grade } from "./grade.js"

const [baseUrl = "", where = "here", inFlight = "500", seconds = "45"] = process.argv.slice(2)
const prompt = ModelInput.fromTokens(Int32Array.from({ length: 512 }, (_, i) => (i * 7919) % 32_000))
const samplingParams = SamplingParams.make({ maxTokens: 64 })

/** A program that is compiled hands the file itself to the thread; here the thread has to learn TypeScript first. */
const spawn = () =>
  new WorkerThreads.Worker(
    `import("tsx/esm/api").then(({ tsImport }) => tsImport("./gradeWorker.ts", ${JSON.stringify(import.meta.url)}))`,
    { eval: true }
  )

/** Two threads, each with one answer to grade at a time; the other answers wait in their fibers. */
const workers = Effect.map(
  Worker.makePool<Int32Array, number, never>({ size: 2 }),
  (pool) => (tokens: Int32Array) => pool.executeEffect(tokens)
).pipe(Effect.provide(NodeWorker.layer(spawn)))

const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const sampling = yield* service.createSamplingClient({ baseModel: "bench/model" })
  const grader = where === "workers" ? yield* workers : (tokens: Int32Array) => Effect.sync(() => grade(tokens))
  let graded = 0
  const rollout = sampling.sample({ prompt, samplingParams }).pipe(
    Effect.flatMap(({ sequences }) => grader(sequences[0]!.tokens)),
    Effect.tap(() => Effect.sync(() => graded++))
  )
  const start = performance.now()
  yield* Effect.whileLoop({
    while: () => performance.now() < start + 1000 * Number(seconds),
    body: () => rollout,
    step: () => {}
  }).pipe(Effect.replicateEffect(Number(inFlight), { concurrency: "unbounded", discard: true }))
  console.log(JSON.stringify({ rate: (1000 * graded) / (performance.now() - start) }))
})

await program.pipe(
  Effect.scoped,
  Effect.provide(Tinker.layer({ baseUrl }).pipe(Layer.provide(TinkerNode.layer))),
  Effect.runPromise
)
