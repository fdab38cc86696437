/** Grades answers in threads of their own, so that heartbeats and polls are not held up. Needs TINKER_API_KEY. */
import { TinkerNode } from "@effect-tinker/node"
import { Worker } from "@effect/platform"
import { NodeRuntime, NodeWorker } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { ModelInput, SamplingParams, ServiceClient, Tinker } from "effect-tinker"
import * as WorkerThreads from "node:worker_threads"
import { isMain } from "./isMain.js"

const prompts = Stream.range(1, 64).pipe(
  Stream.map((n) => ({ prompt: ModelInput.fromTokens([n]), samplingParams: SamplingParams.make({ maxTokens: 16 }) }))
)

export const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const sampling = yield* service.createSamplingClient({ baseModel: "Qwen/Qwen3-8B" })
  // Two threads, each with one answer to grade at a time; the others wait here without holding up anything.
  const grader = yield* Worker.makePool<Int32Array, number, never>({ size: 2 })
  const grades = yield* sampling.sampleStream(prompts).pipe(
    Stream.mapEffect(({ result }) => result),
    Stream.mapEffect(({ sequences }) => grader.executeEffect(sequences[0]!.tokens), { concurrency: 16 }),
    Stream.runCollect
  )
  const sum = Array.from(grades).reduce((sum, grade) => sum + grade, 0)
  yield* Console.log(`${grades.length} grades, ${(sum / grades.length).toFixed(2)} on average`)
}).pipe(Effect.scoped)

if (isMain(import.meta.url)) {
  const Client = Tinker.layerFromEnv.pipe(Layer.provide(TinkerNode.layer))
  // The file beside this one, once both are compiled.
  const Grader = NodeWorker.layer(() => new WorkerThreads.Worker(new URL("./graderWorker.js", import.meta.url)))
  NodeRuntime.runMain(Effect.provide(program, [Client, Grader]))
}
