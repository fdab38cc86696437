import { Faults } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Chunk, DateTime, Deferred, Effect, Fiber, Stream, TestClock } from "effect"
import { AdamParams, ApiFuture, Datum, ModelInput, SamplingParams, ServiceClient, TensorData } from "effect-tinker"
import type { LossFn, TinkerError } from "effect-tinker"
import { adam, client, datum, reinforcement } from "./fixture.js"

const createModel = Effect.flatMap(
  ServiceClient.ServiceClient,
  (service) => service.createLoraTrainingClient({ baseModel: "bigram", rank: 4, seed: 1 })
)

const lossOf = (training: Effect.Effect.Success<typeof createModel>, text: string) =>
  Effect.map(
    ApiFuture.flatten(training.forward({ data: [datum(text)], lossFn: "cross_entropy" })),
    (output) => output.metrics["loss:sum"]!
  )

it.effect("learns: the loss falls with each step, and the answer becomes the lesson", () =>
  Effect.gen(function*() {
    const training = yield* createModel
    const first = yield* lossOf(training, "abab")
    for (let i = 0; i < 40; i++) {
      const gradients = yield* training.forwardBackward({ data: [datum("abab")], lossFn: "cross_entropy" })
      const update = yield* training.optimStep(adam)
      yield* gradients.await
      yield* update.await
    }
    assert.isBelow(yield* lossOf(training, "abab"), first / 10)

    const sampling = yield* training.saveWeightsAndGetSamplingClient()
    const answer = yield* sampling.sample({
      prompt: ModelInput.fromTokens([97]),
      samplingParams: SamplingParams.make({ maxTokens: 3, temperature: 0 })
    })
    assert.deepStrictEqual(answer.sequences[0]?.tokens, Int32Array.of(98, 97, 98))
    assert.strictEqual(answer.sequences[0]?.stopReason, "length")
  }).pipe(Effect.provide(client())))

it.effect("gives the log-probability of each target, as the sampler does", () =>
  Effect.gen(function*() {
    const training = yield* createModel
    const output = yield* ApiFuture.flatten(training.forward({ data: [datum("hello")], lossFn: "cross_entropy" }))
    const sampling = yield* training.saveWeightsAndGetSamplingClient()
    const logprobs = yield* sampling.computeLogprobs(
      ModelInput.fromTokens(Array.from(new TextEncoder().encode("hello")))
    )
    assert.isNaN(logprobs[0])
    assert.deepStrictEqual(output.lossFnOutputs[0]?.logprobs?.data, logprobs.slice(1))
  }).pipe(Effect.provide(client())))

it.effect("computes importance_sampling and ppo, whose settings reach the server", () =>
  Effect.gen(function*() {
    const training = yield* createModel
    const data = [reinforcement(Float32Array.of(-9, -9, -9))]
    const loss = (lossFn: LossFn.LossFn, lossFnConfig?: Record<string, number>) =>
      Effect.map(
        ApiFuture.flatten(training.forward({ data, lossFn, lossFnConfig })),
        (output) => output.metrics["loss:sum"]!
      )
    const unclipped = yield* loss("importance_sampling")
    const clipped = yield* loss("ppo")
    const wide = yield* loss("ppo", { clipLowThreshold: 0, clipHighThreshold: 1e9 })
    assert.notStrictEqual(clipped, unclipped)
    assert.closeTo(wide, unclipped, Math.abs(unclipped) * 1e-6)
  }).pipe(Effect.provide(client())))

it.effect("goes on from a saved state, with the optimizer, as if it had not stopped", () =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const step = (training: Effect.Effect.Success<typeof createModel>) =>
      Effect.zipRight(
        ApiFuture.flatten(training.forwardBackward({ data: [datum("saved")], lossFn: "cross_entropy" })),
        ApiFuture.flatten(training.optimStep(adam))
      )
    const original = yield* createModel
    yield* step(original)
    const { path } = yield* ApiFuture.flatten(original.saveState({ name: "half" }))
    yield* step(original)

    const resumed = yield* service.createTrainingClientFromStateWithOptimizer(path)
    yield* step(resumed)
    assert.strictEqual(yield* lossOf(resumed, "saved"), yield* lossOf(original, "saved"))
    assert.notStrictEqual(resumed.modelId, original.modelId)

    const fresh = yield* service.createTrainingClientFromState(path)
    yield* step(fresh)
    assert.notStrictEqual(yield* lossOf(fresh, "saved"), yield* lossOf(original, "saved"))
  }).pipe(Effect.provide(client())))

it.effect("samples from a checkpoint saved for sampling", () =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const training = yield* createModel
    const { path } = yield* ApiFuture.flatten(training.saveWeightsForSampler({ name: "s" }))
    const sampling = yield* service.createSamplingClient({ modelPath: path })
    assert.strictEqual(sampling.baseModel, "bigram")
    assert.strictEqual((yield* sampling.computeLogprobs(ModelInput.fromTokens([1, 2]))).length, 2)
  }).pipe(Effect.provide(client())))

it.effect("splits a call at the server's limits and joins the results in order", () =>
  Effect.gen(function*() {
    const training = yield* createModel
    const texts = ["ab", "abc", "abcd", "abcde", "abcdef"]
    const future = yield* training.forward({ data: texts.map(datum), lossFn: "cross_entropy" })
    assert.strictEqual(future.requestIds.length, 3)
    const output = yield* future.await
    assert.deepStrictEqual(output.lossFnOutputs.map((one) => one["logprobs"]?.data.length), [1, 2, 3, 4, 5])
    let sum = 0
    for (const text of texts) sum += yield* lossOf(training, text)
    assert.closeTo(output.metrics["loss:sum"]!, sum, 1e-3)
  }).pipe(Effect.provide(client({ server: { clientConfig: { fwdbwd_max_chunk_len: 2 } } }))))

it.effect("keeps the order of calls made at once", () =>
  Effect.gen(function*() {
    const training = yield* createModel
    // A save between two updates holds the first alone, whatever is answered first.
    const call = training.forwardBackward({ data: [datum("order")], lossFn: "cross_entropy" })
    const [, , saving] = yield* Effect.all(
      [call, training.optimStep(adam), training.saveState({ name: "first" }), call, training.optimStep(adam)],
      { concurrency: "unbounded" }
    )
    const { path } = yield* saving.await
    const first = yield* Effect.flatMap(ServiceClient.ServiceClient, (service) =>
      service.createTrainingClientFromState(path))
    const afterOne = yield* lossOf(first, "order")
    const afterTwo = yield* lossOf(training, "order")
    const fresh = yield* lossOf(yield* createModel, "order")
    assert.isBelow(afterOne, fresh)
    assert.isBelow(afterTwo, afterOne)
  }).pipe(Effect.provide(client())))

it.effect("has each result as soon as it is there, not when the server has held the question long enough", () =>
  Effect.gen(function*() {
    const training = yield* createModel
    const gradients = yield* training.forwardBackward({ data: [datum("soon")], lossFn: "cross_entropy" })
    const update = yield* training.optimStep(adam)
    const both = yield* Effect.fork(Effect.zip(gradients.await, update.await))
    yield* TestClock.adjust("2 seconds")
    assert.strictEqual((yield* Fiber.poll(both))._tag, "Some")
  }).pipe(Effect.provide(client({ engine: { stepDuration: "1 second" } }))))

it.effect("asks for a result once, however often it is awaited", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const training = yield* createModel
    const future = yield* training.forward({ data: [datum("once")], lossFn: "cross_entropy" })
    const [a, b] = yield* Effect.all([future.await, future.await], { concurrency: "unbounded" })
    const asked = (yield* faults.requestCounts).get("retrieve_future")
    assert.strictEqual(a, b)
    assert.strictEqual(yield* future.await, a)
    assert.strictEqual((yield* faults.requestCounts).get("retrieve_future"), asked)
  }).pipe(Effect.provide(client())))

it.effect("tells every observer of a queue that stands still, why, and of the end; a late one begins with the present", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const training = yield* createModel
    yield* faults.pauseQueue({ state: "paused_capacity", reason: "no GPU is free" })
    const future = yield* training.forward({ data: [datum("wait")], lossFn: "cross_entropy" })
    const early = yield* Effect.fork(Stream.runCollect(future.states))
    yield* TestClock.adjust("50 seconds")
    yield* faults.resumeQueue()
    yield* TestClock.adjust("50 seconds")
    yield* future.await
    const late = yield* Stream.runCollect(future.states)
    const expected: ReadonlyArray<ApiFuture.State> = [
      { _tag: "submitted" },
      // The server answers the first question after forty seconds.
      { _tag: "queued", queueState: "paused_capacity", reason: "no GPU is free", since: DateTime.unsafeMake(40_000) },
      { _tag: "done" }
    ]
    assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(early)), expected)
    assert.deepStrictEqual(Chunk.toReadonlyArray(late), [{ _tag: "done" }])
  }).pipe(Effect.provide(client())))

it.effect("interrupting one who waits ends that wait alone", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const training = yield* createModel
    yield* faults.pauseQueue({ state: "paused_rate_limit" })
    const future = yield* training.forward({ data: [datum("wait")], lossFn: "cross_entropy" })
    const impatient = yield* Effect.fork(future.await)
    const patient = yield* Effect.fork(future.await)
    yield* Fiber.interrupt(impatient)
    yield* faults.resumeQueue()
    yield* TestClock.adjust("1 minute")
    assert.strictEqual((yield* Fiber.join(patient)).lossFnOutputs.length, 1)
  }).pipe(Effect.provide(client())))

it.effect("cancelling a future interrupts whoever waits, and the model goes on", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const training = yield* createModel
    yield* faults.pauseQueue({ state: "paused_capacity" })
    const future = yield* training.forward({ data: [datum("wait")], lossFn: "cross_entropy" })
    const waiting = yield* Effect.fork(future.await)
    yield* future.cancel
    assert.isTrue((yield* Fiber.await(waiting)).pipe((exit) => exit._tag === "Failure"))
    assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(future.states)).at(-1)?._tag, "cancelled")
    yield* faults.resumeQueue()
    assert.isNumber(yield* lossOf(training, "next"))
  }).pipe(Effect.provide(client())))

it.effect("a call interrupted before its turn leaves no hole", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const training = yield* createModel
    yield* faults.plan({ path: "forward_backward", fault: Faults.delay("10 seconds") })
    const first = yield* Effect.fork(training.forward({ data: [datum("first")], lossFn: "cross_entropy" }))
    yield* TestClock.adjust("1 second")
    const second = yield* Effect.fork(training.optimStep(adam))
    const third = yield* Effect.fork(training.forward({ data: [datum("third")], lossFn: "cross_entropy" }))
    yield* TestClock.adjust("1 second")
    yield* Fiber.interrupt(second)
    yield* TestClock.adjust("20 seconds")
    assert.strictEqual((yield* (yield* Fiber.join(first)).await).lossFnOutputs.length, 1)
    assert.strictEqual((yield* (yield* Fiber.join(third)).await).lossFnOutputs.length, 1)
  }).pipe(Effect.provide(client())))

it.effect("what is being sent when its caller is interrupted keeps its number, and the next call follows it", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const training = yield* createModel
    yield* faults.plan({ path: "optim_step", fault: Faults.delay("10 seconds") })
    const caller = yield* Effect.fork(training.optimStep(adam))
    yield* TestClock.adjust("1 second")
    yield* Fiber.interrupt(caller)
    const next = yield* Effect.fork(lossOf(training, "next"))
    yield* TestClock.adjust("1 minute")
    assert.isNumber(yield* Fiber.join(next))
  }).pipe(Effect.provide(client())))

it.effect("uses the number of a refused request again", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const training = yield* createModel
    yield* faults.plan({ path: "optim_step", fault: Faults.answer(422) })
    const error = yield* Effect.flip(training.optimStep(adam))
    assert.strictEqual(error._tag === "ApiStatusError" && error.reason, "UnprocessableEntity")
    const future = yield* training.optimStep(adam)
    assert.match(future.requestIds[0]!, /:1$/)
    yield* future.await
  }).pipe(Effect.provide(client())))

it.effect("sends a request again whose answer was lost, and it counts once", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const training = yield* createModel
    yield* faults.plan({ path: "forward_backward", fault: Faults.loseAnswer })
    const fiber = yield* Effect.fork(training.forwardBackward({ data: [datum("twice")], lossFn: "cross_entropy" }))
    yield* TestClock.adjust("10 seconds")
    yield* (yield* Fiber.join(fiber)).await
    const { metrics } = yield* ApiFuture.flatten(training.optimStep(adam))

    const other = yield* createModel
    yield* ApiFuture.flatten(other.forwardBackward({ data: [datum("twice")], lossFn: "cross_entropy" }))
    assert.deepStrictEqual((yield* ApiFuture.flatten(other.optimStep(adam))).metrics, metrics)
  }).pipe(Effect.provide(client())))

it.effect("a request that fails on the server says so by its category, and those after it go on", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const training = yield* createModel
    yield* faults.plan({ path: "forward_backward", fault: Faults.failFuture("the GPU caught fire") })
    const future = yield* training.forwardBackward({ data: [datum("fire")], lossFn: "cross_entropy" })
    const error = yield* Effect.flip(future.await)
    assert.deepStrictEqual(
      error._tag === "RequestFailedError" && [error.category, error.description],
      ["server", "the GPU caught fire"]
    )
    assert.include(error.message, future.requestIds[0]!)
    assert.strictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(future.states)).at(-1)?._tag, "failed")
    assert.isNumber(yield* lossOf(training, "next"))
  }).pipe(Effect.provide(client())))

it.effect("fails as expired when the server has lost a training request", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const training = yield* createModel
    yield* faults.plan({ path: "retrieve_future", fault: Faults.answer(410) })
    const error = yield* Effect.flip(ApiFuture.flatten(training.optimStep(adam)))
    assert.strictEqual(error._tag === "ApiStatusError" && error.reason, "Expired")
  }).pipe(Effect.provide(client())))

it.effect("fetches a large result after the server has told its size", () =>
  Effect.gen(function*() {
    const training = yield* createModel
    const output = yield* ApiFuture.flatten(training.forward({ data: [datum("large")], lossFn: "cross_entropy" }))
    assert.strictEqual(output.lossFnOutputs.length, 1)
  }).pipe(Effect.provide(client({ server: { maxUnannouncedBytes: 1 } }))))

it.effect("asks again when a poll is lost, limited or answered by a server in trouble", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const training = yield* createModel
    yield* faults.plan({ path: "retrieve_future", fault: Faults.drop })
    yield* faults.plan({ path: "retrieve_future", fault: Faults.answer(429), nth: 2 })
    yield* faults.plan({ path: "retrieve_future", fault: Faults.answer(502), nth: 3 })
    yield* faults.plan({ path: "retrieve_future", fault: Faults.answer(408), nth: 4 })
    const fiber = yield* Effect.fork(lossOf(training, "again"))
    yield* TestClock.adjust("2 minutes")
    assert.isNumber(yield* Fiber.join(fiber))
  }).pipe(Effect.provide(client())))

const invalid: ReadonlyArray<readonly [string, Datum.Datum, string]> = [
  [
    "no targets",
    Datum.make({ modelInput: ModelInput.fromTokens([1]), lossFnInputs: {} }),
    "data[1].lossFnInputs.targetTokens"
  ],
  [
    "targets of another length",
    Datum.make({ modelInput: ModelInput.fromTokens([1, 2]), lossFnInputs: { targetTokens: TensorData.int64([1]) } }),
    "data[1].lossFnInputs.targetTokens"
  ],
  [
    "float targets",
    Datum.make({ modelInput: ModelInput.fromTokens([1]), lossFnInputs: { targetTokens: TensorData.float32([1]) } }),
    "data[1].lossFnInputs.targetTokens"
  ],
  [
    "a weight that is no number",
    Datum.make({
      modelInput: ModelInput.fromTokens([1]),
      lossFnInputs: { targetTokens: TensorData.int64([1]), weights: TensorData.float32([NaN]) }
    }),
    "data[1].lossFnInputs.weights"
  ],
  ["no tokens", Datum.make({ modelInput: ModelInput.fromTokens([]), lossFnInputs: {} }), "data[1].modelInput"]
]

for (const [name, wrong, field] of invalid) {
  it.effect(`refuses a datum with ${name} before anything is sent`, () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const training = yield* createModel
      const error = yield* Effect.flip(
        training.forwardBackward({ data: [datum("fine"), wrong], lossFn: "cross_entropy" })
      )
      assert.strictEqual(error._tag === "InvalidInputError" && error.field, field)
      assert.strictEqual((yield* faults.requestCounts).get("forward_backward") ?? 0, 0)
      assert.isNumber(yield* lossOf(training, "next"))
    }).pipe(Effect.provide(client())))
}

it.effect("refuses an empty call, a rank of 0, a learning rate that is no number and a name with a slash", () =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const training = yield* createModel
    const calls: ReadonlyArray<Effect.Effect<unknown, TinkerError.TinkerError>> = [
      training.forward({ data: [], lossFn: "cross_entropy" }),
      service.createLoraTrainingClient({ baseModel: "bigram", rank: 0 }),
      training.optimStep(AdamParams.make({ learningRate: NaN })),
      training.saveState({ name: "../up" }),
      service.createSamplingClient({ modelPath: "step-100" })
    ]
    const fields = yield* Effect.forEach(
      calls,
      (call) => Effect.map(Effect.flip(call), (error) => error._tag === "InvalidInputError" && error.field)
    )
    assert.deepStrictEqual(fields, ["data", "rank", "learningRate", "name", "modelPath"])
  }).pipe(Effect.provide(client())))

it.scoped("closing the scope ends the polls of its futures", () =>
  Effect.gen(function*() {
    const waiting = yield* Deferred.make<Fiber.RuntimeFiber<unknown, unknown>>()
    yield* Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const training = yield* createModel
      yield* faults.pauseQueue({ state: "paused_capacity" })
      const future = yield* training.forward({ data: [datum("wait")], lossFn: "cross_entropy" })
      yield* Deferred.succeed(waiting, yield* Effect.forkDaemon(future.await))
    }).pipe(Effect.provide(client()))
    const fiber = yield* Deferred.await(waiting)
    assert.strictEqual((yield* Fiber.await(fiber))._tag, "Failure")
  }))

it.effect("passes paths of other forms on as they are, and a bare name only when a save of this server has returned it", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const service = yield* ServiceClient.ServiceClient
    const training = yield* createModel
    const sample = service.createSamplingClient({ modelPath: "checkpoints-1" })
    assert.strictEqual((yield* Effect.flip(sample))._tag, "InvalidInputError")
    yield* faults.plan({
      path: "retrieve_future",
      fault: Faults.answer(200, { body: { path: "checkpoints-1" } })
    })
    assert.strictEqual(
      (yield* ApiFuture.flatten(training.saveWeightsForSampler({ name: "1" }))).path,
      "checkpoints-1"
    )
    for (const modelPath of ["file:///checkpoints/1", "/checkpoints/1"]) {
      const refused = yield* Effect.flip(service.createSamplingClient({ modelPath }))
      assert.strictEqual(refused._tag, "ApiStatusError")
    }
    const error = yield* Effect.flip(sample)
    assert.strictEqual(error._tag === "ApiStatusError" && error.status, 400)
  }).pipe(Effect.provide(client())))
