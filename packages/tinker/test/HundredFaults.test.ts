import { Faults } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Option, TestClock } from "effect"
import { AdamParams, ApiFuture, ServiceClient } from "effect-tinker"
import { client, datum } from "./fixture.js"

/** What a run survives. An answer that is cut and looks whole is not among it: that is an error. */
const survivable: ReadonlyArray<Faults.Fault> = [
  Faults.answer(429),
  Faults.loseAnswer,
  Faults.answer(500),
  Faults.drop,
  Faults.answer(503, { headers: { "retry-after": "5" } }),
  Faults.breakBody,
  Faults.answer(408),
  Faults.duplicate
]

const steps = process.env.TINKER_TEST_LONG === "1" ? 200 : 20

const every = 10

/** The steps of a run, each submitted before the last one is awaited, and what the weights give afterwards. */
const train = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4, seed: 1 })
  const results: Array<unknown> = []
  let last: Effect.Effect<void, unknown> = Effect.void
  for (let step = 0; step < steps; step++) {
    const data = [`${step} lamps burn`, `the ${step % 7} th keeper`].map(datum)
    const gradients = yield* training.forwardBackward({ data, lossFn: "cross_entropy" })
    const update = yield* training.optimStep(AdamParams.make({ learningRate: 0.1 / (1 + step), eps: 1e-8 }))
    yield* last
    last = Effect.map(Effect.zip(gradients.await, update.await), ([gradients, update]) => {
      results.push(gradients.metrics, update.metrics)
    })
  }
  yield* last
  const { lossFnOutputs } = yield* ApiFuture.flatten(
    training.forward({ data: [datum("the last lamps burn")], lossFn: "cross_entropy" })
  )
  return { results, logprobs: lossFnOutputs[0]!.logprobs!.data }
})

const finished = <A, E>(fiber: Fiber.RuntimeFiber<A, E>): Effect.Effect<A, E> =>
  Effect.flatMap(
    Fiber.poll(fiber),
    (exit) => Option.isSome(exit) ? exit.value : Effect.zipRight(TestClock.adjust("20 seconds"), finished(fiber))
  )

const run = (faulty: boolean) =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const expected = (steps * 4) / every
    if (faulty) {
      for (let i = 0; i < expected; i++) {
        yield* faults.plan({ path: Faults.anyPath, nth: (i + 1) * every, fault: survivable[i % survivable.length]! })
      }
    }
    const result = yield* finished(yield* Effect.fork(train))
    return { ...result, met: expected - (yield* faults.unused).length }
  }).pipe(Effect.provide(client()))

it.effect(
  `a run of ${steps} steps with a fault at every tenth request ends with the weights and metrics of one without`,
  () =>
    Effect.gen(function*() {
      const clean = yield* run(false)
      const faulty = yield* run(true)
      assert.strictEqual(faulty.met, (steps * 4) / every)
      assert.strictEqual(clean.results.length, 2 * steps)
      assert.deepStrictEqual(faulty.results, clean.results)
      assert.deepStrictEqual(faulty.logprobs, clean.logprobs)
    }),
  120_000
)
