import { assert, it } from "@effect/vitest"
import { Cause, Chunk, Deferred, Effect, Either, Exit, FastCheck, Fiber, Stream, TestClock } from "effect"
import { ModelInput, SamplingParams, ServiceClient } from "effect-tinker"
import { answersInPlace } from "../src/internal/sampling/answersInPlace.js"
import { stub } from "./stub.js"

const samplingParams = SamplingParams.make({ maxTokens: 2 })
const good = { prompt: ModelInput.fromTokens([1, 2]), samplingParams }
const bad = { prompt: ModelInput.fromTokens([]), samplingParams }

const createClient = Effect.flatMap(
  ServiceClient.ServiceClient,
  (service) => service.createSamplingClient({ baseModel: "b" })
)

for (const unordered of [false, true]) {
  it.effect(`a prompt that fails is an answer in its place, ${unordered ? "as they finish" : "in order"}`, () => {
    const { layer, to } = stub({})
    return Effect.gen(function*() {
      const sampling = yield* createClient
      const prompts = Stream.range(0, 19).pipe(Stream.map((i) => i === 7 ? bad : good))
      const answers = yield* Stream.runCollect(sampling.sampleStream(prompts, { concurrency: 4, unordered }))
      const inOrder = Chunk.toReadonlyArray(answers).toSorted((a, b) => a.index - b.index)
      if (!unordered) assert.deepStrictEqual(Chunk.toReadonlyArray(answers), inOrder)
      assert.deepStrictEqual(inOrder.map(({ index }) => index), Array.from({ length: 20 }, (_, i) => i))
      for (const { index, result } of inOrder) {
        if (index === 7) assert(Either.isLeft(result) && result.left._tag === "InvalidInputError")
        else assert(Either.isRight(result) && result.right.sequences.length === 1)
      }
      assert.lengthOf(to("asample"), 19)
    }).pipe(Effect.provide(layer))
  })
}

it.effect("a concurrency that is none is refused by name", () => {
  const { layer } = stub({})
  return Effect.gen(function*() {
    const sampling = yield* createClient
    for (const concurrency of [0, -1, 1.5, NaN, Infinity]) {
      const error = yield* Effect.flip(Stream.runDrain(sampling.sampleStream(Stream.make(good), { concurrency })))
      assert.strictEqual(error.field, "concurrency")
    }
  }).pipe(Effect.provide(layer))
})

const run = Effect.runPromise
const yields = (n: number) => Effect.repeatN(Effect.yieldNow(), n)

it("gives every answer once and in order, from chunks and at times of any kind, with no more under way than may be", () =>
  FastCheck.assert(
    FastCheck.asyncProperty(
      FastCheck.array(FastCheck.array(FastCheck.nat(12), { maxLength: 8 }), { maxLength: 8 }),
      FastCheck.integer({ min: 1, max: 5 }),
      FastCheck.boolean(),
      FastCheck.nat(3),
      async (chunks, concurrency, unordered, pause) => {
        let open = 0
        let most = 0
        const answer = (delay: number, index: number) =>
          Effect.suspend(() => {
            most = Math.max(most, ++open)
            return Effect.map(yields(delay), () => {
              open -= 1
              return { delay, index }
            })
          })
        const questions = Stream.fromIterable(chunks).pipe(
          Stream.tap(() => yields(pause)),
          Stream.flatMap((chunk) => Stream.fromChunk(Chunk.fromIterable(chunk)))
        )
        const answers = Chunk.toReadonlyArray(
          await run(Stream.runCollect(answersInPlace(questions, answer, { concurrency, unordered })))
        )
        const expected = chunks.flat().map((delay, index) => ({ delay, index }))
        assert.deepStrictEqual(unordered ? answers.toSorted((a, b) => a.index - b.index) : answers, expected)
        assert.isAtMost(most, concurrency)
      }
    )
  ))

it.effect("what ends the prompts comes behind the answers to those before", () =>
  Effect.gen(function*() {
    const prompts = Stream.concat(Stream.make(5, 2, 1), Stream.fail("no more"))
    const slow = (seconds: number) => Effect.as(Effect.sleep(`${seconds} seconds`), seconds)
    for (const unordered of [false, true]) {
      const got: Array<number> = []
      const fiber = yield* answersInPlace(prompts, slow, { concurrency: 2, unordered }).pipe(
        Stream.runForEach((answer) => Effect.sync(() => got.push(answer))),
        Effect.flip,
        Effect.fork
      )
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(fiber), "no more")
      assert.deepStrictEqual(got, unordered ? [2, 1, 5] : [5, 2, 1])
    }
  }))

it.effect("stopping interrupts what is under way together, and then ends the prompts", () =>
  Effect.gen(function*() {
    const events: Array<string> = []
    const note = (event: string) => Effect.sync(() => events.push(event))
    const prompts = Stream.ensuring(Stream.range(0, 1000), note("prompts"))
    const gate = yield* Deferred.make<void>()
    const first = yield* answersInPlace(
      prompts,
      (i) =>
        i === 0
          ? Effect.as(Deferred.await(gate), i)
          : Effect.onInterrupt(Effect.never, () => Effect.zipRight(Effect.sleep("1 second"), note(`interrupted ${i}`))),
      { concurrency: 4, unordered: false }
    ).pipe(Stream.runHead, Effect.fork)
    yield* TestClock.adjust(0)
    yield* Deferred.succeed(gate, undefined)
    // All four within the second that one of them takes.
    yield* TestClock.adjust("1 second")
    yield* Fiber.join(first)
    assert.deepStrictEqual(events.slice(0, -1).toSorted(), [1, 2, 3, 4].map((i) => `interrupted ${i}`))
    assert.strictEqual(events.at(-1), "prompts")
  }))

it.effect("draws no more than twice as many as may be under way before their answers are taken", () =>
  Effect.gen(function*() {
    let drawn = 0
    const prompts = Stream.rechunk(Stream.tap(Stream.range(0, 1000), () => Effect.sync(() => drawn++)), 1)
    const gate = yield* Deferred.make<void>()
    const options = { concurrency: 4, unordered: true }
    const fiber = yield* answersInPlace(prompts, (i) => Effect.succeed(i), options).pipe(
      Stream.runForEach(() => Deferred.await(gate)),
      Effect.fork
    )
    yield* TestClock.adjust("1 minute")
    // Those that the consumer has, and as many as may wait.
    assert.isAtMost(drawn, 17)
    yield* Deferred.succeed(gate, undefined)
    yield* Fiber.join(fiber)
    assert.strictEqual(drawn, 1001)
  }))

it.effect("a defect ends the stream", () =>
  Effect.gen(function*() {
    const dies = (i: number) => i === 2 ? Effect.dieMessage("broken") : Effect.never
    const stream = answersInPlace(Stream.range(0, 9), dies, { concurrency: 4, unordered: false })
    const exit = yield* Effect.exit(Stream.runDrain(stream))
    assert(Exit.isFailure(exit) && Cause.isDie(exit.cause))
  }))
