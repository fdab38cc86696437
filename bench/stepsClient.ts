/**
 * Training steps, two of them submitted ahead of the one that is awaited, and prints what they cost this process.
 * Arguments: address, steps of the warm-up, steps measured.
 */
import { TinkerNode } from "@effect-tinker/node"
import { Effect, Layer } from "effect"
import { AdamParams, Datum, ServiceClient, Tinker } from "effect-tinker"
import { meter } from "./meter.js"

const [baseUrl = "", warmUp = "200", steps = "1000"] = process.argv.slice(2)
const rows = 8
const length = 1024
const ahead = 2

const tokens = Int32Array.from({ length: length + 1 }, (_, i) => (i * 7919) % 32_000)
const weights = new Float32Array(length + 1).fill(1)
const adamParams = AdamParams.make({ learningRate: 1e-4 })

const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const training = yield* service.createLoraTrainingClient({ baseModel: "bench/model", rank: 16 })

  const submit = Effect.gen(function*() {
    const data = Array.from({ length: rows }, () => Datum.fromTokens(tokens, weights))
    const pass = yield* training.forwardBackward({ data, lossFn: "cross_entropy" })
    const update = yield* training.optimStep(adamParams)
    return Effect.gen(function*() {
      const { lossFnOutputs } = yield* pass.await
      if (lossFnOutputs.length !== rows) yield* Effect.dieMessage("outputs of another number")
      yield* update.await
    })
  })

  const run = (total: number) =>
    Effect.gen(function*() {
      const submitted: Array<Effect.Effect.Success<typeof submit>> = []
      for (let step = 0; step < total; step++) {
        submitted.push(yield* submit)
        if (submitted.length > ahead) yield* submitted.shift()!
      }
      for (const result of submitted) yield* result
    })

  yield* run(Number(warmUp))
  const stop = meter()
  yield* run(Number(steps))
  console.log(JSON.stringify(stop(Number(steps))))
})

await program.pipe(
  Effect.scoped,
  Effect.provide(Tinker.layer({ baseUrl }).pipe(Layer.provide(TinkerNode.layer))),
  Effect.runPromise
)
