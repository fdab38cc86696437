import { Dialect, Faults } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Chunk, Effect, Exit, Fiber, Stream } from "effect"
import { ApiFuture, OptimizerParams, RetryPolicy, ServiceClient } from "effect-tinker"
import type { TinkerError } from "effect-tinker"
import * as RequestSequence from "../src/internal/training/requestSequence.js"
import { adam, datum } from "./fixture.js"
import * as Observed from "./observed.js"
import { simulated } from "./simulated.js"
import * as Simulation from "./simulation.js"

it.effect("a number whose fate is unknown is asked after again when the question was refused for another reason", () =>
  simulated({}, (training) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      yield* faults.plan({ path: "optim_step", fault: Faults.truncate() })
      yield* faults.plan({ path: "forward_backward", fault: Faults.answer(401) })
      const step = RetryPolicy.withPolicies(training.optimStep(adam), { request: RetryPolicy.none })
      assert.strictEqual((yield* Effect.flip(step))._tag, "ApiResponseValidationError")
      const refused = yield* Effect.flip(training.forward({ data: [datum("next")], lossFn: "cross_entropy" }))
      assert.strictEqual(refused._tag === "ApiStatusError" && refused.reason, "Authentication")
      const future = yield* training.forward({ data: [datum("next")], lossFn: "cross_entropy" })
      assert.match(future.requestIds[0]!, /:2$/)
      yield* future.await
    })))

it.effect("a hundred calls of every kind made at once arrive in their order, numbered from 1", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      for (let nth = 3; nth < 200; nth += 17) yield* faults.plan({ path: "*", fault: Faults.drop, nth })
      const data = [datum("order")]
      const kinds: ReadonlyArray<readonly [string, (i: number) => Effect.Effect<unknown, TinkerError.TinkerError>]> = [
        ["forward_backward", () => training.forwardBackward({ data, lossFn: "cross_entropy" })],
        ["optim_step", () => training.optimStep(adam)],
        ["forward_backward", () => training.forward({ data, lossFn: "cross_entropy" })],
        ["save_weights", (i) => training.saveState({ name: `state-${i}` })],
        ["save_weights_for_sampler", (i) => training.saveWeightsForSampler({ name: `sampler-${i}` })],
        ["save_weights_for_sampler", () => training.saveWeightsAndGetSamplingClient()],
        ["save_weights_external", (i) => training.saveWeightsExternal({ name: `external-${i}` })]
      ]
      const calls = Array.from({ length: 100 }, (_, i) => kinds[(i * 5 + i % 3) % kinds.length]!)
      yield* Effect.all(calls.map(([, call], i) => call(i)), { concurrency: "unbounded" })
      assert.deepStrictEqual(Observed.numbered(observed), calls.map(([path], i) => [i + 1, path] as const))
    })))

const rounds = process.env.TINKER_TEST_LONG === "1" ? 1000 : 100

it.effect(`named saves for sampling keep their place before the passes made after them, ${rounds} times at random`, () =>
  Effect.gen(function*() {
    const simulation = yield* Simulation.make()
    const observed = Observed.make()
    simulation.onOperation = Simulation.overtakings(1)
    const exit = yield* simulation.run(
      Effect.gen(function*() {
        const service = yield* ServiceClient.ServiceClient
        const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
        const data = [datum("ab")]
        const calls = Array.from({ length: rounds }, (_, i) => [
          training.saveWeightsForSampler({ name: `${i}` }),
          training.forward({ data, lossFn: "cross_entropy" })
        ])
        for (let i = 0; i < rounds; i += 50) {
          yield* Effect.all(calls.slice(i, i + 50).flat(), { concurrency: "unbounded" })
        }
      }).pipe(Effect.provide(Observed.client(observed)))
    )
    yield* exit
    assert.deepStrictEqual(
      Observed.numbered(observed),
      Array.from(
        { length: 2 * rounds },
        (_, i) => [i + 1, i % 2 === 0 ? "save_weights_for_sampler" : "forward_backward"]
      )
    )
  }))

const threeChunks = { server: { clientConfig: { fwdbwd_max_chunk_len: 1 } } }
const three = (name: string) => [1, 2, 3].map((i) => datum(`${name}${i} is the text`))

it.effect("sends the first of several chunks last, and the next call after all of them", () =>
  simulated(threeChunks, (training, observed) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      // The first to arrive is the last to be answered.
      yield* faults.plan({ path: "forward_backward", fault: Faults.delayAnswer("10 seconds") })
      const [gradients, update] = yield* Effect.all([
        training.forwardBackward({ data: three("a"), lossFn: "cross_entropy" }),
        training.optimStep(adam)
      ], { concurrency: "unbounded" })
      assert.deepStrictEqual(Observed.numbered(observed).map(([seqId]) => seqId), [2, 3, 1, 4])
      assert.strictEqual((yield* gradients.await).lossFnOutputs.length, 3)
      yield* update.await
      assert.deepStrictEqual(observed.executed.map(({ name }) => name), [
        "backward a1 is the tex",
        "backward a2 is the tex",
        "backward a3 is the tex",
        "step 0.1"
      ])
    })))

it.effect("sends chunks one after another when the server wants that", () =>
  simulated(
    { server: { clientConfig: { fwdbwd_max_chunk_len: 1, parallel_fwdbwd_chunks: false } } },
    (training, observed) =>
      Effect.gen(function*() {
        yield* ApiFuture.flatten(training.forwardBackward({ data: three("a"), lossFn: "cross_entropy" }))
        assert.deepStrictEqual(Observed.numbered(observed).map(([seqId]) => seqId), [1, 2, 3])
        const sent = observed.requests.filter(({ path }) => path === "forward_backward")
        assert.isTrue(sent.every(({ beside }) => beside === 0))
      })
  ))

/** Which of the requests fails; the first chunk arrives last. */
const failures: ReadonlyArray<readonly [string, number, Faults.Fault, string]> = [
  ["the first chunk refused", 3, Faults.answer(422), "2 of 3"],
  ["the second chunk refused", 1, Faults.answer(422), "1 of 3"],
  ["the last chunk refused", 2, Faults.answer(422), "1 of 3"],
  ["an unreadable answer to the first chunk", 3, Faults.truncate(), ""],
  ["an unreadable answer to the second chunk", 1, Faults.truncate(), ""],
  ["an unreadable answer to the last chunk", 2, Faults.truncate(), ""],
  ["409 for the second chunk", 1, Faults.answer(409), "1 of 3"]
]

for (const [name, nth, fault, told] of failures) {
  it.effect(`${name} fails the call alone, and the next one runs`, () =>
    simulated(threeChunks, (training, observed) =>
      Effect.gen(function*() {
        const faults = yield* Faults.Faults
        // A server that has never taken protobuf may refuse it for its form.
        yield* ApiFuture.flatten(training.forward({ data: three("0"), lossFn: "cross_entropy" }))
        yield* faults.plan({ path: "forward_backward", fault, nth })
        const [failed, update, next] = yield* Effect.all([
          Effect.flip(
            RetryPolicy.withPolicies(training.forwardBackward({ data: three("a"), lossFn: "cross_entropy" }), {
              request: RetryPolicy.none
            })
          ),
          training.optimStep(adam),
          training.forwardBackward({ data: three("b"), lossFn: "cross_entropy" })
        ], { concurrency: "unbounded" })
        assert.include(failed.message, told)
        yield* update.await
        assert.strictEqual((yield* next.await).lossFnOutputs.length, 3)
        const executed = observed.executed.map(({ name }) => name).filter((name) => name !== "forward \0")
        assert.deepStrictEqual(executed.slice(-4), [
          "step 0.1",
          "backward b1 is the tex",
          "backward b2 is the tex",
          "backward b3 is the tex"
        ])
      })))
}

it.effect("a server in trouble for longer than a submission is repeated fails the call, and the next one runs", () =>
  simulated(threeChunks, (training) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      yield* faults.plan({ path: "forward_backward", fault: Faults.answer(503), times: 80 })
      const error = yield* Effect.flip(training.forwardBackward({ data: three("a"), lossFn: "cross_entropy" }))
      assert.strictEqual(error._tag === "ApiStatusError" && error.status, 503)
      assert.isAbove(error._tag === "ApiStatusError" ? error.attempts ?? 0 : 0, 10)
      assert.isNumber((yield* ApiFuture.flatten(training.optimStep(adam))).metrics["unclipped_grad_l2:mean"])
    })))

it.effect("the failure of one chunk is that of the call, by its own name, and ends the questions for the others", () =>
  simulated({ ...threeChunks, engine: { stepDuration: "1 minute" } }, (training, observed) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const future = yield* training.forwardBackward({ data: three("a"), lossFn: "cross_entropy" })
      yield* faults.plan({ path: "retrieve_future", fault: Faults.answer(410) })
      const error = yield* Effect.flip(future.await)
      assert.strictEqual(error._tag === "ApiStatusError" && error.reason, "Expired")
      assert.strictEqual(error._tag === "ApiStatusError" && future.requestIds.includes(error.requestId as never), true)
      const states = Chunk.toReadonlyArray(yield* Stream.runCollect(future.states))
      assert.deepStrictEqual(states, [{ _tag: "failed", error }])
      const asked = observed.requests.length
      yield* Effect.sleep("2 minutes")
      assert.strictEqual(observed.requests.length, asked)
    })))

it.effect("a budget smaller than any request lets one submission at a time through, in the order of the calls", () =>
  simulated(
    { server: { clientConfig: { fwdbwd_max_chunk_len: 1, fwdbwd_dispatch_bytes_semaphore_size: 10 } } },
    (training, observed) =>
      Effect.gen(function*() {
        const faults = yield* Faults.Faults
        yield* faults.plan({ path: "forward_backward", fault: Faults.delay("1 second"), times: 100 })
        yield* Effect.all(
          ["a", "b", "c"].map((name) => training.forwardBackward({ data: three(name), lossFn: "cross_entropy" })),
          { concurrency: "unbounded" }
        )
        const sent = observed.requests.filter(({ path }) => path === "forward_backward")
        assert.deepStrictEqual(sent.map(({ body }) => body.seqId), [2, 3, 1, 5, 6, 4, 8, 9, 7])
        assert.isTrue(sent.every(({ beside }) => beside === 0))
      })
  ))

it.effect("what was accepted for a caller who was interrupted meanwhile is not asked for", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      yield* faults.pauseQueue({ state: "paused_capacity" })
      const asked = observed.requests.filter(({ path }) => path === "retrieve_future").length
      const data = [datum("unwanted")]
      const calls: ReadonlyArray<readonly [string, Effect.Effect<unknown, TinkerError.TinkerError>]> = [
        ["forward_backward", training.forwardBackward({ data, lossFn: "cross_entropy" })],
        ["optim_step", training.optimStep(adam)],
        [
          "forward_backward",
          training.forwardBackwardCustom({ data, lossFn: (gradients) => ({ loss: 0, gradients }) })
        ]
      ]
      for (const [path, call] of calls) {
        yield* faults.plan({ path, fault: Faults.delayAnswer("10 seconds") })
        const caller = yield* Effect.fork(call)
        yield* Effect.sleep("5 seconds")
        yield* Fiber.interrupt(caller)
        yield* Effect.sleep("10 seconds")
      }
      assert.strictEqual(observed.requests.filter(({ path }) => path === "retrieve_future").length, asked)
      yield* faults.resumeQueue()
      assert.match((yield* training.optimStep(adam)).requestIds[0]!, /:4$/)
      yield* Effect.sleep("1 second")
      const executed = observed.executed.map(({ name }) => name)
      assert.deepStrictEqual(executed, ["backward unwante", "step 0.1", "forward unwante", "step 0.1"])
    })))

it.effect("a step for another optimizer than the model's takes no number and sends nothing", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(training.optimStep(OptimizerParams.dimuon({ learningRate: 0.1 })))
      assert.strictEqual(error._tag === "InvalidInputError" && error.field, "params")
      assert.strictEqual(observed.requests.filter(({ path }) => path === "optim_step").length, 0)
      assert.match((yield* training.optimStep(adam)).requestIds[0]!, /:1$/)
    })))

it.scoped("a call that breaks in its preparation or its submission gives the turn back", () =>
  Effect.gen(function*() {
    const sequence = RequestSequence.make({ scope: yield* Effect.scope, fillers: [() => Effect.void] })
    const breaks = () => {
      throw new Error("broken")
    }
    const send = (_: unknown, turn: RequestSequence.Turn) => turn.send(Effect.succeed)
    const calls: ReadonlyArray<Pick<RequestSequence.Call<unknown, number>, "prepare" | "submit">> = [
      { prepare: Effect.sync(breaks), submit: send },
      { prepare: Effect.void, submit: breaks },
      { prepare: Effect.void, submit: (_, turn) => turn.send(breaks) },
      { prepare: Effect.void, submit: () => Effect.sync(breaks) },
      { prepare: Effect.void, submit: send }
    ]
    const ends = yield* Effect.all(
      calls.map((call) => Effect.exit(sequence.run({ operation: "test", ...call }))),
      { concurrency: "unbounded" }
    )
    assert.deepStrictEqual(ends.map(Exit.isSuccess), [false, false, false, false, true])
  }))

const lostAnswers: ReadonlyArray<readonly [string, Faults.Fault]> = [
  ["lost", Faults.loseAnswer],
  ["unreadable", Faults.truncate()]
]

for (const [how, fault] of lostAnswers) {
  it.effect(`a first pass in JSON whose answer is ${how} keeps its number, which the server may have taken`, () =>
    simulated({ server: { dialect: Dialect.withoutProtobuf() } }, (training, observed) =>
      Effect.gen(function*() {
        const faults = yield* Faults.Faults
        const pass = (text: string) => training.forwardBackward({ data: [datum(text)], lossFn: "cross_entropy" })
        // The first is refused for its form.
        yield* faults.plan({ path: "forward_backward", fault, nth: 2 })
        yield* Effect.either(pass("first"))
        yield* ApiFuture.flatten(pass("second"))
        const executed = observed.executed.map(({ name }) => name).filter((name) => name !== "forward \0")
        assert.deepStrictEqual(executed, ["backward firs", "backward secon"])
      })))
}

it.effect("waits for credit from the very first request on", () =>
  Effect.gen(function*() {
    for (const path of ["client/config", "client/dynamic_config", "create_session", "create_model", "get_info"]) {
      const simulation = yield* Simulation.make()
      const observed = Observed.make()
      const exit = yield* simulation.run(
        Effect.gen(function*() {
          const faults = yield* Faults.Faults
          const service = yield* ServiceClient.ServiceClient
          yield* faults.plan({ path, fault: Faults.answer(402), times: 3 })
          yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
        }).pipe(Effect.provide(Observed.client(observed)))
      )
      assert.isTrue(Exit.isSuccess(exit), path)
      assert.strictEqual(simulation.now(), 15_000, path)
    }
  }))
